import { expect, test } from 'bun:test';
import { parseHttpTime, printHttpTime } from '../../src/netdoc/http-time.ts';

const SEC = Date.UTC(1994, 10, 6, 8, 49, 37) / 1000;

test('the three forms of one date', () => {
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
    'whatever, 6 nov 1994 8:49:37 GMT',
  ])
    expect(parseHttpTime(text), text).toBe(SEC);
});

test('what is printed is read', () => {
  expect(printHttpTime(SEC + 0.9)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
  for (const sec of [0, 951782400, SEC, 4102444800]) expect(parseHttpTime(printHttpTime(sec))).toBe(sec);
});

test('no dates', () => {
  for (const text of [
    '',
    'yesterday',
    'Sun,06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    'Sun, 32 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nox 1994 08:49:37 GMT',
    'Sun, 06 Nov 1969 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:49:37 GMT',
    'Sun, 06 Nov 1994 08:60:37 GMT',
    'Sun, 06 Nov 1994 08:49:61 GMT',
    'Sun, 06-Nov-1994 08:49:37 GMT',
    'Sun Nov 32 08:49:37 1994',
  ])
    expect(parseHttpTime(text), text).toBeNull();
});
