/**
 * @hot Counters of the whole process: one row per worker, one column per name.
 *
 * A worker adds to its own row only, plainly; anyone may read any row. A number is a 64-bit float in an aligned
 * word, which 64-bit machines load and store whole, and it counts exactly up to 2^53. A worker that is restarted
 * goes on in its predecessor's row, so totals never fall. The last row is the main thread's.
 */

import { assert } from '../fault.ts';
import { COUNTER_NAMES, counterByName } from './counter.ts';

export { COUNTER_NAMES, Counter, type CounterName, counterByName } from './counter.ts';

/** A row is a whole number of cache lines, so that two workers never write one line. */
const ROW_WORDS = Math.ceil(COUNTER_NAMES.length / 8) * 8;

export class Scoreboard {
  /** Number of workers; row `workers` is the main thread's. */
  readonly workers: number;
  readonly #cells: Float64Array;
  readonly #row: number;

  /** Bytes of shared memory for `workers` workers and the main thread. */
  static bytes(workers: number): number {
    return (workers + 1) * ROW_WORDS * 8;
  }

  /** Make the shared rows, all zero. */
  static create(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Scoreboard.bytes(workers));
  }

  /** @param worker whose row `add` writes: a worker's number, or the number of workers for the main thread. */
  constructor(sab: SharedArrayBuffer, worker: number) {
    this.#cells = new Float64Array(sab);
    this.workers = this.#cells.length / ROW_WORDS - 1;
    assert(worker >= 0 && worker <= this.workers, 'scoreboard: no row for this worker');
    this.#row = worker * ROW_WORDS;
  }

  /** Add to our row. */
  add(counter: number, n: number): void {
    this.#cells[this.#row + counter]! += n;
  }

  /** Add one by name, for violations and other seldom things. @throws Bug on an unknown name. */
  bump(name: string): void {
    this.#cells[this.#row + counterByName(name)]! += 1;
  }

  /** Read one worker's count. */
  of(worker: number, counter: number): number {
    return this.#cells[worker * ROW_WORDS + counter]!;
  }

  /** Read the count of the whole process. */
  total(counter: number): number {
    let sum = 0;
    for (let at = counter; at < this.#cells.length; at += ROW_WORDS) sum += this.#cells[at]!;
    return sum;
  }
}
