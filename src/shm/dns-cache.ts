/**
 * What nameservers answered, for all workers: addresses and host names, and that there are none.
 *
 * Two tables of fixed size, one for addresses and a smaller one with wider entries for host names. An entry is known by
 * a keyed digest of its question, so that the memory tells nobody which names were asked for, and nobody can aim at a
 * bucket. A bucket is eight entries; a full one gives up what ends first. A lock per bucket is held while one entry is
 * read or written; an entry is marked free while it is being written, so that a worker may die at any time. Entries
 * outlive the worker that wrote them. Times are milliseconds of the clock that all threads share.
 */
import { createHash, randomBytes } from 'node:crypto';
import { assert } from '../fault.ts';
import { freeLocksOf, lock, unlock } from './spin-lock.ts';

/** What was asked. */
export const Question = { IPV4: 1, IPV6: 2, HOSTNAME: 3 } as const;
export type QuestionKind = (typeof Question)[keyof typeof Question];

/** An answer that is still good. */
export interface CachedAnswer {
  /** An address or the bytes of a host name; null when there is none. */
  readonly value: Uint8Array | null;
  /** What its askers are told, however old it is: it must not tell when others asked. */
  readonly ttlSec: number;
}

const WAYS = 8;
const LINE_WORDS = 16;
const KEY_BYTES = 16;
const DIGEST_BYTES = 16;
/** Words of the head: entries of either table, workers, when something was last said; then the key. */
const ADDRESSES_WORD = 0;
const NAMES_WORD = 1;
const WORKERS_WORD = 2;
const KEY_WORD = 4;
const SAID_WORD = 8;
const HEAD_WORDS = LINE_WORDS;
/** Words of an entry: digest, state, TTL, end (a float), who wrote it, length; then the value. */
const STATE_WORD = 4;
const TTL_WORD = 5;
const END_WORD = 6;
const OWNER_WORD = 8;
const LENGTH_WORD = 9;
const VALUE_WORD = 10;
const FREE = 0;
const FOUND = 1;
const NONE = 2;
const ADDRESS_ENTRY_WORDS = 16;
const NAME_ENTRY_WORDS = 80;
const NAME_BYTES_MOST = 255;
/** Four megabytes of addresses, a little more than one of names. */
const ADDRESSES_USUAL = 65_536;
const NAMES_USUAL = 4096;

/** How large a cache is: entries, powers of two. */
export interface DnsCacheSize {
  readonly addresses: number;
  readonly names: number;
}

/** One of the two tables. */
interface Table {
  readonly buckets: number;
  readonly locksAt: number;
  readonly entriesAt: number;
  readonly entryWords: number;
}

/** One thread's view of the cache. */
export class DnsCache {
  private readonly words: Int32Array;
  private readonly floats: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly worker: number;
  private readonly workers: number;
  private readonly key: Uint8Array;
  private readonly addresses: Table;
  private readonly names: Table;

  /** Make an empty cache. @param key sixteen random bytes, secret from everybody */
  static create(
    workers: number,
    size: DnsCacheSize = { addresses: ADDRESSES_USUAL, names: NAMES_USUAL },
    key: Uint8Array = randomBytes(KEY_BYTES),
  ): SharedArrayBuffer {
    for (const entries of [size.addresses, size.names]) {
      assert(entries >= WAYS && (entries & (entries - 1)) === 0, 'DNS cache: entries are a power of two');
    }
    const { end } = layout(size, workers);
    const sab = new SharedArrayBuffer(end * 4);
    const words = new Int32Array(sab);
    words[ADDRESSES_WORD] = size.addresses;
    words[NAMES_WORD] = size.names;
    words[WORKERS_WORD] = workers;
    new Uint8Array(sab).set(key.subarray(0, KEY_BYTES), KEY_WORD * 4);
    return sab;
  }

