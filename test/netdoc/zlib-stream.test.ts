/** What is compressed at once: read by zlib, whatever the text, and no longer than what zlib itself makes. */
import { describe, expect, test } from 'bun:test';
import { deflateSync, gunzipSync, inflateSync } from 'node:zlib';
import { deflateAtOnce, gzipAtOnce } from '../../src/netdoc/zlib-stream.ts';
import { Prng } from '../fuzz/prng.ts';

const prng = new Prng(1);
const random = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(prng.bytes(length));
/** Lines of base64 between lines that repeat, as documents are. */
const document = (relays: number): Uint8Array<ArrayBuffer> => {
  const one = (): string =>
    `onion-key\nntor-onion-key ${Buffer.from(random(32)).toString('base64')}\np accept 80,443\n`;
  return new Uint8Array(Buffer.from(Array.from({ length: relays }, one).join('')));
};

const TEXTS: [string, Uint8Array<ArrayBuffer>][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(0x41)],
  ['zeros', new Uint8Array(65_536)],
  ['what cannot be compressed', random(65_536)],
  ['one document', document(1)],
  ['many documents', document(300)],
  // Both halves of the check overflow many times.
  ['the largest bytes', new Uint8Array(65_536).fill(0xff)],
];

describe.each(TEXTS)('%s', (_what, text) => {
  test.each([1, 9] as const)('is the same behind zlib, at level %d', (level) => {
    expect(Buffer.compare(inflateSync(deflateAtOnce(text, level)), text)).toBe(0);
    expect(Buffer.compare(gunzipSync(gzipAtOnce(text, level)), text)).toBe(0);
  });

  test('is no longer than what zlib makes of it at its usual level', () => {
    expect(deflateAtOnce(text, 1).length).toBeLessThanOrEqual(
      deflateSync(text).length + text.length / 100 + 8,
    );
  });
});

test('a bit that is wrong anywhere is found out by the check behind', () => {
  const text = document(2);
  const stream = deflateAtOnce(text, 9);
  for (let i = 0; i < 4; i++) {
    const broken = stream.slice();
    broken[stream.length - 1 - i]! ^= 1;
    expect(() => inflateSync(broken)).toThrow('incorrect data check');
  }
});
