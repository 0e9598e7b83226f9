import { expect, test } from 'bun:test';
import { Fifo } from '../../src/circuit/fifo.ts';
import { seeded } from '../shm/seeded.ts';

test('gives back in order of arrival, whatever the order of calls', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = seeded(seed);
    const fifo = new Fifo<number>();
    const truth: number[] = [];
    for (let step = 0; step < 5000; step++) {
      if (random() < 0.5 + 0.2 * Math.sin(step / 400)) {
        fifo.push(step);
        truth.push(step);
      } else {
        expect(fifo.peek()).toBe(truth[0] ?? null);
        expect(fifo.pop()).toBe(truth.shift() ?? null);
      }
      expect(fifo.length).toBe(truth.length);
    }
  }
});

test('an empty one has nothing to give', () => {
  const fifo = new Fifo<string>();
  expect([fifo.peek(), fifo.pop(), fifo.length]).toEqual([null, null, 0]);
});