  /** @param worker who reads and writes; the number of workers on the main thread */
  constructor(sab: SharedArrayBuffer, worker: number) {
    this.words = new Int32Array(sab);
    this.floats = new Float64Array(sab);
    this.bytes = new Uint8Array(sab);
    this.worker = worker;
    this.workers = this.words[WORKERS_WORD]!;
    assert(worker >= 0 && worker <= this.workers, 'DNS cache: no such worker');
    this.key = this.bytes.slice(KEY_WORD * 4, KEY_WORD * 4 + KEY_BYTES);
    const size = { addresses: this.words[ADDRESSES_WORD]!, names: this.words[NAMES_WORD]! };
    const { addresses, names } = layout(size, this.workers);
    this.addresses = addresses;
    this.names = names;
  }

  /** Look for an answer. @param name in lower case */
  find(kind: QuestionKind, name: string, nowMs: number): CachedAnswer | null {
    const table = this.tableOf(kind);
    const digest = this.digestOf(kind, name);
    const bucket = bucketOf(table, digest);
    lock(this.words, table.locksAt + bucket, this.worker);
    try {
      const at = this.findEntry(table, bucket, digest);
      if (at < 0 || this.floats[(at + END_WORD) / 2]! <= nowMs) return null;
      const from = (at + VALUE_WORD) * 4;
      const isFound = this.words[at + STATE_WORD] === FOUND;
      return {
        value: isFound ? this.bytes.slice(from, from + this.words[at + LENGTH_WORD]!) : null,
        ttlSec: this.words[at + TTL_WORD]!,
      };
    } finally {
      unlock(this.words, table.locksAt + bucket, this.worker);
    }
  }

  /** Keep an answer until `ttlSec` from now. @param value null when there is none; at most 16 or 255 bytes by kind */
  put(kind: QuestionKind, name: string, value: Uint8Array | null, ttlSec: number, nowMs: number): void {
    const table = this.tableOf(kind);
    assert((value?.length ?? 0) <= (kind === Question.HOSTNAME ? NAME_BYTES_MOST : 16), 'DNS cache: it fits');
    const digest = this.digestOf(kind, name);
    const bucket = bucketOf(table, digest);
    lock(this.words, table.locksAt + bucket, this.worker);
    try {
      const known = this.findEntry(table, bucket, digest);
      const at = known >= 0 ? known : this.findRoom(table, bucket, nowMs);
      this.free(table, at);
      this.bytes.set(digest, at * 4);
      this.words[at + TTL_WORD] = ttlSec;
      this.floats[(at + END_WORD) / 2] = nowMs + ttlSec * 1000;
      this.words[at + OWNER_WORD] = this.worker;
      this.words[at + LENGTH_WORD] = value?.length ?? 0;
      if (value !== null) this.bytes.set(value, (at + VALUE_WORD) * 4);
      this.words[at + STATE_WORD] = value === null ? NONE : FOUND;
      Atomics.add(this.words, this.heldAt(this.worker), table.entryWords * 4);
    } finally {
      unlock(this.words, table.locksAt + bucket, this.worker);
    }
  }

  /** Bytes of entries in use that one worker wrote. */
  heldBy(worker: number): number {
    return Math.max(0, Atomics.load(this.words, this.heldAt(worker)));
  }

  /** Forget everything. Returns how many bytes of entries were in use. */
  clear(): number {
    let freed = 0;
    for (const table of [this.addresses, this.names]) {
      for (let bucket = 0; bucket < table.buckets; bucket++) freed += this.clearBucket(table, bucket);
    }
    return freed;
  }

  private clearBucket(table: Table, bucket: number): number {
    let freed = 0;
    lock(this.words, table.locksAt + bucket, this.worker);
    for (let way = 0; way < WAYS; way++) freed += this.free(table, entryAt(table, bucket, way));
    unlock(this.words, table.locksAt + bucket, this.worker);
    return freed;
  }

