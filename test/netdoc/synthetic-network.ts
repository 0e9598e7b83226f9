/**
 * A network on paper, as large as one likes: consensuses of both flavours and the microdescriptors that go with them,
 * the same for the same seed on every machine.
 *
 * Sizes and shares are about those of the public network in 2026. Passing hours changes as much of it as they do
 * there, so that diffs between its consensuses have their usual size. Signatures are made by authorities that are
 * passed in; without any, they have the right form and no meaning. Keys are random bytes: nothing here can be connected to.
 */
import { encodeBase64Unpadded, encodeHex, wrapBase64 } from '../../src/bytes/base.ts';
import { sha1, sha256 } from '../../src/crypto/digest.ts';
import { fingerprint, signRaw } from '../../src/crypto/rsa.ts';
import type { ConsensusFlavour } from '../../src/netdoc/consensus.ts';
import { printTime } from '../../src/netdoc/field.ts';
import type { PaperAuthority } from '../directory/paper-network.ts';
import { Prng } from '../fuzz/prng.ts';

export interface SyntheticOptions {
  readonly seed: number;
  readonly relays: number;
  /** When the first consensus becomes valid; a whole hour. */
  readonly validAfterSec?: number;
  /** Who signs; nobody when there is none. */
  readonly authorities?: readonly PaperAuthority[];
  /** More parameters, e.g. `x=1`; they must sort behind the usual ones. */
  readonly params?: string;
}

/** 2026-11-22 14:00:00 UTC. */
const FIRST_SEC = 1795356000;
const HOUR_SEC = 3600;
const AUTHORITIES = 9;

const PROTOS = [
  'Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=3-5 LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-6',
  'Conflux=1 Cons=1-2 Desc=1-2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=1-5 LinkAuth=1,3 Microdesc=1-2 Padding=2 Relay=1-4',
];
const VERSIONS = ['Tor 0.4.9.11', 'Tor 0.4.9.10', 'Tor 0.4.8.22', 'Tor 0.4.8.16'];
const POLICIES = [
  'accept 80,443',
  'accept 20-23,43,53,79-81,88,110,143,194,220,389,443,464,531,543-544,554,563,587,636,706,749,873,902-904,981,989-995,1194,1220,1293,1500,1533,1677,1723,1755,1863,2082-2083,2086-2087,2095-2096,2102-2104,3128,3389,3690,4321,4643,5050,5190,5222-5223,5228,5900,6660-6669,6679,6697,8000,8008,8074,8080,8082,8087-8088,8232-8233,8332-8333,8443,8888,9418,9999-10000,11371,19294,19638,50002,64738',
  'reject 25,119,135-139,445,563,1214,4661-4666,6346-6429,6699,6881-6999',
];

interface Relay {
  readonly nickname: string;
  readonly rsaId: Uint8Array;
  readonly ed25519Id: string;
  readonly address: string;
  readonly ipv6: string | null;
  readonly orPort: number;
  readonly policy: string | null;
  readonly family: string;
  readonly version: string;
  readonly proto: string;
  descriptorDigest: string;
  publishedSec: number;
  ntorKey: string;
  flags: string[];
  weight: number;
  microdescriptor: string;
  microdescriptorDigest: string;
}

/** A network at one hour of its life. */
export class SyntheticNetwork {
  readonly #random: Prng;
  readonly #authorities: readonly PaperAuthority[];
  readonly #params: string;
  #relays: Relay[] = [];
  #validAfterSec: number;

  constructor({ seed, relays, validAfterSec = FIRST_SEC, authorities = [], params = '' }: SyntheticOptions) {
    this.#random = new Prng(seed);
    this.#validAfterSec = validAfterSec;
    this.#authorities = authorities;
    this.#params = params;
    for (let i = 0; i < relays; i++) this.#relays.push(this.#makeRelay());
    this.#sort();
  }

  get validAfterSec(): number {
    return this.#validAfterSec;
  }

  /** Let hours pass. */
  pass(hours: number): void {
    for (let hour = 0; hour < hours; hour++) this.#passHour();
  }

  /** SHA-256 digests of the microdescriptors that the consensus lists, in its order. */
  microdescriptorDigests(): Uint8Array[] {
    return this.#relays.map((relay) => Uint8Array.fromBase64(`${relay.microdescriptorDigest}=`));
  }

  /** The microdescriptors of the consensus, in its order. */
  microdescriptors(): Uint8Array[] {
    return this.#relays.map((relay) => Buffer.from(relay.microdescriptor));
  }

