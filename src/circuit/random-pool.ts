/**
 * Random bytes in small pieces, drawn from the kernel's generator a page at a time. Used bytes are wiped when the
 * pool refills.
 */
import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 8192;

/** A pool of random bytes. */
export class RandomPool {
  private readonly pool = new Uint8Array(POOL_BYTES);
  private at = POOL_BYTES;
  private readonly fill: (pool: Uint8Array) => void;

  /** @param fill where the randomness comes from; only tests want another than the kernel. */
  constructor(fill: (pool: Uint8Array) => void = randomFillSync) {
    this.fill = fill;
  }

  /** Take `n` bytes, at most 8192, as a view that is valid until the next call. */
  readonly bytes = (n: number): Uint8Array => {
    if (this.at + n > POOL_BYTES) {
      this.fill(this.pool);
      this.at = 0;
    }
    const view = this.pool.subarray(this.at, this.at + n);
    this.at += n;
    return view;
  };

  /** Take an unsigned 32-bit number. */
  u32(): number {
    const b = this.bytes(4);
    return ((b[0]! << 24) | (b[1]! << 16) | (b[2]! << 8) | b[3]!) >>> 0;
  }
}