  /** Whether this thread may say what all would say now: true for one of them, once in `periodMs`. */
  mayTell(nowMs: number, periodMs: number): boolean {
    const nowSec = Math.floor(nowMs / 1000) + 1;
    const saidSec = Atomics.load(this.words, SAID_WORD);
    if (saidSec !== 0 && nowSec - saidSec < periodMs / 1000) return false;
    return Atomics.compareExchange(this.words, SAID_WORD, saidSec, nowSec) === saidSec;
  }

  /** Free the locks of a worker that is dead for certain. */
  freeLocks(dead: number): void {
    for (const { locksAt, buckets } of [this.addresses, this.names]) {
      freeLocksOf(this.words, locksAt, buckets, 1, dead);
    }
  }

  private tableOf(kind: QuestionKind): Table {
    return kind === Question.HOSTNAME ? this.names : this.addresses;
  }

  private heldAt(worker: number): number {
    return HEAD_WORDS + worker * LINE_WORDS;
  }

  private digestOf(kind: QuestionKind, name: string): Uint8Array {
    const hash = createHash('sha256').update(this.key).update(Uint8Array.of(kind)).update(name, 'latin1');
    return hash.digest().subarray(0, DIGEST_BYTES);
  }

  /** The entry in use of a digest, or -1. */
  private findEntry(table: Table, bucket: number, digest: Uint8Array): number {
    for (let way = 0; way < WAYS; way++) {
      const at = entryAt(table, bucket, way);
      if (this.words[at + STATE_WORD] === FREE) continue;
      let i = 0;
      while (i < DIGEST_BYTES && this.bytes[at * 4 + i] === digest[i]) i++;
      if (i === DIGEST_BYTES) return at;
    }
    return -1;
  }

  /** A free entry, one that has ended, or the one that ends first. */
  private findRoom(table: Table, bucket: number, nowMs: number): number {
    let first = entryAt(table, bucket, 0);
    for (let way = 0; way < WAYS; way++) {
      const at = entryAt(table, bucket, way);
      const endMs = this.floats[(at + END_WORD) / 2]!;
      if (this.words[at + STATE_WORD] === FREE || endMs <= nowMs) return at;
      if (endMs < this.floats[(first + END_WORD) / 2]!) first = at;
    }
    return first;
  }

  /** Let an entry go. Returns the bytes that came free. */
  private free(table: Table, at: number): number {
    if (this.words[at + STATE_WORD] === FREE) return 0;
    this.words[at + STATE_WORD] = FREE;
    const bytes = table.entryWords * 4;
    Atomics.sub(this.words, this.heldAt(this.words[at + OWNER_WORD]!), bytes);
    return bytes;
  }
}

function layout(size: DnsCacheSize, workers: number): { addresses: Table; names: Table; end: number } {
  const locksAt = HEAD_WORDS + (workers + 1) * LINE_WORDS;
  const addressBuckets = size.addresses / WAYS;
  const nameBuckets = size.names / WAYS;
  const locks = Math.ceil((addressBuckets + nameBuckets) / LINE_WORDS) * LINE_WORDS;
  const addresses = {
    buckets: addressBuckets,
    locksAt,
    entriesAt: locksAt + locks,
    entryWords: ADDRESS_ENTRY_WORDS,
  };
  const namesAt = addresses.entriesAt + size.addresses * ADDRESS_ENTRY_WORDS;
  const names = {
    buckets: nameBuckets,
    locksAt: locksAt + addressBuckets,
    entriesAt: namesAt,
    entryWords: NAME_ENTRY_WORDS,
  };
  return { addresses, names, end: namesAt + size.names * NAME_ENTRY_WORDS };
}

function bucketOf(table: Table, digest: Uint8Array): number {
  return ((digest[0]! << 16) | (digest[1]! << 8) | digest[2]!) & (table.buckets - 1);
}

function entryAt(table: Table, bucket: number, way: number): number {
  return table.entriesAt + (bucket * WAYS + way) * table.entryWords;
}
