/** Fields that documents share: times, numbers, names, addresses. */
import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import {
  base64Field,
  hexField,
  integerField,
  ipv4Field,
  isNickname,
  nicknameField,
  parseInteger,
  parseIpv6Endpoint,
  parseTime,
  printSpacedFingerprint,
  printTime,
  timeField,
} from '../../src/netdoc/field.ts';
import type { Item } from '../../src/netdoc/item.ts';
import { ItemReader } from '../../src/netdoc/item.ts';

function itemOf(rest: string): Item {
  return new ItemReader(Buffer.from(`key ${rest}\n`, 'latin1'), 'test').next()!;
}

describe('times', () => {
  test.each([
    ['1970-01-01 00:00:00', 0],
    ['2000-02-29 12:00:00', 951825600],
    ['2026-11-22 14:33:42', 1795358022],
    ['2038-01-19 03:14:08', 2147483648],
    ['2100-03-01 00:00:00', 4107542400],
  ])('%s is %d', (text, sec) => {
    expect(parseTime(text)).toBe(sec);
    expect(printTime(sec)).toBe(text);
  });

  test('agree with Date over two centuries', () => {
    for (let sec = 0; sec < 6_400_000_000; sec += 12_345_677) expect(parseTime(printTime(sec))).toBe(sec);
  });

  test.each([
    '2026-11-22',
    '2026-11-22T14:33:42',
    '2026-11-22 14:33:42 ',
    '2026-11-22 14:33:42Z',
    '2026-13-22 14:33:42',
    '2026-00-22 14:33:42',
    '2026-11-31 14:33:42',
    '2025-02-29 14:33:42',
    '2100-02-29 14:33:42',
    '2026-11-00 14:33:42',
    '2026-11-22 24:33:42',
    '2026-11-22 14:60:42',
    '2026-11-22 14:33:61',
    '1969-12-31 23:59:59',
    '2026-1-22 14:33:42',
    '',
  ])('%p is none', (text) => {
    expect(parseTime(text)).toBeNull();
    expect(() => timeField(itemOf(text))).toThrow(Malformed);
  });
});

describe('values', () => {
  test('integers keep to their range', () => {
    expect(parseInteger('0', 0, 10)).toBe(0);
    expect(parseInteger('-3', -3, 10)).toBe(-3);
    expect(parseInteger('+7', 0, 10)).toBe(7);
    for (const text of ['', 'x', '1x', '0x1', '1.5', '1e3', '--1', '11', '-1', '9'.repeat(21)]) {
      expect(parseInteger(text, 0, 10)).toBeNull();
    }
    expect(() => integerField(itemOf('11'), 0, 0, 10)).toThrow(Malformed);
    expect(() => integerField(itemOf('1'), 1, 0, 10)).toThrow('too few arguments');
  });

  test('nicknames are letters and digits', () => {
    expect(isNickname('a'.repeat(19))).toBeTrue();
    for (const text of ['', 'a'.repeat(20), 'with-dash', 'ümlaut', 'a b'])
      expect(isNickname(text)).toBeFalse();
    expect(() => nicknameField(itemOf('no_name'), 0)).toThrow(Malformed);
  });

  test('hex and base64 have the wanted length', () => {
    expect(hexField(itemOf('0aFF'), 0, 2)).toEqual(Uint8Array.of(10, 255));
    expect(base64Field(itemOf('Cv8'), 0, 2)).toEqual(Uint8Array.of(10, 255));
    expect(base64Field(itemOf('Cv8='), 0, 2)).toEqual(Uint8Array.of(10, 255));
    for (const text of ['0aF', '0aFF00', '0aFg'])
      expect(() => hexField(itemOf(text), 0, 2)).toThrow(Malformed);
    for (const text of ['Cv', 'Cv8A', 'C*8'])
      expect(() => base64Field(itemOf(text), 0, 2)).toThrow(Malformed);
  });

  test('addresses', () => {
    expect(ipv4Field(itemOf('1.2.3.4'), 0)).toEqual(Uint8Array.of(1, 2, 3, 4));
    for (const text of ['1.2.3', '::1', 'localhost'])
      expect(() => ipv4Field(itemOf(text), 0)).toThrow(Malformed);
    expect(parseIpv6Endpoint('[::1]:443')).toEqual({ host: new Uint8Array(16).fill(1, 15), port: 443 });
    for (const text of [
      '1.2.3.4:443',
      '::1:443',
      '[::1]',
      '[::1]:0',
      '[::1]:65536',
      '[::g]:1',
      '[1.2.3.4]:1',
    ]) {
      expect(parseIpv6Endpoint(text)).toBeNull();
    }
  });

  test('fingerprints are printed in groups', () => {
    const id = Uint8Array.fromHex('f66dd819a8b7e5987d479fb82ea3cee6cff5325b');
    expect(printSpacedFingerprint(id)).toBe('F66D D819 A8B7 E598 7D47 9FB8 2EA3 CEE6 CFF5 325B');
  });
});
