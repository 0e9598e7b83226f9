/**
 * A bounded cursor over bytes that somebody else wrote.
 *
 * Every binary codec reads through it. It never reads past its end, never copies unless asked to, and says
 * where the bytes went wrong. Numbers are big-endian, as everywhere in Tor.
 */
import { assert, Malformed } from '../fault.ts';

/** Read fields of one object, front to back. */
export class Reader {
  /** Offset of the next byte, counted in the whole of `bytes`. */
  at: number;
  readonly bytes: Uint8Array;
  readonly end: number;
  /** Name of the object, for `Malformed`. */
  readonly noun: string;

  /** Read `bytes` from `at` up to, not including, `end`. */
  constructor(bytes: Uint8Array, noun: string, at = 0, end: number = bytes.length) {
    assert(at >= 0 && at <= end && end <= bytes.length, 'a Reader stays inside its bytes');
    this.bytes = bytes;
    this.noun = noun;
    this.at = at;
    this.end = end;
  }

  /** Count the bytes that are still unread. */
  get remaining(): number {
    return this.end - this.at;
  }

  /** Take one byte. @throws Malformed when it is missing. */
  u8(): number {
    return this.bytes[this.#take(1)]!;
  }

  /** Take a 16-bit number. @throws Malformed when it is cut short. */
  u16(): number {
    const at = this.#take(2);
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  /** Take a 32-bit number, unsigned. @throws Malformed when it is cut short. */
  u32(): number {
    const at = this.#take(4);
    const bytes = this.bytes;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  /** Take a 64-bit number, unsigned. @throws Malformed when it is cut short. */
  u64(): bigint {
    if (this.remaining < 8) this.#cutShort(8);
    const high = this.u32();
    return (BigInt(high) << 32n) | BigInt(this.u32());
  }

  /** Take `n` bytes as a view: it lives as long as the input and changes with it. @throws Malformed */
  view(n: number): Uint8Array {
    const at = this.#take(n);
    return this.bytes.subarray(at, at + n);
  }

  /** Take `n` bytes as a copy that the caller owns. @throws Malformed */
  copy(n: number): Uint8Array {
    const at = this.#take(n);
    return new Uint8Array(this.bytes.subarray(at, at + n));
  }

  /** Take everything that is left, as a view. */
  rest(): Uint8Array {
    return this.view(this.remaining);
  }

  /** Insist that nothing is left. @throws Malformed when bytes trail. */
  finish(): void {
    if (this.at !== this.end) this.fail('trailing bytes');
  }

  /** Refuse the object at the present offset. @throws Malformed always */
  fail(why: string): never {
    throw new Malformed(this.noun, why, this.at);
  }

  #take(n: number): number {
    const at = this.at;
    if (n > this.end - at) this.#cutShort(n);
    this.at = at + n;
    return at;
  }

  #cutShort(n: number): never {
    throw new Malformed(this.noun, `needs ${n} more bytes, has ${this.remaining}`, this.at);
  }
}
