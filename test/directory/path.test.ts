/** Paths: who may stand where, who never does, and that no two of one kin stand in one. */
import { describe, expect, test } from 'bun:test';
import { PathChooser, type PathRules } from '../../src/directory/path.ts';
import { areKin, hopOf, type Kin, listNodes, type PathNode } from '../../src/directory/path-node.ts';
import { fingerprintOf, type MadeRelay, makeConsensus } from './path-network.ts';
import { seededRandom } from './virtual-time.ts';

const RULES: PathRules = { distinctSubnets: true, own: null, isExcluded: () => false };
const DRAWS = 400;

function chooser(relays: readonly MadeRelay[], rules: Partial<PathRules> = {}, seed = 1): PathChooser {
  const { consensus, factsOf } = makeConsensus(relays);
  return new PathChooser(consensus, factsOf, 10_000, { ...RULES, ...rules }, seededRandom(seed));
}

const guard: MadeRelay = { flags: ['Fast', 'Guard', 'Stable'] };
const middle: MadeRelay = { flags: ['Fast', 'Stable'] };
const exit: MadeRelay = { flags: ['Exit', 'Fast', 'Stable'], policy: 'accept 80,443' };
const many = (relay: MadeRelay, count: number): MadeRelay[] => Array.from({ length: count }, () => relay);
const numbers = (path: readonly PathNode[] | null): number[] =>
  path === null ? [] : path.map(({ fingerprint }) => Number.parseInt(fingerprint, 16));

/** Who stood in each place over many draws. */
function places(draw: () => readonly PathNode[] | null): Set<number>[] {
  const found: Set<number>[] = [];
  for (let i = 0; i < DRAWS; i++) {
    for (const [place, number] of numbers(draw()).entries()) (found[place] ??= new Set()).add(number);
  }
  return found;
}

const sorted = (set: Set<number> | undefined): number[] => [...(set ?? [])].sort((a, b) => a - b);

describe('to an exit', () => {
  test('guards first, exits for the port last, anyone between', () => {
    const paths = chooser([...many(guard, 3), ...many(middle, 3), exit, { ...exit, policy: 'accept 22' }]);
    const found = places(() => paths.toExit({ port: 443, isIpv6: false, stable: false }));
    expect(sorted(found[0])).toEqual([1, 2, 3]);
    expect(sorted(found[1])).toEqual([1, 2, 3, 4, 5, 6, 8]);
    expect(sorted(found[2])).toEqual([7]);
  });

  test('nobody exits to the port, or only badly', () => {
    const paths = chooser([...many(guard, 3), { ...exit, flags: ['Exit', 'Fast', 'BadExit'] }]);
    expect(paths.toExit({ port: 443, isIpv6: false, stable: false })).toBeNull();
    expect(paths.toExit({ port: 25, isIpv6: false, stable: false })).toBeNull();
  });

  test('IPv6 goes by the IPv6 summary', () => {
    const paths = chooser([...many(guard, 3), exit, { ...exit, ipv6Policy: 'accept 80' }]);
    const found = places(() => paths.toExit({ port: 80, isIpv6: true, stable: false }));
    expect(sorted(found[2])).toEqual([5]);
  });

  test('Stable and Fast where they are to be had, else without', () => {
    const slow: MadeRelay = { ...exit, flags: ['Exit'] };
    const fleeting: MadeRelay = { ...exit, flags: ['Exit', 'Fast'] };
    const both = chooser([...many(guard, 3), slow, fleeting, exit]);
    expect(sorted(places(() => both.toExit({ port: 80, isIpv6: false, stable: true }))[2])).toEqual([6]);
    expect(sorted(places(() => both.toExit({ port: 80, isIpv6: false, stable: false }))[2])).toEqual([5, 6]);
    const only = chooser([...many(guard, 3), slow]);
    expect(sorted(places(() => only.toExit({ port: 80, isIpv6: false, stable: true }))[2])).toEqual([4]);
  });
});

describe('never', () => {
  const wish = { port: 80, isIpv6: false, stable: false };

  test('who is not running, whom we do not know, whom torrc excludes, ourselves and our kin', () => {
    const own: Kin = {
      fingerprint: fingerprintOf(1),
      nickname: 'r1',
      ipv4: Uint8Array.of(10, 2, 9, 9),
      ipv6: null,
      family: [`$${fingerprintOf(3)}`],
      familyIds: ['ed25519:x'],
    };
    const relays: MadeRelay[] = [
      guard,
      guard,
      { ...guard, family: [`$${fingerprintOf(1)}`] },
      { ...guard, familyIds: ['ed25519:x'] },
      { ...guard, unknown: true },
      guard,
      guard,
      guard,
      exit,
    ];
    const paths = chooser(relays, { own, isExcluded: ({ nickname }) => nickname === 'r6' });
    const found = places(() => paths.toExit(wish));
    expect(sorted(found[0])).toEqual([7, 8]);
    expect(sorted(found[1])).toEqual([7, 8]);
  });

  test('two of one kin in a path', () => {
    const relays: MadeRelay[] = [];
    for (let i = 0; i < 12; i++) {
      const kind = i < 6 ? guard : exit;
      relays.push({ ...kind, ipv4: [10, i % 3, i, 1] });
    }
    const paths = chooser(relays);
    let drawn = 0;
    for (let i = 0; i < DRAWS; i++) {
      const path = paths.toExit(wish)!;
      drawn++;
      for (const a of path) for (const b of path) if (a !== b) expect(areKin(a, b, true)).toBe(false);
    }
    expect(drawn).toBe(DRAWS);
    // With all in one network there is no path, unless that is allowed.
    const crowded = relays.map((relay) => ({ ...relay, ipv4: [10, 1, 1, 1] as const }));
    expect(chooser(crowded).toExit(wish)).toBeNull();
    expect(chooser(crowded, { distinctSubnets: false }).toExit(wish)).toHaveLength(3);
  });

  test('a relay twice', () => {
    const paths = chooser([guard, middle, exit], { distinctSubnets: false });
    for (let i = 0; i < 50; i++) expect(new Set(numbers(paths.toExit(wish))).size).toBe(3);
    expect(chooser([guard, exit], { distinctSubnets: false }).toExit(wish)).toBeNull();
  });
});

