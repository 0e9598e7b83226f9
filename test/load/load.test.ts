/** Every mode of the load, small, through ours and through C tor. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { EXIT_TORRC } from '../../src/bench/suite.ts';
import { OperatorError } from '../../src/fault.ts';
import { Load } from '../../src/load/load.ts';
import {
  blemish,
  type FloodPlan,
  type LoadPlan,
  type LoadReport,
  type LoadTarget,
  type MeasureHooks,
} from '../../src/load/plan.ts';
import { startTarget, type Target, type TargetKind } from '../bench/target.ts';
import { HAS_C_TOR } from '../net/c-tor.ts';
import { freePorts } from '../net/free-ports.ts';

const DEADLINE_MS = 120_000;
const FLOOD: FloodPlan = {
  mode: 'flood',
  direction: 'both',
  circuits: 40,
  links: { connections: 4, ports: null, spare: 0 },
  route: { nextHops: 3, routes: null, dialers: null },
  window: 30,
  burst: 2,
  bytes: 6e6,
  warmUpBytes: 0,
  bytesPerSec: null,
};
const PROBE = { circuits: 2, ports: null, probes: 30, gapMs: 2 };

function loadTarget({ hop }: Target): LoadTarget {
  const { port, rsaId, ed25519Id, onionKey } = hop;
  return { host: '127.0.0.1', port, rsaId, ed25519Id, ntorOnionKey: onionKey! };
}

/** Counts what it hears. */
class Hooks implements MeasureHooks {
  heard = '';

  begin(): void {
    this.heard += 'b';
  }

  end(): void {
    this.heard += 'e';
  }
}

/** Run a plan whole; its check must be clean. */
async function run<R extends LoadReport>(target: Target, plan: LoadPlan): Promise<R> {
  const load = Load.start(plan, loadTarget(target));
  try {
    await load.prepare();
    const hooks = new Hooks();
    const report = await load.measure(hooks);
    expect(hooks.heard).toBe('be');
    expect(report.mode).toBe(plan.mode);
    expect(blemish(plan.mode, await load.check())).toBeNull();
    return report as R;
  } finally {
    load.close();
  }
}

type Report<M extends LoadReport['mode']> = Extract<LoadReport, { mode: M }>;

async function floods(target: Target): Promise<void> {
  for (const direction of ['forward', 'backward', 'both'] as const) {
    const { cells, bytes } = await run<Report<'flood'>>(target, { ...FLOOD, direction, warmUpBytes: 1e6 });
    expect(cells).toBeGreaterThan(10_000);
    expect(bytes).toBe(cells * 514);
  }
}

async function paced(target: Target): Promise<void> {
  const bytesPerSec = 6e6;
  const report = await run<Report<'flood'>>(target, {
    ...FLOOD,
    circuits: 20,
    links: { connections: 20, ports: null, spare: 0 },
    route: { nextHops: 20, routes: null, dialers: null },
    burst: 8,
    bytesPerSec,
  });
  // What the kernel makes up for afterwards is less than what is sent.
  expect(report.bytesPerSec).toBeLessThan(bytesPerSec * 1.05);
}

/** Connections are chosen from spares with ports of our choice, and each next hop is dialled from the other one. */
async function placed(target: Target): Promise<void> {
  const ports = freePorts(3);
  const plan: LoadPlan = {
    ...FLOOD,
    circuits: 8,
    links: { connections: 2, ports, spare: 1 },
    route: { nextHops: 2, routes: [[0], [1]], dialers: [1, 0] },
  };
  const load = Load.start(plan, loadTarget(target));
  try {
    const places = await load.connect();
    expect(places.links).toEqual(ports.map((port) => ({ address: '127.0.0.1', port })));
    expect(places.hopPorts).toHaveLength(2);
    await load.prepare([2, 0]);
    await load.measure(new Hooks());
    expect(blemish(plan.mode, await load.check())).toBeNull();
  } finally {
    load.close();
  }
}

async function latency(target: Target): Promise<void> {
  const alone = await run<Report<'latency'>>(target, { mode: 'latency', probe: PROBE, beside: null });
  expect(alone.measured).toMatchObject({ probes: PROBE.probes, lost: 0 });
  expect(alone.floor).toMatchObject({ probes: PROBE.probes, lost: 0 });
  expect(alone.beside).toBeNull();
  const beside = { ...FLOOD, bytesPerSec: 5e6 };
  const loaded = await run<Report<'latency'>>(target, { mode: 'latency', probe: PROBE, beside });
  expect(loaded.measured).toMatchObject({ probes: PROBE.probes, lost: 0 });
  expect(loaded.beside!.cells).toBeGreaterThan(0);
}

