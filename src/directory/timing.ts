/**
 * The clock and the timers that the directory room lives by, passed in so that tests own the time.
 *
 * Documents are dated by the wall clock; waits are measured by a clock that never jumps.
 */

import { monotonicMs, wallMs } from '../time/clock.ts';

/** Undo a timer; harmless when it has fired. */
export type CancelTimer = () => void;

/** Time, as the room sees it. */
export interface Timing {
  /** Seconds since 1970, whole. */
  nowSec(): number;
  /** Milliseconds on a clock that only moves forward. */
  nowMs(): number;
  /** Call `run` once, `delayMs` from now. */
  after(delayMs: number, run: () => void): CancelTimer;
}

/** Make the real thing. */
export function systemTiming(): Timing {
  return {
    nowSec: () => Math.floor(wallMs() / 1000),
    nowMs: () => monotonicMs(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

/** Uniform random number in [0, 1). */
export type RandomUnit = () => number;

/** Pick a whole number from `low` up to, not including, `high`; `low` when the range is empty. */
export function pickBetween(random: RandomUnit, low: number, high: number): number {
  return high <= low ? low : low + Math.floor(random() * (high - low));
}

/**
 * Waits that grow with each failure, at random: the next one lies between `baseMs` and three times the last.
 *
 * @source dir-spec "Retry delays" (decorrelated jitter)
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: RandomUnit;
  #lastMs = 0;
  failures = 0;

  constructor(baseMs: number, capMs: number, random: RandomUnit) {
    this.#baseMs = Math.max(1, baseMs);
    this.#capMs = Math.max(this.#baseMs, capMs);
    this.#random = random;
  }

  /** Note a failure and say how long to wait, in milliseconds. */
  fail(): number {
    this.failures++;
    const high = Math.max(this.#baseMs + 1, this.#lastMs * 3);
    this.#lastMs = Math.min(this.#capMs, pickBetween(this.#random, this.#baseMs, high));
    return this.#lastMs;
  }

  /** Forget the failures. */
  reset(): void {
    this.failures = 0;
    this.#lastMs = 0;
  }
}
