/**
 * What each client address has been up to, over all workers: links it holds, how fast it opens links and makes
 * circuits, and until when it is refused for that.
 *
 * An IPv6 address also counts towards its /64 and its /48, since whoever has one address has at least its /64 and often
 * the /48. A prefix may hold more than one client, so it gets a multiple of an address's allowance (`SHARE`); what is
 * refused to an address is not counted against its prefixes, so that one client alone never marks its neighbours.
 *
 * Addresses fall by a keyed hash into buckets of sixteen entries with a lock each, as in `address-table`. An entry
 * with links is never given away, so its place (a handle) stays good as long as the link, and needs no second lookup.
 * Of entries without links, one whose buckets are full again and whose marks are over holds nothing and is free; if
 * there is none the one nearest to that gives way. Marks never do: driving one out would have to be as dear as earning
 * it. Where only links and marks are left a newcomer is let in and not counted: nobody honest is shut out by others,
 * and filling the table takes tens of thousands of marked addresses that nobody can aim at one bucket.
 *
 * Times are monotonic milliseconds. Whoever dies between two stores leaves an entry that is valid or unused.
 * @source C tor's DoS mitigation: same detection, thresholds and marks; prefixes, this table and its bound are ours
 */

import { assert } from '../fault.ts';
import { keyedHash } from './keyed-hash.ts';
import { freeLocksOf, lock, tryLock, unlock } from './spin-lock.ts';

/** What an address may do, and what happens if it does more. Torrc or consensus decide. */
export interface DosLimits {
  /** Watch links; false also when only circuits are watched. */
  readonly connectionsWatched: boolean;
  /** Refuse links past the limits, instead of only counting marks. */
  readonly connectionsRefused: boolean;
  /** Links at a time. */
  readonly connectionsMax: number;
  /** New links per second, and at once. */
  readonly connectRate: number;
  readonly connectBurst: number;
  /** How long an address that opened too many is refused; up to half as long again is added. */
  readonly connectMarkMs: number;
  readonly circuitsWatched: boolean;
  readonly circuitsRefused: boolean;
  /** Links from which on circuits are judged. */
  readonly circuitConnectionsMin: number;
  /** New circuits per second, and at once. */
  readonly circuitRate: number;
  readonly circuitBurst: number;
  readonly circuitMarkMs: number;
  /** Circuits that died of a full queue outward after which an address is marked; 0: never. */
  readonly queueKillsMax: number;
  /** New streams (BEGIN and RESOLVE) of one circuit: whether they are counted, how many per second, and at once. */
  readonly streamsWatched: boolean;
  readonly streamRate: number;
  readonly streamBurst: number;
  /** What becomes of one too many: 1 nothing, 2 it is refused, 3 its circuit is closed. */
  readonly streamDefence: number;
}

/** Answers of `connect`; those of a prefix name what refused it there. */
export const ConnectVerdict = {
  ADMITTED: 0,
  MARKED: 1,
  TOO_MANY: 2,
  NET_MARKED: 3,
  NET_TOO_MANY: 4,
} as const;

/** Bits of the answers of `createCircuit` and `noteQueueKill`. */
export const CircuitVerdict = { MARKED: 1, NEWLY: 2 } as const;

/** A handle that is none: the address is not counted. */
export const UNCOUNTED = -1;

/** How wide an entry is. 0 is an entry never used. */
const UNUSED = 0;
const HOST = 1;
const NET64 = 2;
const NET48 = 3;
/**
 * How many single addresses a prefix counts for. A /64 is one LAN, which over IPv4 would share one address, but some
 * hosters put several customers into one: 4. A /48 is one site, or up to 256 households of a provider that gives out
 * /56, of which few use the same guard: 16.
 */
const SHARE = [0, 1, 4, 16] as const;
/** Bytes of the address that count. */
const PREFIX_BYTES = [0, 16, 8, 6] as const;

const WAYS = 16;
/** A busy guard has some 20,000 client links; each holds three entries at most. Pages not used take no memory. */
const ENTRIES_DEFAULT = 131_072;
const CARETAKER_PATIENCE_MS = 20;

const LINE_WORDS = 16;
const BUCKETS_WORD = 0;
const WORKERS_WORD = 1;
const KEY0_WORD = 2;
const KEY1_WORD = 3;
const LOCKS_AT = LINE_WORDS;

