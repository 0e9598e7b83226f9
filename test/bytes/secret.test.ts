import { describe, expect, test } from 'bun:test';
import { inspect } from 'node:util';
import { equal, Secret, wipe } from '../../src/bytes/secret.ts';

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

describe('Secret', () => {
  test('never prints its bytes', () => {
    const secret = new Secret(Uint8Array.of(222, 173));
    for (const text of [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ deep: { secret } }),
      Bun.inspect(secret),
      JSON.stringify(Object.entries(secret)),
      JSON.stringify({ ...secret }),
    ]) {
      expect(text).not.toContain('222');
      expect(text).not.toContain('dead');
    }
    expect(String(secret)).toBe('[scrubbed]');
    expect(inspect(secret)).toBe('[scrubbed]');
    expect(JSON.stringify(secret)).toBe('"[scrubbed]"');
  });

  test('holds the bytes themselves, which can be wiped', () => {
    const bytes = Uint8Array.of(1, 2);
    const secret = new Secret(bytes);
    expect(secret.bytes).toBe(bytes);
    wipe(secret.bytes);
    expect(bytes).toEqual(Uint8Array.of(0, 0));
  });
});
