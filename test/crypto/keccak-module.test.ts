/** The assembled module: a valid one, with the constants and the permutation that the standard gives. */
import { expect, test } from 'bun:test';
import {
  BLOCKS_AT,
  buildKeccakModule,
  RATE_BYTES,
  roundConstants,
  STATE_AT,
  STATE_BYTES,
} from '../../src/crypto/keccak-module.ts';

/** A plain Keccak-f[1600] over 25 lanes, lane by lane as FIPS 202 says it. */
function permute(lanes: bigint[]): bigint[] {
  const mask = (1n << 64n) - 1n;
  const turn = (lane: bigint, bits: number): bigint =>
    bits === 0 ? lane : ((lane << BigInt(bits)) | (lane >> BigInt(64 - bits))) & mask;
  let a = lanes;
  for (const constant of roundConstants()) {
    const c = [0, 1, 2, 3, 4].map((x) => a[x]! ^ a[x + 5]! ^ a[x + 10]! ^ a[x + 15]! ^ a[x + 20]!);
    a = a.map((lane, i) => lane ^ c[(i + 4) % 5]! ^ turn(c[(i + 1) % 5]!, 1));
    const b = new Array<bigint>(25);
    b[0] = a[0]!;
    for (let t = 0, x = 1, y = 0; t < 24; t++) {
      b[y + 5 * ((2 * x + 3 * y) % 5)] = turn(a[x + 5 * y]!, (((t + 1) * (t + 2)) / 2) % 64);
      [x, y] = [y, (2 * x + 3 * y) % 5];
    }
    a = b.map((lane, i) => {
      const row = i - (i % 5);
      return lane ^ (~b[row + ((i + 1) % 5)]! & mask & b[row + ((i + 2) % 5)]!);
    });
    a[0] = a[0]! ^ constant;
  }
  return a;
}

test('the first and last round constants are the standard ones', () => {
  const constants = roundConstants();
  expect(constants.length).toBe(24);
  expect(constants[0]).toBe(0x1n);
  expect(constants[1]).toBe(0x8082n);
  expect(constants[2]).toBe(0x800000000000808an);
  expect(constants[23]).toBe(0x8000000080008008n);
});

test('blocks are absorbed one after the other, each with a permutation', () => {
  const bytes = buildKeccakModule();
  expect(WebAssembly.validate(bytes)).toBe(true);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const buffer = (exports.memory as WebAssembly.Memory).buffer;
  const absorb = exports.absorb as (at: number, blocks: number) => void;
  const block = new Uint8Array(3 * RATE_BYTES).map((_, i) => (i * 167 + 13) & 0xff);
  new Uint8Array(buffer).set(block, BLOCKS_AT);
  let expected = new Array<bigint>(25).fill(0n);
  const lanes = new BigUint64Array(block.buffer);
  for (const blocks of [1, 3]) {
    absorb(BLOCKS_AT, blocks);
    for (let n = 0; n < blocks; n++) {
      expected = permute(expected.map((lane, i) => (i < 17 ? lane ^ lanes[n * 17 + i]! : lane)));
    }
    expect([...new BigUint64Array(buffer, STATE_AT, STATE_BYTES / 8)]).toEqual(expected);
  }
});
