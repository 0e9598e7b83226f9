/**
 * The token buckets of the whole process, and who is next when they are empty.
 *
 * One bucket for reading and one for writing of everything, and the same again for what is relayed. A level is a
 * number of bytes in one shared word; it is spent with one atomic subtraction and may go into debt. The buckets are
 * refilled by whoever comes first: the one who moves the shared time on adds what the time between is worth.
 *
 * Whoever finds a bucket empty waits in a line that all workers share. A place in the line is the sum of bytes that
 * those before it wanted, so that "the bucket holds enough for all up to me" is one comparison. Each worker keeps its
 * own waiting channels in order and shows the place of the first; one that shows nothing new for a while (it hangs, or
 * died) is not waited for. Races make a bucket overdrawn by what one more write or chunk brings, and never lose a token
 * for long. Nothing here blocks.
 */

/** The two directions; buckets and lines come in pairs. */
export const READ = 0;
export const WRITE = 1;

/** Seldom refills keep what is lost by rounding small: less than a byte each. */
const REFILL_MS = 4;
/** A worker that has not shown its first place for so long does not hold up the others. */
const STALE_MS = 100;
/** Places in a line count bytes in this unit, so that signed differences hold for any line. */
const PLACE_BYTES = 256;
/** No debt grows past this, so that a level cannot wrap. */
const DEBT_MOST = -(2 ** 30);

const TIME = 0;
/** All reading, all writing, relayed reading, relayed writing. */
const LEVELS = 1;
const RELAYED = 2;
const RATES = 5;
const BURSTS = 7;
/** On a cache line of their own. */
const NEXT_PLACES = 16;
const WORKERS = 32;
const WORKER_WORDS = 16;
/** Per direction: when last shown (0: nobody waits), the first place, how many wait. */
const SLOT_WORDS = 3;

/** What is allowed, in bytes per second and bytes. A relayed rate of 0 is no limit of its own. */
export interface BandwidthLimits {
  readonly bandwidthRate: number;
  readonly bandwidthBurst: number;
  readonly relayBandwidthRate: number;
  readonly relayBandwidthBurst: number;
}

/** How many bytes those between two places of a line want; negative when `place` comes before `front`. */
export function bytesBetween(front: number, place: number): number {
  return ((place - front) | 0) * PLACE_BYTES;
}

/** A thread's view of the buckets. */
export class Bandwidth {
  private readonly words: Int32Array;
  private readonly workers: number;

  /** Make the shared words: no limits known yet, buckets empty. `nowMs` is the monotonic clock of all threads. */
  static create(workers: number, nowMs: number): SharedArrayBuffer {
    const sab = new SharedArrayBuffer((WORKERS + workers * WORKER_WORDS) * 4);
    new Int32Array(sab)[TIME] = Math.floor(nowMs) | 0;
    return sab;
  }

  constructor(sab: SharedArrayBuffer) {
    this.words = new Int32Array(sab);
    this.workers = (this.words.length - WORKERS) / WORKER_WORDS;
  }

  /**
   * Set the limits; they hold in all threads at once. Buckets that had no limit before start full. What a bucket holds
   * is cut to its new burst, and what it owes to one second of the new rate.
   */
  setLimits(limits: BandwidthLimits): void {
    this.setPair(0, limits.bandwidthRate, limits.bandwidthBurst);
    this.setPair(1, limits.relayBandwidthRate, limits.relayBandwidthBurst);
  }

  private setPair(pair: number, rate: number, burst: number): void {
    const { words } = this;
    const wasOff = Atomics.load(words, RATES + pair) === 0;
    Atomics.store(words, BURSTS + pair, burst);
    Atomics.store(words, RATES + pair, rate);
    for (let i = 0; i < 2; i++) {
      const at = LEVELS + pair * RELAYED + i;
      for (;;) {
        const level = Atomics.load(words, at);
        const next = wasOff ? burst : Math.max(Math.min(level, burst), -rate);
        if (Atomics.compareExchange(words, at, level, next) === level) break;
      }
    }
  }

  /** The lower of the two rates, in bytes per second. */
  get rate(): number {
    const relayed = Atomics.load(this.words, RATES + 1);
    const all = Atomics.load(this.words, RATES);
    return relayed === 0 ? all : Math.min(all, relayed);
  }

