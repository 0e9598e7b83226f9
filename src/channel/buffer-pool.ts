/**
 * @hot
 * Buffers lent while they hold something: staging areas of channels, and carries for a cell that a chunk cut in two.
 *
 * An idle channel holds none of them, so that twenty thousand idle links cost no buffers. A pool keeps a bounded
 * number of idle buffers and lets the rest go.
 */

/** A pool of equally long buffers. */
export class BufferPool {
  readonly bufferBytes: number;
  /** Buffers lent out now. */
  lent = 0;
  private readonly idle: Uint8Array<ArrayBuffer>[] = [];
  private readonly idleMax: number;

  constructor(bufferBytes: number, idleMax: number) {
    this.bufferBytes = bufferBytes;
    this.idleMax = idleMax;
  }

  /** Bytes of all buffers, lent or kept. */
  get heldBytes(): number {
    return (this.lent + this.idle.length) * this.bufferBytes;
  }

  /** Bytes of buffers that are kept for the next who borrows. */
  get idleBytes(): number {
    return this.idle.length * this.bufferBytes;
  }

  /** Borrow a buffer; its content is undefined. */
  take(): Uint8Array<ArrayBuffer> {
    this.lent++;
    const buffer = this.idle.pop();
    return buffer === undefined ? this.grow() : buffer;
  }

  /** Give a borrowed buffer back. What the pool does not keep is freed at once, not when garbage is collected. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    this.lent--;
    if (this.idle.length < this.idleMax) this.idle.push(buffer);
    else buffer.buffer.transfer(0);
  }

  /** Free what is not lent. */
  dropIdle(): void {
    for (let buffer = this.idle.pop(); buffer !== undefined; buffer = this.idle.pop())
      buffer.buffer.transfer(0);
  }

  private grow(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bufferBytes);
  }
}
