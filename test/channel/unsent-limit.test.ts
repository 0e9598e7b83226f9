/** The kernel's share of a link follows how fast the link is. */
import { expect, test } from 'bun:test';
import { UNSENT_FIRST, UNSENT_LEAST, UNSENT_MOST, UnsentLimit } from '../../src/channel/unsent-limit.ts';

/** Refuse and drain `times` times on a link that carries so many bytes per millisecond. */
function play(limit: UnsentLimit, bytesPerMs: number, times: number): void {
  for (let i = 0, nowMs = 1000; i < times; i++) {
    limit.onRefused(nowMs);
    nowMs += limit.bytes / 2 / bytesPerMs;
    limit.onDrained(nowMs);
  }
}

test('a fast link gets all that the kernel keeps, a slow one little', () => {
  const limit = new UnsentLimit();
  expect(limit.bytes).toBe(UNSENT_FIRST);
  play(limit, 1_000_000, 10);
  expect(limit.bytes).toBe(UNSENT_MOST);
  play(limit, 500, 10);
  expect(limit.bytes).toBe(UNSENT_LEAST);
});

test('between the two it settles where its half drains in 25 to 100 ms', () => {
  const limit = new UnsentLimit();
  for (const mbPerSec of [2, 5, 10, 30]) {
    play(limit, mbPerSec * 1000, 20);
    const halfMs = limit.bytes / 2 / (mbPerSec * 1000);
    expect(halfMs).toBeGreaterThanOrEqual(25);
    expect(halfMs).toBeLessThanOrEqual(100);
  }
});

test('only the first refusal counts, and a drain without one says nothing', () => {
  const limit = new UnsentLimit();
  expect(limit.onDrained(5)).toBe(false);
  limit.onRefused(100);
  limit.onRefused(199);
  expect(limit.onDrained(201)).toBe(true);
  expect(limit.bytes).toBe(UNSENT_FIRST / 2);
  expect(limit.onDrained(202)).toBe(false);
});
