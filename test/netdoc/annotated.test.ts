import { expect, test } from 'bun:test';
import { printDownloaded, printLastListed, splitAnnotated } from '../../src/netdoc/annotated.ts';
import { bytesOf, NOW_SEC } from './fixture.ts';

function split(text: string): [Record<string, string>, string][] {
  return splitAnnotated(bytesOf(text), 'router').map(({ annotations, start, end }) => [
    Object.fromEntries(annotations),
    text.slice(start, end),
  ]);
}

test('documents with annotations, without, and both', () => {
  expect(split('router a\nx\nrouter b\ny\n')).toEqual([
    [{}, 'router a\nx\n'],
    [{}, 'router b\ny\n'],
  ]);
  expect(split('@one 1 2\n@two\nrouter a\nx\n@one 3\nrouter b\n')).toEqual([
    [{ one: '1 2', two: '' }, 'router a\nx\n'],
    [{ one: '3' }, 'router b\n'],
  ]);
});

test('what belongs to no document is left out', () => {
  expect(split('')).toEqual([]);
  expect(split('junk\n@one 1\nrouter a\nx\n@one 2\n@one 3\njunk\nrouters\n')).toEqual([
    [{ one: '1' }, 'router a\nx\n'],
  ]);
  expect(split('router')).toEqual([[{}, 'router']]);
  expect(split('@a 1\n@a 2\nrouter\tx')).toEqual([[{ a: '1' }, 'router\tx']]);
});

test('what is printed is read', () => {
  const text = `${printDownloaded(NOW_SEC, '127.0.0.1')}router a\n`;
  expect(text).toBe('@downloaded-at 2026-11-22 14:27:00\n@source "127.0.0.1"\nrouter a\n');
  expect(split(text)[0]![0]).toEqual({ 'downloaded-at': '2026-11-22 14:27:00', source: '"127.0.0.1"' });
  expect(printLastListed(NOW_SEC)).toBe('@last-listed 2026-11-22 14:27:00\n');
  expect(printDownloaded(NOW_SEC, 'a"b\\c\nd')).toEndWith('@source "a?b?c?d"\n');
});
