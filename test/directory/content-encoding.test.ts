import { expect, test } from 'bun:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { decodeBody } from '../../src/directory/content-encoding.ts';
import { Malformed } from '../../src/fault.ts';

const TEXT = 'network-status-version 3 microdesc\nvote-status consensus\n'.repeat(200);
const BYTES = new TextEncoder().encode(TEXT);
const MAX = 1 << 24;

test.each([
  ['', BYTES],
  ['identity', BYTES],
  ['deflate', deflateSync(BYTES)],
  ['gzip', gzipSync(BYTES)],
  ['x-zstd', zstdCompressSync(BYTES)],
])('%p gives the text back', async (encoding, body) => {
  expect(new TextDecoder().decode(await decodeBody(body, encoding, MAX))).toBe(TEXT);
});

test.each([
  ['deflate', deflateSync],
  ['gzip', gzipSync],
  ['x-zstd', zstdCompressSync],
] as const)('%p: streams one behind the other are all read', async (encoding, compress) => {
  const parts = ['one ', 'two ', 'three'].map((part) => compress(new TextEncoder().encode(part)));
  const decoded = await decodeBody(Buffer.concat(parts), encoding, MAX);
  expect(new TextDecoder().decode(decoded)).toBe('one two three');
});

test.each([
  ['deflate', deflateSync],
  ['gzip', gzipSync],
  ['x-zstd', zstdCompressSync],
] as const)('%p: a bomb ends at the bound', async (encoding, compress) => {
  const bomb = compress(new Uint8Array(30_000_000));
  await expect(decodeBody(bomb, encoding, MAX)).rejects.toThrow(Malformed);
  const split = Buffer.concat(new Array(20).fill(compress(new Uint8Array(60_000))));
  await expect(decodeBody(split, encoding, 1_000_000)).rejects.toThrow('more than');
});

test('every truncation is noticed', async () => {
  for (const [encoding, body] of [
    ['deflate', deflateSync(BYTES)],
    ['gzip', gzipSync(BYTES)],
    ['x-zstd', zstdCompressSync(BYTES)],
  ] as const) {
    for (let length = 0; length < body.length; length++) {
      await expect(decodeBody(body.subarray(0, length), encoding, MAX)).rejects.toThrow(Malformed);
    }
  }
});

test('junk, junk behind a stream and unknown names are refused', async () => {
  const junk = new TextEncoder().encode('this is not compressed at all');
  for (const encoding of ['deflate', 'gzip', 'x-zstd', 'x-tor-lzma', 'br']) {
    await expect(decodeBody(junk, encoding, MAX)).rejects.toThrow(Malformed);
  }
  for (const [encoding, compress] of [
    ['deflate', deflateSync],
    ['gzip', gzipSync],
    ['x-zstd', zstdCompressSync],
  ] as const) {
    await expect(decodeBody(Buffer.concat([compress(BYTES), junk]), encoding, MAX)).rejects.toThrow(
      Malformed,
    );
  }
});

test('a plain body over the bound is refused', async () => {
  await expect(decodeBody(new Uint8Array(11), '', 10)).rejects.toThrow('longer than 10');
});

test.each([
  ['deflate', deflateSync],
  ['gzip', gzipSync],
  ['x-zstd', zstdCompressSync],
] as const)('%p: small bombs in a row count together', async (encoding, compress) => {
  // TROVE-2026-021: each stream alone stays below any bound.
  const small = compress(new Uint8Array(10_000));
  const many = Buffer.concat(new Array(4000).fill(small));
  await expect(decodeBody(many, encoding, MAX)).rejects.toThrow('more than');
});

test.each([
  ['deflate', deflateSync],
  ['gzip', gzipSync],
  ['x-zstd', zstdCompressSync],
] as const)('%p: a second stream that is cut off ends, and is refused', async (encoding, compress) => {
  // TROVE-2026-022: no byte is left to be read, and none is written.
  const stream = compress(BYTES);
  for (let length = 1; length < stream.length; length++) {
    const body = Buffer.concat([stream, stream.subarray(0, length)]);
    await expect(decodeBody(body, encoding, MAX)).rejects.toThrow(Malformed);
  }
});
