/**
 * Coarse timers for one thread: idle links, handshake deadlines, rotations.
 *
 * Setting, cancelling and firing cost a few array writes however many timers there are, because a relay sets far
 * more timeouts than ever fire. Time is cut into ticks. Five levels of 32 lists hold the timers by the highest
 * digit (base 32) in which their tick differs from the cursor's; when the cursor enters a list's range, the list
 * moves one or more levels down, and a timer fires from level 0. What is further away than 32^5 ticks waits in
 * one list more. The caller passes the time in, so a virtual clock drives it as well.
 *
 * Invariants: a timer never fires before its time, and at most one tick plus the caller's own delay after it;
 * timers fire in order of their ticks, within a tick in the order in which they were set; a timer set while
 * timers are firing waits for a later `advance`, so that `advance` always ends.
 */

import { assert } from '../fault.ts';

/** What is called when a timer is due. `arg` is what was passed to `schedule`, e.g. a slot number. */
export interface TimerTarget {
  onTimer(arg: number, nowMs: number): void;
}

/** Names one timer, and no later one in its place; 0 is never a timer. */
export type Timer = number;
export const NO_TIMER: Timer = 0;

const LEVELS = 5;
const DIGIT_BITS = 5;
const DIGITS = 1 << DIGIT_BITS;
/** Ticks that the levels span. */
const SPAN = 2 ** (LEVELS * DIGIT_BITS);
const FAR_LIST = LEVELS * DIGITS;
const NONE = -1;
const INDEX_SPAN = 2 ** 24;
const FIRST_CAPACITY = 64;

class FunctionTarget implements TimerTarget {
  readonly #fn: (nowMs: number) => void;
  constructor(fn: (nowMs: number) => void) {
    this.#fn = fn;
  }
  onTimer(_arg: number, nowMs: number): void {
    this.#fn(nowMs);
  }
}

export class TimerWheel {
  readonly #tickMs: number;
  readonly #startMs: number;
  #nowMs: number;
  /** The next tick that has not been fired. */
  #cursor = 0;
  /** No timer may be due before this tick: the cursor, or past the ticks being fired. */
  #earliest = 0;
  #firing = false;
  #count = 0;

  /** Lists: first and last row of each, and per level a bitmap of lists that are not empty. */
  readonly #first = new Int32Array(FAR_LIST + 1).fill(NONE);
  readonly #last = new Int32Array(FAR_LIST + 1).fill(NONE);
  readonly #occupied = new Uint32Array(LEVELS);

  /** Rows: one per timer. A free row's `next` links the free rows, its `list` is NONE. */
  #tick = new Float64Array(FIRST_CAPACITY);
  #arg = new Float64Array(FIRST_CAPACITY);
  #generation = new Uint32Array(FIRST_CAPACITY).fill(1);
  #list = new Int32Array(FIRST_CAPACITY).fill(NONE);
  #next = new Int32Array(FIRST_CAPACITY).fill(NONE);
  #prev = new Int32Array(FIRST_CAPACITY).fill(NONE);
  readonly #target: (TimerTarget | null)[] = [];
  #free = NONE;

  /** @param tickMs length of a tick; @param nowMs the time now, by the clock that `advance` will use. */
  constructor(tickMs: number, nowMs: number) {
    assert(tickMs > 0, 'timer wheel: tick must be positive');
    this.#tickMs = tickMs;
    this.#startMs = nowMs;
    this.#nowMs = nowMs;
  }

  /** How many timers are set. */
  get size(): number {
    return this.#count;
  }

