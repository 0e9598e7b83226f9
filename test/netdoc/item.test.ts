/** Items: keyword lines, objects, limits, exact offsets, and cost that grows with the input only. */
import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import type { Item, ItemRules } from '../../src/netdoc/item.ts';
import { ItemReader, latin1, readDocument, splitDocuments } from '../../src/netdoc/item.ts';
import { leastCpu } from './fixture.ts';

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function readItems(text: string): Item[] {
  const reader = new ItemReader(bytesOf(text), 'test');
  const items: Item[] = [];
  for (let item = reader.next(); item !== null; item = reader.next()) items.push(item);
  return items;
}

const OBJECT = '-----BEGIN THING-----\nAAEC\nAwQF\n-----END THING-----\n';

describe('ItemReader', () => {
  test('splits lines at blanks', () => {
    const [first, second, third] = readItems('a b  c\td\nempty\nopt e f\n') as [Item, Item, Item];
    expect([first.keyword, first.rest, first.args, first.hasOpt]).toEqual([
      'a',
      'b  c\td',
      ['b', 'c', 'd'],
      false,
    ]);
    expect([second.keyword, second.rest, second.args]).toEqual(['empty', '', []]);
    expect([third.keyword, third.args, third.hasOpt]).toEqual(['e', ['f'], true]);
  });

  test('drops blanks at the end of a line from the arguments only', () => {
    const [item] = readItems('a b \t\r\n') as [Item];
    expect(item.args).toEqual(['b']);
    expect(item.rest).toBe('b \t\r');
  });

  test('keeps bytes that are no ASCII', () => {
    const [item] = readItems('contact \xc3\xa0\xa0\n') as [Item];
    expect(item.args).toEqual(['\xc3\xa0\xa0']);
  });

  test('decodes an object and counts its lines', () => {
    const [first, second] = readItems(`a\n${OBJECT}b\n`) as [Item, Item];
    expect(first.object).toEqual({ label: 'THING', body: Uint8Array.of(0, 1, 2, 3, 4, 5) });
    expect(second.line).toBe(6);
    expect(second.object).toBeNull();
  });

  test('gives exact offsets', () => {
    const text = `\n# comment\na b\n${OBJECT}c d\n`;
    const [first, second] = readItems(text) as [Item, Item];
    expect(text.slice(first.start, first.lineEnd)).toBe('a b\n');
    expect(text.slice(second.start, second.lineEnd)).toBe('c d\n');
    expect(text.slice(0, second.signedEnd(bytesOf(text), ' '))).toEndWith('\nc ');
    expect(() => second.signedEnd(bytesOf(text), '\n')).toThrow(Malformed);
  });

  test('reads a last line without its newline', () => {
    expect(readItems('a b').map((item) => [item.keyword, item.rest, item.lineEnd])).toEqual([['a', 'b', 3]]);
    expect(readItems(`a\n${OBJECT.trimEnd()}`)[0]!.object!.label).toBe('THING');
  });

  test('reads nothing in an empty document', () => {
    expect(readItems('')).toEqual([]);
    expect(readItems('\n \n\t\n# only a comment')).toEqual([]);
  });

  test.each([
    ['a NUL byte', 'a b\0c\n'],
    ['an object without its end', 'a\n-----BEGIN THING-----\nAAEC\n'],
    ['an object that ends under another label', 'a\n-----BEGIN THING-----\nAAEC\n-----END OTHER-----\n'],
    ['an END line with more on it', 'a\n-----BEGIN THING-----\nAAEC\n-----END THING----- x\n'],
    ['a BEGIN line without its dashes', 'a\n-----BEGIN THING\nAAEC\n-----END THING-----\n'],
    ['an object without a label', 'a\n-----BEGIN -----\nAAEC\n-----END -----\n'],
    ['base64 that is none', 'a\n-----BEGIN THING-----\nA*EC\n-----END THING-----\n'],
    ['a line over 128 KiB', `a ${'x'.repeat(128 * 1024)}\n`],
    [
      'an object over 128 KiB',
      `a\n-----BEGIN THING-----\n${'AAAA'.repeat(33 * 1024)}\n-----END THING-----\n`,
    ],
  ])('refuses %s', (_, text) => {
    expect(() => readItems(text)).toThrow(Malformed);
  });

  test('refuses more than 512 arguments when they are asked for', () => {
    expect(readItems(`a${' x'.repeat(512)}\n`)[0]!.args.length).toBe(512);
    expect(() => readItems(`a${' x'.repeat(513)}\n`)[0]!.args).toThrow(Malformed);
  });

  test('survives every truncation', () => {
    const text = `a b\nopt c\n${OBJECT}d\n`;
    for (let end = 0; end < text.length; end++) {
      try {
        readItems(text.slice(0, end));
      } catch (error) {
        expect(error).toBeInstanceOf(Malformed);
      }
    }
  });
});

