/**
 * Locks in shared memory, held for microseconds by one thread at a time.
 *
 * The lock word holds the holder's number plus one, so that the lock of a thread that died can be told from one
 * that is in use and be freed. Threads are numbered as in the scoreboard: workers from 0, main last. Whoever
 * takes a lock leaves the data behind it valid after every single store, because it may die between two of them.
 * Locks are not re-entrant.
 */

import { assert, Bug } from '../fault.ts';

const FREE = 0;
const SPINS = 2_000;
const NAP_MS = 1;
/** Nobody holds a lock so long; a worker that waits longer would rather be restarted than stand still. */
const PATIENCE_MS = 10_000;

/** Take a lock. @throws Bug when it isn't free within ten seconds. */
export function lock(words: Int32Array, at: number, thread: number): void {
  if (!tryLock(words, at, thread, PATIENCE_MS)) throw new Bug('a shared lock was held for ten seconds');
}

/** Take a lock if it comes free within `patienceMs`. Returns whether we hold it. */
export function tryLock(words: Int32Array, at: number, thread: number, patienceMs: number): boolean {
  const mine = thread + 1;
  for (let spin = 0; spin < SPINS; spin++) {
    const holder = Atomics.compareExchange(words, at, FREE, mine);
    if (holder === FREE) return true;
    assert(holder !== mine, 'a shared lock is taken twice by one thread');
  }
  // The holder was scheduled away: sleep until it lets go, a millisecond at most, and look again.
  const untilMs = performance.now() + patienceMs;
  while (performance.now() < untilMs) {
    const holder = Atomics.compareExchange(words, at, FREE, mine);
    if (holder === FREE) return true;
    Atomics.wait(words, at, holder, NAP_MS);
  }
  return Atomics.compareExchange(words, at, FREE, mine) === FREE;
}

/** Let a lock go. */
export function unlock(words: Int32Array, at: number, thread: number): void {
  const was = Atomics.exchange(words, at, FREE);
  // The lock may have been taken from us only if someone believed us dead.
  assert(was === thread + 1, 'a shared lock was let go by a thread that did not hold it');
}

/** Free `count` locks from `at` on, `stride` words apart, as far as a dead thread holds them. Returns how many. */
export function freeLocksOf(
  words: Int32Array,
  at: number,
  count: number,
  stride: number,
  dead: number,
): number {
  let freed = 0;
  for (let i = 0; i < count; i++) {
    if (Atomics.compareExchange(words, at + i * stride, dead + 1, FREE) === dead + 1) freed++;
  }
  return freed;
}
