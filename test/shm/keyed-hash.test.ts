import { expect, test } from 'bun:test';
import { keyedHash } from '../../src/shm/keyed-hash.ts';
import { readVectors } from '../vectors/read.ts';

test('the reference vectors of HalfSipHash-2-4', () => {
  const vector = readVectors('halfsiphash.txt');
  for (let length = 0; length < 23; length++) {
    const input = Uint8Array.from({ length }, (_, i) => i);
    const output = new Uint8Array(4);
    new DataView(output.buffer).setUint32(0, keyedHash(0x03020100, 0x07060504, input), true);
    expect([...output]).toEqual([...vector(`length-${length}`)]);
  }
});

test('the key words may be signed, as typed arrays give them', () => {
  const input = new Uint8Array(20).fill(9);
  expect(keyedHash(-1, -2, input)).toBe(keyedHash(0xffffffff, 0xfffffffe, input));
});

test('another key moves the same addresses elsewhere', () => {
  let same = 0;
  for (let i = 0; i < 1_000; i++) {
    const host = Uint8Array.of(10, 0, i >> 8, i & 255);
    if ((keyedHash(1, 2, host) & 1023) === (keyedHash(3, 4, host) & 1023)) same++;
  }
  expect(same).toBeLessThan(10);
});
