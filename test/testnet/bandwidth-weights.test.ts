/** Bandwidth weights: positions come out level, shares add up, and there are none where nothing fits. */
import { describe, expect, test } from 'bun:test';
import { type ClassBandwidth, printBandwidthWeights } from '../../src/testnet/bandwidth-weights.ts';
import { Prng } from '../fuzz/prng.ts';
import { readDocuments, textOf } from '../netdoc/fixture.ts';

function weightsOf(guard: number, middle: number, exit: number, both: number): Map<string, number> | null {
  const line = printBandwidthWeights({ guard, middle, exit, both });
  if (line === null) return null;
  const [keyword, ...pairs] = line.split(' ');
  expect(keyword).toBe('bandwidth-weights');
  expect(pairs).toEqual([...pairs].sort());
  return new Map(pairs.map((pair) => [pair.split('=')[0]!, Number(pair.split('=')[1])]));
}

/** Bandwidth that each position has: guard, middle, exit. */
function positions(weights: Map<string, number>, of: ClassBandwidth): [number, number, number] {
  const w = (name: string): number => weights.get(name)! / 10_000;
  return [
    w('Wgg') * of.guard + w('Wgd') * of.both,
    w('Wmg') * of.guard + w('Wme') * of.exit + w('Wmd') * of.both + of.middle,
    w('Wee') * of.exit + w('Wed') * of.both,
  ];
}

describe('bandwidth weights', () => {
  test('are those of a network of C tor', () => {
    // All its relays are Guard, Exit or both, alike; C tor 0.4.9.6 computed the line.
    const text = textOf(readDocuments('chutney-consensus-microdesc.txt', 'network-status-version')[0]!);
    const entries = text.split(/^r /m).slice(1);
    const total = { guard: 0, middle: 0, exit: 0, both: 0 };
    for (const entry of entries) {
      const flags = /^s (.*)$/m.exec(entry)![1]!.split(' ');
      const [isGuard, isExit] = [flags.includes('Guard'), flags.includes('Exit')];
      const kind = isGuard && isExit ? 'both' : isGuard ? 'guard' : isExit ? 'exit' : 'middle';
      total[kind] += Number(/^w Bandwidth=(\d+)/m.exec(entry)![1]);
    }
    expect(printBandwidthWeights(total)).toBe(/^bandwidth-weights .*$/m.exec(text)?.[0] ?? null);
  });

  test('of thirds leave everybody where it is', () => {
    const weights = weightsOf(2000, 2000, 2000, 0)!;
    for (const name of ['Wgg', 'Wee']) expect(weights.get(name)).toBeWithin(9_990, 10_001);
    for (const name of ['Wmg', 'Wme']) expect(weights.get(name)).toBeWithin(0, 11);
  });

  test('of plenty at both ends send what is spare to the middle', () => {
    const of = { guard: 6000, middle: 1000, exit: 5000, both: 0 };
    const [guard, middle, exit] = positions(weightsOf(6000, 1000, 5000, 0)!, of);
    expect(Math.abs(guard - exit)).toBeLessThan(20);
    expect(Math.abs(guard - middle)).toBeLessThan(20);
  });

  test('of scarce exits keep them for exiting', () => {
    const weights = weightsOf(9000, 9000, 1000, 500)!;
    expect([weights.get('Wee'), weights.get('Wed'), weights.get('Wme')]).toEqual([10_000, 10_000, 0]);
  });

  test('of scarce guards keep them for guarding', () => {
    const weights = weightsOf(1000, 9000, 9000, 500)!;
    expect([weights.get('Wgg'), weights.get('Wgd'), weights.get('Wmg')]).toEqual([10_000, 10_000, 0]);
  });

  test('of any network are shares, and add up', () => {
    const random = new Prng(71);
    let given = 0;
    for (let run = 0; run < 2000; run++) {
      const [g, m, e, d] = [0, 0, 0, 0].map(() => random.below(50_000)) as [number, number, number, number];
      const weights = weightsOf(g, m, e, d);
      if (weights === null) continue;
      given++;
      const w = (name: string): number => weights.get(name)!;
      for (const value of weights.values()) expect(value).toBeWithin(0, 10_001);
      for (const sum of [w('Wgg') + w('Wmg'), w('Wee') + w('Wme'), w('Wgd') + w('Wmd') + w('Wed')]) {
        expect(Math.abs(sum - 10_000)).toBeLessThanOrEqual(10);
      }
      expect([w('Wgm'), w('Wem'), w('Weg')]).toEqual([w('Wgg'), w('Wee'), w('Wed')]);
    }
    expect(given).toBeGreaterThan(1000);
  });

  test('are none where no case fits', () => {
    // Nobody can be guard and exit, and neither has a third.
    expect(weightsOf(2000, 3000, 2000, 0)).toBeNull();
  });
});
