/**
 * What both ends of streams share: for each stream, how many bytes went in and came out in each direction.
 *
 * One writer per column, so that whoever measures reads while both ends count.
 */

const COLUMNS = 4;
const BYTES = Float64Array.BYTES_PER_ELEMENT;

/** Columns over shared memory. */
export class StreamTally {
  /** Bytes sent by the client, received by the destination. */
  readonly forwardSent: Float64Array;
  readonly forwardReceived: Float64Array;
  /** Bytes sent by the destination, received by the client. */
  readonly backwardSent: Float64Array;
  readonly backwardReceived: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    const streams = memory.byteLength / BYTES / COLUMNS;
    const column = (index: number) => new Float64Array(memory, index * streams * BYTES, streams);
    this.forwardSent = column(0);
    this.forwardReceived = column(1);
    this.backwardSent = column(2);
    this.backwardReceived = column(3);
  }

  static create(streams: number): SharedArrayBuffer {
    return new SharedArrayBuffer(streams * BYTES * COLUMNS);
  }

  /** Bytes that went in, both directions together. */
  get sent(): number {
    return total(this.forwardSent) + total(this.backwardSent);
  }

  /** Bytes that came out. */
  get received(): number {
    return total(this.forwardReceived) + total(this.backwardReceived);
  }
}

function total(column: Float64Array): number {
  let all = 0;
  for (let i = 0; i < column.length; i++) all += column[i]!;
  return all;
}
