/**
 * How many things each address holds open right now, over all workers: half-open links, so far. Of an IPv6 address
 * the first 64 bits count, because whoever has one address has its whole /64.
 *
 * Addresses fall by a keyed hash into buckets of sixteen entries, so that a lookup is short and nobody can aim at a
 * bucket; a lock per bucket is held while one entry is changed. An entry counts per worker, because a worker that
 * dies takes its connections with it and its share must go too. An entry whose counts are all zero is free: there
 * is nothing to expire. When a bucket is full of other addresses the caller is refused, which needs far more
 * addresses at once than the bound on the total lets in.
 */

import { assert } from '../fault.ts';
import { keyedHash } from './keyed-hash.ts';
import { freeLocksOf, lock, tryLock, unlock } from './spin-lock.ts';

/** Answers of `admit`. */
export const Admission = { ADMITTED: 0, ADDRESS_FULL: 1, TOTAL_FULL: 2 } as const;

const WAYS = 16;
/** Room for this many addresses; four times what the total lets in by default. */
const ENTRIES_DEFAULT = 16_384;
const CARETAKER_PATIENCE_MS = 20;

const LINE_WORDS = 16;
const BUCKETS_WORD = 0;
const WORKERS_WORD = 1;
const KEY0_WORD = 2;
const KEY1_WORD = 3;
const LOCKS_AT = LINE_WORDS;
const ADDRESS_WORDS = 4;

export class AddressTable {
  readonly #worker: number;
  readonly #workers: number;
  readonly #buckets: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #entryWords: number;
  readonly #totalsAt: number;
  readonly #entriesAt: number;
  /** The address being looked up, in its 16-byte form; of IPv6 the /64. */
  readonly #wide = new Uint8Array(16);

  /** Make an empty table for so many workers. @param key eight random bytes, secret from peers. */
  static create(
    workers: number,
    entries: number = ENTRIES_DEFAULT,
    key: Uint8Array = crypto.getRandomValues(new Uint8Array(8)),
  ): SharedArrayBuffer {
    const buckets = entries / WAYS;
    assert(buckets >= 1 && (buckets & (buckets - 1)) === 0, 'address table: entries not a power of two');
    const words = LOCKS_AT + buckets + workers * LINE_WORDS + entries * (ADDRESS_WORDS + workers);
    const sab = new SharedArrayBuffer(words * 4);
    const header = new Int32Array(sab);
    const view = new DataView(key.buffer, key.byteOffset, 8);
    header[BUCKETS_WORD] = buckets;
    header[WORKERS_WORD] = workers;
    header[KEY0_WORD] = view.getInt32(0, true);
    header[KEY1_WORD] = view.getInt32(4, true);
    return sab;
  }

  /** @param worker whose counts we keep; the number of workers on the main thread, which counts nothing. */
  constructor(sab: SharedArrayBuffer, worker: number) {
    this.#words = new Int32Array(sab);
    this.#bytes = new Uint8Array(sab);
    this.#worker = worker;
    this.#workers = this.#words[WORKERS_WORD]!;
    this.#buckets = this.#words[BUCKETS_WORD]!;
    this.#entryWords = ADDRESS_WORDS + this.#workers;
    this.#totalsAt = LOCKS_AT + this.#buckets;
    this.#entriesAt = this.#totalsAt + this.#workers * LINE_WORDS;
    assert(worker >= 0 && worker <= this.#workers, 'address table: no such worker');
  }

  /**
   * Count one more for an address (4 or 16 bytes) unless the address or the process has its fill. The bound on the
   * process is held to within one per worker, since totals are kept apart.
   * @returns ADMITTED, then `leave` must follow; or which bound refused it
   */
  admit(host: Uint8Array, perAddressMax: number, totalMax: number): number {
    if (this.total() >= totalMax) return Admission.TOTAL_FULL;
    const bucket = this.#widen(host);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    try {
      let at = this.#find(bucket);
      if (at < 0) {
        if (perAddressMax < 1) return Admission.ADDRESS_FULL;
        at = this.#findFree(bucket);
        if (at < 0) return Admission.TOTAL_FULL;
        this.#bytes.set(this.#wide, at * 4);
      } else if (this.#sum(at) >= perAddressMax) {
        return Admission.ADDRESS_FULL;
      }
      this.#words[at + ADDRESS_WORDS + this.#worker]! += 1;
      Atomics.add(this.#words, this.#totalsAt + this.#worker * LINE_WORDS, 1);
      return Admission.ADMITTED;
    } finally {
      unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    }
  }

  /** Count one more for an address unless it has its fill. Returns whether it was counted. */
  increment(host: Uint8Array, limit: number): boolean {
    return this.admit(host, limit, Number.POSITIVE_INFINITY) === Admission.ADMITTED;
  }

  /** Count one less: what `admit` or `increment` let in on this worker is gone. */
  decrement(host: Uint8Array): void {
    const bucket = this.#widen(host);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    try {
      const at = this.#find(bucket);
      assert(
        at >= 0 && this.#words[at + ADDRESS_WORDS + this.#worker]! > 0,
        'address table: an address left that never came',
      );
      this.#words[at + ADDRESS_WORDS + this.#worker]! -= 1;
      Atomics.sub(this.#words, this.#totalsAt + this.#worker * LINE_WORDS, 1);
    } finally {
      unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    }
  }

  /** Read how many an address has, over all workers. */
  of(host: Uint8Array): number {
    const bucket = this.#widen(host);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    try {
      const at = this.#find(bucket);
      return at < 0 ? 0 : this.#sum(at);
    } finally {
      unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    }
  }

