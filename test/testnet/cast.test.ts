/** Who plays what. */
import { describe, expect, test } from 'bun:test';
import { castRelays, RELAYS_LEAST, RELAYS_MOST, type Role } from '../../src/testnet/cast.ts';

const count = (relays: number, role: Role): number =>
  castRelays(relays, 2).filter((part) => part.role === role).length;

describe('a cast', () => {
  test('of any size has every role, names of its own, and a guard first', () => {
    for (let relays = RELAYS_LEAST; relays <= RELAYS_MOST; relays++) {
      const parts = castRelays(relays, 4);
      expect(parts.length).toBe(relays);
      expect(new Set(parts.map(({ nickname }) => nickname)).size).toBe(relays);
      expect(parts[0]!.role).toBe('guard');
      for (const role of ['guard', 'middle', 'exit'] as const) expect(count(relays, role)).toBeGreaterThan(0);
    }
  });

  test('is about equal parts', () => {
    expect(['guard', 'middle', 'exit'].map((role) => count(6, role as Role))).toEqual([2, 2, 2]);
    expect(['guard', 'middle', 'exit'].map((role) => count(10, role as Role))).toEqual([4, 3, 3]);
  });

  test('shares out the cores', () => {
    expect(castRelays(6, 2).map(({ workers }) => workers)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(castRelays(3, 16).map(({ workers }) => workers)).toEqual([5, 5, 5]);
  });
});
