/**
 * Our server descriptor and extra-info, from what we are at this moment.
 */

import type { AddressChoice } from '../directory/published-address.ts';
import type { BuiltDescriptor } from '../directory/publisher.ts';
import { assert } from '../fault.ts';
import type { RelayIdentity } from '../keys/identity.ts';
import type { OnionKeys } from '../keys/onion-key.ts';
import { type BandwidthHistory, printExtraInfo } from '../netdoc/extra-info.ts';
import { printServerDescriptor } from '../netdoc/server-descriptor.ts';
import type { RouterSigner } from '../netdoc/signature.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { PLATFORM, PROTOCOLS } from '../version.ts';
import type { PublishedPolicy } from './exit-side.ts';

/** Everything a descriptor is made of. */
export interface DescriptorFacts {
  readonly options: RelayOptions;
  readonly identity: RelayIdentity;
  readonly onionKeys: OnionKeys;
  readonly address: AddressChoice;
  readonly uptimeSec: number;
  readonly observedBytesPerSec: number;
  readonly histories: readonly BandwidthHistory[];
  /** Further lines of the extra-info document. */
  readonly statistics: readonly string[];
  readonly rotationDays: number;
  readonly exitPolicy: PublishedPolicy;
  /** The consensus still wants the TAP key. */
  readonly publishTap: boolean;
}

const DAY_SEC = 86_400;

/**
 * Print and sign both documents.
 * @throws Bug when there is no address to publish: the publisher asks for none then
 */
export function buildDescriptor(facts: DescriptorFacts, publishedSec: number): BuiltDescriptor {
  const { options, identity, onionKeys, address } = facts;
  assert(address.ipv4 !== null, 'nothing is published without an IPv4 address');
  const signer: RouterSigner = {
    rsa: identity.rsa,
    ed25519Id: identity.ed25519Id,
    signingCert: identity.signing.cert,
    sign: identity.sign,
  };
  const extraInfo = printExtraInfo(
    { nickname: options.nickname, publishedSec, histories: facts.histories, statistics: facts.statistics },
    signer,
  );
  const rate = relayLimit(options.bandwidthRate, options.relayBandwidthRate);
  const burst = relayLimit(options.bandwidthBurst, options.relayBandwidthBurst);
  const descriptor = printServerDescriptor(
    {
      nickname: options.nickname,
      address: address.ipv4.host,
      orPort: address.ipv4.port,
      ipv6: address.ipv6,
      platform: PLATFORM,
      proto: PROTOCOLS,
      publishedSec,
      uptimeSec: facts.uptimeSec,
      bandwidth: {
        rate: Math.min(rate, options.maxAdvertisedBandwidth),
        burst,
        observed: Math.min(facts.observedBytesPerSec, rate, options.maxAdvertisedBandwidth),
      },
      extraInfoDigest: { sha1: extraInfo.digestSha1, sha256: extraInfo.digestSha256 },
      ntorOnionKey: onionKeys.current,
      ntorLifetimeSec: facts.rotationDays * DAY_SEC,
      tapOnionKey: facts.publishTap ? onionKeys.legacyRsa : null,
      family: [],
      contact: options.contactInfo,
      tunnelledDirServer: options.cache.isOffered && !options.disableNetwork,
      cachesExtraInfo: options.cache.isCache && options.cache.extraInfo,
      ...facts.exitPolicy,
    },
    signer,
  );
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
  return { descriptor: text(descriptor.bytes), extraInfo: text(extraInfo.bytes) };
}

function relayLimit(all: number, relayed: number): number {
  return relayed > 0 ? Math.min(all, relayed) : all;
}
