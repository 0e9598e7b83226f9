import { describe, expect, test } from 'bun:test';
import * as units from '../../src/torrc/units.ts';

function value<T>(parsed: units.Parsed<T>): T | null {
  return parsed.ok ? parsed.value : null;
}

describe('memory', () => {
  const known: [string, number | null][] = [
    ['0', 0],
    ['76800', 76800],
    ['75 KB', 76800],
    ['75KBytes', 76800],
    ['1 m', 1048576],
    ['8 mbits', 1048576],
    ['1.5 GBytes', 1610612736],
    ['.5 kb', 512],
    ['1 tbit', 137438953472],
    ['3 bytes', 3],
    ['', null],
    ['-1', null],
    ['KB', null],
    ['1 KiB', null],
    ['1 k', null],
    ['1 2', null],
    ['99999999999999999999', null],
    ['9223372036854775807', 2 ** 63],
    ['9223372036854775808', null],
    ['9000000000 tb', null],
  ];
  for (const [text, expected] of known) {
    test(`"${text}"`, () => expect(value(units.parseMemory(text))).toBe(expected));
  }
});

describe('intervals', () => {
  const seconds: [string, number | null][] = [
    ['30', 30],
    ['1 minute', 60],
    ['2 Weeks', 1209600],
    ['1 month', 2629728],
    ['1.5 hours', 5400],
    ['2147483647', 2147483647],
    ['2147483648', null],
    ['1 year', null],
    ['5 msec', null],
  ];
  for (const [text, expected] of seconds) {
    test(`"${text}" seconds`, () => expect(value(units.parseInterval(text))).toBe(expected));
  }
  const milliseconds: [string, number | null][] = [
    ['1750', 1750],
    ['2 seconds', 2000],
    ['10 msec', 10],
    ['1 month', null],
    ['4 weeks', null],
  ];
  for (const [text, expected] of milliseconds) {
    test(`"${text}" milliseconds`, () => expect(value(units.parseMsecInterval(text))).toBe(expected));
  }

  test('a list of intervals counts its first', () => {
    expect(value(units.parseIntervalList('5 minutes, 10, nonsense'))).toBe(300);
  });
});

describe('numbers and switches', () => {
  test('integers have bounds', () => {
    expect(value(units.parseInteger('-7'))).toBe(-7);
    expect(value(units.parseInteger('-0'))).toBe(0);
    expect(value(units.parseInteger('-1', 0))).toBeNull();
    expect(value(units.parseInteger('2147483648'))).toBeNull();
    expect(value(units.parseInteger('0x10'))).toBeNull();
    expect(value(units.parseInteger(''))).toBeNull();
  });

  test('64-bit counts keep every digit', () => {
    expect(value(units.parseCount64('18446744073709551615'))).toBe(18446744073709551615n);
    expect(value(units.parseCount64('18446744073709551616'))).toBeNull();
    expect(value(units.parseCount64('-1'))).toBeNull();
  });

  test('fractions', () => {
    expect(value(units.parseNumber('-1.0'))).toBe(-1);
    expect(value(units.parseNumber('5.'))).toBe(5);
    expect(value(units.parseNumber('1e400'))).toBeNull();
    expect(value(units.parseNumber('1e-400'))).toBeNull();
    expect(value(units.parseNumber('0e-400'))).toBe(0);
    expect(value(units.parseNumber('1,5'))).toBeNull();
  });

  test('switches', () => {
    expect(value(units.parseBoolean('1'))).toBe(true);
    expect(value(units.parseBoolean('true'))).toBeNull();
    expect(value(units.parseAutoBoolean('AUTO'))).toBe('auto');
    expect(value(units.parseAutoBoolean('2'))).toBeNull();
  });

  test('lists drop blanks', () => {
    expect(units.parseList(' a, b,,c ,')).toEqual(['a', 'b', 'c']);
    expect(units.parseList('')).toEqual([]);
  });
});