test('inside the network anyone may be last', () => {
  const paths = chooser([...many(guard, 2), ...many(middle, 3)]);
  const found = places(() => paths.inside(false));
  expect(sorted(found[2])).toEqual([1, 2, 3, 4, 5]);
  expect(sorted(found[0])).toEqual([1, 2]);
});

describe('to ourselves', () => {
  const ipv6 = (last: number): Uint8Array => Uint8Array.of(0x20, 1, 0xd, last, ...new Uint8Array(12));
  const relays: MadeRelay[] = [
    { ...guard, ipv6: ipv6(1) },
    { ...guard, ipv6: ipv6(2) },
    { ...guard, ipv6: ipv6(3) },
    { ...middle, ipv6: ipv6(4), proto: 'Relay=2' },
    { ...middle, ipv6: ipv6(5) },
    middle,
  ];

  function own(isIpv6: boolean) {
    const { consensus, factsOf } = makeConsensus([...relays, middle]);
    const hop = hopOf(listNodes(consensus, factsOf)[6]!);
    const v6 = { host: new Uint8Array(16).fill(7), port: 1 };
    const kin: Kin = {
      fingerprint: fingerprintOf(7),
      nickname: 'r7',
      ipv4: Uint8Array.of(10, 7, 0, 1),
      ipv6: null,
      family: [],
      familyIds: [],
    };
    return { ...kin, hop: isIpv6 ? { ...hop, ipv4: null, ipv6: v6 } : hop };
  }

  test.each([
    [false, [1, 2, 3, 4, 5, 6]],
    [true, [1, 2, 3, 5]],
  ])('IPv6 %p: entries are guards, and who extends over IPv6 knows how', (isIpv6, middles) => {
    const self = own(isIpv6);
    const paths = chooser(relays, { own: self });
    const firsts = new Set<number>();
    const seconds = new Set<number>();
    for (let i = 0; i < DRAWS; i++) {
      const [first, second, last] = paths.toOurselves(self, () => false)!;
      expect(last).toBe(self.hop);
      firsts.add(first!.rsaId[19]!);
      seconds.add(second!.rsaId[19]!);
    }
    expect(sorted(firsts)).toEqual([1, 2, 3]);
    expect(sorted(seconds)).toEqual([...middles]);
  });

  test('by a relay without a link to us, where there is one; from one with a link', () => {
    const self = own(false);
    const linked = (...numbers: number[]) => {
      const seen: [Set<number>, Set<number>] = [new Set(), new Set()];
      const paths = chooser(relays, { own: self });
      for (let i = 0; i < DRAWS; i++) {
        const path = paths.toOurselves(self, ({ rsaId }) => numbers.includes(rsaId[19]!))!;
        for (const place of [0, 1] as const) seen[place].add(path[place]!.rsaId[19]!);
      }
      return seen.map(sorted);
    };
    expect(linked(2, 4, 5)).toEqual([[2], [1, 3, 6]]);
    expect(linked(1, 2, 3, 4, 5, 6)).toEqual([
      [1, 2, 3],
      [1, 2, 3, 4, 5, 6],
    ]);
  });

  test('with one other relay there is no way', () => {
    expect(chooser([guard], { own: own(false) }).toOurselves(own(false), () => false)).toBeNull();
  });
});

test('directories: V2Dir, by weight; authorities last; shunned ones never', () => {
  const dir: MadeRelay = { flags: ['V2Dir'] };
  const authority: MadeRelay = { flags: ['Authority', 'V2Dir'] };
  const paths = chooser([middle, dir, { ...dir, bandwidth: 300, unknown: true }, authority]);
  const counts = new Map<number, number>();
  for (let i = 0; i < 4000; i++) {
    const [number] = numbers([paths.directory(() => false)!]);
    counts.set(number!, (counts.get(number!) ?? 0) + 1);
  }
  expect(sorted(new Set(counts.keys()))).toEqual([2, 3]);
  expect(Math.abs(counts.get(3)! - 3000)).toBeLessThan(200);
  const shun = (...shunned: number[]) => paths.directory((node) => shunned.includes(node.rsaId[19]!));
  expect(numbers([shun(2, 3)!])).toEqual([4]);
  expect(shun(2, 3, 4)).toBeNull();
});

test('how much of the network is known', () => {
  expect(chooser([{ bandwidth: 300 }, { bandwidth: 100, unknown: true }]).knownShare).toBe(0.75);
  expect(chooser([{ bandwidth: 0 }, { bandwidth: 0, unknown: true }]).knownShare).toBe(0.5);
  expect(chooser([]).knownShare).toBe(0);
});

test('the same seed gives the same paths', () => {
  const draw = (seed: number) => {
    const paths = chooser([...many(guard, 5), ...many(exit, 5)], {}, seed);
    return Array.from({ length: 20 }, () =>
      numbers(paths.toExit({ port: 80, isIpv6: false, stable: false })),
    );
  };
  expect(draw(3)).toEqual(draw(3));
  expect(draw(3)).not.toEqual(draw(4));
});