  /** Add what the time since the last refill, by anyone, is worth. */
  refill(nowMs: number): void {
    const { words } = this;
    const now = Math.floor(nowMs) | 0;
    const last = Atomics.load(words, TIME);
    const elapsedMs = (now - last) | 0;
    if (elapsedMs < REFILL_MS) return;
    if (Atomics.compareExchange(words, TIME, last, now) !== last) return;
    this.refillPair(0, elapsedMs);
    this.refillPair(1, elapsedMs);
  }

  private refillPair(pair: number, elapsedMs: number): void {
    const { words } = this;
    const rate = Atomics.load(words, RATES + pair);
    if (rate === 0) return;
    const burst = Atomics.load(words, BURSTS + pair);
    const bytes = Math.floor((elapsedMs * rate) / 1000);
    for (let at = LEVELS + pair * RELAYED, end = at + 2; at < end; at++) {
      for (;;) {
        const level = Atomics.load(words, at);
        if (level >= burst) break;
        const next = Math.min(level + bytes, burst);
        if (Atomics.compareExchange(words, at, level, next) === level) break;
      }
    }
  }

  /** Spend bytes that were, or are being, relayed: they count as relayed and in all. */
  spend(direction: number, bytes: number): void {
    this.spendTotal(direction, bytes);
    if (Atomics.load(this.words, RATES + 1) !== 0) this.take(LEVELS + RELAYED + direction, bytes);
  }

  /** Spend bytes of our own traffic, which only the limit of everything counts. */
  spendTotal(direction: number, bytes: number): void {
    this.take(LEVELS + direction, bytes);
  }

  private take(at: number, bytes: number): void {
    if (Atomics.load(this.words, at) > DEBT_MOST) Atomics.sub(this.words, at, Math.min(bytes, -DEBT_MOST));
  }

  /** What relayed traffic may still move in this direction; negative is debt. */
  level(direction: number): number {
    const all = this.totalLevel(direction);
    if (Atomics.load(this.words, RATES + 1) === 0) return all;
    return Math.min(all, Atomics.load(this.words, LEVELS + RELAYED + direction));
  }

  /** What all traffic may still move in this direction. */
  totalLevel(direction: number): number {
    return Atomics.load(this.words, LEVELS + direction);
  }

  /** Join the line of a direction. Returns the place, for `ahead`. */
  join(direction: number, bytes: number): number {
    return Atomics.add(this.words, NEXT_PLACES + direction, Math.ceil(bytes / PLACE_BYTES));
  }

  /** The foremost place that another living worker shows; null when none waits. */
  othersFront(direction: number, worker: number, nowMs: number): number | null {
    const now = Math.floor(nowMs) | 0;
    let front: number | null = null;
    for (let other = 0; other < this.workers; other++) {
      if (other === worker || !this.waits(direction, other, now)) continue;
      const theirs = Atomics.load(this.words, this.slotOf(direction, other) + 1);
      if (front === null || bytesBetween(theirs, front) > 0) front = theirs;
    }
    return front;
  }

  /** How many other workers' channels are in this line. */
  othersWaiting(direction: number, worker: number, nowMs: number): number {
    const now = Math.floor(nowMs) | 0;
    let count = 0;
    for (let other = 0; other < this.workers; other++) {
      if (other === worker || !this.waits(direction, other, now)) continue;
      count += Atomics.load(this.words, this.slotOf(direction, other) + 2);
    }
    return count;
  }

  private waits(direction: number, worker: number, now: number): boolean {
    const stamp = Atomics.load(this.words, this.slotOf(direction, worker));
    return stamp !== 0 && ((now - stamp) | 0) < STALE_MS;
  }

  /** Show the place of our first in line, how many of ours there are, and that we are alive. */
  show(direction: number, worker: number, place: number, count: number, nowMs: number): void {
    const at = this.slotOf(direction, worker);
    Atomics.store(this.words, at + 2, count);
    Atomics.store(this.words, at + 1, place);
    Atomics.store(this.words, at, Math.floor(nowMs) | 0 || 1);
  }

  /** None of ours waits any more. */
  leave(direction: number, worker: number): void {
    Atomics.store(this.words, this.slotOf(direction, worker), 0);
  }

  /**
   * Forget the places of a dead worker. They are not waited for in any case; but the clock of milliseconds wraps, and
   * then a stamp that nobody renewed would look fresh, for weeks.
   */
  dropWorker(dead: number): void {
    this.leave(READ, dead);
    this.leave(WRITE, dead);
  }

  private slotOf(direction: number, worker: number): number {
    return WORKERS + worker * WORKER_WORDS + direction * SLOT_WORDS;
  }
}
