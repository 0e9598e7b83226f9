/**
 * The shared memory behind the roster: rows, hash chains by RSA identity, and their striped locks.
 *
 * This file knows how a row is laid out, taken, linked, found and freed; `roster` knows what rows mean.
 *
 * A worker may die between any two stores. Therefore a row is taken by one compare-and-swap that writes its
 * owner, is linked by one store after it is complete, and is unlinked by one store before it is free: chains can
 * be walked at any moment, and what a dead worker left behind is found by its number. A chain is changed, and a
 * field of several words is read, only under the chain's lock.
 *
 * A quarter of the rows is kept for channels that we dial: whoever opens links to us can't use those up. A free row
 * is looked for without any lock, and not again until one was given back.
 */

import { assert } from '../fault.ts';
import { keyedHash } from './keyed-hash.ts';
import { freeLocksOf, lock, tryLock, unlock } from './spin-lock.ts';

/** States of a row. FREE and RESERVED rows are nobody's business but this file's. */
export const RowState = { FREE: 0, RESERVED: 1, DIALLING: 2, OPEN: 3, BAD: 4 } as const;

/** Word offsets of a row's fields. STATE also names the owner, so that both change at once. */
const ROW_WORDS = 32;
const STATE = 0;
const ROW_GENERATION = 1;
const NEXT = 2;
export const SLOT = 3;
export const CHANNEL_GENERATION = 4;
export const FLAGS = 5;
export const PORT = 6;
/** Byte offsets of the longer fields. */
const CREATED_AT = 32;
export const RSA_AT = 40;
export const RSA_BYTES = 20;
export const ED25519_AT = 60;
export const ED25519_BYTES = 32;
export const HOST_AT = 92;
export const HOST_BYTES = 16;

const ROWS_MAX = 2 ** 20;
const GENERATION_MASK = 0x0fffffff;
const STRIPES = 64;
/** The part of the rows that inbound channels may have. */
const INBOUND_SHARE = 3 / 4;
/** How long the caretakers wait for a lock before they try again later. */
const CARETAKER_PATIENCE_MS = 20;

const LINE_WORDS = 16;
const ROWS_WORD = 0;
const KEY0_WORD = 1;
const KEY1_WORD = 2;
/** Counts rows given back, so that nobody looks for a free one twice in vain. */
const FREED_WORD = 3;
const LOCKS_AT = LINE_WORDS;
const BUCKETS_AT = LOCKS_AT + STRIPES * LINE_WORDS;

export class RosterRows {
  /** Number of rows, and of buckets: a power of two. */
  readonly capacity: number;
  /** The buffer by words; a row's `at` is its first word. */
  readonly words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #floats: Float64Array;
  readonly #worker: number;
  readonly #rowsAt: number;
  readonly #dialRows: FreeRows;
  readonly #inboundRows: FreeRows;

  /** Bytes of shared memory for so many rows. */
  static bytes(rows: number): number {
    return (BUCKETS_AT + rows + rows * ROW_WORDS) * 4;
  }

  /** Make empty rows. @param key eight random bytes that no peer may know. */
  static create(rows: number, key: Uint8Array): SharedArrayBuffer {
    assert(rows >= 16 && rows <= ROWS_MAX && (rows & (rows - 1)) === 0, 'roster: rows not a power of two');
    const sab = new SharedArrayBuffer(RosterRows.bytes(rows));
    const words = new Int32Array(sab);
    const view = new DataView(key.buffer, key.byteOffset, 8);
    words[ROWS_WORD] = rows;
    words[KEY0_WORD] = view.getInt32(0, true);
    words[KEY1_WORD] = view.getInt32(4, true);
    return sab;
  }

