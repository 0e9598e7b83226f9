import { describe, expect, test } from 'bun:test';
import { hopOf } from '../../src/load/route.ts';

describe('without routes', () => {
  test('a circuit on each of as many connections as next hops reaches them all', () => {
    const reached = Array.from({ length: 100 }, (_, i) => hopOf(i, 100, 100, null));
    expect(new Set(reached).size).toBe(100);
  });

  test('every connection meets every next hop, equally often', () => {
    const met = new Map<string, number>();
    for (let i = 0; i < 400; i++) {
      const pair = `${i % 4} ${hopOf(i, 4, 20, null)}`;
      met.set(pair, (met.get(pair) ?? 0) + 1);
    }
    expect(met.size).toBe(80);
    expect([...met.values()].every((times) => times === 5)).toBe(true);
  });
});

test('routes are taken in turn', () => {
  const routes = [[1], [0, 2]];
  expect(Array.from({ length: 8 }, (_, i) => hopOf(i, 2, 3, routes))).toEqual([1, 0, 1, 2, 1, 0, 1, 2]);
});
