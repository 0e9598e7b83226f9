/**
 * Consensuses of both flavours as the test authority, the only voter, prints and signs them.
 *
 * Pure. Lines, their order and their spelling are C tor's for consensus method 35; each flavour is signed by the one
 * digest that C tor signs it by.
 *
 * @source dir-spec "Vote and consensus status documents", "The ns consensus", "microdescriptor consensuses"
 */
import { printEndpoint, printIp } from '../bytes/address.ts';
import { encodeBase64Unpadded, encodeHex } from '../bytes/base.ts';
import { sha1, sha256 } from '../crypto/digest.ts';
import { signRaw } from '../crypto/rsa.ts';
import type { ConsensusFlavour } from '../netdoc/consensus.ts';
import { printTime } from '../netdoc/field.ts';
import type { RouterFlagName } from '../netdoc/router-table.ts';
import type { ServerDescriptor } from '../netdoc/server-descriptor.ts';
import { printObject } from '../netdoc/signature.ts';
import type { AuthorityKeys } from './authority-keys.ts';
import type { ClassBandwidth } from './bandwidth-weights.ts';
import { printBandwidthWeights } from './bandwidth-weights.ts';
import { KNOWN_FLAGS } from './relay-flags.ts';

export const CONSENSUS_METHOD = 35;
/** What a microdesc consensus says instead of when a descriptor was published. */
const NO_TIME = '2038-01-01 00:00:00';
const VOTING_DELAYS = '2 2';

/** The voter. */
export interface Voter {
  readonly nickname: string;
  /** Where it answers, on loopback. */
  readonly host: Uint8Array;
  readonly dirPort: number;
  readonly orPort: number;
  readonly keys: AuthorityKeys;
}

/** One relay as it is listed. */
export interface ListedRelay {
  readonly descriptor: ServerDescriptor;
  /** Where it takes plain directory requests; 0: nowhere. */
  readonly dirPort: number;
  /** SHA-256 of its microdescriptor. */
  readonly microdescriptorDigest: Uint8Array;
  readonly flags: readonly RouterFlagName[];
  /** Kilobytes per second. */
  readonly bandwidth: number;
  /** Its exit policy for IPv4, summed up. */
  readonly policySummary: string;
}

/** What a consensus says. */
export interface ConsensusContent {
  readonly validAfterSec: number;
  readonly freshUntilSec: number;
  readonly validUntilSec: number;
  /** `name=number` of each parameter, in any order. */
  readonly params: ReadonlyMap<string, number>;
  /** Shared random values of the period before and of this one, 32 bytes each. */
  readonly sharedRandom: { readonly previous: Uint8Array; readonly current: Uint8Array };
  /** In any order. */
  readonly relays: readonly ListedRelay[];
}

/** Print and sign a consensus. */
export function printConsensus(
  content: ConsensusContent,
  flavour: ConsensusFlavour,
  voter: Voter,
): Uint8Array {
  const relays = [...content.relays].sort((a, b) => Buffer.compare(a.descriptor.rsaId, b.descriptor.rsaId));
  const weights = printBandwidthWeights(classBandwidth(relays));
  const lines = [
    ...printHead(content, flavour),
    ...printVoter(voter, relays),
    ...relays.flatMap((relay) => printRelay(relay, flavour)),
    'directory-footer',
    ...(weights === null ? [] : [weights]),
    'directory-signature ',
  ];
  const body = new TextEncoder().encode(lines.join('\n'));
  const { keys } = voter;
  const names = `${encodeHex(keys.v3Ident)} ${encodeHex(keys.signingKeyDigest)}`;
  const isNs = flavour === 'ns';
  const signature = signRaw(keys.signing, isNs ? sha1(body) : sha256(body));
  const tail = `${isNs ? '' : 'sha256 '}${names}\n${printObject('SIGNATURE', signature)}`;
  return Buffer.concat([body, new TextEncoder().encode(tail)]);
}

function printHead(content: ConsensusContent, flavour: ConsensusFlavour): string[] {
  const params = [...content.params].map(([name, value]) => `${name}=${value}`).sort();
  const { previous, current } = content.sharedRandom;
  return [
    `network-status-version 3${flavour === 'ns' ? '' : ` ${flavour}`}`,
    'vote-status consensus',
    `consensus-method ${CONSENSUS_METHOD}`,
    `valid-after ${printTime(content.validAfterSec)}`,
    `fresh-until ${printTime(content.freshUntilSec)}`,
    `valid-until ${printTime(content.validUntilSec)}`,
    `voting-delay ${VOTING_DELAYS}`,
    // Nothing is recommended, but C tor looks for both lines and ends when one is missing.
    'client-versions ',
    'server-versions ',
    `known-flags ${KNOWN_FLAGS.join(' ')}`,
    ...(params.length === 0 ? [] : [`params ${params.join(' ')}`]),
    `shared-rand-previous-value 1 ${Buffer.from(previous).toString('base64')}`,
    `shared-rand-current-value 1 ${Buffer.from(current).toString('base64')}`,
  ];
}

/** There is no vote; what would have been in it is what is listed. */
function printVoter(voter: Voter, relays: readonly ListedRelay[]): string[] {
  const { nickname, host, dirPort, orPort, keys } = voter;
  const address = printIp(host);
  const vote = sha1(Buffer.concat(relays.map(({ descriptor }) => descriptor.digestSha1)));
  return [
    `dir-source ${nickname} ${encodeHex(keys.v3Ident)} ${address} ${address} ${dirPort} ${orPort}`,
    'contact a test network on one machine',
    `vote-digest ${encodeHex(vote)}`,
  ];
}

function printRelay(relay: ListedRelay, flavour: ConsensusFlavour): string[] {
  const { descriptor, dirPort, flags, bandwidth } = relay;
  const { nickname, rsaId, digestSha1, publishedSec, address, orPort, ipv6 } = descriptor;
  const isNs = flavour === 'ns';
  const digest = isNs ? `${encodeBase64Unpadded(digestSha1)} ` : '';
  const time = isNs ? printTime(publishedSec) : NO_TIME;
  const version = versionOf(descriptor.platform);
  return [
    `r ${nickname} ${encodeBase64Unpadded(rsaId)} ${digest}${time} ${printIp(address)} ${orPort} ${dirPort}`,
    ...(ipv6 === null ? [] : [`a ${printEndpoint(ipv6)}`]),
    ...(isNs ? [] : [`m ${encodeBase64Unpadded(relay.microdescriptorDigest)}`]),
    `s ${flags.join(' ')}`,
    ...(version === null ? [] : [`v ${version}`]),
    `pr ${descriptor.proto}`,
    `w Bandwidth=${bandwidth}`,
    ...(isNs ? [`p ${relay.policySummary}`] : []),
  ];
}

/** The version in a platform line of C tor; others have none. */
function versionOf(platform: string | null): string | null {
  return /^Tor \S+/.exec(platform ?? '')?.[0] ?? null;
}

function classBandwidth(relays: readonly ListedRelay[]): ClassBandwidth {
  const sum = (isExit: boolean, isGuard: boolean): number =>
    relays
      .filter(({ flags }) => flags.includes('Exit') === isExit && flags.includes('Guard') === isGuard)
      .reduce((total, { bandwidth }) => total + bandwidth, 0);
  return {
    guard: sum(false, true),
    middle: sum(false, false),
    exit: sum(true, false),
    both: sum(true, true),
  };
}