  constructor(sab: SharedArrayBuffer, worker: number) {
    this.words = new Int32Array(sab);
    this.#bytes = new Uint8Array(sab);
    this.#floats = new Float64Array(sab);
    this.#worker = worker;
    this.capacity = this.words[ROWS_WORD]!;
    assert(sab.byteLength === RosterRows.bytes(this.capacity), 'roster: buffer not made by Roster.create');
    this.#rowsAt = BUCKETS_AT + this.capacity;
    // Threads look for free rows from different places, so as not to meet.
    const hint = worker * 509;
    const inbound = this.capacity * INBOUND_SHARE;
    this.#dialRows = { end: this.capacity, hint: hint % this.capacity, noneAtFreed: Number.NaN };
    this.#inboundRows = { end: inbound, hint: hint % inbound, noneAtFreed: Number.NaN };
  }

  /** Hash bytes under the roster's key. */
  hash(bytes: Uint8Array): number {
    return keyedHash(this.words[KEY0_WORD]!, this.words[KEY1_WORD]!, bytes);
  }

  /** The bucket of an RSA identity. */
  bucketOf(rsaId: Uint8Array): number {
    return this.hash(rsaId) & (this.capacity - 1);
  }

  /** The bucket of a row. */
  bucketAt(at: number): number {
    return this.bucketOf(this.view(at, RSA_AT, RSA_BYTES));
  }