// An entry: the address in four words, then these.
const WIDTH = 4;
const KILLS = 5;
const CONNECT_TOKENS = 6;
const CIRCUIT_TOKENS = 7;
const TIMES = 8;
const COUNTS = 18;
// Times, as indexes of 64-bit floats behind TIMES.
const CONNECT_AT = 0;
const CIRCUIT_AT = 1;
const CONNECT_MARK = 2;
const CIRCUIT_MARK = 3;
const KILLED_AT = 4;

export class DosTable {
  /** After `connect` admitted: the entries of the address, its /64 and its /48, or UNCOUNTED. */
  readonly handles = new Int32Array(3).fill(UNCOUNTED);
  /** After `connect` admitted: marks that it made, and levels for which there was no room. */
  newMarks = 0;
  noRoom = 0;
  readonly #worker: number;
  readonly #workers: number;
  readonly #random: () => number;
  readonly #buckets: number;
  readonly #words: Int32Array;
  readonly #tokens: Float32Array;
  readonly #times: Float64Array;
  readonly #entryWords: number;
  readonly #entriesAt: number;
  /** The address being looked up, in its 16-byte form, cut to the prefix. */
  readonly #key = new Uint8Array(16);
  readonly #keyWords = new Int32Array(this.#key.buffer);

  /** Make an empty table for so many workers. @param key eight random bytes, secret from peers. */
  static create(
    workers: number,
    entries: number = ENTRIES_DEFAULT,
    key: Uint8Array = crypto.getRandomValues(new Uint8Array(8)),
  ): SharedArrayBuffer {
    const buckets = entries / WAYS;
    assert(buckets >= 1 && (buckets & (buckets - 1)) === 0, 'dos table: entries not a power of two');
    const sab = new SharedArrayBuffer((entriesAt(buckets) + entries * entryWords(workers)) * 4);
    const header = new Int32Array(sab);
    const view = new DataView(key.buffer, key.byteOffset, 8);
    header[BUCKETS_WORD] = buckets;
    header[WORKERS_WORD] = workers;
    header[KEY0_WORD] = view.getInt32(0, true);
    header[KEY1_WORD] = view.getInt32(4, true);
    return sab;
  }

