/** A clock that stands still until told, for the directory room's tests. */

import type { Timing } from '../../src/directory/timing.ts';

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualTime implements Timing {
  #ms: number;
  readonly #startMs: number;
  #jumpSec = 0;
  #order = 0;
  #due: Due[] = [];

  constructor(startSec: number) {
    this.#ms = startSec * 1000;
    this.#startMs = this.#ms;
  }

  nowSec(): number {
    return Math.floor(this.#ms / 1000) + this.#jumpSec;
  }

  nowMs(): number {
    return this.#ms - this.#startMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const due = { atMs: this.#ms + delayMs, order: this.#order++, run };
    this.#due.push(due);
    return () => {
      this.#due = this.#due.filter((other) => other !== due);
    };
  }

  /** Let the wall clock jump; the timers notice nothing. */
  jump(sec: number): void {
    this.#jumpSec += sec;
  }

  /** Delays until each armed timer, in milliseconds, soonest first. */
  pending(): number[] {
    return this.#due.map((due) => due.atMs - this.#ms).sort((a, b) => a - b);
  }

  /** Let time pass, running what falls due in order, and give promises their turn after each. */
  async pass(ms: number): Promise<void> {
    const end = this.#ms + ms;
    for (;;) {
      const next = this.#due
        .filter((due) => due.atMs <= end)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#due = this.#due.filter((due) => due !== next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.run();
      await settle();
    }
    this.#ms = end;
    await settle();
  }
}

/** Let every promise that is ready go on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A repeatable source of random numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
