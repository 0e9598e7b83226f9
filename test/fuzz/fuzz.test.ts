/** The fuzz frame itself: it finds faults, repeats them, and lets refusals pass. */
import { describe, expect, test } from 'bun:test';
import { Malformed, Violation } from '../../src/fault.ts';
import { runFuzz } from './fuzz.ts';
import { Prng } from './prng.ts';

const corpus = [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)];

function messageOf(run: () => void): string {
  try {
    run();
  } catch (fault) {
    return String(fault);
  }
  return 'nothing was thrown';
}

describe('Prng', () => {
  test('repeats itself for a seed, and differs for another', () => {
    expect(new Prng(7).bytes(64)).toEqual(new Prng(7).bytes(64));
    expect(new Prng(7).bytes(64)).not.toEqual(new Prng(8).bytes(64));
    expect(new Prng(7).bytes(64)).not.toEqual(new Prng(7 + 2 ** 32).bytes(64));
  });

  test('stays the same generator for ever', () => {
    const random = new Prng(1);
    expect([random.u32(), random.u32(), random.u32()]).toEqual([3941718762, 1897315821, 4227198370]);
  });

  test('stays within its bounds and reaches all of them', () => {
    const random = new Prng(3);
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const float = random.float();
      expect(float >= 0 && float < 1).toBe(true);
      seen.add(random.below(10));
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(random.below(0)).toBe(0);
    expect(['a', 'b']).toContain(random.pick(['a', 'b']));
  });
});

describe('runFuzz', () => {
  test('lets Malformed and Violation pass', () => {
    let refused = 0;
    const run = (bytes: Uint8Array): void => {
      if (bytes.length === 8 && bytes[0] === 1) return;
      refused++;
      if (bytes.length % 2 === 0) throw new Malformed('thing', 'even', 0);
      throw new Violation('circuit', 1, 'odd', 'odd');
    };
    runFuzz('self', { corpus, run }, 1, 500);
    expect(refused).toBeGreaterThan(100);
  });

  test('reports any other throw with seed, case and input, the same one each time', () => {
    const run = (bytes: Uint8Array): void => {
      if (bytes.length > 8) throw new RangeError('too long for me');
    };
    const first = messageOf(() => runFuzz('self', { corpus, run }, 5, 500));
    expect(first).toContain('FUZZ_SEED=5, case ');
    expect(first).toContain('RangeError: too long for me');
    expect(first).toMatch(/\n[0-9a-f]{18,}$/);
    expect(messageOf(() => runFuzz('self', { corpus, run }, 5, 500))).toBe(first);
  });

  test('insists that the corpus is valid and not empty', () => {
    const run = (): void => {
      throw new Malformed('thing', 'never good', 0);
    };
    expect(messageOf(() => runFuzz('self', { corpus, run }, 1, 0))).toContain('corpus input 0');
    expect(messageOf(() => runFuzz('self', { corpus: [], run }, 1, 0))).toContain('the corpus is empty');
  });

  test('replays kept inputs, which may be refused but not crash', () => {
    const seen: number[] = [];
    const run = (bytes: Uint8Array): void => {
      seen.push(bytes[0]!);
      if (bytes[0] === 9) throw new Malformed('thing', 'nine', 0);
      if (bytes[0] === 10) throw new TypeError('ten');
    };
    runFuzz('self', { corpus, run }, 1, 0, [Uint8Array.of(9)]);
    expect(seen).toEqual([1, 9]);
    expect(messageOf(() => runFuzz('self', { corpus, run }, 1, 0, [Uint8Array.of(10)]))).toContain(
      'kept input 0',
    );
  });

  test('inserts words of the dictionary, and damages neither the corpus nor the target', () => {
    const word = new TextEncoder().encode('router-signature');
    let found = 0;
    const run = (bytes: Uint8Array): void => {
      if (Buffer.from(bytes).includes('router-signature')) found++;
      bytes.fill(0);
    };
    runFuzz('self', { corpus, run, dictionary: [word] }, 1, 500);
    expect(found).toBeGreaterThan(10);
    expect(corpus[0]).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  });
});
