/** Authorities on paper: keys, certificates and consensuses signed with them, made on the spot. */

import { encodeBase64Unpadded, encodeHex, wrapBase64 } from '../../src/bytes/base.ts';
import { sha1, sha256 } from '../../src/crypto/digest.ts';
import { fingerprint, generateRsa, type RsaKey, signRaw } from '../../src/crypto/rsa.ts';
import type { DirectoryAuthority } from '../../src/directory/authority.ts';
import type { ConsensusFlavour } from '../../src/netdoc/consensus.ts';
import { printTime } from '../../src/netdoc/field.ts';

/** An authority with its keys. */
export interface PaperAuthority {
  readonly authority: DirectoryAuthority;
  readonly identity: RsaKey;
  signing: RsaKey;
}

/** Make an authority; its DirPort is that of a server on loopback, or one that only a fake exchange reads. */
export function makeAuthority(nickname: string, dirPort: number): PaperAuthority {
  const identity = generateRsa(1024);
  return {
    identity,
    signing: generateRsa(1024),
    authority: {
      nickname,
      rsaId: new Uint8Array(20).fill(nickname.charCodeAt(0)),
      v3Ident: fingerprint(identity.publicDer),
      dir: { host: new Uint8Array([127, 0, 0, 1]), port: dirPort },
      orPort: 0,
      ipv6: null,
      isBridgeAuthority: false,
      weight: 1,
      uploadTo: [],
      downloadFrom: [],
    },
  };
}

function pem(label: string, body: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${wrapBase64(body)}-----END ${label}-----\n`;
}

/** Print an authority's certificate of its present signing key. */
export function printCertificate(paper: PaperAuthority, publishedSec: number, expiresSec: number): string {
  const { identity, signing } = paper;
  const body =
    'dir-key-certificate-version 3\n' +
    `fingerprint ${encodeHex(fingerprint(identity.publicDer))}\n` +
    `dir-key-published ${printTime(publishedSec)}\n` +
    `dir-key-expires ${printTime(expiresSec)}\n` +
    `dir-identity-key\n${pem('RSA PUBLIC KEY', identity.publicDer)}` +
    `dir-signing-key\n${pem('RSA PUBLIC KEY', signing.publicDer)}` +
    `dir-key-crosscert\n${pem('ID SIGNATURE', signRaw(signing, fingerprint(identity.publicDer)))}` +
    'dir-key-certification\n';
  return body + pem('SIGNATURE', signRaw(identity, sha1(new TextEncoder().encode(body))));
}

/** What a consensus says. */
export interface PaperConsensus {
  readonly flavour: ConsensusFlavour;
  readonly validAfterSec: number;
  readonly intervalSec: number;
  readonly params?: string;
  readonly requiredRelayProtocols?: string;
  readonly recommendedRelayProtocols?: string;
  readonly relays?: readonly PaperRelay[];
}

export interface PaperRelay {
  readonly rsaId: Uint8Array;
  readonly flags: string;
  readonly weight: string;
}

/** Print a consensus, voted for by all of `voters` and signed by `signers`. */
export function printConsensus(
  consensus: PaperConsensus,
  voters: readonly PaperAuthority[],
  signers: readonly PaperAuthority[] = voters,
): string {
  const { flavour, validAfterSec, intervalSec } = consensus;
  const relays = [...(consensus.relays ?? [])].sort((a, b) => Buffer.compare(a.rsaId, b.rsaId));
  const body = [
    `network-status-version 3${flavour === 'ns' ? '' : ` ${flavour}`}`,
    'vote-status consensus',
    'consensus-method 33',
    `valid-after ${printTime(validAfterSec)}`,
    `fresh-until ${printTime(validAfterSec + intervalSec)}`,
    `valid-until ${printTime(validAfterSec + 3 * intervalSec)}`,
    'voting-delay 2 2',
    'client-versions ',
    'server-versions ',
    'known-flags Authority Exit Fast Guard HSDir Running Stable StaleDesc V2Dir Valid',
    ...line('recommended-relay-protocols', consensus.recommendedRelayProtocols),
    ...line('required-relay-protocols', consensus.requiredRelayProtocols),
    ...line('params', consensus.params),
    ...voters.flatMap(({ authority }) => [
      `dir-source ${authority.nickname} ${encodeHex(authority.v3Ident!)} 127.0.0.1 127.0.0.1 ${authority.dir.port} 0`,
      'contact nobody',
      `vote-digest ${'0'.repeat(40)}`,
    ]),
    ...relays.flatMap((relay) => printRelay(relay, flavour)),
    'directory-footer',
    'directory-signature ',
  ].join('\n');
  const bytes = new TextEncoder().encode(body);
  const sign = flavour === 'ns' ? sha1(bytes) : sha256(bytes);
  const name = flavour === 'ns' ? '' : 'sha256 ';
  const signatures = signers.map(({ authority, signing }) => {
    const keys = `${encodeHex(authority.v3Ident!)} ${encodeHex(fingerprint(signing.publicDer))}`;
    return `directory-signature ${name}${keys}\n${pem('SIGNATURE', signRaw(signing, sign))}`;
  });
  return body.slice(0, -'directory-signature '.length) + signatures.join('');
}

function line(keyword: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`${keyword} ${value}`];
}

function printRelay(relay: PaperRelay, flavour: ConsensusFlavour): string[] {
  const digest = flavour === 'ns' ? `${encodeBase64Unpadded(new Uint8Array(20).fill(9))} ` : '';
  return [
    `r relay ${encodeBase64Unpadded(relay.rsaId)} ${digest}2038-01-01 00:00:00 127.0.0.1 9001 0`,
    ...(flavour === 'ns' ? [] : [`m ${encodeBase64Unpadded(new Uint8Array(32).fill(9))}`]),
    `s ${relay.flags}`,
    'v onionrelay 0.1.0',
    'pr Link=4-5 Relay=2-4',
    `w ${relay.weight}`,
    ...(flavour === 'ns' ? ['p reject 1-65535'] : []),
  ];
}
