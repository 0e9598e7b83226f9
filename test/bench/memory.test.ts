/** Memory while circuits and links come and go. */
import { expect, test } from 'bun:test';
import type { LoadMaker } from '../../src/bench/measure.ts';
import { allowedBytes, printMemory, tenthPlans, watchMemory } from '../../src/bench/memory.ts';
import type { Target } from '../../src/bench/target.ts';
import type { LatencyFigures, LoadReport } from '../../src/load/plan.ts';

const NO_BYTES = new Uint8Array();
const NO_LATENCY: LatencyFigures = {
  probes: 0,
  lost: 0,
  minUs: 0,
  p50Us: 0,
  p90Us: 0,
  p99Us: 0,
  maxUs: 0,
  meanUs: 0,
};

/** A relay whose memory is told in advance; the last reading is given again and again. */
function targetOf(...rssBytes: number[]): Target {
  let looks = 0;
  return {
    load: { host: '127.0.0.1', port: 1, rsaId: NO_BYTES, ed25519Id: NO_BYTES, ntorOnionKey: NO_BYTES },
    pid: 1,
    read() {
      const at = Math.min(looks++, rssBytes.length - 1);
      return { cpuSec: at, rssBytes: rssBytes[at]!, threads: 1, fds: 9 };
    },
    logTail: () => '',
    links: null,
    stop: async () => {},
  };
}

function loadsOf(refused: number): { make: LoadMaker; open: Set<number>; made: string[] } {
  const open = new Set<number>();
  const made: string[] = [];
  const make: LoadMaker = (_, plan) => {
    const id = made.length;
    made.push(plan.mode);
    open.add(id);
    return {
      connect: async () => ({ links: [], probes: [], hopPorts: [], openSec: 0 }),
      prepare: async () => {},
      async measure(): Promise<LoadReport> {
        if (plan.mode === 'idle') {
          const { links } = plan;
          return { mode: 'idle', asked: links, held: links, reasons: {}, openSec: 0, seconds: 1 };
        }
        const counts = { done: 1, refused, reasons: {}, verified: 1, seconds: 1, perSec: 1 };
        return { mode: 'churn', ...counts, build: NO_LATENCY, probe: null };
      },
      check: async () => ({ expected: 0, inStep: 0, lost: 0, corrupt: 0, sampled: 0, closed: [] }),
      close: () => void open.delete(id),
    };
  };
  return { make, open, made };
}

/** Readings: the start, the first tenth and, through the links' runs, two looks a tenth more. */
const flat = (mb: number) => targetOf(mb * 1e6);

test('a tenth has most circuits of one hop, some of two, and links', () => {
  const { near, far, links } = tenthPlans({ circuits: 100_000, links: 5000 });
  expect(near).toMatchObject({ mode: 'churn', hops: 1, circuits: 9000, warmUpCircuits: 0 });
  expect(far).toMatchObject({ mode: 'churn', hops: 2, circuits: 1000 });
  expect(links).toMatchObject({ mode: 'idle', links: 500, holdMs: 0 });
  expect(tenthPlans({ circuits: 1, links: 1 })).toMatchObject({ near: { circuits: 1 }, links: { links: 1 } });
});

test('10 % or 10 MB are allowed', () => {
  expect(allowedBytes(50e6)).toBe(60e6);
  expect(allowedBytes(200e6)).toBe(220e6);
});

test('memory that stays is fine; every load is closed', async () => {
  const { make, open, made } = loadsOf(0);
  const heard: number[] = [];
  const result = await watchMemory(flat(90), { circuits: 100, links: 10 }, make, (tenth) =>
    heard.push(tenth),
  );
  expect([result.held, result.readings.length, result.faults]).toEqual([true, 11, []]);
  expect(heard).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect([open.size, made.filter((mode) => mode === 'idle').length]).toEqual([0, 10]);
  const text = printMemory(result);
  expect(text).toMatch(/^100 % +90\.0 +1 +9 /m);
  expect(text).toEndWith('90.0 MB at the end, 100.0 MB allowed: held\n');
});

test('memory that grows is not', async () => {
  const growing = Array.from({ length: 60 }, (_, i) => 90e6 + i * 1e6);
  const { make } = loadsOf(0);
  const result = await watchMemory(targetOf(...growing), { circuits: 100, links: 10 }, make, () => {});
  expect(result.held).toBe(false);
  expect(printMemory(result)).toContain('NOT HELD');
}, 60_000);

test('refused circuits do not count as come and gone', async () => {
  const { make } = loadsOf(2);
  const result = await watchMemory(flat(90), { circuits: 100, links: 10 }, make, () => {});
  expect([result.refused, result.held]).toEqual([40, false]);
  expect(printMemory(result)).toContain('40 circuits refused');
});
