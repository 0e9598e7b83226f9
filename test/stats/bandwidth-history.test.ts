import { expect, test } from 'bun:test';
import { printTime } from '../../src/netdoc/field.ts';
import { BandwidthHistory, PERIOD_SEC, type TrafficTotals } from '../../src/stats/bandwidth-history.ts';

const T0 = Date.UTC(2026, 10, 22, 12) / 1000;

class FakeState {
  readonly lines = new Map<string, string>();
  get(key: string): string | undefined {
    return this.lines.get(key);
  }
  set(key: string, value: string): void {
    this.lines.set(key, value);
  }
}

function print(history: BandwidthHistory, rate = 0): string {
  return history
    .published(rate)
    .map(
      ({ keyword, endSec, intervalSec, values }) =>
        `${keyword} ${printTime(endSec)} (${intervalSec} s) ${values.join(',')}\n`,
    )
    .join('');
}

function totals(read: number, written: number, rest: Partial<TrafficTotals> = {}): TrafficTotals {
  return { read, written, ipv6Read: 0, ipv6Written: 0, ...rest };
}

test('observed bandwidth is the best ten seconds of the lesser direction', () => {
  const history = new BandwidthHistory(T0);
  let read = 0;
  let written = 0;
  for (let i = 0; i < 60; i++) {
    const busy = i >= 20 && i < 30;
    read += busy ? 100_000 : 1000;
    written += busy ? 80_000 : 2000;
    history.sample(T0 + i, totals(read, written));
  }
  expect(history.observedBytesPerSec(0)).toBe(80_000);
  expect(history.observedBytesPerSec(PERIOD_SEC)).toBe(0);
});

test('a burst of five seconds counts as half of ten', () => {
  const history = new BandwidthHistory(T0);
  let bytes = 0;
  for (let i = 0; i < 40; i++) {
    bytes += i >= 10 && i < 15 ? 1_000_000 : 0;
    history.sample(T0 + i, totals(bytes, bytes));
  }
  expect(history.observedBytesPerSec(0)).toBe(500_000);
});

test('the best window is forgotten after five days', () => {
  const history = new BandwidthHistory(T0);
  history.sample(T0, totals(10_000_000, 10_000_000));
  history.sample(T0 + PERIOD_SEC, totals(10_000_000, 10_000_000));
  expect(history.observedBytesPerSec(PERIOD_SEC)).toBe(1_000_000);
  history.sample(T0 + 5 * PERIOD_SEC + 1, totals(10_000_000, 10_000_000));
  expect(history.observedBytesPerSec(PERIOD_SEC)).toBe(1_000_000);
  history.sample(T0 + 6 * PERIOD_SEC + 1, totals(10_000_000, 10_000_000));
  expect(history.observedBytesPerSec(PERIOD_SEC)).toBe(0);
});

test('history lines hold complete periods, rounded down to 1024, capped by the rate', () => {
  const history = new BandwidthHistory(T0);
  expect(print(history)).toBe('');
  history.sample(T0, totals(5000, 1023, { ipv6Written: 2048 }));
  history.sample(T0 + PERIOD_SEC, totals(5000 + 10 * PERIOD_SEC * 1024, 1023, { ipv6Written: 2048 }));
  history.sample(T0 + 2 * PERIOD_SEC, totals(5000 + 10 * PERIOD_SEC * 1024, 1023, { ipv6Written: 2048 }));
  const end = '2026-11-24 12:00:00 (86400 s)';
  expect(print(history)).toBe(
    [
      `write-history ${end} 0,0`,
      `read-history ${end} 4096,${10 * PERIOD_SEC * 1024}`,
      `ipv6-write-history ${end} 2048,0`,
      `ipv6-read-history ${end} 0,0`,
      '',
    ].join('\n'),
  );
  expect(print(history, 1024)).toContain(`read-history ${end} 4096,${PERIOD_SEC * 1024}`);
});

