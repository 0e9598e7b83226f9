/** What a simulated connection may do to an end that has paused, as a socket does. */
import { expect, test } from 'bun:test';
import { GOOD, WireEnd } from './wire.ts';

test('a paused end gets late what was under way when it paused, and nothing that is sent after that', () => {
  const [a, b] = WireEnd.pair(
    { ...GOOD, lateData: 1 },
    { float: () => 0, below: (n) => Math.min(n - 1, 59) },
  );
  const taken: number[] = [];
  b.events = { onData: (chunk) => taken.push(chunk.length), onDrain() {}, onGone() {} };
  a.write(new Uint8Array(100), 0, 100);
  b.pause();
  a.write(new Uint8Array(100), 0, 100);
  while (b.canDeliverLate()) b.deliver();
  expect(taken).toEqual([60, 40]);
  b.resume();
  expect(b.canDeliverLate()).toBe(false);
  while (b.canDeliver()) b.deliver();
  expect(taken).toEqual([60, 40, 60, 40]);
});