  /** Read how many there are in all. */
  total(): number {
    let total = 0;
    for (let worker = 0; worker < this.#workers; worker++) {
      total += Atomics.load(this.#words, this.#totalsAt + worker * LINE_WORDS);
    }
    return total;
  }

  /**
   * Free the locks of a worker that is dead for certain, and nothing else: at once, since others wait for them.
   */
  freeLocks(dead: number): void {
    freeLocksOf(this.#words, LOCKS_AT, this.#buckets, 1, dead);
  }

  /**
   * Forget what a dead worker held, and free its locks. Returns false if another thread held a lock all the while:
   * call again later, before a successor starts.
   */
  dropWorker(dead: number): boolean {
    this.freeLocks(dead);
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      if (!tryLock(this.#words, LOCKS_AT + bucket, this.#worker, CARETAKER_PATIENCE_MS)) return false;
      for (let way = 0; way < WAYS; way++) {
        this.#words[this.#entry(bucket, way) + ADDRESS_WORDS + dead] = 0;
      }
      unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    }
    Atomics.store(this.#words, this.#totalsAt + dead * LINE_WORDS, 0);
    return true;
  }

  /** Bring an address into 16-byte form and return its bucket. */
  #widen(host: Uint8Array): number {
    assert(host.length === 4 || host.length === 16, 'address table: an address has 4 or 16 bytes');
    if (host.length === 4) {
      this.#wide.fill(0, 0, 10);
      this.#wide[10] = 255;
      this.#wide[11] = 255;
      this.#wide.set(host, 12);
    } else {
      this.#wide.set(host);
      if (!isMapped(host)) this.#wide.fill(0, 8);
    }
    return keyedHash(this.#words[KEY0_WORD]!, this.#words[KEY1_WORD]!, this.#wide) & (this.#buckets - 1);
  }

  #entry(bucket: number, way: number): number {
    return this.#entriesAt + (bucket * WAYS + way) * this.#entryWords;
  }

  #sum(at: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++) sum += this.#words[at + ADDRESS_WORDS + worker]!;
    return sum;
  }

  /** The entry in use for the address looked up, or -1. */
  #find(bucket: number): number {
    for (let way = 0; way < WAYS; way++) {
      const at = this.#entry(bucket, way);
      let i = 0;
      while (i < 16 && this.#bytes[at * 4 + i] === this.#wide[i]) i++;
      if (i === 16 && this.#sum(at) > 0) return at;
    }
    return -1;
  }

  #findFree(bucket: number): number {
    for (let way = 0; way < WAYS; way++) {
      const at = this.#entry(bucket, way);
      if (this.#sum(at) === 0) return at;
    }
    return -1;
  }
}

/** Whether 16 bytes are an IPv4 address in IPv6 form. */
function isMapped(host: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (host[i] !== 0) return false;
  return host[10] === 255 && host[11] === 255;
}
