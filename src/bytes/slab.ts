/**
 * @hot
 * One store of equally long slots, in chunks, for cells that have to wait.
 *
 * A slot number stays valid until it is freed; slots are linked into queues through `next`, so a queue costs no
 * memory of its own. Chunks are allocated when needed and given back when the last of their slots is freed, all
 * but one empty one: a burst does not stay in memory, and a queue that wavers about a chunk's edge does not
 * allocate at each turn. What is given back is given back at once, not when garbage is collected. Where slots are
 * freed here and there, `relocate` moves what is left together, so that chunks come free.
 */

const CHUNK_SHIFT = 8;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;

/** Fewer than this many chunks' worth of columns are kept as they are. */
const COLUMN_CHUNKS_LEAST = 64;

/** End of a chain of slots. */
export const NO_SLOT = -1;

/** A growing set of `slotBytes`-long slots with a free list per chunk. */
export class Slab {
  readonly slotBytes: number;
  /** The link from a queued slot to the one behind it; free slots use it for the free list. */
  next: Int32Array;
  /** When the slot's content began to wait, for whoever keeps note of it. */
  sinceMs: Float64Array;
  /** Slots in use. */
  used = 0;
  /** A chunk was added since the owner last looked; the owner clears it. */
  hasGrown = false;
  private readonly chunks: (Uint8Array<ArrayBuffer> | null)[] = [];
  private freeHead: Int32Array;
  private chunkUsed: Int32Array;
  private searchFrom = 0;
  private live = 0;
  /** The one live chunk without a used slot, or -1. */
  private emptyAt = -1;

  constructor(slotBytes: number) {
    this.slotBytes = slotBytes;
    this.next = new Int32Array(0);
    this.sinceMs = new Float64Array(0);
    this.freeHead = new Int32Array(0);
    this.chunkUsed = new Int32Array(0);
  }

  /** Bytes held by chunks, in use or not. */
  get heldBytes(): number {
    return this.live * CHUNK_SLOTS * this.slotBytes;
  }

  /** Bytes held by what links and dates the slots. */
  get columnBytes(): number {
    return this.next.byteLength + this.sinceMs.byteLength;
  }

  /** Slots that are held and not in use. */
  get spareSlots(): number {
    return this.live * CHUNK_SLOTS - this.used;
  }

  /** Take a slot. The caller owns it until `free`. */
  alloc(): number {
    let chunk = this.firstWithRoom();
    if (chunk === this.chunks.length) chunk = this.growChunk();
    this.searchFrom = chunk;
    const slot = this.freeHead[chunk]!;
    this.freeHead[chunk] = this.next[slot]!;
    this.next[slot] = NO_SLOT;
    if (this.chunkUsed[chunk] === 0) this.emptyAt = -1;
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
    if (chunk < this.searchFrom) this.searchFrom = chunk;
    if (left > 0) return;
    // Of two empty ones the later goes, so that the columns can shrink.
    const other = this.emptyAt;
    this.emptyAt = other < 0 || chunk < other ? chunk : other;
    if (other >= 0) this.dropChunk(Math.max(chunk, other));
  }

  /**
   * Move what a slot holds to an earlier chunk if one has room, and free the slot. Returns where it is now, which may
   * be where it was. What linked to the slot is the caller's to mend; its own link comes along.
   */
  relocate(slot: number): number {
    const from = slot >> CHUNK_SHIFT;
    const chunk = this.firstWithRoom();
    this.searchFrom = chunk;
    if (chunk >= from) return slot;
    const to = this.alloc();
    const source = this.chunks[from]!;
    const at = (slot & CHUNK_MASK) * this.slotBytes;
    this.chunks[chunk]!.set(source.subarray(at, at + this.slotBytes), (to & CHUNK_MASK) * this.slotBytes);
    this.next[to] = this.next[slot]!;
    this.sinceMs[to] = this.sinceMs[slot]!;
    this.free(slot);
    return to;
  }

  /** The first chunk with a free slot; the number of chunks when there is none. */
  private firstWithRoom(): number {
    let chunk = this.searchFrom;
    const count = this.chunks.length;
    while (chunk < count && (this.chunks[chunk] === null || this.freeHead[chunk] === NO_SLOT)) chunk++;
    return chunk;
  }

  /** Give an empty chunk back. Its memory goes at once: the collector may leave it lying for long. */
  private dropChunk(chunk: number): void {
    this.chunks[chunk]!.buffer.transfer(0);
    this.chunks[chunk] = null;
    this.live--;
    const chunks = this.chunks;
    while (chunks.length > 0 && chunks[chunks.length - 1] === null) chunks.pop();
    if (this.searchFrom > chunks.length) this.searchFrom = chunks.length;
    let columns = this.chunkUsed.length;
    while (columns > COLUMN_CHUNKS_LEAST && chunks.length * 4 <= columns) columns >>= 1;
    if (columns < this.chunkUsed.length) this.growColumns(columns);
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
      if (chunk >= this.chunkUsed.length) this.growColumns(Math.max(1, chunk * 2));
      this.chunks.push(null);
    }
    this.chunks[chunk] = new Uint8Array(CHUNK_SLOTS * this.slotBytes);
    this.live++;
    this.emptyAt = chunk;
    this.hasGrown = true;
    const first = chunk << CHUNK_SHIFT;
    for (let slot = first; slot < first + CHUNK_SLOTS - 1; slot++) this.next[slot] = slot + 1;
    this.next[first + CHUNK_SLOTS - 1] = NO_SLOT;
    this.freeHead[chunk] = first;
    this.chunkUsed[chunk] = 0;
    return chunk;
  }

  /** Make the columns this many chunks long, longer or shorter; what is cut off is no live chunk's. */
  private growColumns(chunks: number): void {
    const slots = chunks << CHUNK_SHIFT;
    const kept = Math.min(chunks, this.chunkUsed.length);
    const next = new Int32Array(slots);
    next.set(this.next.subarray(0, kept << CHUNK_SHIFT));
    this.next = next;
    const sinceMs = new Float64Array(slots);
    sinceMs.set(this.sinceMs.subarray(0, kept << CHUNK_SHIFT));
    this.sinceMs = sinceMs;
    const heads = new Int32Array(chunks);
    heads.set(this.freeHead.subarray(0, kept));
    this.freeHead = heads;
    const used = new Int32Array(chunks);
    used.set(this.chunkUsed.subarray(0, kept));
    this.chunkUsed = used;
  }
}