test('state lines carry the history over a restart', () => {
  const state = new FakeState();
  const first = new BandwidthHistory(T0);
  first.sample(T0, totals(10_240_000, 20_480_000));
  first.sample(T0 + PERIOD_SEC, totals(10_240_000, 20_480_000));
  first.sample(T0 + PERIOD_SEC + 100, totals(10_240_000 + 4096, 20_480_000));
  first.save(state);
  expect(state.get('BWHistoryReadEnds')).toBe('2026-11-24 12:00:00');
  expect(state.get('BWHistoryReadInterval')).toBe('86400');
  expect(state.get('BWHistoryReadValues')).toBe('10240000,4096');
  expect(state.get('BWHistoryReadMaxima')).toBe('1024000,0');

  const second = new BandwidthHistory(T0 + PERIOD_SEC + 200);
  expect(second.load(state, T0 + PERIOD_SEC + 200)).toEqual([]);
  second.sample(T0 + PERIOD_SEC + 200, totals(0, 0));
  expect(second.observedBytesPerSec(PERIOD_SEC)).toBe(1_024_000);
  expect(print(second)).toContain('read-history 2026-11-23 12:00:00 (86400 s) 10240000\n');
  second.sample(T0 + 2 * PERIOD_SEC, totals(0, 0));
  expect(print(second)).toContain('read-history 2026-11-24 12:00:00 (86400 s) 10240000,4096\n');
});

test('what C tor served as a directory stays in state as it wrote it, and nothing of it is published', () => {
  const state = new FakeState();
  const lines = [
    ['BWHistoryDirReadEnds', '2026-11-22 11:00:00'],
    ['BWHistoryDirReadValues', '5,6'],
    ['BWHistoryDirWriteEnds', 'never'],
  ] as const;
  for (const [key, value] of lines) state.set(key, value);
  const history = new BandwidthHistory(T0);
  expect(history.load(state, T0)).toEqual([]);
  history.sample(T0 + PERIOD_SEC, totals(1000, 1000));
  history.save(state);
  expect([...state.lines].filter(([key]) => key.startsWith('BWHistoryDir'))).toEqual([...lines] as never);
  expect(print(history)).not.toContain('dirreq');
});

test('lines of an older program with quarter hours are spread over our periods', () => {
  const state = new FakeState();
  state.set('BWHistoryWriteEnds', '2026-11-22 12:00:00');
  state.set('BWHistoryWriteInterval', '900');
  state.set('BWHistoryWriteValues', new Array(96).fill('102400').join(','));
  const history = new BandwidthHistory(T0);
  expect(history.load(state, T0)).toEqual([]);
  expect(print(history)).toContain(`write-history 2026-11-22 12:00:00 (86400 s) ${96 * 102400}\n`);
});

test('lines that make no sense are named and change nothing', () => {
  const state = new FakeState();
  state.set('BWHistoryReadEnds', 'yesterday');
  state.set('BWHistoryReadValues', '1,2');
  state.set('BWHistoryWriteEnds', '2026-11-22 12:00:00');
  state.set('BWHistoryWriteInterval', '1000000000000000');
  state.set('BWHistoryWriteValues', '1,-2');
  const history = new BandwidthHistory(T0);
  expect(history.load(state, T0)).toEqual(['BWHistoryWrite', 'BWHistoryRead']);
  expect(print(history)).toBe('');
});

test('a clock that jumps by a century costs no step per second, and one that goes back no false peak', () => {
  const history = new BandwidthHistory(T0);
  history.sample(T0 + 100 * 365 * PERIOD_SEC, totals(1000, 1000));
  for (let i = 0; i < 20; i++) history.sample(T0, totals(1000 + i * 1e6, 1000 + i * 1e6));
  history.sample(T0 + 100 * 365 * PERIOD_SEC + 60, totals(2e7, 2e7));
  expect(history.observedBytesPerSec(0)).toBeLessThan(200_000);
  expect(print(history).split('\n')[0]!.split(' ').at(-1)).toBe('0,0,0,0,0');
});
