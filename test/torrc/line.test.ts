import { describe, expect, test } from 'bun:test';
import { OperatorError } from '../../src/fault.ts';
import { parseTorrc, whereOf } from '../../src/torrc/line.ts';

const NO_INCLUDES = () => 'no includes here';

function pairs(text: string): [string, string, number][] {
  return parseTorrc(text, 't', NO_INCLUDES).map((line) => [line.prefix + line.key, line.value, line.line]);
}

describe('parseTorrc', () => {
  test('counts lines through comments and continuations', () => {
    expect(pairs('# c\n\nA 1 \\\n 2\n\tB  3 # c\nC\n')).toEqual([
      ['A', '1  2', 3],
      ['B', '3', 5],
      ['C', '', 6],
    ]);
  });

  test('takes a value whose key is continued', () => {
    expect(pairs('A\\\n1\nB 2')).toEqual([
      ['A', '1', 1],
      ['B', '2', 3],
    ]);
  });

  test('drops comments inside a continued value, and goes on after them', () => {
    expect(pairs('A 1 \\\n#x\n#y\n2\nB 3')).toEqual([
      ['A', '1 2', 1],
      ['B', '3', 5],
    ]);
  });

  test('unescapes quoted values', () => {
    expect(pairs('A "a\\tb\\"\\\\\\\'\\x41\\101\\303\\251é"')).toEqual([['A', 'a\tb"\\\'AAéé', 1]]);
  });

  test('keeps a quote that does not come first', () => {
    expect(pairs('A x "y"')).toEqual([['A', 'x "y"', 1]]);
  });

  test('reads prefixes; a cleared option has no value', () => {
    expect(pairs('+A 1\n/B 2\n')).toEqual([
      ['+A', '1', 1],
      ['/B', '', 2],
    ]);
  });

  test('splices included files in order and keeps their places', () => {
    const files = [
      { name: 'x', text: 'B 2\n%include y' },
      { name: 'z', text: '\nD 4' },
    ];
    const read = (pattern: string) => (pattern === 'y' ? [{ name: 'y', text: 'C 3' }] : files);
    const lines = parseTorrc('A 1\n%include x*\nE 5', 't', read);
    expect(lines.map((line) => `${line.key}${line.value} ${whereOf(line)}`)).toEqual([
      'A1 t:1',
      'B2 x:1',
      'C3 y:1',
      'D4 z:2',
      'E5 t:3',
    ]);
  });

  test('refuses a NUL character by its place', () => {
    expect(() => pairs('A 1\nB \0')).toThrow(
      new OperatorError('a NUL character', 't:2', 'save the file as plain text'),
    );
    expect(() => pairs('A "\\000"')).toThrow('t:1: an escape for no character');
    expect(() => pairs('A "\\777"')).toThrow('t:1: an escape for no character');
  });

  test('is linear in long odd inputs', () => {
    const run = 200_000;
    expect(pairs(`A ${' '.repeat(run)}x${' '.repeat(run)}`)[0]![1]).toBe('x');
    expect(pairs(`A ${'\\\n'.repeat(run)}x`)[0]![1]).toBe('x');
    expect(pairs(`A "${'\\n'.repeat(run)}"`)[0]![1]).toHaveLength(run);
    expect(pairs('#\n'.repeat(run))).toEqual([]);
  });
});
