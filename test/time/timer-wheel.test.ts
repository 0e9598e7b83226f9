import { expect, test } from 'bun:test';
import { NO_TIMER, type Timer, TimerWheel } from '../../src/time/timer-wheel.ts';

/** A small seeded generator, so that a failing run can be repeated. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Recorder {
  readonly fired: { arg: number; nowMs: number }[] = [];
  onTimer(arg: number, nowMs: number): void {
    this.fired.push({ arg, nowMs });
  }
  args(): number[] {
    return this.fired.map((one) => one.arg);
  }
}

test('a timer fires at its time, not before, and only once', () => {
  const wheel = new TimerWheel(10, 1_000);
  const seen = new Recorder();
  wheel.schedule(1_100, seen, 7);
  expect(wheel.size).toBe(1);
  expect(wheel.advance(1_099)).toBe(0);
  expect(wheel.advance(1_100)).toBe(1);
  expect(seen.fired).toEqual([{ arg: 7, nowMs: 1_100 }]);
  expect(wheel.advance(5_000)).toBe(0);
  expect(wheel.size).toBe(0);
});

test('a time between ticks is rounded up, a time in the past fires at the next advance', () => {
  const wheel = new TimerWheel(10, 0);
  const seen = new Recorder();
  wheel.schedule(11, seen, 1);
  wheel.schedule(-500, seen, 2);
  wheel.advance(19);
  expect(seen.args()).toEqual([2]);
  wheel.advance(20);
  expect(seen.args()).toEqual([2, 1]);
  wheel.schedule(3, seen, 3);
  expect(wheel.advance(20)).toBe(0);
  wheel.advance(30);
  expect(seen.args()).toEqual([2, 1, 3]);
});

test('timers fire in order of time, and of setting within a tick, however far the clock leaps', () => {
  const wheel = new TimerWheel(10, 0);
  const seen = new Recorder();
  const times = [9_000_000, 20, 320, 20, 640, 33_000, 10_240, 330, 9_000_000, 400_000_000];
  for (const [i, atMs] of times.entries()) wheel.schedule(atMs, seen, i);
  wheel.advance(1_000_000_000);
  const expected = times.map((atMs, i) => [atMs, i] as const);
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  expect(seen.args()).toEqual(expected.map(([, i]) => i));
});

test('a cancelled timer never fires, and its handle is dead even when its row is used again', () => {
  const wheel = new TimerWheel(10, 0);
  const seen = new Recorder();
  const first = wheel.schedule(50, seen, 1);
  expect(wheel.cancel(first)).toBe(true);
  expect(wheel.cancel(first)).toBe(false);
  const second = wheel.schedule(50, seen, 2);
  expect(second).not.toBe(first);
  expect(wheel.cancel(first)).toBe(false);
  expect(wheel.cancel(NO_TIMER)).toBe(false);
  wheel.advance(100);
  expect(seen.args()).toEqual([2]);
  expect(wheel.cancel(second)).toBe(false);
});

test('a timer may cancel another of the same tick', () => {
  const wheel = new TimerWheel(10, 0);
  const seen = new Recorder();
  let other: Timer = NO_TIMER;
  wheel.schedule(50, { onTimer: () => expect(wheel.cancel(other)).toBe(true) });
  other = wheel.schedule(50, seen, 1);
  wheel.schedule(50, seen, 2);
  wheel.advance(50);
  expect(seen.args()).toEqual([2]);
});

test('a timer that sets itself again at once does not hold the wheel', () => {
  const wheel = new TimerWheel(10, 0);
  let runs = 0;
  const target = {
    onTimer(_arg: number, nowMs: number): void {
      runs++;
      wheel.schedule(nowMs, target);
    },
  };
  wheel.schedule(0, target);
  wheel.advance(100_000);
  expect(runs).toBe(1);
  wheel.advance(100_000);
  expect(runs).toBe(1);
  wheel.advance(100_010);
  expect(runs).toBe(2);
});

test('a target that throws loses nobody else', () => {
  const wheel = new TimerWheel(10, 0);
  const seen = new Recorder();
  wheel.schedule(50, {
    onTimer: () => {
      throw new Error('broken timer');
    },
  });
  wheel.schedule(50, seen, 1);
  wheel.schedule(5_000, seen, 2);
  expect(() => wheel.advance(6_000)).toThrow('broken timer');
  wheel.schedule(0, seen, 3);
  wheel.advance(6_000);
  wheel.advance(6_010);
  expect(seen.args()).toEqual([1, 2, 3]);
});

test('the clock handed in never runs backwards for the wheel', () => {
  const wheel = new TimerWheel(10, 1_000);
  const seen = new Recorder();
  wheel.advance(2_000);
  wheel.advance(500);
  wheel.after(100, () => seen.onTimer(1, 0));
  wheel.advance(2_099);
  expect(seen.fired.length).toBe(0);
  wheel.advance(2_100);
  expect(seen.fired.length).toBe(1);
});

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`against a sorted list, seed ${seed}`, () => {
    const random = seeded(seed);
    const tickMs = [1, 10, 7, 100, 0.5, 1_000][seed - 1]!;
    let nowMs = random() * 1e6;
    const startMs = nowMs;
    const wheel = new TimerWheel(tickMs, nowMs);
    const tickOf = (atMs: number) => Math.ceil((atMs - startMs) / tickMs);
    const model: { timer: Timer; id: number; tick: number }[] = [];
    let cursor = 0;
    let ids = 0;
    const seen = new Recorder();
    for (let step = 0; step < 20_000; step++) {
      const what = random();
      if (what < 0.5) {
        const atMs = nowMs + (random() ** 8 * 1e8 - 5) * tickMs;
        const id = ids++;
        model.push({ timer: wheel.schedule(atMs, seen, id), id, tick: Math.max(tickOf(atMs), cursor) });
      } else if (what < 0.65 && model.length > 0) {
        const [gone] = model.splice(Math.floor(random() * model.length), 1);
        expect(wheel.cancel(gone!.timer)).toBe(true);
      } else {
        nowMs += random() ** 10 * 1e7 * tickMs;
        const last = Math.floor((nowMs - startMs) / tickMs);
        const due = model.filter((one) => one.tick <= last).sort((a, b) => a.tick - b.tick || a.id - b.id);
        seen.fired.length = 0;
        expect(wheel.advance(nowMs)).toBe(due.length);
        expect(seen.args()).toEqual(due.map((one) => one.id));
        for (const one of due) model.splice(model.indexOf(one), 1);
        cursor = Math.max(cursor, last + 1);
      }
      expect(wheel.size).toBe(model.length);
    }
  });
}
