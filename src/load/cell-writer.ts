/**
 * Cells of streams on one link, gathered for one turn of the event loop and written together.
 *
 * DATA keeps to `room`; other messages, which are few, may go beyond it, for which the buffer grows.
 */
import { CELL_BYTES } from '../cell/cell.ts';
import type { LoadLink } from './link.ts';

/** Cells that are gathered before one more is refused. */
const CELLS = 512;

/** The buffer of one link. */
export class CellWriter {
  /** Where the next cell is made: it may move with every `next`. */
  bytes = new Uint8Array(CELLS * CELL_BYTES);
  readonly #link: LoadLink;
  readonly #onRoom: () => void;
  #from = 0;
  #to = 0;
  #isArmed = false;

  /** @param onRoom called when cells went out */
  constructor(link: LoadLink, onRoom: () => void) {
    this.#link = link;
    this.#onRoom = onRoom;
  }

  /** Cells of DATA that may be put now. */
  get room(): number {
    return Math.max(0, CELLS - Math.ceil((this.#to - this.#from) / CELL_BYTES));
  }

  /** Take the place of one more cell, in `bytes`: fill it at once. */
  next(): number {
    if (this.#to + CELL_BYTES > this.bytes.length) this.#makeRoom();
    const at = this.#to;
    this.#to += CELL_BYTES;
    if (!this.#isArmed) {
      this.#isArmed = true;
      setImmediate(() => {
        this.#isArmed = false;
        this.flush();
      });
    }
    return at;
  }

  /** Write what is there, as far as the socket takes it. */
  flush(): void {
    if (this.#from === this.#to) return;
    this.#from += this.#link.write(this.bytes, this.#from, this.#to - this.#from);
    if (this.#from === this.#to) {
      this.#from = 0;
      this.#to = 0;
    }
    if (this.room > 0) this.#onRoom();
  }

  #makeRoom(): void {
    const waiting = this.bytes.subarray(this.#from, this.#to);
    const bytes = this.#from >= CELL_BYTES ? this.bytes : new Uint8Array(2 * this.bytes.length);
    bytes.set(waiting);
    this.bytes = bytes;
    this.#to -= this.#from;
    this.#from = 0;
  }
}
