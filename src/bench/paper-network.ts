/**
 * A network on paper, for relays that are to serve a directory: a consensus signed by an authority of its own, and the
 * microdescriptors that it lists, laid into a DataDirectory as a relay keeps them.
 *
 * Nobody in it can be connected to. Sizes are about those of the public network; the same number gives the same relays.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeBase64Unpadded, encodeHex, wrapBase64 } from '../bytes/base.ts';
import { joinAll } from '../bytes/join.ts';
import { sha1, sha256 } from '../crypto/digest.ts';
import { fingerprint, generateRsa, signRaw } from '../crypto/rsa.ts';
import { type CertifiedKeys, printAuthorityCertificate } from '../netdoc/authority-certificate.ts';
import { printTime } from '../netdoc/field.ts';

const HOUR_SEC = 3600;
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
/** A port that nobody listens on. */
const DEAD_PORT = 1;
const NICKNAME = 'paper';
const PROTOCOLS =
  'Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=1-5 LinkAuth=1,3 Microdesc=1-3 Padding=2 Relay=1-4';
const POLICIES = ['accept 80,443', 'reject 25,119,135-139,445,563,1214,4661-4666,6346-6429,6699,6881-6999'];
const RSA_BYTES = 128;
const AUTHORITY_KEY_BITS = 2048;

/** The documents of such a network. */
export interface PaperNetwork {
  /** The torrc line of its authority. */
  readonly authority: string;
  /** Microdescriptors by their SHA-256 in base64 without padding, as requests name them. */
  readonly microdescriptors: ReadonlyMap<string, Uint8Array>;
  /** Lay the documents into a DataDirectory that is not there yet. */
  layInto(directory: string): void;
}

/** Bytes that are told by what they are for. */
function filler(what: string, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
    sha256(Buffer.from(`${what} ${i}`)),
  );
  return joinAll(blocks).subarray(0, length);
}

function printMicrodescriptor(index: number): string {
  const modulus = filler(`onion key ${index}`, RSA_BYTES);
  modulus[0]! |= 0x80;
  modulus[RSA_BYTES - 1]! |= 1;
  const head = [0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
  const key = Uint8Array.of(...head, ...modulus, 0x02, 0x03, 0x01, 0x00, 0x01);
  return [
    `onion-key\n-----BEGIN RSA PUBLIC KEY-----\n${wrapBase64(key)}-----END RSA PUBLIC KEY-----\n`,
    `ntor-onion-key ${encodeBase64Unpadded(filler(`ntor ${index}`, 32))}\n`,
    index % 4 === 0 ? `p ${POLICIES[(index / 4) % POLICIES.length]}\n` : '',
    `id ed25519 ${encodeBase64Unpadded(filler(`ed25519 ${index}`, 32))}\n`,
  ].join('');
}

/** The consensus entry of a relay. */
function printEntry(index: number, digest: string): { id: Uint8Array; text: string } {
  const id = sha1(Buffer.from(`relay ${index}`));
  const flags = `${index % 4 === 0 ? 'Exit ' : ''}Fast${index % 2 === 0 ? ' Guard' : ''} Running Stable V2Dir Valid`;
  const address = `${1 + (index % 120)}.${(index >> 8) % 250}.${index % 250}.${1 + (index % 250)}`;
  const text = [
    `r relay${index} ${encodeBase64Unpadded(id)} 2038-01-01 00:00:00 ${address} 9001 0`,
    `m ${digest}`,
    `s ${flags}`,
    'v Tor 0.4.9.11',
    `pr ${PROTOCOLS}`,
    `w Bandwidth=${100 + ((index * 7919) % 20_000)}`,
    '',
  ].join('\n');
  return { id, text };
}

function printConsensus(keys: CertifiedKeys, entries: readonly string[], validAfterSec: number): Uint8Array {
  const names = `${encodeHex(keys.v3Ident)} ${encodeHex(fingerprint(keys.signing.publicDer))}`;
  const body = Buffer.from(
    [
      'network-status-version 3 microdesc\nvote-status consensus\nconsensus-method 35\n',
      `valid-after ${printTime(validAfterSec)}\nfresh-until ${printTime(validAfterSec + HOUR_SEC)}\n`,
      `valid-until ${printTime(validAfterSec + 3 * HOUR_SEC)}\nvoting-delay 300 300\n`,
      'client-versions 0.4.9.11\nserver-versions 0.4.9.11\n',
      'known-flags Authority Exit Fast Guard HSDir Running Stable V2Dir Valid\n',
      'params cc_alg=2\n',
      `dir-source ${NICKNAME} ${encodeHex(keys.v3Ident)} 127.0.0.1 127.0.0.1 ${DEAD_PORT} ${DEAD_PORT}\n`,
      `contact nobody\nvote-digest ${encodeHex(sha1(Buffer.from('vote')))}\n`,
      ...entries,
      'directory-footer\n',
      'directory-signature ',
    ].join(''),
  );
  const signature = wrapBase64(signRaw(keys.signing, sha256(body)));
  const tail = `sha256 ${names}\n-----BEGIN SIGNATURE-----\n${signature}-----END SIGNATURE-----\n`;
  return Buffer.concat([body, Buffer.from(tail)]);
}

/** Make a network of so many relays, whose consensus is in force at `nowSec`. */
export function makePaperNetwork(relays: number, nowSec: number): PaperNetwork {
  const identity = generateRsa(AUTHORITY_KEY_BITS);
  const v3Ident = fingerprint(identity.publicDer);
  const keys: CertifiedKeys = { identity, signing: generateRsa(AUTHORITY_KEY_BITS), v3Ident };
  const validAfterSec = Math.floor(nowSec / HOUR_SEC) * HOUR_SEC;
  const microdescriptors = new Map<string, Uint8Array>();
  const entries: { id: Uint8Array; text: string }[] = [];
  for (let i = 0; i < relays; i++) {
    const document = Buffer.from(printMicrodescriptor(i));
    const digest = encodeBase64Unpadded(sha256(document));
    microdescriptors.set(digest, new Uint8Array(document));
    entries.push(printEntry(i, digest));
  }
  entries.sort((a, b) => Buffer.compare(a.id, b.id));
  const consensus = printConsensus(
    keys,
    entries.map(({ text }) => text),
    validAfterSec,
  );
  const dir = { host: LOOPBACK, port: DEAD_PORT };
  const certificate = printAuthorityCertificate(keys, dir, validAfterSec - 24 * HOUR_SEC);
  const listed = `@last-listed ${printTime(nowSec)}\n`;
  const documents = [...microdescriptors.values()].flatMap((document) => [Buffer.from(listed), document]);
  const relayId = encodeHex(sha1(Buffer.from('the relay of the authority')));
  return {
    authority: `DirAuthority ${NICKNAME} orport=${DEAD_PORT} no-v2 v3ident=${encodeHex(keys.v3Ident)} 127.0.0.1:${DEAD_PORT} ${relayId}`,
    microdescriptors,
    layInto(directory) {
      mkdirSync(directory, { mode: 0o700 });
      chmodSync(directory, 0o700);
      const write = (name: string, bytes: string | Uint8Array) =>
        writeFileSync(join(directory, name), bytes, { mode: 0o600 });
      write('cached-certs', certificate);
      write('cached-microdesc-consensus', consensus);
      write('cached-microdescs', Buffer.concat(documents));
    },
  };
}