  /** The consensus of this hour. */
  consensus(flavour: ConsensusFlavour): Uint8Array {
    const body = [this.#head(flavour)];
    for (const relay of this.#relays) body.push(printRelay(relay, flavour));
    body.push(FOOTER);
    const signed = Buffer.from(`${body.join('')}directory-signature `);
    return Buffer.concat([
      signed.subarray(0, -'directory-signature '.length),
      this.#signatures(flavour, signed),
    ]);
  }

  #head(flavour: ConsensusFlavour): string {
    const at = this.#validAfterSec;
    const sources = this.#identities().map(
      ([name, id], i) =>
        `dir-source ${name} ${id} 192.0.2.${i + 1} 192.0.2.${i + 1} 80 443\n` +
        `contact ${name} <${name} at example dot com>\nvote-digest ${encodeHex(sha1(Buffer.from(`${name} ${at}`)))}\n`,
    );
    return [
      `network-status-version 3${flavour === 'ns' ? '' : ` ${flavour}`}\nvote-status consensus\nconsensus-method 35\n`,
      `valid-after ${printTime(at)}\nfresh-until ${printTime(at + HOUR_SEC)}\nvalid-until ${printTime(at + 3 * HOUR_SEC)}\n`,
      'voting-delay 300 300\nclient-versions 0.4.8.22,0.4.9.10,0.4.9.11\nserver-versions 0.4.8.22,0.4.9.10,0.4.9.11\n',
      'known-flags Authority BadExit Exit Fast Guard HSDir MiddleOnly NoEdConsensus Running Stable StaleDesc Sybil V2Dir Valid\n',
      'recommended-client-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4 HSRend=2 Link=4-5 Microdesc=2 Relay=2-4\n',
      'recommended-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4\n',
      'required-client-protocols Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2\n',
      'required-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4\n',
      `params CircuitPriorityHalflifeMsec=30000 bwauthpid=1 cc_alg=2 cc_cwnd_full_minpct=25 sendme_emit_min_version=1 ${this.#params}`.trimEnd(),
      '\n',
      `shared-rand-previous-value 9 ${sha256(Buffer.from(`previous ${Math.floor(at / 86400)}`)).toBase64()}\n`,
      `shared-rand-current-value 9 ${sha256(Buffer.from(`current ${Math.floor(at / 86400)}`)).toBase64()}\n`,
      ...sources,
    ].join('');
  }

  /** Name, identity and signing key of each authority. */
  #identities(): [string, string, string][] {
    if (this.#authorities.length > 0) {
      return this.#authorities.map(({ authority, signing }) => [
        authority.nickname,
        encodeHex(authority.v3Ident!),
        encodeHex(fingerprint(signing.publicDer)),
      ]);
    }
    const id = (name: string): string => encodeHex(sha1(Buffer.from(name)));
    return Array.from({ length: AUTHORITIES }, (_, i) => [`auth${i}`, id(`identity ${i}`), id(`key ${i}`)]);
  }

  #signatures(flavour: ConsensusFlavour, signed: Uint8Array): Uint8Array {
    const digest = flavour === 'ns' ? sha1(signed) : sha256(signed);
    const algorithm = flavour === 'ns' ? '' : 'sha256 ';
    const lines = this.#identities().map(([, id, key], i) => {
      const paper = this.#authorities[i];
      const filler = (): Uint8Array =>
        Buffer.concat(
          Array.from({ length: 8 }, (_, n) => sha256(Buffer.concat([digest, Uint8Array.of(i, n)]))),
        );
      const signature = paper === undefined ? filler() : signRaw(paper.signing, digest);
      return `directory-signature ${algorithm}${id} ${key}\n-----BEGIN SIGNATURE-----\n${wrapBase64(signature)}-----END SIGNATURE-----\n`;
    });
    return Buffer.from(lines.join(''));
  }

  #passHour(): void {
    const random = this.#random;
    this.#validAfterSec += HOUR_SEC;
    this.#relays = this.#relays.filter(() => random.below(300) !== 0);
    const joining = Math.max(1, Math.round(this.#relays.length / 300));
    for (let i = 0; i < joining; i++) this.#relays.push(this.#makeRelay());
    for (const relay of this.#relays) {
      if (random.below(15) === 0) this.#publish(relay);
      if (random.below(500) === 0) this.#rotate(relay);
      if (random.below(4) === 0)
        relay.weight = Math.max(1, Math.round(relay.weight * (0.9 + random.float() / 5)));
      if (random.below(80) === 0) relay.flags = this.#makeFlags(relay.policy !== null);
    }
    this.#sort();
  }

  #sort(): void {
    this.#relays.sort((a, b) => Buffer.compare(a.rsaId, b.rsaId));
  }

  #makeRelay(): Relay {
    const random = this.#random;
    const isExit = random.below(4) === 0;
    const relay: Relay = {
      nickname: random.below(3) === 0 ? 'Unnamed' : `relay${random.below(1e6)}`,
      rsaId: random.bytes(20),
      ed25519Id: encodeBase64Unpadded(random.bytes(32)),
      address: `${1 + random.below(126)}.${random.below(256)}.${random.below(256)}.${1 + random.below(254)}`,
      ipv6:
        random.below(2) === 0
          ? null
          : `[2001:db8:${hexWord(random)}:${hexWord(random)}::${hexWord(random)}]:9001`,
      orPort: random.pick([443, 9001, 9001, 8443, 9100]),
      policy: isExit ? random.pick(POLICIES) : null,
      family: Array.from(
        { length: random.below(3) * random.below(12) },
        () => `$${encodeHex(random.bytes(20))}`,
      )
        .sort()
        .join(' '),
      version: random.pick(VERSIONS),
      proto: random.pick(PROTOS),
      descriptorDigest: '',
      publishedSec: 0,
      ntorKey: '',
      flags: this.#makeFlags(isExit),
      weight: Math.round(10 ** (1 + 4 * random.float())),
      microdescriptor: '',
      microdescriptorDigest: '',
    };
    this.#publish(relay);
    relay.publishedSec -= random.below(18 * HOUR_SEC);
    this.#rotate(relay);
    return relay;
  }

  #makeFlags(isExit: boolean): string[] {
    const random = this.#random;
    const has = (share: number): boolean => random.float() < share;
    const flags = ['Running', 'V2Dir', 'Valid'];
    if (isExit) flags.push('Exit');
    if (has(0.9)) flags.push('Fast');
    if (has(0.5)) flags.push('Guard');
    if (has(0.5)) flags.push('HSDir');
    if (has(0.7)) flags.push('Stable');
    return flags.sort();
  }

  #publish(relay: Relay): void {
    relay.descriptorDigest = encodeBase64Unpadded(this.#random.bytes(20));
    relay.publishedSec = this.#validAfterSec - this.#random.below(HOUR_SEC);
  }

  #rotate(relay: Relay): void {
    relay.ntorKey = encodeBase64Unpadded(this.#random.bytes(32));
    relay.microdescriptor = printMicrodescriptor(relay, this.#random);
    relay.microdescriptorDigest = encodeBase64Unpadded(sha256(Buffer.from(relay.microdescriptor)));
  }
}

