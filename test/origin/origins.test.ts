/** The circuits of one worker: counted, found by row, ended all together, and on time. */
import { expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { CircuitLog, OriginRig } from './rig.ts';

test('several circuits over one link, each with its own end', () => {
  const rig = new OriginRig();
  const opened = [0, 1, 2].map(() => rig.openTwo());
  expect([rig.origins().count, rig.originRows(), rig.count('links_dialled')]).toEqual([3, 3, 1]);
  expect([rig.count('origin_circuits_started'), rig.count('origin_circuits_built')]).toEqual([3, 3]);
  opened[1]!.circuit.close();
  rig.settle();
  expect(rig.origins().count).toBe(2);
  expect(opened[0]!.log.closed).toEqual([]);
  rig.origins().closeAll();
  rig.settle();
  expect(opened.map(({ log }) => log.closed.length)).toEqual([1, 0, 1]);
  rig.expectEmpty();
  expect(rig.middle.count('circuits_closed')).toBe(3);
});

test('deadlines are each circuit’s own', () => {
  const rig = new OriginRig();
  rig.end.holdCreates = true;
  const logs = [1000, 5000].map((timeoutMs) => {
    const log = new CircuitLog();
    rig.origins().open([rig.endHop()], timeoutMs, log);
    return log;
  });
  rig.world.pass(2000, 200);
  expect(logs.map(({ closed }) => closed)).toEqual([[{ reason: DestroyReason.TIMEOUT, hops: 0 }], []]);
  rig.world.pass(4000, 200);
  expect(logs[1]!.closed.length).toBe(1);
  expect(rig.count('origin_circuit_timeout')).toBe(2);
  rig.expectEmpty();
});

test('an open circuit outlives its deadline', () => {
  const rig = new OriginRig();
  const { log } = rig.openTwo();
  rig.world.pass(120_000, 5000);
  expect(log.closed).toEqual([]);
});