  /** Run under the lock of a bucket. @throws Bug if the lock can't be had for ten seconds. */
  locked<T>(bucket: number, body: () => T): T {
    const lockAt = lockOf(bucket);
    lock(this.words, lockAt, this.#worker);
    try {
      return body();
    } finally {
      unlock(this.words, lockAt, this.#worker);
    }
  }

  /** Run under the lock of a bucket if it comes free soon. Returns whether it ran. */
  lockedSoon(bucket: number, body: () => void): boolean {
    const lockAt = lockOf(bucket);
    if (!tryLock(this.words, lockAt, this.#worker, CARETAKER_PATIENCE_MS)) return false;
    try {
      body();
    } finally {
      unlock(this.words, lockAt, this.#worker);
    }
    return true;
  }

  /** First row of a bucket's chain, or -1. */
  first(bucket: number): number {
    return this.#follow(BUCKETS_AT + bucket);
  }

  /** The row after this one in its chain, or -1. */
  next(at: number): number {
    return this.#follow(at + NEXT);
  }

  /**
   * Take a free row for us, for an inbound channel or one that we dial. Returns it, or -1 if there is none. It is in
   * no chain until linked. Call it without a lock: it may look at every row.
   */
  take(inbound: boolean): number {
    const among = inbound ? this.#inboundRows : this.#dialRows;
    // Read first: a row that is given back while we look makes the next call look again.
    const freed = Atomics.load(this.words, FREED_WORD);
    if (freed === among.noneAtFreed) return -1;
    const mine = this.#tag(RowState.RESERVED);
    for (let tried = 0; tried < among.end; tried++) {
      const at = this.rowAt(among.hint);
      among.hint = (among.hint + 1) % among.end;
      if (Atomics.load(this.words, at + STATE) !== RowState.FREE) continue;
      if (Atomics.compareExchange(this.words, at + STATE, RowState.FREE, mine) === RowState.FREE) return at;
    }
    among.noneAtFreed = freed;
    return -1;
  }

  /** Put a complete row at the head of its chain, under the lock. */
  link(bucket: number, at: number, state: number): void {
    Atomics.store(this.words, at + STATE, this.#tag(state));
    Atomics.store(this.words, at + NEXT, Atomics.load(this.words, BUCKETS_AT + bucket));
    Atomics.store(this.words, BUCKETS_AT + bucket, this.#indexOf(at) + 1);
  }

  /** Take a row out of a chain, if it is in it, under the lock. */
  unlink(bucket: number, at: number): void {
    for (let linkAt = BUCKETS_AT + bucket; ; ) {
      const found = this.#follow(linkAt);
      if (found < 0) return;
      if (found === at) {
        Atomics.store(this.words, linkAt, Atomics.load(this.words, at + NEXT));
        return;
      }
      linkAt = found + NEXT;
    }
  }

  /** Make an unlinked row free; handles to it die first. */
  free(at: number): void {
    const generation = Atomics.load(this.words, at + ROW_GENERATION) + 1;
    Atomics.store(this.words, at + ROW_GENERATION, generation & GENERATION_MASK);
    Atomics.store(this.words, at + STATE, RowState.FREE);
    Atomics.add(this.words, FREED_WORD, 1);
  }

  /** Free the locks of a worker that is dead for certain. */
  freeLocks(dead: number): void {
    freeLocksOf(this.words, LOCKS_AT, STRIPES, LINE_WORDS, dead);
  }

  /**
   * Free the locks and rows of a dead worker. Returns false if a lock was held by someone else all the while;
   * what is left then is found by the next call.
   */
  dropWorker(dead: number): boolean {
    this.freeLocks(dead);
    for (let index = 0; index < this.capacity; index++) {
      const at = this.rowAt(index);
      if (this.ownerOf(at) !== dead) continue;
      // A row that its owner did not finish names some old identity, or half of one: it is in no chain then.
      const bucket = this.bucketAt(at);
      if (!this.lockedSoon(bucket, () => this.unlink(bucket, at))) return false;
      this.free(at);
    }
    // It may have died after it gave a row back and before it said so.
    Atomics.add(this.words, FREED_WORD, 1);
    return true;
  }

  /** A handle names a row and no later one in its place. */
  handleOf(at: number): number {
    return Atomics.load(this.words, at + ROW_GENERATION) * ROWS_MAX + this.#indexOf(at);
  }

  /** Find the living row that a handle names, or -1. */
  find(handle: number): number {
    if (handle < 0) return -1;
    const index = handle % ROWS_MAX;
    if (index >= this.capacity) return -1;
    const at = this.rowAt(index);
    if (Atomics.load(this.words, at + ROW_GENERATION) !== (handle - index) / ROWS_MAX) return -1;
    return this.stateOf(at) >= RowState.DIALLING ? at : -1;
  }

  rowAt(index: number): number {
    return this.#rowsAt + index * ROW_WORDS;
  }

  stateOf(at: number): number {
    return Atomics.load(this.words, at + STATE) & 255;
  }

  /** The worker that a row belongs to; -1 for a free row. */
  ownerOf(at: number): number {
    return (Atomics.load(this.words, at + STATE) >> 8) - 1;
  }

  /** Set the state of a row of ours. */
  setState(at: number, state: number): void {
    Atomics.store(this.words, at + STATE, this.#tag(state));
  }

  /** Mark anybody's row bad by one store, under its lock. Returns whether it changed. */
  markBad(at: number): boolean {
    const word = Atomics.load(this.words, at + STATE);
    if ((word & 255) === RowState.BAD) return false;
    return Atomics.compareExchange(this.words, at + STATE, word, (word & ~255) | RowState.BAD) === word;
  }

  createdMs(at: number): number {
    return this.#floats[(at * 4 + CREATED_AT) / 8]!;
  }

  setCreatedMs(at: number, createdMs: number): void {
    this.#floats[(at * 4 + CREATED_AT) / 8] = createdMs;
  }

  /** A view of a field. */
  view(at: number, field: number, length: number): Uint8Array {
    return this.#bytes.subarray(at * 4 + field, at * 4 + field + length);
  }

  /** Write a field. */
  write(at: number, field: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, at * 4 + field);
  }

  /** Whether a field holds these bytes. */
  holds(at: number, field: number, bytes: Uint8Array): boolean {
    const from = at * 4 + field;
    for (let i = 0; i < bytes.length; i++) if (this.#bytes[from + i] !== bytes[i]) return false;
    return true;
  }

  #tag(state: number): number {
    return ((this.#worker + 1) << 8) | state;
  }

  #indexOf(at: number): number {
    return (at - this.#rowsAt) / ROW_WORDS;
  }

  #follow(linkAt: number): number {
    const link = Atomics.load(this.words, linkAt);
    return link === 0 ? -1 : this.rowAt(link - 1);
  }
}

/** Where to look for a free row. */
interface FreeRows {
  /** Rows from 0 up to here. */
  readonly end: number;
  hint: number;
  /** None was found when so many had been given back. */
  noneAtFreed: number;
}

function lockOf(bucket: number): number {
  return LOCKS_AT + (bucket & (STRIPES - 1)) * LINE_WORDS;
}
