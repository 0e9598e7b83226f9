import { expect, test } from 'bun:test';
import { Errand, refusalOf } from '../../src/directory/errand.ts';
import { AUTHORITIES, makeChutney } from './chutney.ts';
import { ErrandRig } from './errand-rig.ts';
import { settle } from './virtual-time.ts';

const QUESTION = { path: '/tor/x', headers: { A: 'b' }, bytesMax: 100 };

function makeRig() {
  const { network, time } = makeChutney();
  const rig = new ErrandRig(network, time, AUTHORITIES, () => ({ status: 200, body: 'yes' }));
  return { rig, time, errand: new Errand('things', rig.tools) };
}

test('asks one authority and gives its answer', async () => {
  const { rig, errand } = makeRig();
  const answers: string[] = [];
  errand.ask(QUESTION, (outcome, { nickname }) => {
    answers.push(`${nickname} ${refusalOf(outcome) ?? 'good'}`);
  });
  expect(errand.isAsking).toBe(true);
  await settle();
  expect(errand.isAsking).toBe(false);
  expect(answers).toEqual([expect.stringMatching(/^test00\da good$/)]);
  expect(rig.requests[0]).toMatchObject({ path: '/tor/x', headers: { A: 'b' } });
});

test('an answer that is of no use says why', async () => {
  const { rig, errand } = makeRig();
  const refusals: (string | null)[] = [];
  for (const answer of [{ status: 503, body: '' }, new Error('connection refused')]) {
    rig.answer = () => answer;
    errand.ask(QUESTION, (outcome) => refusals.push(refusalOf(outcome)));
    await settle();
  }
  expect(refusals).toEqual(['answered 503 Sorry', 'connection refused']);
});

test('what is stopped is not heard of again', async () => {
  const { rig, errand, time } = makeRig();
  let looks = 0;
  errand.start(5, () => looks++);
  expect([looks, errand.isRunning, errand.msUntilDue()]).toEqual([0, true, 5000]);
  await time.pass(5000);
  expect(looks).toBe(1);
  errand.ask(QUESTION, () => {
    throw new Error('not to be called');
  });
  errand.stop();
  await settle();
  expect([errand.isRunning, rig.aborted]).toEqual([false, 1]);
  errand.arm(() => looks++);
  await time.pass(600_000);
  expect([looks, time.pending()]).toEqual([1, []]);
});

test('looks when due, at least once a minute, but not while it asks', async () => {
  const { rig, errand, time } = makeRig();
  const looks: number[] = [];
  errand.start(0, () => undefined);
  const look = (): void => {
    looks.push(Math.round(errand.msUntilDue() / 1000));
    if (errand.msUntilDue() > 0) errand.arm(look);
  };
  errand.wait(150_000);
  errand.arm(look);
  await time.pass(200_000);
  expect(looks).toEqual([90, 30, 0]);
  errand.waitUntil(time.nowSec() + 10);
  expect([errand.dueSec, errand.msUntilDue()]).toEqual([time.nowSec() + 10, 10_000]);
  rig.answer = () => new Promise(() => undefined);
  errand.arm(look);
  errand.ask(QUESTION, () => undefined);
  await time.pass(20_000);
  expect(looks.length).toBe(3);
});

test('waits grow with failures, and who failed is passed over', () => {
  const { rig, errand } = makeRig();
  for (const authority of AUTHORITIES.slice(1)) errand.fail(authority, 'is away', false);
  expect(rig.tools.picker.pick()).toBe(AUTHORITIES[0]!);
  expect(errand.backoff.failures).toBe(AUTHORITIES.length - 1);
  expect(errand.msUntilDue()).toBeGreaterThanOrEqual(10_000);
});
