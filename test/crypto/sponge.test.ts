/** The sponge, and with it the assembled permutation, against noble and node:crypto; and that it keeps nothing. */
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { sha3_256 as nobleSha3, shake256 as nobleShake } from '@noble/hashes/sha3.js';
import { sha3_256 } from '../../src/crypto/digest.ts';
import { RATE_BYTES } from '../../src/crypto/keccak-module.ts';
import { Sponge } from '../../src/crypto/sponge.ts';
import { Prng } from '../fuzz/prng.ts';

const LENGTHS = [0, 1, 7, 8, 71, 135, 136, 137, 271, 272, 273, 1000];
/** Around what the module's memory holds at once: 478 blocks. */
const LONG = [65_007, 65_008, 65_009, 65_143, 65_144, 130_015, 130_016, 200_000];

test.each([...LENGTHS, ...LONG])('SHA3-256 over %d bytes', (length) => {
  const input = new Prng(length + 1).bytes(length);
  const sponge = new Sponge();
  expect(sponge.feed(input).sha3()).toEqual(nobleSha3(input));
  expect(sponge.feed(input).sha3()).toEqual(sha3_256(input));
});

test.each([0, 1, 32, 104, 135, 136, 137, 272, 273, 1000])('%d bytes of SHAKE-256', (length) => {
  const sponge = new Sponge();
  for (const fed of LENGTHS) {
    const input = new Prng(fed + 7).bytes(fed);
    expect(sponge.feed(input).shake(length)).toEqual(nobleShake(input, { dkLen: length }));
    if (length === 0) continue;
    const native = createHash('shake256', { outputLength: length }).update(input).digest();
    expect(Buffer.compare(native, sponge.feed(input).shake(length))).toBe(0);
  }
});

test('pieces of any length make the same input', () => {
  const prng = new Prng(99);
  const sponge = new Sponge();
  for (let round = 0; round < 200; round++) {
    const input = prng.bytes(1 + prng.below(round < 190 ? 700 : 140_000));
    for (let at = 0; at < input.length; ) {
      const end = Math.min(input.length, at + prng.below(round < 190 ? 100 : 70_000));
      sponge.feed(input.subarray(at, end));
      at = end;
    }
    expect(sponge.sha3()).toEqual(nobleSha3(input));
  }
});

test('answers are new bytes, and of what was fed nothing stays behind', () => {
  const sponge = new Sponge();
  const first = sponge.feed(new Uint8Array(70_000).fill(0xa5)).sha3();
  const kept = first.slice();
  const memory = sponge.memory();
  const table = memory.subarray(256, 256 + 24 * 8);
  expect(table.some((byte) => byte !== 0)).toBe(true);
  table.fill(0);
  expect(memory.every((byte) => byte === 0)).toBe(true);
  new Sponge().feed(new Uint8Array(RATE_BYTES)).sha3();
  expect(first).toEqual(kept);
});
