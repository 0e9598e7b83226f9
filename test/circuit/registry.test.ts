/** The registry by itself, and with homes that end sets while asks are on their way. */
import { describe, expect, test } from 'bun:test';
import { type Ask, Registry } from '../../src/circuit/registry.ts';
import { Prng } from '../fuzz/prng.ts';

const TERMS = new Uint8Array(0);

function ask(worker: number, token: number, key: string): Ask {
  return { worker, token, key, terms: TERMS };
}

function rig() {
  const passed: [number, Ask][] = [];
  return { passed, registry: new Registry({ pass: (home, one) => passed.push([home, one]) }) };
}

describe('a key', () => {
  test('is at home with whoever asks first', () => {
    const { registry, passed } = rig();
    registry.take(ask(1, 10, 'a'));
    registry.take(ask(0, 20, 'a'));
    registry.take(ask(0, 21, 'b'));
    expect(passed.map(([home, { token }]) => [home, token])).toEqual([
      [1, 10],
      [1, 20],
      [0, 21],
    ]);
    expect([registry.homeOf('a'), registry.homeOf('b'), registry.homeOf('c')]).toEqual([1, 0, -1]);
  });

  test('is forgotten when its set ended and nothing was on its way', () => {
    const { registry } = rig();
    registry.take(ask(1, 10, 'a'));
    registry.take(ask(0, 20, 'a'));
    registry.release(1, 'a', 2);
    expect(registry.size).toBe(0);
    registry.take(ask(0, 30, 'a'));
    expect(registry.homeOf('a')).toBe(0);
  });

  test('stays with its home while an ask was on its way there', () => {
    const { registry } = rig();
    registry.take(ask(1, 10, 'a'));
    registry.take(ask(0, 20, 'a'));
    // Sent before the second ask came.
    registry.release(1, 'a', 1);
    expect(registry.homeOf('a')).toBe(1);
    registry.release(1, 'a', 1);
    expect(registry.homeOf('a')).toBe(-1);
  });

  test('is released by its home only', () => {
    const { registry } = rig();
    registry.take(ask(1, 10, 'a'));
    registry.release(0, 'a', 1);
    registry.release(1, 'b', 1);
    expect(registry.homeOf('a')).toBe(1);
  });
});

describe('a worker that died', () => {
  test('is home to nothing any more', () => {
    const { registry } = rig();
    registry.take(ask(1, 10, 'a'));
    registry.take(ask(2, 11, 'b'));
    registry.forget(1);
    expect([registry.homeOf('a'), registry.homeOf('b')]).toEqual([-1, 2]);
  });

  test('took the registry along, which the others tell anew before an ask is passed on', () => {
    const { registry, passed } = rig();
    registry.expect(0);
    registry.expect(2);
    registry.take(ask(2, 30, 'a'));
    registry.take(ask(2, 31, 'new'));
    registry.restore(0, 'a', 2);
    registry.onTold(0);
    expect(passed).toEqual([]);
    expect(registry.heldCount).toBe(2);
    registry.onTold(2);
    expect(passed.map(([home, { token }]) => [home, token])).toEqual([
      [0, 30],
      [2, 31],
    ]);
    registry.release(0, 'a', 3);
    expect(registry.homeOf('a')).toBe(-1);
  });

  test('need not tell, and its asks are dropped', () => {
    const { registry, passed } = rig();
    registry.expect(0);
    registry.expect(2);
    registry.take(ask(2, 30, 'a'));
    registry.take(ask(0, 20, 'b'));
    registry.onTold(0);
    registry.forget(2);
    expect(passed.map(([, { token }]) => token)).toEqual([20]);
  });
});

/** Homes take asks and end sets at random times; mail between workers is late, and in order between any two. */
function play(seed: number): void {
  const prng = new Prng(seed);
  const toHome = [0, 1, 2].map((): Ask[] => []);
  const toRegistry = [0, 1, 2].map((): [string, number][] => []);
  const sets = [0, 1, 2].map(() => new Map<string, number>());
  const registry = new Registry({ pass: (home, one) => toHome[home]!.push(one) });
  for (let step = 0; step < 400; step++) {
    const worker = prng.below(3);
    const key = prng.pick(['a', 'b']);
    switch (prng.below(4)) {
      case 0:
        registry.take(ask(worker, step, key));
        break;
      case 1: {
        const one = toHome[worker]!.shift();
        if (one !== undefined) sets[worker]!.set(one.key, (sets[worker]!.get(one.key) ?? 0) + 1);
        break;
      }
      case 2: {
        const asks = sets[worker]!.get(key);
        if (asks === undefined) break;
        sets[worker]!.delete(key);
        toRegistry[worker]!.push([key, asks]);
        break;
      }
      default: {
        const over = toRegistry[worker]!.shift();
        if (over !== undefined) registry.release(worker, over[0], over[1]);
      }
    }
    for (const one of ['a', 'b']) {
      const homes = sets.filter((set) => set.has(one)).length;
      expect(homes).toBeLessThanOrEqual(1);
    }
  }
}

test('no key is ever at home with two', () => {
  for (let seed = 1; seed <= 300; seed++) play(seed);
});
