/** Streams by number, and in line. */
import { expect, test } from 'bun:test';
import type { Carrier } from '../../src/edge/carrier.ts';
import type { Stream } from '../../src/edge/stream.ts';
import { StreamSet } from '../../src/edge/stream-set.ts';

const CARRIER: Carrier = { mixes: true, room: () => 0, send: () => true, sendBodies: () => true, close() {} };
const fake = (id: number): Stream => ({ id, isReady: false }) as Stream;

test('are found by number until they are removed', () => {
  const set = new StreamSet(CARRIER, false);
  const [one, two] = [fake(1), fake(2)];
  set.add(one);
  set.add(two);
  expect([set.find(1), set.find(1), set.find(2), set.find(3)]).toEqual([one, one, two, null]);
  set.remove(two);
  expect([set.find(2), set.count]).toEqual([null, 1]);
  const again = fake(2);
  set.add(again);
  expect(set.find(2)).toBe(again);
  expect(set.all()).toEqual([one, again]);
  expect(set.takeAll()).toEqual([one, again]);
  expect([set.count, set.find(1)]).toEqual([0, null]);
});

test('stand in line in their order, however many', () => {
  const set = new StreamSet(CARRIER, true);
  const all = Array.from({ length: 500 }, (_, i) => fake(i + 1));
  for (const stream of all) set.pushReady(stream);
  expect([set.readyCount, all.every(({ isReady }) => isReady)]).toEqual([500, true]);
  for (const stream of all) {
    expect(set.shiftReady()).toBe(stream);
    if (stream.id % 2 === 0) set.pushReady(stream);
  }
  expect(set.readyCount).toBe(250);
  for (let id = 2; id <= 500; id += 2) expect(set.shiftReady()!.id).toBe(id);
  expect(set.shiftReady()).toBeNull();
});

test('that are gone do not stay in line, whether anyone is served or not', () => {
  const set = new StreamSet(CARRIER, true);
  const kept = fake(1);
  set.add(kept);
  set.pushReady(kept);
  for (let id = 2; id <= 5000; id++) {
    const stream = fake(id);
    set.add(stream);
    set.pushReady(stream);
    stream.isGone = true;
    set.remove(stream);
    expect(set.readyCount).toBeLessThanOrEqual(3);
  }
  expect(set.shiftReady()).toBe(kept);
  // One that left while it was the only one, and one behind those that were taken out of the line.
  const [gone, next] = [fake(6001), fake(6002)];
  for (const stream of [gone, next]) {
    set.add(stream);
    set.pushReady(stream);
  }
  gone.isGone = true;
  set.remove(gone);
  const served = [set.shiftReady(), set.shiftReady(), set.shiftReady()];
  expect(served.filter((stream) => stream !== null && !stream.isGone)).toEqual([next]);
});
