import { describe, expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { sha3_256 } from '../../src/crypto/digest.ts';
import { Malformed } from '../../src/fault.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import {
  applyConsensusDiff,
  applyScript,
  DIFFED_BYTES_MAX,
  looksLikeConsensusDiff,
  parseConsensusDiffHead,
  signedSha3,
  splitLines,
} from '../../src/netdoc/consensus-diff.ts';
import { bytesOf, readJsonLines, readVector, textOf, withoutHeader } from './fixture.ts';

interface ScriptCase {
  readonly case: string;
  readonly base: string;
  readonly script: string;
  readonly result: string | null;
}

const apply = (base: string, script: string): string =>
  textOf(applyScript(splitLines(bytesOf(base)), splitLines(bytesOf(script)), 0, 1000));

describe("C tor's scripts", () => {
  for (const { case: name, base, script, result } of readJsonLines<ScriptCase>(
    'consensus-diff-scripts.txt',
  )) {
    test(name, () => {
      if (result === null) expect(() => apply(base, script)).toThrow(Malformed);
      else expect(apply(base, script)).toBe(result);
    });
  }
});

test("Arti's diff of two consensuses", () => {
  const [base, target, diff] = ['consensus1', 'consensus2', 'diff1'].map((name) =>
    withoutHeader(readVector(`arti-consdiff-${name}.txt`)),
  ) as [Uint8Array, Uint8Array, Uint8Array];
  expect(applyConsensusDiff(base, diff)).toEqual(target);
  const { fromDigest, toDigest } = parseConsensusDiffHead(diff);
  expect(fromDigest).toEqual(signedSha3(base));
  expect(toDigest).toEqual(sha3_256(target));
});

test('line 0 can be appended to, not changed', () => {
  expect(apply('A\n', '0a\nB\n.\n')).toBe('B\nA\n');
  for (const script of ['0d\n', '0c\nB\n.\n', '0,1d\n', '0,$d\n'])
    expect(() => apply('A\n', script)).toThrow(/line 0/);
});

test('commands reach no line that is not there', () => {
  for (const script of [
    '2d\n',
    '1,2d\n',
    '2a\nB\n.\n',
    '1,$d\n',
    '2,$d\n',
    '99999999999999999999d\n',
    '2147483648d\n',
  ])
    expect(() => apply('A\n', script), script).toThrow(Malformed);
  expect(apply('A\nB\n', '1,$d\n')).toBe('');
});

test('a result may not be longer than it may', () => {
  expect(() => apply('A\n', `1a\n${'x'.repeat(999)}\n.\n`)).toThrow(/more than 1000 bytes/);
  expect(apply('A\n', `1a\n${'x'.repeat(997)}\n.\n`).length).toBe(1000);
});

test('a document without a last newline is refused', () => {
  expect(() => splitLines(bytesOf('A\nB'))).toThrow(/newline/);
  expect(splitLines(bytesOf('')).count).toBe(0);
  expect(splitLines(bytesOf('\n\n')).count).toBe(2);
  expect(splitLines(bytesOf('a\n'.repeat(5000))).count).toBe(5000);
  expect(() => splitLines(new Uint8Array(1 << 21).fill(65))).toThrow(/newline/);
  expect(() => splitLines(new Uint8Array(1 << 21).fill(65).fill(10, -1))).toThrow(/too long/);
});

describe('heads', () => {
  const hex = 'ab'.repeat(32);
  const good = `network-status-diff-version 1\nhash ${hex} ${hex.toUpperCase()}\n`;

  test('digests of either case', () => {
    const { fromDigest, toDigest } = parseConsensusDiffHead(bytesOf(good));
    expect(encodeHex(fromDigest)).toBe(hex.toUpperCase());
    expect(toDigest).toEqual(fromDigest);
    expect(looksLikeConsensusDiff(bytesOf(good))).toBe(true);
    expect(looksLikeConsensusDiff(bytesOf('network-status-version 3\n'))).toBe(false);
    expect(looksLikeConsensusDiff(bytesOf('network'))).toBe(false);
  });

  const bad: [string, string][] = [
    ['nothing', ''],
    ['one line', 'network-status-diff-version 1\n'],
    ['another version', good.replace('version 1', 'version 2')],
    ['another word', good.replace('hash', 'word')],
    ['one digest', `network-status-diff-version 1\nhash ${hex}\n`],
    ['three digests', good.replace('hash', `hash ${hex}`)],
    ['short digests', 'network-status-diff-version 1\nhash aaa bbb\n'],
    ['no digits', good.replaceAll('ab', '??')],
    ['two spaces', good.replace('hash ', 'hash  ')],
  ];
  test.each(bad)('%s', (_, text) => {
    expect(() => parseConsensusDiffHead(bytesOf(text))).toThrow(Malformed);
  });
});

test('a diff for another consensus, and one that gives something else, are refused', () => {
  const base = bytesOf('network-status-version foo\nA\ndirectory-signature foo bar\nbar\n');
  const head = (from: Uint8Array, to: Uint8Array): string =>
    `network-status-diff-version 1\nhash ${encodeHex(from)} ${encodeHex(to)}\n`;
  const target = bytesOf('network-status-version foo\nB\ndirectory-signature foo bar\nbar\n');
  const script = '2c\nB\n.\n';
  const good = head(signedSha3(base), sha3_256(target)) + script;
  expect(applyConsensusDiff(base, bytesOf(good))).toEqual(target);
  expect(() => applyConsensusDiff(target, bytesOf(good))).toThrow(/another consensus/);
  const lie = head(signedSha3(base), sha3_256(base)) + script;
  expect(() => applyConsensusDiff(base, bytesOf(lie))).toThrow(/gives another/);
  expect(() => applyConsensusDiff(base, bytesOf(good), 10)).toThrow(/more than 10 bytes/);
  expect(DIFFED_BYTES_MAX).toBe(16777215);
});

test('the digest as signed is that of the parsed consensus', () => {
  const consensus = withoutHeader(readVector('chutney-consensus-microdesc.txt'));
  expect(signedSha3(consensus)).toEqual(parseConsensus(consensus).signedDigestSha3);
  const odd = bytesOf('no consensus\n');
  expect(signedSha3(odd)).toEqual(sha3_256(odd));
});
