/** Medians and spreads. */
import { expect, test } from 'bun:test';
import { median, ratioOf, spreadOf } from '../../src/bench/statistics.ts';
import { Bug } from '../../src/fault.ts';

test('the median is the middle, or halfway between two', () => {
  expect(median([3])).toBe(3);
  expect(median([10, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  // As numbers, not as text.
  expect(median([9, 10, 100])).toBe(10);
  expect(() => median([])).toThrow(Bug);
});

test('the median leaves its argument alone', () => {
  const values = [3, 1, 2];
  median(values);
  expect(values).toEqual([3, 1, 2]);
});

test('a spread keeps every run and leaves out what is missing', () => {
  expect(spreadOf([2, null, 1, 6])).toEqual({ median: 2, low: 1, high: 6, values: [2, 1, 6] });
  expect(spreadOf([null, null])).toBeNull();
  expect(spreadOf([])).toBeNull();
});

test('a ratio is of medians, and is none over nothing', () => {
  expect(ratioOf(spreadOf([1, 2, 3]), spreadOf([4]))).toBe(0.5);
  expect(ratioOf(spreadOf([-1]), spreadOf([4]))).toBe(-0.25);
  for (const none of [null, spreadOf([0]), spreadOf([-3])]) expect(ratioOf(spreadOf([1]), none)).toBeNull();
  expect(ratioOf(null, spreadOf([1]))).toBeNull();
});
