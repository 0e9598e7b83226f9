/** The heap of legs with waiting cells: the one that sent least goes first, equals take turns. */
import { expect, test } from 'bun:test';
import {
  type ActiveLegs,
  addActive,
  demoteFirst,
  type LegPriority,
  NO_LEGS,
  removeActive,
} from '../../src/channel/active-legs.ts';

const LEGS = 200;

function table(): LegPriority {
  return {
    sent: new Float64Array(LEGS),
    turn: new Float64Array(LEGS),
    heapAt: new Int32Array(LEGS).fill(-1),
  };
}

function port(): ActiveLegs {
  return { activeLegs: NO_LEGS, activeCount: 0 };
}

function members({ activeLegs, activeCount }: ActiveLegs): number[] {
  return [...activeLegs.subarray(0, activeCount)];
}

/** A generator with a seed, so that a failure can be played again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('the leg that sent least is first, after any order of comings and goings', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const order = table();
    const all = port();
    const inside = new Set<number>();
    for (let step = 0; step < 2000; step++) {
      const leg = Math.floor(next() * LEGS);
      if (!inside.has(leg)) {
        order.sent[leg] = Math.floor(next() * 20);
        addActive(all, order, leg);
        inside.add(leg);
      } else if (next() < 0.5) {
        removeActive(all, order, leg);
        inside.delete(leg);
        expect(order.heapAt[leg]).toBe(-1);
      } else {
        const first = all.activeLegs[0]!;
        order.sent[first]! += next() * 10;
        order.turn[first] = step;
        demoteFirst(all, order);
      }
      if (inside.size === 0) continue;
      const least = Math.min(...[...inside].map((each) => order.sent[each]!));
      expect(order.sent[all.activeLegs[0]!]).toBe(least);
    }
    expect(new Set(members(all))).toEqual(inside);
    for (const [at, leg] of members(all).entries()) expect(order.heapAt[leg]).toBe(at);
  }
});

test('equals take turns', () => {
  const order = table();
  const all = port();
  for (const leg of [7, 3, 5]) addActive(all, order, leg);
  const served: number[] = [];
  for (let turn = 1; turn <= 9; turn++) {
    const first = all.activeLegs[0]!;
    served.push(first);
    order.sent[first]! += 1;
    order.turn[first] = turn;
    demoteFirst(all, order);
  }
  expect(served.slice(3, 6)).toEqual(served.slice(0, 3));
  expect(served.slice(6)).toEqual(served.slice(0, 3));
  expect(new Set(served.slice(0, 3))).toEqual(new Set([3, 5, 7]));
});

test('a port without waiting legs keeps no large heap', () => {
  const order = table();
  const all = port();
  for (let leg = 0; leg < LEGS; leg++) addActive(all, order, leg);
  for (let leg = 0; leg < LEGS; leg++) removeActive(all, order, leg);
  expect(all.activeCount).toBe(0);
  expect(all.activeLegs).toBe(NO_LEGS);
});
