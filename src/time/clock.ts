/**
 * One clock for all threads.
 *
 * `performance.now` starts near zero in every Worker, so ages would not compare across them. Each thread reads
 * CLOCK_MONOTONIC once and from then on adds the difference: reading stays a few nanoseconds, and a time that one
 * worker stored in shared memory means the same in another. Everything with a deadline uses this clock; it never
 * jumps, and it stands still while the machine is suspended. Wall time is for documents and certificates only,
 * and `WallJump` notices when it was stepped.
 */

import { clockMonotonicMs } from '../libc.ts';

/** A thread's way to the common clock: its own fast clock plus a constant. */
export type MonotonicClock = () => number;

const CALIBRATION_TRIES = 8;

/**
 * Tie a thread-local clock to a common one. The common clock is read between two readings of the local one, a
 * few times, and the tightest pair counts, so that being scheduled away in between does no harm.
 * @param localMs fast clock of this thread; @param commonMs slow clock that all threads share
 */
export function calibrate(localMs: MonotonicClock, commonMs: MonotonicClock): MonotonicClock {
  let tightestMs = Number.POSITIVE_INFINITY;
  let offsetMs = 0;
  for (let i = 0; i < CALIBRATION_TRIES; i++) {
    const before = localMs();
    const common = commonMs();
    const after = localMs();
    if (after - before < tightestMs) {
      tightestMs = after - before;
      offsetMs = common - (before + after) / 2;
    }
  }
  return () => localMs() + offsetMs;
}

const threadClock = calibrate(() => performance.now(), clockMonotonicMs);

/** Milliseconds of CLOCK_MONOTONIC, with fraction; compares across threads of this process. */
export function monotonicMs(): number {
  return threadClock();
}

/** Milliseconds since 1970 by the wall clock. For documents and certificates, never for deadlines. */
export function wallMs(): number {
  return Date.now();
}

/** Seconds since 1970, whole. */
export function wallSec(): number {
  return Math.floor(wallMs() / 1000);
}

/** The time of a batch: read once when the batch starts, the same for everything done in it. */
export class BatchClock {
  /** The last reading. */
  nowMs: number;
  readonly #clock: MonotonicClock;

  constructor(clock: MonotonicClock = monotonicMs) {
    this.#clock = clock;
    this.nowMs = clock();
  }

  /** Take a new reading, never below the last one. */
  read(): number {
    const nowMs = this.#clock();
    if (nowMs > this.nowMs) this.nowMs = nowMs;
    return this.nowMs;
  }
}

/** How far wall and monotonic time may drift apart between two looks before it counts as a jump. */
const JUMP_MS = 5_000;

/** Notices that the wall clock was stepped, or that the machine slept. */
export class WallJump {
  readonly #wall: () => number;
  readonly #monotonic: MonotonicClock;
  readonly #thresholdMs: number;
  #baseMs: number;

  constructor(
    wall: () => number = wallMs,
    monotonic: MonotonicClock = monotonicMs,
    thresholdMs: number = JUMP_MS,
  ) {
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#thresholdMs = thresholdMs;
    this.#baseMs = wall() - monotonic();
  }

  /**
   * Compare the clocks. Returns by how many ms the wall clock moved against the monotonic one since the last jump
   * (or since the start), positive if it went ahead; null while that is less than the threshold. A jump is told once.
   */
  notice(): number | null {
    const base = this.#wall() - this.#monotonic();
    const movedMs = base - this.#baseMs;
    if (Math.abs(movedMs) < this.#thresholdMs) return null;
    this.#baseMs = base;
    return movedMs;
  }
}

const threadJump = new WallJump();

/** Tell this thread of a jump of the wall clock since the last call: ms, or null. See `WallJump.notice`. */
export function noticeJump(): number | null {
  return threadJump.notice();
}
