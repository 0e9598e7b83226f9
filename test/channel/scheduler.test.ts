import { expect, test } from 'bun:test';
import type { Channel } from '../../src/channel/channel.ts';
import { FLUSHES_AHEAD, MERGE_MS, Scheduler } from '../../src/channel/scheduler.ts';

function fake(onFlush: () => void = () => {}): Channel & { flushes: number } {
  const channel = {
    dirty: true,
    congested: false,
    flushes: 0,
    flush() {
      channel.flushes++;
      onFlush();
    },
  };
  return channel as unknown as Channel & { flushes: number };
}

test('each dirty channel is written once, congested ones not', () => {
  const scheduler = new Scheduler();
  const [a, b] = [fake(), fake()];
  b.congested = true;
  scheduler.mark(a);
  scheduler.mark(b);
  expect(scheduler.dirtyCount).toBe(2);
  scheduler.flush(10);
  expect([a.flushes, b.flushes, a.dirty, b.dirty, scheduler.dirtyCount]).toEqual([1, 0, false, false, 0]);
  scheduler.flush(20);
  expect(a.flushes).toBe(1);
});

test('a few flushes may follow each other at once, then they are merged', () => {
  const scheduler = new Scheduler();
  for (let i = 0; i < FLUSHES_AHEAD; i++) {
    scheduler.mark(fake());
    expect(scheduler.shouldWait(1000)).toBe(false);
    scheduler.flush(1000);
  }
  expect(scheduler.shouldWait(1000)).toBe(false);
  scheduler.mark(fake());
  expect(scheduler.shouldWait(1000 + MERGE_MS / 2)).toBe(true);
  expect(scheduler.shouldWait(1000 + MERGE_MS)).toBe(false);
  // A long pause earns no more than that.
  scheduler.flush(900_000);
  let atOnce = 1;
  for (scheduler.mark(fake()); !scheduler.shouldWait(900_000); scheduler.mark(fake()), atOnce++) {
    scheduler.flush(900_000);
  }
  expect(atOnce).toBe(FLUSHES_AHEAD);
});

test('what becomes dirty during a flush waits for the next', () => {
  const scheduler = new Scheduler();
  const late = fake();
  scheduler.mark(fake(() => scheduler.mark(late)));
  scheduler.flush(1);
  expect([late.flushes, scheduler.dirtyCount]).toEqual([0, 1]);
  scheduler.flush(2);
  expect([late.flushes, scheduler.dirtyCount]).toEqual([1, 0]);
});
