import { expect, test } from 'bun:test';
import { DigestMap } from '../../src/directory/digest-map.ts';

test('keys are equal when their bytes are', () => {
  const map = new DigestMap<number>();
  const bytes = Uint8Array.of(1, 2, 255, 0, 1, 2, 255);
  map.set(bytes.subarray(0, 3), 7);
  expect(map.get(bytes.subarray(4))).toBe(7);
  expect(map.has(Uint8Array.of(1, 2))).toBe(false);
  map.set(bytes.subarray(4), 8);
  expect([...map.values()]).toEqual([8]);
  expect(map.size).toBe(1);
  expect(map.delete(bytes.subarray(0, 3))).toBe(true);
  expect(map.delete(bytes.subarray(0, 3))).toBe(false);
  map.set(bytes, 1);
  map.clear();
  expect(map.size).toBe(0);
});
