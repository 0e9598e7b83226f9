import { expect, test } from 'bun:test';
import { clockMonotonicMs } from '../../src/libc.ts';
import { BatchClock, calibrate, monotonicMs, noticeJump, WallJump, wallMs } from '../../src/time/clock.ts';
import { TimerWheel } from '../../src/time/timer-wheel.ts';

test('the thread clock stands between two readings of CLOCK_MONOTONIC', () => {
  for (let i = 0; i < 100; i++) {
    const before = clockMonotonicMs();
    const now = monotonicMs();
    const after = clockMonotonicMs();
    expect(now).toBeGreaterThanOrEqual(before - 1);
    expect(now).toBeLessThanOrEqual(after + 1);
  }
});

test('calibration trusts the tightest pair of readings', () => {
  // The local clock starts at 5 where the common one stands at 1000; the first three readings are slow.
  let commonNow = 1_000;
  let reads = 0;
  const local = () => commonNow - 995;
  const common = () => {
    reads++;
    commonNow += reads <= 3 ? 400 : 0.01;
    const answer = commonNow;
    if (reads <= 3) commonNow += 50;
    return answer;
  };
  const clock = calibrate(local, common);
  expect(Math.abs(clock() - commonNow)).toBeLessThan(0.02);
});

test('a time taken in a worker compares with a time taken here', async () => {
  const worker = new Worker(new URL('./clock-worker.ts', import.meta.url).href);
  try {
    const before = monotonicMs();
    const there = await new Promise<number>((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(null);
    });
    const after = monotonicMs();
    expect(there).toBeGreaterThanOrEqual(before - 1);
    expect(there).toBeLessThanOrEqual(after + 1);
  } finally {
    worker.terminate();
  }
});

test('a batch clock reads once per batch and never goes back', () => {
  let nowMs = 10;
  const batch = new BatchClock(() => nowMs);
  nowMs = 20;
  expect(batch.nowMs).toBe(10);
  expect(batch.read()).toBe(20);
  nowMs = 15;
  expect(batch.read()).toBe(20);
  expect(batch.nowMs).toBe(20);
});

test('a jump of the wall clock is told once, either way, and slow drift below the threshold is not', () => {
  let wall = 1e12;
  let monotonic = 500;
  const jump = new WallJump(
    () => wall,
    () => monotonic,
    5_000,
  );
  const pass = (wallBy: number, monotonicBy: number) => {
    wall += wallBy;
    monotonic += monotonicBy;
    return jump.notice();
  };
  expect(pass(0, 0)).toBeNull();
  expect(pass(60_000, 60_000)).toBeNull();
  expect(pass(64_999, 60_000)).toBeNull();
  expect(pass(60_001, 60_000)).toBe(5_000);
  expect(pass(60_000, 60_000)).toBeNull();
  expect(pass(-3_600_000, 1_000)).toBe(-3_601_000);
  expect(pass(1_000, 1_000)).toBeNull();
});

test('a suspended machine is seen as a jump, and changes no deadline', () => {
  let wall = 1e12;
  let monotonic = 500;
  const jump = new WallJump(
    () => wall,
    () => monotonic,
  );
  const wheel = new TimerWheel(10, monotonic);
  let fired = 0;
  wheel.after(60_000, () => fired++);
  // Eight hours asleep: the wall clock went on, CLOCK_MONOTONIC stood still.
  wall += 8 * 3_600_000;
  wheel.advance(monotonic);
  expect(jump.notice()).toBe(8 * 3_600_000);
  expect(fired).toBe(0);
  // The wall clock is set back a day.
  wall -= 24 * 3_600_000;
  wheel.advance(monotonic);
  expect(jump.notice()).toBe(-24 * 3_600_000);
  expect(fired).toBe(0);
  monotonic += 59_999;
  wheel.advance(monotonic);
  expect(fired).toBe(0);
  monotonic += 1;
  wheel.advance(monotonic);
  expect(fired).toBe(1);
});

test('this machine has not jumped since the test began', () => {
  expect(Math.abs(wallMs() - Date.now())).toBeLessThan(1_000);
  expect(noticeJump()).toBeNull();
});
