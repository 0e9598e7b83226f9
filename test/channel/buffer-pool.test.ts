import { expect, test } from 'bun:test';
import { BufferPool } from '../../src/channel/buffer-pool.ts';

test('lends, takes back, and keeps only so many idle', () => {
  const pool = new BufferPool(100, 2);
  const lent = [pool.take(), pool.take(), pool.take()];
  expect(pool.lent).toBe(3);
  expect(new Set(lent).size).toBe(3);
  for (const buffer of lent) {
    expect(buffer.length).toBe(100);
    pool.give(buffer);
  }
  expect([pool.lent, pool.idleBytes, pool.heldBytes]).toEqual([0, 200, 200]);
  const again = [pool.take(), pool.take(), pool.take()];
  expect(again.filter((buffer) => lent.includes(buffer)).length).toBe(2);
});
