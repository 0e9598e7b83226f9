/** From a report of the load and two looks at /proc to figures. */
import { describe, expect, test } from 'bun:test';
import { figuresOf, type LoadMaker, measureLoad, openLoad } from '../../src/bench/measure.ts';
import type { ProcessReading } from '../../src/bench/proc.ts';
import { planOf, type Shape, USUAL_SHAPE } from '../../src/bench/shape.ts';
import type { Target } from '../../src/bench/target.ts';
import type {
  LatencyFigures,
  LoadCheck,
  LoadPlan,
  LoadReport,
  LoadRun,
  ProbeReport,
} from '../../src/load/plan.ts';

const reading = (cpuSec: number, rssBytes = 0): ProcessReading => ({ cpuSec, rssBytes, threads: 1, fds: 1 });
const plan = (shape: Partial<Shape>): LoadPlan => planOf({ ...USUAL_SHAPE, ...shape }, null);

const BEFORE = reading(1, 50e6);
const BEGIN = reading(2, 60e6);
const END = reading(5, 90e6);

const LATENCY: LatencyFigures = {
  probes: 1,
  lost: 0,
  minUs: 0,
  p50Us: 0,
  p90Us: 0,
  p99Us: 0,
  maxUs: 0,
  meanUs: 0,
};
const PROBE: ProbeReport = {
  measured: LATENCY,
  floor: LATENCY,
  added: { p50Us: 100, p90Us: 200, p99Us: 300 },
};
const FLOOD = { mode: 'flood', cells: 1, bytes: 2e9, seconds: 10, bytesPerSec: 200e6 } as const;
const CHURN = {
  mode: 'churn',
  done: 1000,
  refused: 0,
  reasons: {},
  verified: 1,
  seconds: 2,
  perSec: 500,
  build: LATENCY,
  probe: null,
} as const;
const IDLE = { mode: 'idle', asked: 1000, held: 1000, reasons: {}, openSec: 1, seconds: 5 } as const;
const IN_STEP: LoadCheck = { expected: 1, inStep: 1, lost: 0, corrupt: 0, sampled: 1, closed: [] };

const figures = (shape: Partial<Shape>, report: LoadReport) =>
  figuresOf(plan(shape), report, BEFORE, BEGIN, END);

describe('figures', () => {
  test('of a flood: only the measured part counts', () => {
    const expected = { rss: 90, cores: 0.3, cpuPerGb: 1.5, rate: 200 };
    expect(figures({}, FLOOD)).toEqual({ ...expected, eachWay: 100 });
    expect(figures({ direction: 'forward' }, FLOOD)).toEqual({ ...expected, eachWay: 200 });
  });

  test('of latency: what the relay adds', () => {
    const report = { ...PROBE, mode: 'latency', seconds: 3, beside: null } as const;
    expect(figures({ mode: 'latency' }, report)).toEqual({ rss: 90, cores: 1, p50: 100, p99: 300 });
    const beside = figures({ mode: 'latency', bytesPerSec: 1 }, { ...report, beside: FLOOD });
    expect(beside).toMatchObject({ p99: 300, rate: 200, eachWay: 100 });
  });

  test('of churn: per circuit that was built', () => {
    expect(figures({ mode: 'churn' }, CHURN)).toEqual({
      rss: 90,
      cores: 1.5,
      cpuPerCircuit: 3000,
      circuitsPerSec: 500,
    });
    expect(figures({ mode: 'churn', probes: 1 }, { ...CHURN, probe: PROBE })).toMatchObject({ p50: 100 });
    expect(figures({ mode: 'churn' }, { ...CHURN, done: 0 }).cpuPerCircuit).toBeUndefined();
  });

  test('of idle links: what memory grew by, and what opening them took', () => {
    const { rssPerLink, cpuPerLink, links } = figures({ mode: 'idle' }, IDLE);
    expect([rssPerLink, cpuPerLink, links]).toEqual([40e6 / 1024 / 1000, 1000, 1000]);
    expect(figures({ mode: 'idle' }, { ...IDLE, held: 0 }).rssPerLink).toBeUndefined();
  });

  test('of a directory: per request that was answered', () => {
    const report = { mode: 'directory', done: 1000, bytes: 2e6, seconds: 2, perSec: 500 } as const;
    expect(figures({ mode: 'directory' }, report)).toEqual({
      rss: 90,
      cores: 1.5,
      cpuPerRequest: 3000,
      requestsPerSec: 500,
      rate: 1,
    });
    expect(figures({ mode: 'directory' }, { ...report, done: 0 }).cpuPerRequest).toBeUndefined();
  });

  test('of an exit: per bytes of streams', () => {
    const report = { mode: 'exit', bytes: 2e9, seconds: 10, bytesPerSec: 200e6 } as const;
    const expected = { rss: 90, cores: 0.3, cpuPerGb: 1.5, rate: 200 };
    expect(figures({ mode: 'exit' }, report)).toEqual({ ...expected, eachWay: 100 });
    expect(figures({ mode: 'exit', direction: 'backward' }, report)).toEqual({ ...expected, eachWay: 200 });
  });
});

