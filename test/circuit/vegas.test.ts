/** Congestion control against C tor's own test cases. */
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { countEwma, Vegas } from '../../src/circuit/vegas.ts';
import { Bug } from '../../src/fault.ts';
import { FLOW_DEFAULTS } from '../../src/shm/flow-params.ts';

const INC = 31;

/** The rows of a name, as numbers. */
function rows(name: string): number[][] {
  const text = readFileSync(join(import.meta.dir, '../vectors/congestion-control.txt'), 'utf8');
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `));
  expect(lines.length).toBeGreaterThan(0);
  return lines.map((line) => line.split(' ').slice(1).map(Number));
}

const make = (params = {}): Vegas => new Vegas({ ...FLOW_DEFAULTS.vegas, ...params }, INC);

describe("C tor's cases", () => {
  test('a clock that stands still or jumps is noticed', () => {
    const vegas = make();
    for (const [before, now, slowStart, stalled, verdict] of rows('clock')) {
      vegas.inSlowStart = slowStart === 1;
      vegas.ewmaRttUsec = before! * 1000;
      expect(vegas.clockJumped(before!, now!)).toBe(verdict === 1);
      expect(vegas.clockStalled).toBe(stalled === 1);
    }
  });

  test('delays: this one, the usual, the least', () => {
    const vegas = make();
    const steps = rows('rtt');
    for (const [sent] of steps) vegas.noteTime(sent!);
    for (const [, came, cwnd, slowStart, rtt, ewma, least] of steps) {
      vegas.cwnd = cwnd!;
      vegas.inSlowStart = slowStart === 1;
      expect(vegas.updateRtt(came!)).toBe(rtt!);
      expect(vegas.ewmaRttUsec).toBe(ewma!);
      expect(vegas.minRttUsec).toBe(least!);
    }
  });

  for (const name of ['cwnd1', 'cwnd2', 'cwnd3', 'cwnd4']) {
    test(`the window in ${name}`, () => {
      const vegas = make();
      const steps = rows(name);
      for (const [sent] of steps) vegas.noteTime(sent!);
      for (const [, came, blocked, inflight, ewma, least, cwnd, slowStart, full, nowBlocked] of steps) {
        vegas.inflight = inflight!;
        vegas.onSendme(came! / 1000, blocked === 1);
        expect(vegas).toMatchObject({
          ewmaRttUsec: ewma!,
          minRttUsec: least!,
          cwnd: cwnd!,
          inSlowStart: slowStart === 1,
          cwndFull: full === 1,
          blocked: nowBlocked === 1,
          inflight: inflight! - INC,
        });
      }
    });
  }
});

describe('the window', () => {
  test('counts cells in flight, and notes each one that a SENDME answers', () => {
    const vegas = make();
    expect(vegas.room).toBe(124);
    const noted: number[] = [];
    for (let cell = 1; vegas.room > 0; cell++) if (vegas.noteSent(cell)) noted.push(cell);
    expect(noted).toEqual([31, 62, 93, 124]);
    vegas.onSendme(200, false);
    expect(vegas.inflight).toBe(93);
    expect(vegas.room).toBe(vegas.cwnd - 93);
  });

  test('has no room while what is in flight exceeds it', () => {
    const vegas = make();
    vegas.inflight = 200;
    expect(vegas.room).toBe(0);
  });

  test('stays between its bounds', () => {
    const vegas = make({ cwndMax: 500 });
    let nowMs = 0;
    for (let step = 0; step < 200; step++) {
      while (vegas.room > 0) vegas.noteSent(nowMs);
      nowMs += 10;
      while (vegas.inflight >= INC) vegas.onSendme(nowMs, false);
      expect(vegas.cwnd).toBeLessThanOrEqual(500);
    }
    // Queues that grow shrink it, down to its least.
    for (let step = 0; step < 600; step++) {
      while (vegas.room > 0) vegas.noteSent(nowMs);
      nowMs += 10 + step;
      while (vegas.inflight >= INC) vegas.onSendme(nowMs, true);
    }
    expect(vegas.inSlowStart).toBe(false);
    expect(vegas.cwnd).toBe(124);
  });

  test('slow start ends at cc_ss_max', () => {
    const vegas = make({ ssMax: 500 });
    let nowMs = 0;
    while (vegas.inSlowStart && nowMs < 10_000) {
      while (vegas.room > 0) vegas.noteSent(nowMs);
      nowMs += 10;
      while (vegas.inSlowStart && vegas.inflight >= INC) vegas.onSendme(nowMs, false);
    }
    expect(vegas.cwnd).toBe(500);
  });

  test('a SENDME for nothing is a bug of the caller', () => {
    expect(() => make().onSendme(1, false)).toThrow(Bug);
  });

  test('times are kept in order over many SENDMEs', () => {
    const vegas = make();
    for (let i = 0; i < 1000; i++) vegas.noteTime(i * 1000);
    for (let i = 0; i < 1000; i++) expect(vegas.updateRtt(i * 1000 + 77)).toBe(77);
  });
});

test('the moving average starts with the first value', () => {
  expect(countEwma(100, 0, 10)).toBe(100);
  expect(countEwma(100, 50, 3)).toBe(75);
  expect(countEwma(50, 133333, 2)).toBe(44477);
});
