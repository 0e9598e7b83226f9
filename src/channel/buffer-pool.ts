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
  private readonly idle: Uint8Array[] = [];
  private readonly idleMax: number;

  constructor(bufferBytes: number, idleMax: number) {
    this.bufferBytes = bufferBytes;
    this.idleMax = idleMax;
  }

  /** Borrow a buffer; its content is undefined. */
  take(): Uint8Array {
    this.lent++;
    const buffer = this.idle.pop();
    return buffer === undefined ? this.grow() : buffer;
  }

  /** Give a borrowed buffer back. */
  give(buffer: Uint8Array): void {
    this.lent--;
    if (this.idle.length < this.idleMax) this.idle.push(buffer);
  }

  private grow(): Uint8Array {
    return new Uint8Array(this.bufferBytes);
  }
}
