/**
 * @hot
 * One store of equally long slots, in chunks, for cells that have to wait.
 *
 * A slot number stays valid until it is freed; slots are linked into queues through `next`, so a queue costs no
 * memory of its own. Chunks are allocated when needed and given back when the last of their slots is freed, all
 * but one empty one: a burst does not stay in memory, and a queue that wavers about a chunk's edge does not
 * allocate at each turn.
 */

const CHUNK_SHIFT = 8;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;

/** End of a chain of slots. */
export const NO_SLOT = -1;

/** A growing set of `slotBytes`-long slots with a free list per chunk. */
export class Slab {
  readonly slotBytes: number;
  /** The link from a queued slot to the one behind it; free slots use it for the free list. */
  next: Int32Array;
  /** Slots in use. */
  used = 0;
  private readonly chunks: (Uint8Array | null)[] = [];
  private freeHead: Int32Array;
  private chunkUsed: Int32Array;
  private searchFrom = 0;
  private live = 0;
  /** Live chunks without a used slot: at most one. */
  private empty = 0;

  constructor(slotBytes: number) {
    this.slotBytes = slotBytes;
    this.next = new Int32Array(0);
    this.freeHead = new Int32Array(0);
    this.chunkUsed = new Int32Array(0);
  }

  /** Bytes held by chunks, in use or not. */
  get heldBytes(): number {
    return this.live * CHUNK_SLOTS * this.slotBytes;
  }

  /** Take a slot. The caller owns it until `free`. */
  alloc(): number {
    let chunk = this.searchFrom;
    const count = this.chunks.length;
    while (chunk < count && (this.chunks[chunk] === null || this.freeHead[chunk] === NO_SLOT)) chunk++;
    if (chunk === count) chunk = this.growChunk();
    this.searchFrom = chunk;
    const slot = this.freeHead[chunk]!;
    this.freeHead[chunk] = this.next[slot]!;
    this.next[slot] = NO_SLOT;
    if (this.chunkUsed[chunk] === 0) this.empty--;
    this.chunkUsed[chunk] = this.chunkUsed[chunk]! + 1;
    this.used++;
    return slot;
  }

  /** Give a slot back. */
  free(slot: number): void {
    const chunk = slot >> CHUNK_SHIFT;
    this.next[slot] = this.freeHead[chunk]!;
    this.freeHead[chunk] = slot;
    const left = this.chunkUsed[chunk]! - 1;
    this.chunkUsed[chunk] = left;
    this.used--;
    if (left === 0) {
      if (this.empty > 0) {
        this.chunks[chunk] = null;
        this.live--;
        return;
      }
      this.empty++;
    }
    if (chunk < this.searchFrom) this.searchFrom = chunk;
  }

  /** The buffer that holds a slot. Valid until the slot is freed. */
  bufferOf(slot: number): Uint8Array {
    return this.chunks[slot >> CHUNK_SHIFT]!;
  }

  /** Where in its buffer a slot begins. */
  offsetOf(slot: number): number {
    return (slot & CHUNK_MASK) * this.slotBytes;
  }

  private growChunk(): number {
    let chunk = this.chunks.indexOf(null);
    if (chunk < 0) {
      chunk = this.chunks.length;
      const slots = (chunk + 1) << CHUNK_SHIFT;
      if (slots > this.next.length) {
        const room = Math.max(slots, this.next.length * 2);
        const next = new Int32Array(room);
        next.set(this.next);
        this.next = next;
        const heads = new Int32Array(room >> CHUNK_SHIFT);
        heads.set(this.freeHead);
        this.freeHead = heads;
        const used = new Int32Array(room >> CHUNK_SHIFT);
        used.set(this.chunkUsed);
        this.chunkUsed = used;
      }
      this.chunks.push(null);
    }
    this.chunks[chunk] = new Uint8Array(CHUNK_SLOTS * this.slotBytes);
    this.live++;
    this.empty++;
    const first = chunk << CHUNK_SHIFT;
    for (let slot = first; slot < first + CHUNK_SLOTS - 1; slot++) this.next[slot] = slot + 1;
    this.next[first + CHUNK_SLOTS - 1] = NO_SLOT;
    this.freeHead[chunk] = first;
    this.chunkUsed[chunk] = 0;
    return chunk;
  }
}
