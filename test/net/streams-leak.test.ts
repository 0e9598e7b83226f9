/**
 * Short streams through one of ours as exit, ended in every way there is: none is left of them, nor any socket or
 * timer. The long run, which looks at memory, is `test/bench/streams.ts`.
 */

import { expect, test } from 'bun:test';
import { vitalsAfter, vitalsBefore } from '../bench/soak-run.ts';
import { CHURNED_EXIT, StreamChurn } from '../bench/stream-churn.ts';
import { startTarget } from '../bench/target.ts';

const STREAMS = 3000;
/** With congestion control, and without. */
const ROUNDS = 2;

test(`of ${STREAMS} streams nothing is left`, async () => {
  const target = await startTarget({ kind: 'ours', workers: 2, torrc: CHURNED_EXIT });
  const churn = await StreamChurn.start(target.hop);
  try {
    const idle = await vitalsBefore(target);
    for (let round = 0; round < ROUNDS; round++) await churn.round(STREAMS / ROUNDS);
    expect(churn.faults).toEqual([]);
    expect(churn.done).toBe(STREAMS);
    expect(churn.accepted).toBeGreaterThan(STREAMS / 3);
    const { end, left } = await vitalsAfter(target, idle);
    expect(left).toEqual([]);
    expect(end.streams).toBe(0);
    const counted = (name: string): number => end.counters.get(name) ?? 0;
    expect(counted('streams_begun')).toBeGreaterThan(STREAMS / 2);
    expect(counted('stream_policy_refused')).toBeGreaterThan(STREAMS / 10);
    expect(target.exitCode).toBeNull();
    expect(target.log()).not.toMatch(/\[err\]|Worker \d+ died/);
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-3000)}\n`);
    throw fault;
  } finally {
    churn.stop();
    await target.stop();
  }
}, 300_000);
