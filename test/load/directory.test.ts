/** A load on a directory, small, on ours and on C tor; and answers that are wrong. */
import { afterAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { makeRequests } from '../../src/bench/directory-mix.ts';
import { makePaperNetwork } from '../../src/bench/paper-network.ts';
import { DIRECTORY_TORRC } from '../../src/bench/suite.ts';
import { killStarted, type RelayKind, startTarget } from '../../src/bench/target.ts';
import { Load } from '../../src/load/load.ts';
import { blemish, type DirectoryPlan, type DirectoryReport } from '../../src/load/plan.ts';
import { wallSec } from '../../src/time/clock.ts';
import { HAS_C_TOR } from '../net/c-tor.ts';

const MAIN = join(import.meta.dir, '../../src/main.ts');
const DEADLINE_MS = 120_000;
const network = makePaperNetwork(200, wallSec());
const PLAN: DirectoryPlan = {
  mode: 'directory',
  connections: 2,
  circuits: 4,
  streams: 50,
  total: 1000,
  warmUpTotal: 100,
  requests: makeRequests(network.microdescriptors),
};

afterAll(killStarted);

async function load(kind: RelayKind, plan: DirectoryPlan) {
  const command = kind === 'tor' ? ['tor'] : [process.execPath, MAIN];
  const target = await startTarget({
    kind,
    command,
    workers: 2,
    torrc: DIRECTORY_TORRC,
    cores: null,
    network,
  });
  const run = Load.start(plan, target.load);
  try {
    await run.prepare();
    const report = (await run.measure({ begin() {}, end() {} })) as DirectoryReport;
    return { report, check: await run.check() };
  } finally {
    run.close();
    await target.stop();
  }
}

async function isAnswered(kind: RelayKind, plan = PLAN): Promise<void> {
  const { report, check } = await load(kind, plan);
  expect(report).toMatchObject({ mode: 'directory', done: 1000 });
  expect(report.bytes).toBeGreaterThan(200_000);
  expect(blemish(PLAN.mode, check)).toBeNull();
  expect(check).toMatchObject({ expected: 1100, inStep: 1100 });
  expect(check.sampled).toBeGreaterThan(15);
}

test('ours answers every request', () => isAnswered('ours'), DEADLINE_MS);

test(
  'more requests at once than a link’s buffer holds are asked and answered, too',
  () => isAnswered('ours', { ...PLAN, connections: 1, streams: 600 }),
  DEADLINE_MS,
);

describe.skipIf(!HAS_C_TOR)('C tor', () => {
  test('answers every request', () => isAnswered('tor'), DEADLINE_MS);
});

test(
  'documents that are others than were asked for are seen',
  async () => {
    const requests = PLAN.requests.map((request, i) => ({
      ...request,
      documents: PLAN.requests[(i + 1) % PLAN.requests.length]!.documents,
    }));
    const { check } = await load('ours', { ...PLAN, requests });
    expect(check.corrupt).toBe(check.sampled);
    expect(blemish(PLAN.mode, check)).toBe(`${check.corrupt} answers changed`);
  },
  DEADLINE_MS,
);
