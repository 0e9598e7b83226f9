/**
 * A first-in first-out list whose head is taken in constant time: what waits in order of arrival in `circuit/`.
 *
 * Taken entries are let go of at once; the room before the head is given back in bulk.
 */

const COMPACT_AT = 64;

/** Entries in order of arrival. */
export class Fifo<T> {
  private entries: (T | null)[] = [];
  private from = 0;

  /** Entries that wait. */
  get length(): number {
    return this.entries.length - this.from;
  }

  push(entry: T): void {
    this.entries.push(entry);
  }

  /** The oldest entry, which stays; null when there is none. */
  peek(): T | null {
    return this.from < this.entries.length ? this.entries[this.from]! : null;
  }

  /** Take the oldest entry; null when there is none. */
  pop(): T | null {
    if (this.from === this.entries.length) return null;
    const entry = this.entries[this.from]!;
    this.entries[this.from++] = null;
    if (this.from === this.entries.length) {
      this.entries.length = 0;
      this.from = 0;
    } else if (this.from >= COMPACT_AT && this.from * 2 >= this.entries.length) {
      this.entries = this.entries.slice(this.from);
      this.from = 0;
    }
    return entry;
  }
}
