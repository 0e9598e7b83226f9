import { describe, expect, test } from 'bun:test';
import { equal, wipe } from '../../src/bytes/secret.ts';

describe('equal', () => {
  test('compares contents and lengths', () => {
    const a = Uint8Array.of(1, 2, 3);
    expect(equal(a, Uint8Array.of(1, 2, 3))).toBe(true);
    expect(equal(a, Uint8Array.of(0, 1, 2, 3).subarray(1))).toBe(true);
    expect(equal(a, Uint8Array.of(1, 2))).toBe(false);
    expect(equal(a, Uint8Array.of(1, 2, 3, 0))).toBe(false);
    expect(equal(new Uint8Array(0), new Uint8Array(0))).toBe(true);
    for (let i = 0; i < 3; i++) {
      const other = a.slice();
      other[i]! ^= 0x80;
      expect(equal(a, other)).toBe(false);
    }
  });
});

test('wipe leaves only zeros', () => {
  const bytes = Uint8Array.of(1, 2, 255);
  wipe(bytes);
  expect(bytes).toEqual(new Uint8Array(3));
});
