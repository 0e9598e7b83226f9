import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { mayRunAgain, planTests } from './run-plan.ts';

const FILES = [...new Bun.Glob('**/*.test.ts').scanSync(import.meta.dir)];
const plan = planTests(FILES);
const jobs = plan.flatMap((stage) => stage.flatMap((queue) => queue.jobs));

test('every test file is in one job', () => {
  expect(jobs.flatMap(({ files }) => files).sort()).toEqual([...FILES].sort());
  expect(new Set(jobs.map(({ name }) => name)).size).toBe(jobs.length);
  expect(FILES).toContain(join('net', 'link.test.ts'));
});

test('what measures runs when all others are done, one by one', () => {
  const last = plan.at(-1)!;
  expect(last.map(({ lanes }) => lanes)).toEqual([1]);
  expect(last[0]!.jobs.map(({ name }) => name)).toContain('net/fairness');
});

test('networks go before what only computes', () => {
  const niceness = (name: string): number => jobs.find((job) => job.name === name)!.niceness;
  expect(niceness('net/link')).toBe(0);
  expect(niceness('cell')).toBeGreaterThan(0);
  expect(niceness('sim/sim')).toBeGreaterThan(niceness('cell'));
});

test('a part of the files is planned as well', () => {
  expect(planTests([])).toEqual([]);
  expect(
    planTests(['cell/cell.test.ts', 'tidy.test.ts'])
      .flat(2)[0]!
      .jobs.map(({ name }) => name),
  ).toEqual(['cell', 'test']);
});

test('what others ran beside is worth another run, but for what a seed or chance finds', () => {
  const again = plan
    .flatMap((stage) => stage.flatMap((queue) => queue.jobs.filter((job) => mayRunAgain(job, stage))))
    .map(({ name }) => name);
  for (const name of ['net/link', 'edge', 'test']) expect(again).toContain(name);
  for (const name of ['net/fairness', 'sim/sim', 'fuzz']) expect(again).not.toContain(name);
  expect(jobs.map(({ name }) => name)).toContain('fuzz');
  const alone = planTests([join('net', 'link.test.ts')])[0]!;
  expect(mayRunAgain(alone[0]!.jobs[0]!, alone)).toBe(false);
});
