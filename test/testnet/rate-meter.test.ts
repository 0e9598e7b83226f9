/** How fast a count grows lately. */
import { expect, test } from 'bun:test';
import { RateMeter } from '../../src/testnet/rate-meter.ts';

test('a rate is that of the last seconds', () => {
  const meter = new RateMeter();
  expect(meter.rate).toBe(0);
  meter.note(0, 500);
  expect(meter.rate).toBe(0);
  meter.note(1000, 1500);
  expect(meter.rate).toBe(1000);
  for (let sec = 2; sec <= 10; sec++) meter.note(sec * 1000, 1500 + (sec - 1) * 10);
  expect(meter.rate).toBeCloseTo(10, 5);
});

test('a count that falls back has no rate', () => {
  const meter = new RateMeter();
  meter.note(0, 500);
  meter.note(1000, 0);
  expect(meter.rate).toBe(0);
});
