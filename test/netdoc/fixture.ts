/** Documents for the tests of netdoc: recorded ones by kind, and a router's keys to print our own with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CertType, encodeEd25519Cert } from '../../src/crypto/certificate.ts';
import { curve25519FromSecret } from '../../src/crypto/curve25519.ts';
import { expandSeed, publicFromExpanded, signSeed } from '../../src/crypto/ed25519.ts';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { splitDocuments } from '../../src/netdoc/item.ts';
import type { ServerDescriptorInput } from '../../src/netdoc/server-descriptor.ts';
import type { RouterSigner } from '../../src/netdoc/signature.ts';

/** 2026-11-22 14:27:00 UTC. */
export const NOW_SEC = 1795357620;

/** Read a file of `test/vectors/netdoc`. */
export function readVector(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(import.meta.dir, '../vectors/netdoc', name)));
}

/** Read a file of concatenated documents, cut at the lines that begin with `keyword`. */
export function readDocuments(name: string, keyword: string): Uint8Array[] {
  const bytes = readVector(name);
  const heads = ['router', 'extra-info', 'dir-key-certificate-version', 'network-status-version'];
  const text = `${keyword} `;
  return splitDocuments(bytes, heads)
    .map(({ start, end }) => bytes.subarray(start, end))
    .filter((document) => Buffer.from(document).toString('latin1', 0, text.length) === text);
}

/** Read a file of bad documents whose parts begin with `# case NAME`. */
export function readCases(name: string): { name: string; document: Uint8Array }[] {
  const parts = Buffer.from(readVector(name))
    .toString('latin1')
    .split(/^# case /m)
    .slice(1);
  return parts.map((part) => {
    const feed = part.indexOf('\n');
    return { name: part.slice(0, feed), document: Buffer.from(part.slice(feed + 1), 'latin1') };
  });
}

/** Give a document as text that tests can edit. */
export function textOf(document: Uint8Array): string {
  return Buffer.from(document).toString('utf8');
}

const MASTER_SEED = new Uint8Array(32).fill(1);
const SIGNING_SEED = new Uint8Array(32).fill(2);

/** Make a router's keys; the RSA key is new each time. */
export function makeSigner(expiresSec = NOW_SEC + 30 * 86400): RouterSigner {
  const master = publicFromExpanded(expandSeed(MASTER_SEED));
  const signing = publicFromExpanded(expandSeed(SIGNING_SEED));
  const signingCert = encodeEd25519Cert(
    {
      certType: CertType.SIGNING,
      expirationHours: Math.ceil(expiresSec / 3600),
      certifiedKey: signing,
      signingKey: master,
    },
    (message) => signSeed(MASTER_SEED, message),
  );
  const sign = (message: Uint8Array): Uint8Array => signSeed(SIGNING_SEED, message);
  return { rsa: generateRsa(1024), ed25519Id: master, signingCert, sign };
}

/** A descriptor of a plain middle relay, with what a test wants otherwise. */
export function descriptorInput(changes: Partial<ServerDescriptorInput> = {}): ServerDescriptorInput {
  return {
    nickname: 'onion1',
    address: Uint8Array.of(127, 0, 0, 1),
    orPort: 9001,
    ipv6: null,
    platform: 'onionrelay 0.1.0 on Linux',
    proto: 'Cons=1-2 Desc=1-4 Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4',
    publishedSec: NOW_SEC,
    uptimeSec: 27,
    bandwidth: { rate: 1073741824, burst: 1073741824, observed: 0 },
    extraInfoDigest: null,
    ntorOnionKey: curve25519FromSecret(new Uint8Array(32).fill(3)),
    ntorLifetimeSec: 28 * 86400,
    tapOnionKey: null,
    family: [],
    contact: null,
    policy: ['reject *:*'],
    ...changes,
  };
}

/** Repeat a measurement and give the least CPU time that it took, in microseconds. */
export function leastCpu(run: () => void, times = 5): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const before = process.cpuUsage();
    run();
    const spent = process.cpuUsage(before);
    least = Math.min(least, spent.user + spent.system);
  }
  return least;
}

/** Give text as bytes. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Drop the `#` lines with which a file of vectors begins. */
export function withoutHeader(bytes: Uint8Array): Uint8Array {
  let at = 0;
  while (bytes[at] === 0x23) at = bytes.indexOf(0x0a, at) + 1;
  return bytes.subarray(at);
}

/** Read a file of `test/vectors/netdoc` that has one JSON value a line. */
export function readJsonLines<T>(name: string): T[] {
  const lines = textOf(withoutHeader(readVector(name))).split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}
