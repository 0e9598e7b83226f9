import { expect, test } from 'bun:test';
import { RandomPool } from '../../src/circuit/random-pool.ts';

test('gives no byte twice', () => {
  let next = 0;
  const pool = new RandomPool((bytes) => {
    bytes.fill(++next);
  });
  const seen: number[] = [];
  for (let i = 0; i < 200; i++) seen.push(...pool.bytes(i));
  // Each fill has a number of its own: it lends at most its 8192 bytes, and never goes back to an earlier one.
  for (let i = 1; i < seen.length; i++) expect(seen[i]!).toBeGreaterThanOrEqual(seen[i - 1]!);
  for (let fill = 1; fill <= next; fill++)
    expect(seen.filter((of) => of === fill).length).toBeLessThanOrEqual(8192);
  expect(next).toBe(3);
});

test('u32 takes four bytes, unsigned', () => {
  const pool = new RandomPool((bytes) => bytes.fill(0xff));
  expect(pool.u32()).toBe(0xffffffff);
});

test('draws from the kernel unless told', () => {
  const pool = new RandomPool();
  const a = pool.bytes(32).slice();
  expect(pool.bytes(32)).not.toEqual(a);
  expect(pool.bytes(8192).length).toBe(8192);
});
