/**
 * A seeded pseudo-random number generator for tests: xoshiro128**, its state filled by splitmix32.
 *
 * The same seed gives the same numbers on every machine and for ever, so a printed seed repeats a failure.
 * Never to be used for anything but tests.
 */

/** Draw numbers that depend on the seed only. */
export class Prng {
  readonly #state = new Uint32Array(4);

  /** Start from any integer up to 2^53. */
  constructor(seed: number) {
    let low = seed >>> 0;
    const high = Math.floor(seed / 2 ** 32) >>> 0;
    for (let i = 0; i < 4; i++) {
      low = (low + 0x9e3779b9) >>> 0;
      this.#state[i] = mix(low ^ mix(high + i));
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** Draw 32 bits. */
  u32(): number {
    const s = this.#state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return result;
  }

  /** Draw a number from 0 up to, not including, 1. */
  float(): number {
    return this.u32() / 2 ** 32;
  }

  /** Draw an integer from 0 up to, not including, `n`; 0 when `n` is 0. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  /** Draw `n` bytes. */
  bytes(n: number): Uint8Array {
    const out = new Uint8Array(n);
    for (let i = 0; i < n; i++) out[i] = this.u32() >>> 24;
    return out;
  }

  /** Draw one element of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

function mix(word: number): number {
  let z = word >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
