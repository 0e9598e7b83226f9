/**
 * A cursor over a buffer of the caller's that never grows.
 *
 * Encoders compute their exact size, allocate once, and write through it. Running out of room, or a number
 * too big for its field, is a bug of ours and ends in an assertion.
 */
import { assert } from '../fault.ts';

/** Write fields of one object, front to back, big-endian. */
export class Writer {
  /** Offset at which the next field goes. */
  at: number;
  readonly buffer: Uint8Array;

  /** Write into `buffer` from `at` on. The buffer stays the caller's. */
  constructor(buffer: Uint8Array, at = 0) {
    assert(at >= 0 && at <= buffer.length, 'a Writer stays inside its buffer');
    this.buffer = buffer;
    this.at = at;
  }

  /** Put one byte. */
  u8(value: number): void {
    assert(value >= 0 && value <= 0xff, 'a u8 fits one byte');
    this.buffer[this.#take(1)] = value;
  }

  /** Put a 16-bit number. */
  u16(value: number): void {
    assert(value >= 0 && value <= 0xffff, 'a u16 fits two bytes');
    const at = this.#take(2);
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  /** Put a 32-bit number, unsigned. */
  u32(value: number): void {
    assert(value >= 0 && value <= 0xffffffff, 'a u32 fits four bytes');
    const at = this.#take(4);
    this.buffer[at] = value >>> 24;
    this.buffer[at + 1] = value >>> 16;
    this.buffer[at + 2] = value >>> 8;
    this.buffer[at + 3] = value;
  }

  /** Put a copy of `source`. */
  bytes(source: Uint8Array): void {
    this.buffer.set(source, this.#take(source.length));
  }

  #take(n: number): number {
    const at = this.at;
    assert(n <= this.buffer.length - at, 'a Writer never grows its buffer');
    this.at = at + n;
    return at;
  }
}
