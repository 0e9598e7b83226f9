/** The rate that XON asks for. */
import { expect, test } from 'bun:test';
import { StreamRate } from '../../src/edge/stream-rate.ts';

test('a second of bytes at once, then as they come', () => {
  const rate = new StreamRate(10, 0);
  expect(rate.room(0)).toBe(10_000);
  rate.spend(10_400);
  expect(rate.room(0)).toBe(-400);
  expect(rate.room(50)).toBe(100);
  expect(rate.room(100_000)).toBe(10_000);
});

test('another rate counts from then on', () => {
  const rate = new StreamRate(10, 0);
  rate.adjust(1);
  expect(rate.room(0)).toBe(1000);
  rate.spend(1000);
  rate.adjust(50);
  expect(rate.room(10)).toBe(500);
});
