/** Figures and bars for people. */
import { describe, expect, test } from 'bun:test';
import { bar, COLOURS, clockText, megabytes, PLAIN, sizeText } from '../../src/testnet/style.ts';

describe('figures', () => {
  test.each([
    [0, '0.00'],
    [1_234_000, '1.23'],
    [12_340_000, '12.3'],
    [123_400_000, '123'],
  ])('%d bytes are %s MB', (bytes, text) => expect(megabytes(bytes)).toBe(text));

  test.each([
    [999, '1 kB'],
    [20_000, '20 kB'],
    [2_500_000, '2.50 MB'],
    [2_500_000_000, '2.50 GB'],
  ])('%d bytes are %s', (bytes, text) => expect(sizeText(bytes)).toBe(text));

  test.each([
    [0, '0:00'],
    [61.9, '1:01'],
    [3661, '1:01:01'],
  ])('%d seconds are %s', (sec, text) => expect(clockText(sec)).toBe(text));
});

test('bars go in eighths of a column', () => {
  expect(bar(0, 4)).toBe('');
  expect(bar(1, 4)).toBe('████');
  expect(bar(2, 4)).toBe('████');
  expect(bar(0.5, 4)).toBe('██');
  expect(bar(0.53125, 4)).toBe('██▏');
});

test('colours do not change what is seen', () => {
  for (const name of ['bold', 'dim', 'good', 'bad', 'accent'] as const) {
    expect(Bun.stripANSI(COLOURS[name]('x y'))).toBe('x y');
    expect(COLOURS[name]('x')).not.toBe('x');
    expect(PLAIN[name]('x')).toBe('x');
  }
});
