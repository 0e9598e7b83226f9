/**
 * What both ends of a load share: for each circuit, how many cells went in and came out in each direction.
 *
 * One writer per column. A sender reads the receiver's column to keep its window, so that the relay between them is
 * never made to queue more than it may. Control columns count the cells besides the flood that moved a keystream.
 */

const COLUMNS = 6;

/** Columns over shared memory. */
export class Tally {
  readonly circuits: number;
  /** Flood cells sent by the client, received by the sink. */
  readonly forwardSent: Uint32Array;
  readonly forwardReceived: Uint32Array;
  /** Flood cells sent by the sink, received by the client. */
  readonly backwardSent: Uint32Array;
  readonly backwardReceived: Uint32Array;
  /** Other relay cells that passed the relay in each direction; the client counts both. */
  readonly forwardControl: Uint32Array;
  readonly backwardControl: Uint32Array;

  constructor(memory: SharedArrayBuffer) {
    this.circuits = memory.byteLength / 4 / COLUMNS;
    const column = (index: number) => new Uint32Array(memory, index * this.circuits * 4, this.circuits);
    this.forwardSent = column(0);
    this.forwardReceived = column(1);
    this.backwardSent = column(2);
    this.backwardReceived = column(3);
    this.forwardControl = column(4);
    this.backwardControl = column(5);
  }

  /** Flood cells sent, both ways. */
  get sent(): number {
    return sum(this.forwardSent) + sum(this.backwardSent);
  }

  /** Flood cells received, both ways. */
  get received(): number {
    return sum(this.forwardReceived) + sum(this.backwardReceived);
  }

  static create(circuits: number): SharedArrayBuffer {
    return new SharedArrayBuffer(circuits * 4 * COLUMNS);
  }
}

function sum(column: Uint32Array): number {
  let total = 0;
  for (let i = 0; i < column.length; i++) total += column[i]!;
  return total;
}