  /** Call `target.onTimer(arg, nowMs)` at the first `advance` at or after `atMs`. Allocates nothing but growth. */
  schedule(atMs: number, target: TimerTarget, arg = 0): Timer {
    const row = this.#takeRow();
    const tick = Math.ceil((atMs - this.#startMs) / this.#tickMs);
    this.#tick[row] = Math.max(tick, this.#earliest);
    this.#arg[row] = arg;
    this.#target[row] = target;
    this.#place(row);
    this.#count++;
    return this.#generation[row]! * INDEX_SPAN + row;
  }

  /** Call a function once, `delayMs` after the last `advance`. For code that is not hot. */
  after(delayMs: number, fn: (nowMs: number) => void): Timer {
    return this.schedule(this.#nowMs + delayMs, new FunctionTarget(fn));
  }

  /** Take a timer back. Returns false if it has fired, was cancelled, or is NO_TIMER. */
  cancel(timer: Timer): boolean {
    const row = timer % INDEX_SPAN;
    if (timer === NO_TIMER || row >= this.#target.length) return false;
    if (this.#generation[row] !== (timer - row) / INDEX_SPAN || this.#list[row] === NONE) return false;
    this.#unlink(row);
    this.#freeRow(row);
    return true;
  }

  /**
   * Fire what is due at `nowMs`. Returns how many fired. A target that throws ends the call; the others fire at
   * the next one. Not to be called by a target.
   */
  advance(nowMs: number): number {
    assert(!this.#firing, 'timer wheel: advance called from a timer');
    if (nowMs > this.#nowMs) this.#nowMs = nowMs;
    const last = Math.floor((this.#nowMs - this.#startMs) / this.#tickMs);
    if (last < this.#cursor) return 0;
    let fired = 0;
    this.#firing = true;
    this.#earliest = last + 1;
    try {
      for (let at = this.#nextTick(); at <= last; at = this.#nextTick()) {
        this.#moveCursor(at);
        const list = at % DIGITS;
        for (let row = this.#first[list]!; row !== NONE; row = this.#first[list]!) {
          const target = this.#target[row]!;
          const arg = this.#arg[row]!;
          this.#unlink(row);
          this.#freeRow(row);
          fired++;
          target.onTimer(arg, this.#nowMs);
        }
      }
      this.#moveCursor(last + 1);
    } finally {
      this.#firing = false;
    }
    return fired;
  }

  /** First tick at which a timer fires or a list must move down; infinity if there is none. */
  #nextTick(): number {
    let digitTicks = 1;
    for (let level = 0; level < LEVELS; level++) {
      const digit = Math.floor(this.#cursor / digitTicks) % DIGITS;
      const ahead = (this.#occupied[level]! >>> digit) << digit;
      if (ahead !== 0) {
        const found = 31 - Math.clz32(ahead & -ahead);
        const blockTicks = digitTicks * DIGITS;
        return Math.floor(this.#cursor / blockTicks) * blockTicks + found * digitTicks;
      }
      digitTicks *= DIGITS;
    }
    if (this.#first[FAR_LIST] === NONE) return Number.POSITIVE_INFINITY;
    return (Math.floor(this.#cursor / SPAN) + 1) * SPAN;
  }

  /** Move the cursor up to a tick before which nothing is due, and spread the lists whose range it enters. */
  #moveCursor(tick: number): void {
    const farBefore = Math.floor(this.#cursor / SPAN);
    this.#cursor = tick;
    if (!this.#firing || tick > this.#earliest) this.#earliest = tick;
    if (Math.floor(tick / SPAN) !== farBefore) this.#spread(FAR_LIST);
    let digitTicks = SPAN / DIGITS;
    for (let level = LEVELS - 1; level > 0; level--) {
      this.#spread(level * DIGITS + (Math.floor(tick / digitTicks) % DIGITS));
      digitTicks /= DIGITS;
    }
  }

  /** Place every timer of a list anew, in order. */
  #spread(list: number): void {
    let row = this.#first[list]!;
    if (row === NONE) return;
    this.#first[list] = NONE;
    this.#last[list] = NONE;
    if (list < FAR_LIST) this.#occupied[list >> DIGIT_BITS]! &= ~(1 << (list & (DIGITS - 1)));
    while (row !== NONE) {
      const next = this.#next[row]!;
      this.#place(row);
      row = next;
    }
  }

  /** Append a row to the list where its tick belongs as seen from the cursor. */
  #place(row: number): void {
    const list = this.#listOf(this.#tick[row]!);
    const last = this.#last[list]!;
    this.#list[row] = list;
    this.#prev[row] = last;
    this.#next[row] = NONE;
    if (last === NONE) this.#first[list] = row;
    else this.#next[last] = row;
    this.#last[list] = row;
    if (list < FAR_LIST) this.#occupied[list >> DIGIT_BITS]! |= 1 << (list & (DIGITS - 1));
  }

  #listOf(tick: number): number {
    if (Math.floor(tick / SPAN) !== Math.floor(this.#cursor / SPAN)) return FAR_LIST;
    const near = tick % SPAN;
    const differs = near ^ (this.#cursor % SPAN);
    const level = differs === 0 ? 0 : Math.floor((31 - Math.clz32(differs)) / DIGIT_BITS);
    return level * DIGITS + ((near >>> (level * DIGIT_BITS)) & (DIGITS - 1));
  }

  #unlink(row: number): void {
    const list = this.#list[row]!;
    const prev = this.#prev[row]!;
    const next = this.#next[row]!;
    if (prev === NONE) this.#first[list] = next;
    else this.#next[prev] = next;
    if (next === NONE) this.#last[list] = prev;
    else this.#prev[next] = prev;
    if (this.#first[list] === NONE && list < FAR_LIST) {
      this.#occupied[list >> DIGIT_BITS]! &= ~(1 << (list & (DIGITS - 1)));
    }
  }

  #takeRow(): number {
    let row = this.#free;
    if (row !== NONE) {
      this.#free = this.#next[row]!;
      return row;
    }
    row = this.#target.length;
    assert(row < INDEX_SPAN, 'timer wheel: too many timers');
    if (row === this.#tick.length) this.#grow();
    this.#target.push(null);
    return row;
  }

  #freeRow(row: number): void {
    this.#target[row] = null;
    this.#list[row] = NONE;
    // A handle must stay a safe integer: 28 bits of generation over 24 of index.
    const generation = this.#generation[row]! + 1;
    this.#generation[row] = generation < 2 ** 28 ? generation : 1;
    this.#next[row] = this.#free;
    this.#free = row;
    this.#count--;
  }

  #grow(): void {
    const capacity = this.#tick.length * 2;
    this.#tick = copyInto(new Float64Array(capacity), this.#tick);
    this.#arg = copyInto(new Float64Array(capacity), this.#arg);
    this.#generation = copyInto(new Uint32Array(capacity).fill(1), this.#generation);
    this.#list = copyInto(new Int32Array(capacity).fill(NONE), this.#list);
    this.#next = copyInto(new Int32Array(capacity).fill(NONE), this.#next);
    this.#prev = copyInto(new Int32Array(capacity).fill(NONE), this.#prev);
  }
}

function copyInto<T extends Float64Array | Int32Array | Uint32Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