  /**
   * @param worker whose links we count; the number of workers on the main thread, which counts nothing
   * @param random numbers from 0 to 1, to make the end of a mark hard to guess
   */
  constructor(sab: SharedArrayBuffer, worker: number, random: () => number = fresh) {
    this.#words = new Int32Array(sab);
    this.#tokens = new Float32Array(sab);
    this.#times = new Float64Array(sab);
    this.#worker = worker;
    this.#random = random;
    this.#workers = this.#words[WORKERS_WORD]!;
    this.#buckets = this.#words[BUCKETS_WORD]!;
    this.#entryWords = entryWords(this.#workers);
    this.#entriesAt = entriesAt(this.#buckets);
    assert(worker >= 0 && worker <= this.#workers, 'dos table: no such worker');
  }

  /**
   * Count a new link of an address (4 or 16 bytes), unless the address or one of its prefixes is marked or has its
   * fill. ADMITTED: `handles` are the caller's to keep, and `leave` must follow for each when the link is gone.
   * Bounds hold to the link for an address, to within one per worker for a prefix.
   */
  connect(host: Uint8Array, nowMs: number, limits: DosLimits): number {
    this.handles.fill(UNCOUNTED);
    this.newMarks = 0;
    this.noRoom = 0;
    const widest = isPlainIpv6(host) ? NET48 : HOST;
    if (limits.connectionsWatched && limits.connectionsRefused) {
      for (let width = widest; width >= NET64; width--) {
        const verdict = this.#judge(host, width, nowMs, limits);
        if (verdict === ConnectVerdict.MARKED) return ConnectVerdict.NET_MARKED;
        if (verdict === ConnectVerdict.TOO_MANY) return ConnectVerdict.NET_TOO_MANY;
      }
    }
    const verdict = this.#enter(host, HOST, nowMs, limits);
    if (verdict !== ConnectVerdict.ADMITTED) return verdict;
    for (let width = NET64; width <= widest; width++) this.#enter(host, width, nowMs, limits);
    return ConnectVerdict.ADMITTED;
  }

  /** Count one link less in an entry that `connect` gave out on this worker. */
  leave(handle: number): void {
    const bucket = this.#bucketOf(handle);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    const at = handle + COUNTS + this.#worker;
    const count = this.#words[at]!;
    if (count > 0) this.#words[at] = count - 1;
    unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    assert(count > 0, 'dos table: a link left that never came');
  }

  /**
   * Note that a circuit is asked for on a link with this handle. Marks the address when it asks for too many.
   * @returns bits of CircuitVerdict: whether it is marked, and whether only just now
   */
  createCircuit(handle: number, nowMs: number, limits: DosLimits): number {
    const words = this.#words;
    const bucket = this.#bucketOf(handle);
    lock(words, LOCKS_AT + bucket, this.#worker);
    const share = SHARE[words[handle + WIDTH]!]!;
    const left = this.#take(handle, CIRCUIT_TOKENS, limits.circuitRate, limits.circuitBurst, share, nowMs);
    const mark = this.#timeAt(handle, CIRCUIT_MARK);
    let verdict: number = this.#times[mark]! > nowMs ? CircuitVerdict.MARKED : 0;
    if (left < 1 && this.#sum(handle) >= limits.circuitConnectionsMin * share) {
      // Marked ones are watched on: who does not stop is not let off.
      if (verdict === 0) verdict = CircuitVerdict.MARKED | CircuitVerdict.NEWLY;
      this.#times[mark] = this.#markUntil(nowMs, limits.circuitMarkMs);
    }
    unlock(words, LOCKS_AT + bucket, this.#worker);
    return verdict;
  }

  /**
   * Note that a circuit of a link with this handle died of its full queue outward.
   * @returns bits of CircuitVerdict
   */
  noteQueueKill(handle: number, nowMs: number, limits: DosLimits): number {
    if (limits.queueKillsMax === 0) return 0;
    const words = this.#words;
    const times = this.#times;
    const bucket = this.#bucketOf(handle);
    lock(words, LOCKS_AT + bucket, this.#worker);
    const mark = this.#timeAt(handle, CIRCUIT_MARK);
    let verdict: number = CircuitVerdict.MARKED;
    if (times[mark]! <= nowMs) {
      const kills = this.#kills(handle, nowMs, limits) + 1;
      const isTooMany = kills >= limits.queueKillsMax * SHARE[words[handle + WIDTH]!]!;
      words[handle + KILLS] = isTooMany ? 0 : kills;
      times[this.#timeAt(handle, KILLED_AT)] = nowMs;
      verdict = isTooMany ? CircuitVerdict.MARKED | CircuitVerdict.NEWLY : 0;
      if (isTooMany) times[mark] = this.#markUntil(nowMs, limits.circuitMarkMs);
    }
    unlock(words, LOCKS_AT + bucket, this.#worker);
    return verdict;
  }

  /** Read how many links an address has open, over all workers. */
  connectionsOf(host: Uint8Array): number {
    const bucket = this.#setKey(host, HOST);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    const at = this.#find(bucket, HOST);
    const count = at < 0 ? 0 : this.#sum(at);
    unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    return count;
  }

  /** Read how many links are counted in all entries: an address's, and again those of its prefixes. Slow; for tests. */
  total(): number {
    let total = 0;
    for (let at = this.#entriesAt; at < this.#words.length; at += this.#entryWords) total += this.#sum(at);
    return total;
  }

  /** Free the locks of a worker that is dead for certain, and nothing else: at once, since others wait for them. */
  freeLocks(dead: number): void {
    freeLocksOf(this.#words, LOCKS_AT, this.#buckets, 1, dead);
  }

  /**
   * Forget the links of a dead worker, and free its locks. Marks and buckets stay. Returns false if another thread
   * held a lock all the while: call again later, before a successor starts.
   */
  dropWorker(dead: number): boolean {
    const words = this.#words;
    this.freeLocks(dead);
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      if (!tryLock(words, LOCKS_AT + bucket, this.#worker, CARETAKER_PATIENCE_MS)) return false;
      for (let way = 0; way < WAYS; way++) {
        const at = this.#entry(bucket, way) + COUNTS + dead;
        // Only what is set, so that pages that were never used stay so.
        if (words[at] !== 0) words[at] = 0;
      }
      unlock(words, LOCKS_AT + bucket, this.#worker);
    }
    return true;
  }

  /** Whether an entry that there is refuses one more link. */
  #judge(host: Uint8Array, width: number, nowMs: number, limits: DosLimits): number {
    const bucket = this.#setKey(host, width);
    lock(this.#words, LOCKS_AT + bucket, this.#worker);
    const at = this.#find(bucket, width);
    const verdict = at < 0 ? ConnectVerdict.ADMITTED : this.#verdictOn(at, width, nowMs, limits);
    unlock(this.#words, LOCKS_AT + bucket, this.#worker);
    return verdict;
  }

  #verdictOn(at: number, width: number, nowMs: number, limits: DosLimits): number {
    if (this.#times[this.#timeAt(at, CONNECT_MARK)]! > nowMs) return ConnectVerdict.MARKED;
    return this.#sum(at) < limits.connectionsMax * SHARE[width]!
      ? ConnectVerdict.ADMITTED
      : ConnectVerdict.TOO_MANY;
  }

  /** Count a link in the entry of an address or prefix; an address is judged first. */
  #enter(host: Uint8Array, width: number, nowMs: number, limits: DosLimits): number {
    const words = this.#words;
    const bucket = this.#setKey(host, width);
    const { connectionsWatched, connectionsRefused } = limits;
    lock(words, LOCKS_AT + bucket, this.#worker);
    let verdict: number = ConnectVerdict.ADMITTED;
    let at = this.#find(bucket, width);
    if (at < 0) at = this.#claim(bucket, width, nowMs, limits);
    else if (width === HOST && connectionsWatched && connectionsRefused) {
      verdict = this.#verdictOn(at, width, nowMs, limits);
    }
    if (at < 0) this.noRoom++;
    else if (verdict === ConnectVerdict.ADMITTED) {
      this.handles[width - HOST] = at;
      words[at + COUNTS + this.#worker]! += 1;
      if (connectionsWatched) this.#noteConnect(at, SHARE[width]!, nowMs, limits);
    }
    unlock(words, LOCKS_AT + bucket, this.#worker);
    return verdict;
  }

  /** Take a token; the link that empties the bucket is let in, and marks the address for those that follow. */
  #noteConnect(at: number, share: number, nowMs: number, limits: DosLimits): void {
    const left = this.#take(at, CONNECT_TOKENS, limits.connectRate, limits.connectBurst, share, nowMs);
    const mark = this.#timeAt(at, CONNECT_MARK);
    if (left >= 1 || this.#times[mark]! > nowMs) return;
    this.#times[mark] = this.#markUntil(nowMs, limits.connectMarkMs);
    this.newMarks++;
  }

  /** Refill a token bucket by the time that passed, take one if there is one, and return what is left. */
  #take(at: number, which: number, rate: number, burst: number, share: number, nowMs: number): number {
    const tokens = Math.max(0, this.#level(at, which, rate, burst, share, nowMs) - 1);
    this.#tokens[at + which] = tokens;
    const time = this.#timeAt(at, which - CONNECT_TOKENS);
    // Another worker's turn may have begun a little later than ours.
    if (nowMs > this.#times[time]!) this.#times[time] = nowMs;
    return tokens;
  }

  #level(at: number, which: number, rate: number, burst: number, share: number, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#times[this.#timeAt(at, which - CONNECT_TOKENS)]!);
    return Math.min(burst * share, this.#tokens[at + which]! + (elapsedMs * rate * share) / 1000);
  }

  /** Queue kills that still count: they are forgotten after as long as a mark lasts. */
  #kills(at: number, nowMs: number, limits: DosLimits): number {
    const old = nowMs - this.#times[this.#timeAt(at, KILLED_AT)]! > limits.circuitMarkMs;
    return old ? 0 : this.#words[at + KILLS]!;
  }

  #markUntil(nowMs: number, markMs: number): number {
    return nowMs + markMs * (1 + this.#random() / 2);
  }

  /** Bring an address into 16-byte form, cut it to a width, and return its bucket. */
  #setKey(host: Uint8Array, width: number): number {
    assert(host.length === 4 || host.length === 16, 'dos table: an address has 4 or 16 bytes');
    const key = this.#key;
    if (host.length === 4) {
      key.fill(0, 0, 10);
      key[10] = 255;
      key[11] = 255;
      key.set(host, 12);
    } else {
      key.set(host);
      key.fill(0, PREFIX_BYTES[width]!);
    }
    const words = this.#words;
    return keyedHash(words[KEY0_WORD]!, words[KEY1_WORD]! ^ width, key) & (this.#buckets - 1);
  }

  #entry(bucket: number, way: number): number {
    return this.#entriesAt + (bucket * WAYS + way) * this.#entryWords;
  }

  #bucketOf(handle: number): number {
    return Math.floor((handle - this.#entriesAt) / (this.#entryWords * WAYS));
  }

  /** Index of one of an entry's times. */
  #timeAt(at: number, which: number): number {
    return ((at + TIMES) >> 1) + which;
  }

  #sum(at: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++) sum += this.#words[at + COUNTS + worker]!;
    return sum;
  }

  /** The entry of the address looked up, or -1. */
  #find(bucket: number, width: number): number {
    const words = this.#words;
    const key = this.#keyWords;
    for (let way = 0; way < WAYS; way++) {
      const at = this.#entry(bucket, way);
      if (
        words[at + WIDTH] === width &&
        words[at] === key[0] &&
        words[at + 1] === key[1] &&
        words[at + 2] === key[2] &&
        words[at + 3] === key[3]
      ) {
        return at;
      }
    }
    return -1;
  }

  /** Make an entry for the address looked up, in place of one that holds nothing, or least; -1 if none may go. */
  #claim(bucket: number, width: number, nowMs: number, limits: DosLimits): number {
    let best = -1;
    let bestRest = Number.NEGATIVE_INFINITY;
    for (let way = 0; way < WAYS && bestRest < 1; way++) {
      const at = this.#entry(bucket, way);
      const rest = this.#restedness(at, nowMs, limits);
      if (rest <= bestRest) continue;
      best = at;
      bestRest = rest;
    }
    if (best < 0) return -1;
    const words = this.#words;
    words[best + WIDTH] = UNUSED;
    words.set(this.#keyWords, best);
    words[best + KILLS] = 0;
    this.#tokens[best + CONNECT_TOKENS] = limits.connectBurst * SHARE[width]!;
    this.#tokens[best + CIRCUIT_TOKENS] = limits.circuitBurst * SHARE[width]!;
    const times = this.#timeAt(best, 0);
    this.#times[times + CONNECT_AT] = nowMs;
    this.#times[times + CIRCUIT_AT] = nowMs;
    this.#times[times + CONNECT_MARK] = 0;
    this.#times[times + CIRCUIT_MARK] = 0;
    this.#times[times + KILLED_AT] = 0;
    words[best + WIDTH] = width;
    return best;
  }

  /**
   * How little an entry holds: 1 nothing, less with a bucket that is not full yet, below 0 with queue kills. Minus
   * infinity with links or a mark: it may not go.
   */
  #restedness(at: number, nowMs: number, limits: DosLimits): number {
    const width = this.#words[at + WIDTH]!;
    if (width === UNUSED) return 1;
    const times = this.#timeAt(at, 0);
    const isMarked = this.#times[times + CONNECT_MARK]! > nowMs || this.#times[times + CIRCUIT_MARK]! > nowMs;
    if (isMarked || this.#sum(at) > 0) return Number.NEGATIVE_INFINITY;
    const share = SHARE[width]!;
    const { connectRate, connectBurst, circuitRate, circuitBurst } = limits;
    const connect =
      this.#level(at, CONNECT_TOKENS, connectRate, connectBurst, share, nowMs) / (connectBurst * share);
    const circuit =
      this.#level(at, CIRCUIT_TOKENS, circuitRate, circuitBurst, share, nowMs) / (circuitBurst * share);
    return Math.min(connect, circuit) - (this.#kills(at, nowMs, limits) > 0 ? 1 : 0);
  }
}

function fresh(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
}

/** Counts keep entries at even words, for the sake of the times. */
function entryWords(workers: number): number {
  return (COUNTS + workers + 1) & ~1;
}

function entriesAt(buckets: number): number {
  return (LOCKS_AT + buckets + 1) & ~1;
}

/** Whether an address is IPv6 and no IPv4 address in IPv6 form. */
function isPlainIpv6(host: Uint8Array): boolean {
  if (host.length === 4) return false;
  for (let i = 0; i < 10; i++) if (host[i] !== 0) return true;
  return host[10] !== 255 || host[11] !== 255;
}
