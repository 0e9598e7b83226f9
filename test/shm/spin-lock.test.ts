import { expect, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import { freeLocksOf, lock, tryLock, unlock } from '../../src/shm/spin-lock.ts';
import type { LockTask } from './spin-lock-worker.ts';
import { Thread } from './thread.ts';

test('a lock names its holder and comes free again', () => {
  const words = new Int32Array(new SharedArrayBuffer(64));
  lock(words, 3, 0);
  expect(words[3]).toBe(1);
  expect(tryLock(words, 3, 1, 0)).toBe(false);
  unlock(words, 3, 0);
  expect(words[3]).toBe(0);
  expect(tryLock(words, 3, 7, 0)).toBe(true);
  expect(words[3]).toBe(8);
});

test('taking a lock twice, and letting go what one does not hold, are bugs', () => {
  const words = new Int32Array(new SharedArrayBuffer(64));
  lock(words, 0, 2);
  expect(() => lock(words, 0, 2)).toThrow(Bug);
  expect(() => unlock(words, 1, 2)).toThrow(Bug);
});

test('only the locks of the dead are freed', () => {
  const words = new Int32Array(new SharedArrayBuffer(1024));
  for (let i = 0; i < 8; i++) lock(words, 16 + i * 4, i % 3);
  expect(freeLocksOf(words, 16, 8, 4, 1)).toBe(3);
  for (let i = 0; i < 8; i++) expect(words[16 + i * 4]).toBe(i % 3 === 1 ? 0 : (i % 3) + 1);
});

test('three threads count under one lock and lose nothing', async () => {
  const words = new SharedArrayBuffer(64);
  const threads = [0, 1, 2].map(() => new Thread('./spin-lock-worker.ts'));
  try {
    const count = 30_000;
    await Promise.all(
      threads.map((one, thread) => {
        const task: LockTask = { role: 'count', thread, words, at: 4, count };
        return one.ask(task);
      }),
    );
    const seen = new Int32Array(words);
    expect([seen[4], seen[5], seen[6]]).toEqual([0, 3 * count, 3 * count]);
  } finally {
    await Promise.all(threads.map((one) => one.kill()));
  }
}, 60_000);

test('a thread that waits for the lock of one that died goes on as soon as it is freed', async () => {
  const words = new SharedArrayBuffer(64);
  const holder = new Thread('./spin-lock-worker.ts');
  const waiter = new Thread('./spin-lock-worker.ts');
  try {
    const hold: LockTask = { role: 'hold', thread: 0, words, at: 4, count: 0 };
    expect(await holder.ask<string>(hold)).toBe('held');
    await holder.kill();
    const answer = waiter.ask<string>({
      role: 'count',
      thread: 1,
      words,
      at: 4,
      count: 10,
    } satisfies LockTask);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(new Int32Array(words)[5]).toBe(0);
    expect(freeLocksOf(new Int32Array(words), 4, 1, 1, 0)).toBe(1);
    expect(await answer).toBe('counted');
    expect(new Int32Array(words)[5]).toBe(10);
  } finally {
    await waiter.kill();
  }
}, 60_000);
