/** Weights of places, by C tor's table, and that choices follow them. */
import { describe, expect, test } from 'bun:test';
import { listNodes } from '../../src/directory/path-node.ts';
import { chooseByWeight, type Place, PlaceWeights } from '../../src/directory/path-weight.ts';
import { type MadeRelay, makeConsensus } from './path-network.ts';
import { seededRandom } from './virtual-time.ts';

/** One relay of each kind: guard, middle, exit, both; each again as a directory. */
const KINDS: MadeRelay[] = [
  { flags: ['Guard'] },
  { flags: [] },
  { flags: ['Exit'] },
  { flags: ['Guard', 'Exit'] },
  { flags: ['Guard', 'V2Dir'] },
  { flags: ['V2Dir'] },
  { flags: ['Exit', 'V2Dir'] },
  { flags: ['Guard', 'Exit', 'V2Dir'] },
];

// All different, so that a mixed-up name shows.
const WEIGHTS: Record<string, number> = {};
for (const [i, name] of [
  ...['Wgg', 'Wgm', 'Wgd', 'Wmg', 'Wmm', 'Wme', 'Wmd', 'Weg', 'Wem', 'Wee', 'Wed'],
  ...['Wgb', 'Wmb', 'Web', 'Wdb', 'Wbg', 'Wbm', 'Wbe', 'Wbd'],
].entries()) {
  WEIGHTS[name] = 1000 + 100 * i;
}
const w = (name: string): number => WEIGHTS[name]! / 10_000;

function weightsOf(place: Place, weights = WEIGHTS): number[] {
  const { consensus, factsOf } = makeConsensus(KINDS, weights);
  const rule = new PlaceWeights(place, consensus.bandwidthWeights, 10_000);
  return listNodes(consensus, factsOf).map((node) => rule.of(node) / 100);
}

describe('each kind of relay in each place', () => {
  test.each([
    ['guard', ['Wgg', 'Wgm', null, 'Wgd']],
    ['middle', ['Wmg', 'Wmm', 'Wme', 'Wmd']],
    ['exit', ['Weg', 'Wem', 'Wee', 'Wed']],
  ] as [Place, (string | null)[]][])('%s', (place, names) => {
    const plain = names.map((name) => (name === null ? 0 : w(name)));
    const scales = ['Wgb', 'Wmb', 'Web', 'Wdb'].map(w);
    const found = weightsOf(place);
    for (const [i, expected] of [...plain, ...plain.map((value, k) => value * scales[k]!)].entries()) {
      expect(found[i]).toBeCloseTo(expected, 9);
    }
  });

  test('directory: not scaled twice', () => {
    const plain = ['Wbg', 'Wbm', 'Wbe', 'Wbd'].map(w);
    const found = weightsOf('directory');
    for (const [i, expected] of [...plain, ...plain].entries()) expect(found[i]).toBeCloseTo(expected, 9);
  });

  test('a BadExit is no exit', () => {
    const { consensus, factsOf } = makeConsensus([{ flags: ['Exit', 'BadExit'] }], WEIGHTS);
    const rule = new PlaceWeights('middle', consensus.bandwidthWeights, 10_000);
    expect(rule.of(listNodes(consensus, factsOf)[0]!)).toBeCloseTo(100 * w('Wmm'), 9);
  });

  test.each(['guard', 'middle', 'exit', 'directory'] as Place[])(
    '%s without weights: bandwidth alone',
    (place) => {
      expect(weightsOf(place, {})).toEqual(KINDS.map(() => 1));
      const { Wgb: _, ...lacking } = WEIGHTS;
      if (place !== 'directory') expect(weightsOf(place, lacking)).toEqual(KINDS.map(() => 1));
    },
  );
});

describe('choosing', () => {
  const random = seededRandom(7);

  function counts(relays: MadeRelay[], place: Place, draws: number): number[] {
    const { consensus, factsOf } = makeConsensus(relays, WEIGHTS);
    const nodes = listNodes(consensus, factsOf);
    const rule = new PlaceWeights(place, consensus.bandwidthWeights, 10_000);
    const found = nodes.map(() => 0);
    for (let i = 0; i < draws; i++) found[nodes.indexOf(chooseByWeight(nodes, rule, random)!)]!++;
    return found;
  }

  test.each(['guard', 'middle', 'exit', 'directory'] as Place[])(
    '%s: as often as the weights say',
    (place) => {
      const relays = KINDS.map((kind, i) => ({ ...kind, bandwidth: 50 + 75 * i }));
      const draws = 40_000;
      const found = counts(relays, place, draws);
      const weights = weightsOf(place).map((weight, i) => weight * (50 + 75 * i));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      let chiSquare = 0;
      for (const [i, weight] of weights.entries()) {
        const expected = (draws * weight) / total;
        if (weight === 0) expect(found[i]).toBe(0);
        else chiSquare += (found[i]! - expected) ** 2 / expected;
      }
      // Seven degrees of freedom: beyond this once in a million runs.
      expect(chiSquare).toBeLessThan(40);
    },
  );

  test('no weight at all: each as often as any other', () => {
    const found = counts(
      Array.from({ length: 4 }, () => ({ bandwidth: 0 })),
      'middle',
      8000,
    );
    for (const count of found) expect(Math.abs(count - 2000)).toBeLessThan(250);
  });

  test('of none: none', () => {
    expect(chooseByWeight([], new PlaceWeights('middle', new Map(), 10_000), random)).toBeNull();
  });
});
