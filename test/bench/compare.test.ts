/** Alternating runs of contenders, and what is made of them. */
import { expect, test } from 'bun:test';
import {
  type CompareOrder,
  type Contender,
  compare,
  type NamedRun,
  summarise,
} from '../../src/bench/compare.ts';
import type { LoadMaker } from '../../src/bench/measure.ts';
import { planOf, USUAL_SHAPE } from '../../src/bench/shape.ts';
import type { Target } from '../../src/bench/target.ts';
import type { LoadCheck } from '../../src/load/plan.ts';

const NO_BYTES = new Uint8Array();
const IN_STEP: LoadCheck = { expected: 1, inStep: 1, lost: 0, corrupt: 0, sampled: 1, closed: [] };

/** Contenders without a process, and a load without threads. Tells everything that happens. */
function stage(connect: (port: number) => Promise<void>, check: LoadCheck = IN_STEP) {
  const said: string[] = [];
  const contender = (name: string, port: number): Contender => ({
    name,
    placement: null,
    async start(): Promise<Target> {
      said.push(`${name} starts`);
      return {
        load: { host: '127.0.0.1', port, rsaId: NO_BYTES, ed25519Id: NO_BYTES, ntorOnionKey: NO_BYTES },
        pid: 1,
        read: () => ({ cpuSec: 0, rssBytes: 1e6 * port, threads: 1, fds: 1 }),
        logTail: () => 'the last words\n',
        links: null,
        stop: async () => void said.push(`${name} stops`),
      };
    },
  });
  const makeLoad: LoadMaker = ({ port }) => ({
    connect: async () => {
      await connect(port);
      return { links: [], probes: [], hopPorts: [], openSec: 0 };
    },
    prepare: async () => {},
    async measure(hooks) {
      hooks.begin();
      hooks.end();
      return { mode: 'flood', cells: 1, bytes: 514, seconds: 1, bytesPerSec: 514 };
    },
    check: async () => check,
    close: () => {},
  });
  const order: CompareOrder = {
    contenders: [contender('a', 1), contender('b', 2)],
    planFor: () => planOf(USUAL_SHAPE, null),
    runs: 2,
    makeLoad,
    onRun: ({ contender: name, run }) => said.push(`${name} ${run}`),
    onRetry: () => said.push('again'),
    onProgress: () => {},
  };
  return { order, said };
}

test('contenders take turns, each with a fresh relay', async () => {
  const { order, said } = stage(async () => {});
  const { clean, summaries, runs } = await compare(order);
  const turn = (name: string, n: number) => [`${name} starts`, `${name} stops`, `${name} ${n}`];
  expect(said).toEqual([...turn('a', 1), ...turn('b', 1), ...turn('a', 2), ...turn('b', 2)]);
  expect(clean).toBe(true);
  expect(runs.length).toBe(4);
  expect(summaries.map(({ contender, figures }) => [contender, figures.rss?.values])).toEqual([
    ['a', [1, 1]],
    ['b', [2, 2]],
  ]);
});

test('a load that cannot be set up is tried once more, with another relay', async () => {
  let attempts = 0;
  const { order, said } = stage(async () => {
    if (++attempts === 1) throw new Error('refused');
  });
  expect((await compare(order)).clean).toBe(true);
  expect(said.slice(0, 5)).toEqual(['a starts', 'again', 'a stops', 'a starts', 'a stops']);
});

test('then it is an error that ends with the relay’s log, and no relay is left', async () => {
  const { order, said } = stage(async () => {
    throw new Error('refused');
  });
  expect(await compare(order).catch((error: Error) => error.message)).toBe(
    'refused\nThe log of a ends:\nthe last words\n',
  );
  expect(said.filter((text) => text.endsWith('starts')).length).toBe(2);
  expect(said.filter((text) => text.endsWith('stops')).length).toBe(2);
});

test('a run at fault is told, and left out of medians if there are others', async () => {
  const { order } = stage(async () => {}, { ...IN_STEP, corrupt: 1 });
  const { clean, runs } = await compare(order);
  expect(clean).toBe(false);
  expect(runs[0]!.fault).toBe('1 cells changed');
  const run = (rss: number, fault: string | null) => ({ ...runs[0]!, figures: { rss }, fault }) as NamedRun;
  const rssOf = (...of: NamedRun[]) => summarise('a', of).figures.rss?.values;
  expect(rssOf(run(1, null), run(9, 'bad'), run(3, null))).toEqual([1, 3]);
  expect(rssOf(run(1, 'bad'), run(9, 'bad'))).toEqual([1, 9]);
});
