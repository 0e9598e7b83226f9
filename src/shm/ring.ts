/**
 * @hot A single-producer, single-consumer ring of cell slots between two workers.
 *
 * One ring per ordered pair of workers carries cells of circuits whose next channel lives on another worker,
 * and the leg control that must stay in order with them. Both ends address a slot by the byte offset of its
 * header: `u32[(at >> 2) + word]` and `u8[at + SLOT_HEADER_BYTES]`; nothing is allocated and nothing waits.
 *
 * Memory ordering. Slots are written and read plainly. `publish` stores HEAD atomically after the slots were
 * written, `peek` loads HEAD atomically before it hands one out: that pair orders the contents. TAIL does the
 * same the other way round: the consumer has finished with a slot before it stores TAIL, the producer loads TAIL
 * before it writes the slot again. Sleeping is a store of one flag followed by a load of the other side's index
 * (all sequentially consistent), so of two sides that pass each other at least one sees the other: the reader's
 * flag is its worker's doorbell word, the writer's is WANTS_SPACE on a line of the ring.
 *
 * Invariants: tail <= head <= tail + capacity, as 32-bit counters that wrap; only the producer writes HEAD, only
 * the consumer writes TAIL. An eighth of the slots (at least one) takes control kinds only, so that a ring full
 * of cells can still carry a DESTROY.
 *
 * On one thread (simulation) the two ends are two `Ring` objects over one buffer, without doorbells.
 */

import { assert } from '../fault.ts';
import type { Doorbell } from './doorbell.ts';

/**
 * What a slot carries; everything but CELL, CELLS, BODIES, SKIP and RELAY_MESSAGE is a control kind. Joints use those
 * from JOINT_ASK on. CELLS and BODIES stand in the first of several slots, over all of which their payload stretches.
 */
export const SlotKind = {
  CELL: 1,
  RELAY_MESSAGE: 2,
  OPEN_LEG: 3,
  LEG_READY: 4,
  LEG_DESTROY: 5,
  LEG_QUEUE_FULL: 6,
  OPEN_LEG_FAST: 7,
  CELLS: 8,
  BODIES: 9,
  /** Slots before the end of the ring that a span did not fit; the word behind the kind says how many. */
  SKIP: 10,
  JOINT_ASK: 32,
  JOINT_PASS: 33,
  JOINT_JOINED: 34,
  JOINT_REFUSED: 35,
  JOINT_ROOM: 36,
  JOINT_GONE: 37,
  JOINT_CLOSE: 38,
  JOINT_RELEASE: 39,
  JOINT_RESTORE: 40,
  JOINT_TOLD: 41,
} as const;

/** The slot header: eight 32-bit words, the kind first. What the others mean is the users' affair. */
export const SLOT_HEADER_BYTES = 32;
/** Distance from slot to slot: header and a whole cell, rounded up to cache lines. */
export const SLOT_STRIDE = 576;

/** The producer publishes at least this often, so that the consumer never waits for a whole chunk. */
const PUBLISH_CELLS = 64;
/** Cells that wake a sleeping reader before the producer's turn ends: each wake-up is a turn of the reader's. */
const BELL_CELLS = 1024;
/** All rings of the process together. */
const RINGS_BYTES = 64 * 1024 * 1024;
const SLOTS_MAX = 16384;
const SLOTS_MIN = 4;

/** Each index and flag has a cache line of its own, so that the two sides do not fight over one. */
const LINE_WORDS = 16;
const CAPACITY_WORD = 0;
const HEAD_WORD = LINE_WORDS;
const TAIL_WORD = 2 * LINE_WORDS;
const WANTS_SPACE_WORD = 3 * LINE_WORDS;
const SLOTS_AT = 4 * LINE_WORDS * 4;