/** A load that does nothing and reports what it is told to. */
function fakeLoad(report: LoadReport, check: LoadCheck = IN_STEP): { make: LoadMaker; calls: string[] } {
  const calls: string[] = [];
  const run: LoadRun = {
    connect: async () => ({ links: [], probes: [], hopPorts: [], openSec: 0 }),
    prepare: async () => void calls.push('prepare'),
    async measure(hooks) {
      hooks.begin();
      calls.push('measure');
      hooks.end();
      return report;
    },
    check: async () => check,
    close: () => void calls.push('close'),
  };
  return { make: () => run, calls };
}

function fakeTarget(): Target {
  let looks = 0;
  return {
    load: {
      host: '127.0.0.1',
      port: 1,
      rsaId: new Uint8Array(20),
      ed25519Id: new Uint8Array(32),
      ntorOnionKey: new Uint8Array(32),
    },
    pid: 1,
    read: () => reading(looks++),
    logTail: () => '',
    links: null,
    stop: async () => {},
  };
}

async function faultOf(shape: Partial<Shape>, report: LoadReport, check?: LoadCheck): Promise<string | null> {
  const { make } = fakeLoad(report, check);
  const target = fakeTarget();
  const order = { plan: plan(shape), placement: null };
  const standing = await openLoad(target, order, make);
  return (await measureLoad(target, order.plan, standing, () => {})).fault;
}

describe('a run', () => {
  test('looks at the relay before the load, and around the measured part', async () => {
    const { make, calls } = fakeLoad(FLOOD);
    const target = fakeTarget();
    const order = { plan: plan({}), placement: null };
    const standing = await openLoad(target, order, make);
    const result = await measureLoad(target, order.plan, standing, () => {});
    expect([result.before, result.begin, result.end].map(({ cpuSec }) => cpuSec)).toEqual([0, 1, 2]);
    expect(calls).toEqual(['prepare', 'measure', 'close']);
    expect(result.fault).toBeNull();
  });

  test('that cannot be set up is closed', async () => {
    let closed = false;
    const make: LoadMaker = () => ({
      ...fakeLoad(FLOOD).make(fakeTarget().load, plan({})),
      connect: () => Promise.reject(new Error('no')),
      close: () => {
        closed = true;
      },
    });
    await expect(openLoad(fakeTarget(), { plan: plan({}), placement: null }, make)).rejects.toThrow('no');
    await Bun.sleep(0);
    expect(closed).toBe(true);
  });

  test('is at fault when cells were lost, links are missing, or the pace was not kept', async () => {
    expect(await faultOf({}, FLOOD, { ...IN_STEP, lost: 3 })).toBe('3 cells lost');
    expect(await faultOf({ mode: 'idle' }, { ...IDLE, held: 998, reasons: { refused: 2 } })).toBe(
      '2 of 1000 links are not open (2 times refused)',
    );
    expect(await faultOf({ mode: 'churn' }, { ...CHURN, done: 0 })).toBe('not one circuit was built');
    expect(await faultOf({ mode: 'paced', bytesPerSec: 205e6 }, FLOOD)).toBeNull();
    expect(await faultOf({ mode: 'paced', bytesPerSec: 400e6 }, FLOOD)).toBe(
      'only 200 of 400 MB/s were carried',
    );
  });
});
