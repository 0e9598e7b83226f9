import { expect, test } from 'bun:test';
import { joinAll } from '../../src/bytes/join.ts';

test('parts stand one behind the other, in bytes of their own', () => {
  const parts = [
    Uint8Array.of(1, 2),
    Buffer.from([3]),
    new Uint8Array(0),
    Uint8Array.of(9, 4, 9).subarray(1, 2),
  ];
  const joined = joinAll(parts);
  expect(joined).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(joined.buffer.byteLength).toBe(4);
  parts[0]![0] = 7;
  expect(joined[0]).toBe(1);
  expect(joined.slice(1)).toEqual(Uint8Array.of(2, 3, 4));
});

test('of nothing there is nothing', () => {
  expect(joinAll([])).toEqual(new Uint8Array(0));
});
