import { expect, test } from 'bun:test';
import { OnionQueue, type WaitingOnion } from '../../src/circuit/onion-queue.ts';

const onion = (row: number): WaitingOnion => ({
  row,
  generation: 0,
  handshakeType: 2,
  data: new Uint8Array(0),
  queuedMs: 0,
});

test('preferred handshakes go first, each kind in order of arrival', () => {
  const queue = new OnionQueue();
  for (const row of [1, 2]) queue.push(onion(row), false, 1000);
  for (const row of [3, 4]) queue.push(onion(row), true, 1000);
  expect(queue.length).toBe(4);
  expect([queue.pop(), queue.pop(), queue.pop(), queue.pop(), queue.pop()].map((o) => o?.row)).toEqual([
    3,
    4,
    1,
    2,
    undefined,
  ]);
});

test('refuses what would wait too long at the measured cost', () => {
  const queue = new OnionQueue();
  for (let i = 0; i < 500; i++) queue.noteCost(1);
  let taken = 0;
  while (queue.push(onion(taken), false, 100)) taken++;
  expect(taken).toBe(101);
  expect(queue.expectedDelayMs).toBeGreaterThan(100);
  queue.pop();
  expect(queue.push(onion(0), true, 100)).toBe(true);
});

test('learns that handshakes became cheap again', () => {
  const queue = new OnionQueue();
  for (let i = 0; i < 500; i++) queue.noteCost(10);
  for (let i = 0; i < 500; i++) queue.noteCost(0.1);
  for (let i = 0; i < 10; i++) queue.push(onion(i), false, 1000);
  expect(queue.expectedDelayMs).toBeCloseTo(1, 2);
});
