/** The clerk's employer: one job at a time, a successor for a clerk that dies, and no clerk without work. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { deflateSync, inflateSync } from 'node:zlib';
import { ClerkKeeper } from '../../src/daemon/clerk-keeper.ts';
import { setLogSink, setLogThreshold } from '../../src/log.ts';
import type { ClerkJob } from '../../src/shm/clerk-letter.ts';
import { Length } from './fake-clerk.ts';

const FAKE = new URL('./fake-clerk.ts', import.meta.url).href;
let said: string[] = [];
let keepers: ClerkKeeper[] = [];

beforeEach(() => {
  said = [];
  keepers = [];
  setLogThreshold(() => true);
  setLogSink((record) => void said.push(`[${record.severity}] ${record.text}`));
});

afterEach(() => {
  for (const keeper of keepers) keeper.stop();
  setLogSink(null);
  setLogThreshold(null);
});

function keep(config: { jobTimeoutMs?: number; idleMs?: number } = {}): ClerkKeeper {
  const keeper = new ClerkKeeper({ url: FAKE, ...config });
  keepers.push(keeper);
  return keeper;
}

function order(what: number): ClerkJob {
  const text = new SharedArrayBuffer(8);
  new Int32Array(text)[0] = what;
  return { kind: 'pack', text };
}

/** Why a job failed. Awaited plainly: `rejects` holds up the letters of threads. */
const faultOf = (job: Promise<unknown>): Promise<string> =>
  job.then(
    () => 'it did not fail',
    (error: Error) => error.message,
  );

const numberOf = (answer: unknown): number => (answer as { digest: Uint8Array }).digest[0]!;

test('jobs are done in their order, by one clerk', async () => {
  const keeper = keep();
  expect(keeper.isRunning).toBe(false);
  const answers = await Promise.all([0, 0, 0].map(() => keeper.ask(order(0))));
  expect(answers.map(numberOf)).toEqual([1, 2, 3]);
  expect(keeper.isRunning).toBe(true);
});

test('a document that does not read fails its job alone', async () => {
  const keeper = keep();
  const bad = keeper.ask(order(Length.fault));
  const good = keeper.ask(order(0));
  expect(await faultOf(bad)).toContain('does not read');
  expect(numberOf(await good)).toBe(2);
  expect(keeper.deaths).toBe(0);
});

describe('a clerk that dies', () => {
  test('is replaced, and its job repeated', async () => {
    const keeper = keep();
    const answers = await Promise.all([keeper.ask(order(Length.dieOnce)), keeper.ask(order(0))]);
    expect(answers.map(numberOf)).toEqual([2, 3]);
    expect(keeper.deaths).toBe(1);
    expect(said).toEqual(['[warn] The clerk died over a directory document; a successor takes its place.']);
  });

  test('twice over the same job ends that job, and no other', async () => {
    const keeper = keep();
    const deadly = keeper.ask(order(Length.die));
    const good = keeper.ask(order(0));
    expect(await faultOf(deadly)).toContain('no clerk survives it');
    expect(numberOf(await good)).toBe(3);
    expect(keeper.deaths).toBe(2);
    expect(said.at(-1)).toStartWith('[err] The clerk died twice');
  });

  test('of silence is taken for dead', async () => {
    const keeper = keep({ jobTimeoutMs: 100 });
    expect(await faultOf(keeper.ask(order(Length.hang)))).toContain('no clerk survives it');
    expect(numberOf(await keeper.ask(order(0)))).toBe(3);
  });
});

test('an idle clerk is let go, and another comes when there is work', async () => {
  const keeper = keep({ idleMs: 20 });
  await keeper.ask(order(0));
  while (keeper.isRunning) await Bun.sleep(5);
  expect(numberOf(await keeper.ask(order(0)))).toBe(2);
  expect(keeper.deaths).toBe(0);
  expect(said).toEqual([]);
});

test('when we stop, everybody who waits is told', async () => {
  const keeper = keep();
  const jobs = [keeper.ask(order(Length.hang)), keeper.ask(order(0))];
  keeper.stop();
  for (const job of jobs) expect(await faultOf(job)).toContain('the clerk is gone');
  expect(await faultOf(keeper.ask(order(0)))).toContain('the clerk is gone');
  expect(keeper.isRunning).toBe(false);
});

test('the real clerk answers from its own thread', async () => {
  const keeper = new ClerkKeeper();
  keepers.push(keeper);
  const text = new SharedArrayBuffer(1000);
  new Uint8Array(text).fill(0x61);
  const answer = await keeper.ask({ kind: 'pack', text });
  if (answer.kind !== 'packed') throw new Error(`answered ${answer.kind}`);
  expect(inflateSync(Uint8Array.from(new Uint8Array(answer.deflate))).length).toBe(1000);
  const base = new SharedArrayBuffer(20);
  new Uint8Array(base).set(deflateSync(Buffer.from('x')).subarray(0, 20));
  const diff = keeper.ask({
    kind: 'diff',
    base: { kind: 'memory', deflated: base },
    target: text,
    targetNumber: 1,
  });
  expect(await faultOf(diff)).toContain('does not end with a newline');
  const missing = { kind: 'file', path: '/nonexistent/1000', offset: 0 } as const;
  const target = new SharedArrayBuffer(0);
  expect(await faultOf(keeper.ask({ kind: 'diff', base: missing, target, targetNumber: 2 }))).toContain(
    'ENOENT',
  );
  expect(await keeper.ask({ kind: 'pack', text })).toMatchObject({ kind: 'packed' });
  expect(keeper.deaths).toBe(0);
}, 60_000);
