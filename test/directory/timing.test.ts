import { expect, test } from 'bun:test';
import { Backoff, pickBetween, systemTiming } from '../../src/directory/timing.ts';
import { seededRandom } from './virtual-time.ts';

test('waits lie between the base and three times the last, never over the cap', () => {
  const backoff = new Backoff(1000, 60_000, seededRandom(11));
  let last = 1000;
  for (let i = 0; i < 200; i++) {
    const next = backoff.fail();
    expect(next).toBeGreaterThanOrEqual(1000);
    expect(next).toBeLessThanOrEqual(Math.min(60_000, Math.max(1001, last * 3)));
    last = next;
  }
  expect(backoff.failures).toBe(200);
  backoff.reset();
  expect(backoff.fail()).toBeLessThanOrEqual(1001);
});

test('the luckiest and the unluckiest numbers stay within the range', () => {
  expect(pickBetween(() => 0, 5, 8)).toBe(5);
  expect(pickBetween(() => 0.999999, 5, 8)).toBe(7);
  expect(pickBetween(() => 0.5, 5, 5)).toBe(5);
});

test('a cancelled timer of the real clock does not fire', async () => {
  const timing = systemTiming();
  let fired = '';
  timing.after(1, () => {
    fired += 'a';
  });
  timing.after(1, () => {
    fired += 'b';
  })();
  await Bun.sleep(20);
  expect(fired).toBe('a');
  expect(Math.abs(timing.nowSec() - Date.now() / 1000)).toBeLessThan(5);
});