const FOOTER =
  'directory-footer\nbandwidth-weights Wbd=0 Wbe=0 Wbg=4203 Wbm=10000 Wdb=10000 Web=10000 Wed=10000 Wee=10000 ' +
  'Weg=10000 Wem=10000 Wgb=10000 Wgd=0 Wgg=5797 Wgm=5797 Wmb=10000 Wmd=0 Wme=0 Wmg=4203 Wmm=10000\n';

function hexWord(random: Prng): string {
  return (1 + random.below(0xffff)).toString(16);
}

function printMicrodescriptor(relay: Relay, random: Prng): string {
  return [
    `onion-key\n-----BEGIN RSA PUBLIC KEY-----\n${wrapBase64(randomRsa(random))}-----END RSA PUBLIC KEY-----\n`,
    `ntor-onion-key ${relay.ntorKey}\n`,
    relay.family === '' ? '' : `family ${relay.family}\n`,
    relay.policy === null ? '' : `p ${relay.policy}\n`,
    relay.policy === null || relay.ipv6 === null ? '' : 'p6 accept 80,443\n',
    `id ed25519 ${relay.ed25519Id}\n`,
  ].join('');
}

/** Something with the form of a 1024-bit RSA key, PKCS#1 DER. */
function randomRsa(random: Prng): Uint8Array {
  const modulus = random.bytes(128);
  modulus[0]! |= 0x80;
  modulus[127]! |= 1;
  return Uint8Array.of(0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00, ...modulus, 0x02, 0x03, 0x01, 0x00, 0x01);
}

function printRelay(relay: Relay, flavour: ConsensusFlavour): string {
  const isNs = flavour === 'ns';
  const digest = isNs ? `${relay.descriptorDigest} ` : '';
  const published = isNs ? printTime(relay.publishedSec) : '2038-01-01 00:00:00';
  return (
    `r ${relay.nickname} ${encodeBase64Unpadded(relay.rsaId)} ${digest}${published} ${relay.address} ${relay.orPort} 0\n` +
    (relay.ipv6 === null ? '' : `a ${relay.ipv6}\n`) +
    (isNs ? '' : `m ${relay.microdescriptorDigest}\n`) +
    `s ${relay.flags.join(' ')}\nv ${relay.version}\npr ${relay.proto}\nw Bandwidth=${relay.weight}\n` +
    (isNs ? `p ${relay.policy ?? 'reject 1-65535'}\n` : '')
  );
}