async function churn(target: Target): Promise<void> {
  const plan: LoadPlan = {
    mode: 'churn',
    links: { connections: 3, ports: null, spare: 0 },
    hops: 1,
    handshake: 'ntor',
    nextHops: 2,
    circuits: 300,
    warmUpCircuits: 10,
    inFlight: 20,
    probe: null,
  };
  for (const handshake of ['ntor', 'ntor-v3', 'fast'] as const) {
    const report = await run<Report<'churn'>>(target, { ...plan, handshake });
    expect(report.done + report.refused).toBe(300);
    expect(report.done).toBeGreaterThan(0);
    expect(report.verified).toBeGreaterThan(0);
  }
  const far = await run<Report<'churn'>>(target, { ...plan, hops: 2, circuits: 100 });
  expect(far.verified).toBeGreaterThanOrEqual(2 * far.done);
  const flooded: LoadPlan = { ...plan, circuits: null, inFlight: 200, probe: PROBE };
  const beside = await run<Report<'churn'>>(target, flooded);
  expect(beside.probe!.measured).toMatchObject({ probes: PROBE.probes, lost: 0 });
  expect(beside.done).toBeGreaterThan(0);
}

async function idle(target: Target): Promise<void> {
  const plan: LoadPlan = { mode: 'idle', links: 60, addresses: 3, opening: 8, holdMs: 100 };
  const report = await run<Report<'idle'>>(target, plan);
  expect(report).toMatchObject({ asked: 60, held: 60, reasons: {} });
}

async function exit(target: Target): Promise<void> {
  const plan: LoadPlan = {
    mode: 'exit',
    direction: 'both',
    connections: 2,
    circuits: 3,
    streams: 7,
    congestion: true,
    bytes: 7e6,
    warmUpBytes: 1e6,
  };
  for (const direction of ['forward', 'backward', 'both'] as const) {
    const report = await run<Report<'exit'>>(target, {
      ...plan,
      direction,
      congestion: direction !== 'both',
    });
    expect(report.bytes).toBeGreaterThan(6_999_000);
    expect(report.bytesPerSec).toBeGreaterThan(0);
  }
}

const MODES = { floods, paced, placed, latency, churn, idle, exit };

/** Run every mode on one relay. */
function throughAll(kind: TargetKind): void {
  let target: Target | null = null;

  beforeAll(async () => {
    target = await startTarget({ kind, workers: 2, torrc: EXIT_TORRC });
  }, DEADLINE_MS);

  afterAll(() => target?.stop());

  for (const [name, mode] of Object.entries(MODES)) {
    const run = async () => {
      try {
        await mode(target!);
      } catch (fault) {
        process.stderr.write(`the log of ${kind} ends:\n${target?.log().slice(-2000)}\n`);
        throw fault;
      }
    };
    test(name, run, DEADLINE_MS);
  }
}

describe('through ours', () => throughAll('ours'));

describe.skipIf(!HAS_C_TOR)('through C tor', () => throughAll('tor'));

test('more links than files may be open are refused before any is opened', async () => {
  const plan: LoadPlan = { mode: 'idle', links: 100_000_000, addresses: 3, opening: 8, holdMs: 0 };
  const nobody = {
    rsaId: new Uint8Array(20),
    ed25519Id: new Uint8Array(32),
    ntorOnionKey: new Uint8Array(32),
  };
  const load = Load.start(plan, { host: '127.0.0.1', port: 1, ...nobody });
  try {
    await load.connect();
    expect.unreachable();
  } catch (fault) {
    expect((fault as OperatorError).message).toMatch(/open files are needed/);
  } finally {
    load.close();
  }
});

test('a relay that is not there is said, with its address', async () => {
  const [port] = freePorts(1);
  const target = { host: '127.0.0.1', port: port!, rsaId: new Uint8Array(20), ed25519Id: new Uint8Array(32) };
  const load = Load.start(FLOOD, { ...target, ntorOnionKey: new Uint8Array(32) });
  try {
    await load.connect();
    expect.unreachable();
  } catch (fault) {
    expect(fault).toBeInstanceOf(OperatorError);
    expect((fault as OperatorError).where).toBe(`127.0.0.1:${port}`);
  } finally {
    load.close();
  }
});