describe('readDocument', () => {
  const rules: ItemRules = {
    head: { min: 1, args: 1 },
    many: { max: 2 },
    thing: { object: 'THING' },
    any: { object: null },
  };
  const read = (text: string) => readDocument(bytesOf(text), 'test', rules);

  test('keeps what has a rule in the table and everything in the list', () => {
    const { items, table } = read(`head 1\nunknown\n${OBJECT}many\nmany\n`);
    expect(items.map((item) => item.keyword)).toEqual(['head', 'unknown', 'many', 'many']);
    expect(table.all('many').length).toBe(2);
    expect(table.find('unknown')).toBeNull();
    expect(table.get('head').arg(0)).toBe('1');
    expect(() => table.get('thing')).toThrow('thing is missing');
  });

  test('takes keywords of every name', () => {
    expect(read('head 1\nconstructor x\n__proto__ y\nhasOwnProperty\n').items.length).toBe(4);
  });

  test.each([
    ['a missing item', 'many\n'],
    ['an item too often', 'head 1\nmany\nmany\nmany\n'],
    ['too few arguments', 'head\n'],
    ['an object where none belongs', `head 1\n${OBJECT}`],
    ['no object where one belongs', 'head 1\nthing\n'],
    ['an object under another label', 'head 1\nthing\n-----BEGIN OTHER-----\nAAEC\n-----END OTHER-----\n'],
  ])('refuses %s', (_, text) => {
    expect(() => read(text)).toThrow(Malformed);
  });
});

describe('splitDocuments', () => {
  test('cuts at lines, not within them', () => {
    const bytes = bytesOf('junk\nrouter a\nx router b\nextra-info c\nrouters\nrouter d\n');
    const parts = splitDocuments(bytes, ['router', 'extra-info']).map(({ start, end }) =>
      latin1(bytes, start, end),
    );
    expect(parts).toEqual(['router a\nx router b\n', 'extra-info c\nrouters\n', 'router d\n']);
  });

  test('finds nothing in nothing', () => {
    expect(splitDocuments(bytesOf(''), ['router'])).toEqual([]);
    expect(splitDocuments(bytesOf('no document'), ['router'])).toEqual([]);
  });
});

describe('the cost of reading', () => {
  test.each([
    ['short lines', (n: number) => 'a b\n'.repeat(n)],
    ['objects', (n: number) => `a\n${OBJECT}`.repeat(n / 8)],
    ['blank lines', (n: number) => '\n'.repeat(n * 4)],
    ['one word on many lines that begin like objects', (n: number) => '-----BEGI\n'.repeat(n)],
    ['a line full of blanks', (n: number) => `a${' '.repeat(n)}b\n`],
  ])('grows with the length only: %s', (_, make) => {
    const cost = (n: number): number => {
      const text = make(n);
      return leastCpu(() => {
        for (const item of readItems(text)) item.args;
      });
    };
    cost(8_000);
    const small = Math.max(cost(8_000), 1000);
    // Eight times the input may cost eight times as much; thrice that leaves room for a busy machine.
    expect(cost(64_000)).toBeLessThan(small * 24);
  });
});