/** Slots per ring so that all rings between `workers` workers (at most 128) fit 64 MB: a power of two. */
export function slotsPerRing(workers: number): number {
  const rings = Math.max(1, workers * (workers - 1));
  const fits = Math.floor((RINGS_BYTES / rings - SLOTS_AT) / SLOT_STRIDE);
  let slots = SLOTS_MIN;
  while (slots * 2 <= fits && slots * 2 <= SLOTS_MAX) slots *= 2;
  return slots;
}

/** One end of a ring. Make one object per end; an object is either producer or consumer, never both. */
export class Ring {
  /** Number of slots, a power of two. */
  readonly capacity: number;
  /** The buffer as bytes (payloads) and as words (slot headers); index them by a slot's offset. */
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly #words: Int32Array;
  readonly #mask: number;
  /** Most slots that cells may fill; control kinds may use all. */
  readonly #cellSlots: number;
  readonly #readerBell: Doorbell | null;
  readonly #writerBell: Doorbell | null;

  /** Producer: next slot to fill, and how many of those before it are not published yet. */
  #head: number;
  #staged = 0;
  #unrung = 0;
  #knownTail: number;
  /** Consumer: next slot to read, and how many of those before it are not given back yet. */
  #tail: number;
  #unreleased = 0;
  #knownHead: number;

  /** Bytes of shared memory that a ring of `slots` (a power of two, at least 2) needs. */
  static bytes(slots: number): number {
    assert(slots >= 2 && slots <= SLOTS_MAX && (slots & (slots - 1)) === 0, 'ring: slots not a power of two');
    return SLOTS_AT + slots * SLOT_STRIDE;
  }

  /** Make the shared buffer of an empty ring. */
  static create(slots: number): SharedArrayBuffer {
    const sab = new SharedArrayBuffer(Ring.bytes(slots));
    new Int32Array(sab)[CAPACITY_WORD] = slots;
    return sab;
  }

  /**
   * Open one end.
   * @param readerBell the consumer worker's doorbell, rung by the producer; null on one thread
   * @param writerBell the producer worker's doorbell, rung by the consumer when space was asked for
   */
  constructor(
    sab: SharedArrayBuffer,
    readerBell: Doorbell | null = null,
    writerBell: Doorbell | null = null,
  ) {
    this.u8 = new Uint8Array(sab);
    this.u32 = new Uint32Array(sab);
    this.#words = new Int32Array(sab);
    this.capacity = this.u32[CAPACITY_WORD]!;
    assert(sab.byteLength === Ring.bytes(this.capacity), 'ring: buffer not made by Ring.create');
    this.#mask = this.capacity - 1;
    this.#cellSlots = this.capacity - Math.max(1, this.capacity >> 3);
    this.#readerBell = readerBell;
    this.#writerBell = writerBell;
    this.#head = Atomics.load(this.#words, HEAD_WORD);
    this.#knownTail = Atomics.load(this.#words, TAIL_WORD);
    this.#tail = this.#knownTail;
    this.#knownHead = this.#head;
  }

