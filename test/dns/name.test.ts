import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { isAskable, isPlainName, parseReverseName, reverseName } from '../../src/dns/name.ts';

describe('names', () => {
  test('plain ones have letters, digits, hyphens, underscores and dots', () => {
    expect(['www.example.org', 'a_b', 'UPPER', 'xn--a'].every(isPlainName)).toBe(true);
    expect(['a b', 'a@b', '::1', 'na\u00efve', 'a\0b'].some(isPlainName)).toBe(false);
  });

  test('askable ones fit into a question', () => {
    const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    expect(longest).toHaveLength(253);
    expect([longest, `${longest}.`, 'a', 'a.', 'www.example.org'].every(isAskable)).toBe(true);
    expect([`${longest}d`, 'a'.repeat(64), '', '.', 'a..b', '.a', 'a..'].some(isAskable)).toBe(false);
  });
});

describe('reverse names', () => {
  for (const text of ['1.2.3.4', '255.0.10.99', '2001:db8::567:89ab', '::1']) {
    test(`${text} and back`, () => {
      const host = parseIp(text)!;
      expect(parseReverseName(reverseName(host))).toEqual(host);
      expect(parseReverseName(reverseName(host).toUpperCase())).toEqual(host);
    });
  }

  test('as they are written', () => {
    expect(reverseName(parseIp('1.2.3.4')!)).toBe('4.3.2.1.in-addr.arpa');
    expect(reverseName(parseIp('2001:db8::567:89ab')!)).toBe(
      'b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
    );
  });

  for (const name of [
    '3.2.1.in-addr.arpa',
    '256.3.2.1.in-addr.arpa',
    'x.3.2.1.in-addr.arpa',
    'a.b.ip6.arpa',
  ]) {
    test(`${name} is bad`, () => expect(parseReverseName(name)).toBe('bad'));
  }

  test('others are none', () => {
    expect(parseReverseName('in-addr.arpa')).toBeNull();
    expect(parseReverseName('www.example.org')).toBeNull();
  });
});
