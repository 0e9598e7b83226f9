import { describe, expect, test } from 'bun:test';
import { Histogram } from '../../src/load/histogram.ts';

describe('percentiles', () => {
  test('come within one per cent of the exact ones, over six orders of magnitude', () => {
    const histogram = new Histogram();
    const exact: number[] = [];
    for (let i = 0; i < 20_000; i++) {
      const us = 2 ** (((i * 7919) % 20_000) / 1000);
      exact.push(us);
      histogram.add(us);
    }
    exact.sort((a, b) => a - b);
    for (const part of [0.01, 0.5, 0.9, 0.99, 0.999]) {
      const want = exact[Math.ceil(part * exact.length) - 1]!;
      expect(Math.abs(histogram.percentileUs(part) / want - 1)).toBeLessThan(0.01);
    }
    const figures = histogram.figures();
    expect(figures.probes).toBe(20_000);
    expect(figures.minUs).toBe(exact[0]!);
    expect(figures.maxUs).toBe(exact.at(-1)!);
    expect(figures.meanUs).toBeCloseTo(exact.reduce((a, b) => a + b) / exact.length, 3);
  });

  test('of one time are that time', () => {
    const histogram = new Histogram();
    histogram.add(123.4);
    expect(histogram.figures()).toMatchObject({ minUs: 123.4, p50Us: 123.4, p99Us: 123.4, maxUs: 123.4 });
  });

  test('of none are zero; the lost are counted', () => {
    const histogram = new Histogram();
    histogram.lose();
    expect(histogram.figures()).toEqual({
      probes: 0,
      lost: 1,
      minUs: 0,
      p50Us: 0,
      p90Us: 0,
      p99Us: 0,
      maxUs: 0,
      meanUs: 0,
    });
  });

  test('take times beyond their range into the last bucket', () => {
    const histogram = new Histogram();
    histogram.add(0);
    histogram.add(1e12);
    expect(histogram.figures()).toMatchObject({ probes: 2, minUs: 0, maxUs: 1e12 });
  });
});