  /**
   * Producer: find the slot to fill next. Returns its byte offset, or -1 when the ring is full for this kind.
   * Calling it again without `commit` returns the same slot. A full ring publishes what was staged.
   */
  reserve(control: boolean): number {
    const limit = control ? this.capacity : this.#cellSlots;
    if (((this.#head - this.#knownTail) | 0) >= limit) {
      this.#knownTail = Atomics.load(this.#words, TAIL_WORD);
      if (((this.#head - this.#knownTail) | 0) >= limit) {
        this.publish();
        return -1;
      }
    }
    return SLOTS_AT + (this.#head & this.#mask) * SLOT_STRIDE;
  }

  /**
   * Producer: find so many slots in a row, to be filled as one. Returns the byte offset of the first, or -1 when there
   * are not as many: single slots may still be free then. No span is longer than a quarter of the ring.
   */
  reserveSpan(slots: number): number {
    if (slots > this.#cellSlots >> 2) return -1;
    const place = this.#head & this.#mask;
    const skipped = place + slots > this.capacity ? this.capacity - place : 0;
    const most = this.#cellSlots - slots - skipped;
    if (((this.#head - this.#knownTail) | 0) > most) {
      this.#knownTail = Atomics.load(this.#words, TAIL_WORD);
      if (((this.#head - this.#knownTail) | 0) > most) return -1;
    }
    if (skipped > 0) {
      const w = (SLOTS_AT + place * SLOT_STRIDE) >> 2;
      this.u32[w] = SlotKind.SKIP;
      this.u32[w + 1] = skipped;
      this.commit(skipped);
    }
    return SLOTS_AT + (this.#head & this.#mask) * SLOT_STRIDE;
  }

  /** Producer: what was reserved is filled. It becomes visible at the next publish, at most 64 slots later. */
  commit(slots = 1): void {
    this.#head = (this.#head + slots) | 0;
    this.#staged += slots;
    if (this.#staged >= PUBLISH_CELLS) this.#show();
  }

  /** Producer: show all committed slots and wake the reader if it sleeps. Returns whether it was asleep. */
  publish(): boolean {
    if (this.#staged > 0) {
      this.#staged = 0;
      Atomics.store(this.#words, HEAD_WORD, this.#head);
    } else if (this.#unrung === 0) return false;
    this.#unrung = 0;
    return this.#readerBell === null ? false : this.#readerBell.ring();
  }

  /** Producer: show what is committed; the reader is woken only once so much came that it should not wait for a turn's end. */
  #show(): void {
    this.#unrung += this.#staged;
    this.#staged = 0;
    Atomics.store(this.#words, HEAD_WORD, this.#head);
    if (this.#unrung >= BELL_CELLS) {
      this.#unrung = 0;
      if (this.#readerBell !== null) this.#readerBell.ring();
    }
  }

  /** Producer: slots committed but not shown yet. */
  get staged(): number {
    return this.#staged;
  }

  /**
   * Producer: after `reserve` returned -1, ask that our doorbell be rung when slots are given back. Returns true
   * if there is space already for this kind; then no ring will come and the caller goes on at once.
   */
  wantSpace(control: boolean): boolean {
    Atomics.store(this.#words, WANTS_SPACE_WORD, 1);
    if (this.reserve(control) < 0) return false;
    Atomics.store(this.#words, WANTS_SPACE_WORD, 0);
    return true;
  }

  /** Consumer: look at the oldest slot. Returns its byte offset, or -1 when there is none. */
  peek(): number {
    if (this.#tail === this.#knownHead) {
      this.#knownHead = Atomics.load(this.#words, HEAD_WORD);
      if (this.#tail === this.#knownHead) return -1;
    }
    return SLOTS_AT + (this.#tail & this.#mask) * SLOT_STRIDE;
  }

  /** Consumer: done with the peeked slot, or span of slots; the bytes may be overwritten after `release`. */
  advance(slots = 1): void {
    this.#tail = (this.#tail + slots) | 0;
    this.#unreleased += slots;
  }

  /** Consumer: give all finished slots back and wake a producer that asked for space. Returns whether one did. */
  release(): boolean {
    if (this.#unreleased > 0) {
      this.#unreleased = 0;
      Atomics.store(this.#words, TAIL_WORD, this.#tail);
    }
    if (Atomics.load(this.#words, WANTS_SPACE_WORD) === 0) return false;
    if (Atomics.exchange(this.#words, WANTS_SPACE_WORD, 0) === 0) return false;
    if (this.#writerBell !== null) this.#writerBell.ring();
    return true;
  }

  /** Consumer: tell whether there is something to read. Looked at once more between arming and sleeping. */
  hasWork(): boolean {
    return this.#tail !== Atomics.load(this.#words, HEAD_WORD);
  }

  /** Slots filled and not given back, as both sides last said; for logs and tests. */
  used(): number {
    return (Atomics.load(this.#words, HEAD_WORD) - Atomics.load(this.#words, TAIL_WORD)) | 0;
  }
}
