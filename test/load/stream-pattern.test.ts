/** The bytes of streams: every slip shows. */
import { expect, test } from 'bun:test';
import { isPattern, patternAt } from '../../src/load/stream-pattern.ts';

test('a stream carries the same bytes however they are cut', () => {
  const whole = new Uint8Array(200_000);
  for (let at = 0; at < whole.length; ) {
    const piece = patternAt(3, at, Math.min(1 + (at % 70_001), whole.length - at));
    expect(piece.length).toBeGreaterThan(0);
    whole.set(piece, at);
    at += piece.length;
  }
  expect(isPattern(3, 0, whole)).toBe(true);
  expect(isPattern(3, 1234, whole.subarray(1234, 150_000))).toBe(true);
  expect(isPattern(3, 0, new Uint8Array(0))).toBe(true);
});

test('a byte that is lost, doubled, changed or another stream’s is seen', () => {
  const good = patternAt(5, 1000, 4000).slice();
  expect(isPattern(5, 1000, good)).toBe(true);
  expect(isPattern(5, 1000, good.subarray(1))).toBe(false);
  expect(isPattern(5, 1001, good)).toBe(false);
  expect(isPattern(6, 1000, good)).toBe(false);
  good[3999]! ^= 1;
  expect(isPattern(5, 1000, good)).toBe(false);
});
