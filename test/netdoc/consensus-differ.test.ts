import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import { applyConsensusDiff, applyScript, splitLines } from '../../src/netdoc/consensus-diff.ts';
import { ConsensusDiffer, makeConsensusDiff } from '../../src/netdoc/consensus-differ.ts';
import { Prng } from '../fuzz/prng.ts';
import { bytesOf, leastCpu, readJsonLines, readVector, textOf, withoutHeader } from './fixture.ts';
import { SyntheticNetwork } from './synthetic-network.ts';

interface PairCase {
  readonly case: string;
  readonly base: string;
  readonly target: string;
  readonly diff: string | null;
}

/** The script of a diff, without its head. */
function scriptOf(diff: Uint8Array): string {
  return textOf(diff).split('\n').slice(2).join('\n');
}

describe("C tor's pairs", () => {
  for (const { case: name, base, target, diff } of readJsonLines<PairCase>('consensus-diff-pairs.txt')) {
    test(name, () => {
      if (diff === null) {
        expect(() => makeConsensusDiff(bytesOf(base), bytesOf(target))).toThrow(Malformed);
        return;
      }
      const made = makeConsensusDiff(bytesOf(base), bytesOf(target));
      if (diff.startsWith('network-status-diff-version')) expect(textOf(made)).toBe(diff);
      else expect(diff.split('|')).toContain(scriptOf(made));
      expect(textOf(applyConsensusDiff(bytesOf(base), made))).toBe(target);
    });
  }
});

test("Arti's pair of consensuses", () => {
  const [base, target, theirs] = ['consensus1', 'consensus2', 'diff1'].map((name) =>
    withoutHeader(readVector(`arti-consdiff-${name}.txt`)),
  ) as [Uint8Array, Uint8Array, Uint8Array];
  const diff = makeConsensusDiff(base, target);
  expect(applyConsensusDiff(base, diff)).toEqual(target);
  expect(diff.length).toBeLessThanOrEqual(theirs.length);
});

test('a single last line of signatures is deleted by its number: "5,$d" would be an empty range', () => {
  const base = bytesOf('network-status-version 3\na\ndirectory-signature x\n');
  const target = bytesOf('network-status-version 3\na\ndirectory-signature y\n');
  expect(scriptOf(makeConsensusDiff(base, target))).toBe('3d\n2a\ndirectory-signature y\n.\n');
});

test('lines that some reader would not keep are refused', () => {
  expect(() => makeConsensusDiff(bytesOf('a\n'), bytesOf('a\nb\r\n'))).toThrow(/carriage return/);
  expect(() => makeConsensusDiff(bytesOf('a\n'), bytesOf('a\n.\n'))).toThrow(/dot/);
  expect(() => makeConsensusDiff(bytesOf('a'), bytesOf('a\n'))).toThrow(/newline/);
});

test('a stretch too long to be compared is replaced as a whole', () => {
  const lines = (word: string): string => Array.from({ length: 3000 }, (_, i) => `${word}${i}\n`).join('');
  const base = bytesOf(`x\n${lines('a')}same\n${lines('b')}y\n`);
  const target = bytesOf(`x\n${lines('c')}same\n${lines('d')}y\n`);
  const script = scriptOf(makeConsensusDiff(base, target));
  expect(script).toStartWith('2,6002c\nc0\n');
  expect(script).toContain('\nsame\n');
});

test('random documents: every diff gives its target', () => {
  const random = new Prng(41);
  for (let round = 0; round < 300; round++) {
    const make = (): Uint8Array => bytesOf(randomDocument(random));
    const [base, target] = [make(), make()];
    const diff = makeConsensusDiff(base, target);
    expect(applyConsensusDiff(base, diff)).toEqual(target);
    const other = applyScript(splitLines(base), splitLines(diff), 2, 1 << 20);
    expect(other).toEqual(target);
  }
});

function randomDocument(random: Prng): string {
  const word = (): string => `${random.pick(['a', 'b', 'c'])}\n`;
  const words = (n: number): string => Array.from({ length: random.below(n) }, word).join('');
  const ids = [...'ABCDEFGHIJ'].filter(() => random.below(2) === 0);
  const routers = ids.map((id) => `r n${random.below(3)} ${id}${id} etc\n${words(5)}`).join('');
  const signatures = random.below(2) === 0 ? '' : `directory-signature x\n${words(4)}`;
  return `${words(8)}${routers}${words(5)}${signatures}`;
}

test('8,000 relays: small diffs, in time that grows with the document', () => {
  const cost = (relays: number): number => {
    const network = new SyntheticNetwork({ seed: 5, relays });
    const base = network.consensus('microdesc');
    network.pass(1);
    const target = network.consensus('microdesc');
    const differ = new ConsensusDiffer(target);
    const diff = differ.from(base);
    expect(applyConsensusDiff(base, diff)).toEqual(target);
    expect(diff.length).toBeLessThan(target.length / 4);
    return leastCpu(() => differ.from(base), 3);
  };
  const small = cost(1000);
  expect(cost(8000)).toBeLessThan(8 * 5 * small);
});
