/** Flags of a young network. */
import { describe, expect, test } from 'bun:test';
import { KNOWN_FLAGS, relayFlags, stableUptimeSec } from '../../src/testnet/relay-flags.ts';

const FACTS = {
  isAuthority: false,
  isExit: false,
  servesDirectory: true,
  uptimeSec: 60,
  descriptorAgeSec: 60,
};

describe('flags', () => {
  test('of a relay with a directory', () => {
    expect(relayFlags(FACTS, 30)).toEqual(['Fast', 'Guard', 'Running', 'Stable', 'V2Dir', 'Valid']);
  });

  test('without a directory it is no guard', () => {
    expect(relayFlags({ ...FACTS, servesDirectory: false }, 30)).toEqual([
      'Fast',
      'Running',
      'Stable',
      'Valid',
    ]);
  });

  test('a newcomer is neither Stable nor Guard', () => {
    expect(relayFlags({ ...FACTS, uptimeSec: 29 }, 30)).toEqual(['Fast', 'Running', 'V2Dir', 'Valid']);
  });

  test('Exit, Authority and StaleDesc have their reasons', () => {
    const flags = relayFlags({ ...FACTS, isExit: true, isAuthority: true, descriptorAgeSec: 70_000 }, 0);
    expect(flags).toEqual(KNOWN_FLAGS as typeof flags);
    expect(flags).toEqual([...flags].sort());
  });

  test('Stable takes half the median uptime', () => {
    expect(stableUptimeSec([])).toBe(0);
    expect(stableUptimeSec([100])).toBe(50);
    expect(stableUptimeSec([1000, 100, 60])).toBe(50);
    expect(stableUptimeSec([0, 100, 100, 100])).toBe(50);
  });
});
