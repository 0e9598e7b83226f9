import { expect, test } from 'bun:test';
import { RateLimitOverload } from '../../src/stats/overload.ts';

/** 2026-11-22 20:00:00. */
const HOUR_SEC = 1_795_377_600;

test('says nothing before a limit was hit', () => {
  const overload = new RateLimitOverload();
  overload.sample(HOUR_SEC, 0, 0);
  expect(overload.line(HOUR_SEC, 1, 2)).toBe(null);
});

test('counts once a minute each way, and tells the hour', () => {
  const overload = new RateLimitOverload();
  overload.sample(HOUR_SEC + 100, 1, 0);
  overload.sample(HOUR_SEC + 130, 9, 3);
  overload.sample(HOUR_SEC + 159, 12, 4);
  expect(overload.line(HOUR_SEC + 160, 81_920, 163_840)).toBe(
    'overload-ratelimits 1 2026-11-22 20:00:00 81920 163840 1 1',
  );
  overload.sample(HOUR_SEC + 160, 13, 4);
  overload.sample(HOUR_SEC + 3700, 13, 5);
  expect(overload.line(HOUR_SEC + 3700, 81_920, 163_840)).toBe(
    'overload-ratelimits 1 2026-11-22 21:00:00 81920 163840 2 2',
  );
});

test('is silent a day after the last hour in which it happened', () => {
  const overload = new RateLimitOverload();
  overload.sample(HOUR_SEC + 100, 1, 1);
  overload.sample(HOUR_SEC + 50_000, 1, 1);
  expect(overload.line(HOUR_SEC + 86_399, 1, 2)).not.toBe(null);
  expect(overload.line(HOUR_SEC + 86_400, 1, 2)).toBe(null);
});
