import { describe, expect, test } from 'bun:test';
import { OperatorError } from '../../src/fault.ts';
import type { FloodPlan, LoadPlan, LoadTarget } from '../../src/load/plan.ts';
import { checkPlan } from '../../src/load/plan-check.ts';

const TARGET: LoadTarget = {
  host: '127.0.0.1',
  port: 9001,
  rsaId: new Uint8Array(20),
  ed25519Id: new Uint8Array(32),
  ntorOnionKey: new Uint8Array(32),
};
const LINKS = { connections: 2, ports: null, spare: 1 };
const ROUTE = { nextHops: 3, routes: null, dialers: null };
const FLOOD: FloodPlan = {
  mode: 'flood',
  direction: 'both',
  circuits: 4,
  links: LINKS,
  route: ROUTE,
  window: 10,
  burst: 1,
  bytes: 1e6,
  warmUpBytes: 0,
  bytesPerSec: null,
};
const PROBE = { circuits: 1, ports: null, probes: 10, gapMs: 1 };
const CHURN: LoadPlan = {
  mode: 'churn',
  links: LINKS,
  hops: 1,
  handshake: 'ntor',
  nextHops: 1,
  circuits: 10,
  warmUpCircuits: 0,
  inFlight: 5,
  probe: null,
};
const EXIT: LoadPlan = {
  mode: 'exit',
  direction: 'both',
  connections: 2,
  circuits: 2,
  streams: 2,
  congestion: true,
  bytes: 1e6,
  warmUpBytes: 0,
};
const DIRECTORY: LoadPlan = {
  mode: 'directory',
  connections: 2,
  circuits: 2,
  streams: 5,
  total: 10,
  warmUpTotal: 0,
  requests: [],
};
const IDLE: LoadPlan = { mode: 'idle', links: 5, addresses: 2, opening: 2, holdMs: 0 };

const refused = (plan: LoadPlan, target = TARGET) =>
  expect(() => checkPlan(plan, target)).toThrow(OperatorError);

test('plans that can be carried out are taken', () => {
  for (const plan of [FLOOD, CHURN, IDLE, EXIT, DIRECTORY]) checkPlan(plan, TARGET);
  checkPlan({ mode: 'latency', probe: PROBE, beside: FLOOD }, { ...TARGET, host: '127.8.9.10' });
  checkPlan({ ...CHURN, circuits: null, probe: PROBE }, TARGET);
  checkPlan({ ...FLOOD, links: { ...LINKS, ports: [4001, 4002, 4003] } }, TARGET);
  checkPlan({ ...FLOOD, route: { nextHops: 3, routes: [[0, 2], [1]], dialers: [0, 1, 1] } }, TARGET);
});

describe('refused', () => {
  test('every target that is not of 127/8', () => {
    for (const host of ['192.0.2.1', '0.0.0.0', '::1', 'localhost', '127.0.0.1.example.net', '']) {
      refused(FLOOD, { ...TARGET, host });
    }
  });

  test('numbers that make no sense', () => {
    for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      refused({ ...FLOOD, window: bad });
      refused({ ...FLOOD, links: { ...LINKS, connections: bad } });
      refused({ ...IDLE, links: bad } as LoadPlan);
      refused({ ...CHURN, inFlight: bad } as LoadPlan);
      refused({ ...EXIT, streams: bad } as LoadPlan);
      refused({ ...DIRECTORY, total: bad } as LoadPlan);
      refused({ mode: 'latency', probe: { ...PROBE, probes: bad }, beside: null });
    }
    refused({ ...FLOOD, bytesPerSec: 0 });
    refused({ ...FLOOD, burst: 128 });
    refused({ ...FLOOD, circuits: 1 });
    refused({ ...EXIT, circuits: 1 } as LoadPlan);
    refused({ ...EXIT, streams: 1 } as LoadPlan);
  });

  test('ports that are not one per connection', () => {
    for (const ports of [
      [],
      [4001],
      [4001, 4002],
      [4001, 4001, 4002],
      [4001, 4002, 0],
      [4001, 4002, 65536],
    ]) {
      refused({ ...FLOOD, links: { ...LINKS, ports } });
    }
  });

  test('routes and dialers that do not match', () => {
    for (const routes of [[], [[0]], [[0], []], [[0], [3]], [[0], [-1]]]) {
      refused({ ...FLOOD, route: { ...ROUTE, routes } });
    }
    for (const dialers of [[], [0, 1], [0, 1, 2], [0, 1, -1]]) {
      refused({ ...FLOOD, route: { ...ROUTE, dialers } });
    }
  });

  test('a churn that would never end', () => refused({ ...CHURN, circuits: null } as LoadPlan));
});
