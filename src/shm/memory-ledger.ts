/**
 * @hot The memory that fills when peers do not read, over all workers: who holds how much of what, and how old it is.
 *
 * Each worker writes its own row, plainly: a gauge per kind of memory, and, while memory is scarce, how many bytes
 * the queues hold that have waited longest. Anyone reads all rows, so any worker can tell what the process holds and
 * which queues have to go, and all come to the same answer without waiting for each other. Numbers are 64-bit floats
 * in aligned words, which 64-bit machines load and store whole; they count exactly up to 2^53. The last row is the
 * main thread's.
 */

import { assert } from '../fault.ts';

/** What is counted, in column order. */
export const MEMORY_NAMES = [
  // Chunks of waiting cells, with what links them.
  'cells',
  // Staging buffers of channels, lent or kept.
  'staging',
  // Buffers of cells that a chunk cut in two, lent or kept.
  'carries',
  // Bytes of links that are not open yet.
  'handshakes',
  // Onion handshakes that wait for their turn.
  'onions',
  // CREATE2 bodies and control messages that wait for a link or a ring.
  'extends',
  // Our half of the rings between workers.
  'rings',
  'streams',
  'compression',
  'caches',
  // Messages of conflux sets that wait for those before them, or for a ring.
  'conflux',
  // Cached answers of nameservers, and lookups under way.
  'dns',
  // Directory documents that workers answer from, of all generations that are read still.
  'shelf',
] as const;

export type MemoryName = (typeof MEMORY_NAMES)[number];

/** Column of each kind, by name: `Memory.cells`. */
export const Memory: Readonly<Record<MemoryName, number>> = Object.freeze(
  Object.fromEntries(MEMORY_NAMES.map((name, column) => [name, column])) as Record<MemoryName, number>,
);

/** Words of a row, all 64-bit: gauges, their sum, the part of it that is free for reuse, then the oldest queues. */
const TOTAL_WORD = 16;
const SPARE_WORD = 17;
const COUNT_WORD = 18;
const OFFER_AT = 24;
/** Steps in which a worker tells how much its oldest queues hold. */
export const OFFER_STEPS = 64;
const ROW_WORDS = OFFER_AT + 2 * OFFER_STEPS;
/** The process's word: queues are being ended. A cache line of its own. */
const HEAD_WORDS = 8;

assert(MEMORY_NAMES.length <= TOTAL_WORD, 'memory ledger: more kinds than columns');

/** One thread's view of the ledger. */
export class MemoryLedger {
  readonly workers: number;
  readonly #cells: Float64Array;
  readonly #flag: Int32Array;
  readonly #row: number;
  /** Where each row's steps are read while `cutoff` merges them. */
  readonly #cursors: Int32Array;

  /** Bytes of shared memory for so many workers and the main thread. */
  static bytes(workers: number): number {
    return (HEAD_WORDS + (workers + 1) * ROW_WORDS) * 8;
  }

  /** Make an empty ledger. */
  static create(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(MemoryLedger.bytes(workers));
  }

  /** @param worker whose row we write: a worker's number, or the number of workers for the main thread. */
  constructor(sab: SharedArrayBuffer, worker: number) {
    this.#cells = new Float64Array(sab);
    this.#flag = new Int32Array(sab, 0, 1);
    this.workers = (this.#cells.length - HEAD_WORDS) / ROW_WORDS - 1;
    assert(worker >= 0 && worker <= this.workers, 'memory ledger: no row for this worker');
    this.#row = HEAD_WORDS + worker * ROW_WORDS;
    this.#cursors = new Int32Array(this.workers + 1);
  }

  /** Set one of our gauges, in bytes. */
  set(memory: number, bytes: number): void {
    const cells = this.#cells;
    const at = this.#row + memory;
    const grown = bytes - cells[at]!;
    if (grown === 0) return;
    cells[at] = bytes;
    cells[this.#row + TOTAL_WORD]! += grown;
  }

  /** Say how much of what our gauges count is free for reuse by ourselves. */
  setSpare(bytes: number): void {
    this.#cells[this.#row + SPARE_WORD] = bytes;
  }

  /** Bytes of one kind that one worker holds. */
  of(worker: number, memory: number): number {
    return this.#cells[HEAD_WORDS + worker * ROW_WORDS + memory]!;
  }

  /** Bytes of one kind that the process holds. */
  kind(memory: number): number {
    let sum = 0;
    for (let worker = 0; worker <= this.workers; worker++) sum += this.of(worker, memory);
    return sum;
  }

  /** Bytes that the process holds. */
  held(): number {
    return this.kind(TOTAL_WORD);
  }

  /** Bytes of them that are filled: what the limit is held against. */
  filled(): number {
    return this.kind(TOTAL_WORD) - this.kind(SPARE_WORD);
  }

  /** Bytes that one worker has filled. */
  filledBy(worker: number): number {
    return this.of(worker, TOTAL_WORD) - this.of(worker, SPARE_WORD);
  }

  /** Whether queues are being ended until memory is below the low mark. */
  get isReclaiming(): boolean {
    return Atomics.load(this.#flag, 0) === 1;
  }

  /** Begin to end queues. True for the one caller who began it. */
  beginReclaiming(): boolean {
    return Atomics.compareExchange(this.#flag, 0, 0, 1) === 0;
  }

  /** Memory is below the low mark. */
  endReclaiming(): void {
    Atomics.store(this.#flag, 0, 0);
  }

  /** Tell of our oldest queues: steps 0 to `count` - 1, as `setStep` wrote them, in order of age. */
  offer(count: number): void {
    this.#cells[this.#row + COUNT_WORD] = count;
  }

  /** Write a step of the next offer: `bytes` more wait in queues whose oldest cell came at `sinceMs` or before. */
  setStep(step: number, sinceMs: number, bytes: number): void {
    const at = this.#row + OFFER_AT + 2 * step;
    this.#cells[at] = sinceMs;
    this.#cells[at + 1] = bytes;
  }

  /**
   * Which queues have to go for `excess` bytes to come free: those whose oldest cell came at this time or before, in
   * all workers. If all that is offered does not suffice: all that is offered. Minus infinity when nothing is.
   */
  cutoff(excess: number): number {
    const cells = this.#cells;
    const cursors = this.#cursors.fill(0);
    let freed = 0;
    let cutoff = Number.NEGATIVE_INFINITY;
    while (freed < excess) {
      let oldest = Number.POSITIVE_INFINITY;
      let from = -1;
      for (let worker = 0; worker <= this.workers; worker++) {
        const row = HEAD_WORDS + worker * ROW_WORDS;
        const step = cursors[worker]!;
        if (step >= Math.min(cells[row + COUNT_WORD]!, OFFER_STEPS)) continue;
        const sinceMs = cells[row + OFFER_AT + 2 * step]!;
        if (sinceMs >= oldest) continue;
        oldest = sinceMs;
        from = worker;
      }
      if (from < 0) return cutoff;
      freed += cells[HEAD_WORDS + from * ROW_WORDS + OFFER_AT + 2 * cursors[from]! + 1]!;
      cursors[from] = cursors[from]! + 1;
      cutoff = oldest;
    }
    return cutoff;
  }

  /** Forget what a dead worker held. */
  dropWorker(worker: number): void {
    const from = HEAD_WORDS + worker * ROW_WORDS;
    this.#cells.fill(0, from, from + ROW_WORDS);
  }
}
