import { expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { coversFamily, coversHost, samePrefix, sameRule } from '../../src/bytes/address-rule.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const rule = (host: string, bits: number, portMin = 1, portMax = 65535) => ({
  accept: true,
  host: ip(host),
  bits,
  portMin,
  portMax,
});

test('a prefix is compared bit by bit', () => {
  for (let bits = 0; bits <= 32; bits++) {
    const flipped = ip('10.20.30.40');
    if (bits < 32) flipped[bits >> 3]! ^= 0x80 >> (bits & 7);
    expect(samePrefix(ip('10.20.30.40'), flipped, bits)).toBe(true);
    if (bits < 32) expect(samePrefix(ip('10.20.30.40'), flipped, bits + 1)).toBe(false);
  }
  expect(samePrefix(ip('2001:db8::'), ip('2001:db8:ffff::'), 32)).toBe(true);
  expect(samePrefix(ip('2001:db8::'), ip('2001:db9::'), 32)).toBe(false);
});

test('families never mix, not even for everything', () => {
  expect(samePrefix(ip('0.0.0.0'), ip('::'), 0)).toBe(false);
  expect(coversHost(rule('0.0.0.0', 0), ip('::ffff:1.2.3.4'))).toBe(false);
  expect(coversHost(rule('::', 0), ip('1.2.3.4'))).toBe(false);
});

test('rules are the same to the last bit', () => {
  const one = rule('192.0.2.1', 24, 80, 90);
  expect(sameRule(one, rule('192.0.2.1', 24, 80, 90))).toBe(true);
  for (const other of [
    rule('192.0.2.2', 24, 80, 90),
    rule('192.0.2.1', 25, 80, 90),
    rule('192.0.2.1', 24, 81, 90),
    rule('192.0.2.1', 24, 80, 91),
    { ...one, accept: false },
  ]) {
    expect(sameRule(one, other)).toBe(false);
  }
});

test('a rule covers its range, and its family only with all ports', () => {
  expect(coversHost(rule('192.168.7.7', 16), ip('192.168.255.1'))).toBe(true);
  expect(coversHost(rule('192.168.7.7', 16), ip('192.169.0.1'))).toBe(false);
  expect(coversFamily(rule('0.0.0.0', 0))).toBe(true);
  expect(coversFamily(rule('0.0.0.0', 0, 1, 65534))).toBe(false);
  expect(coversFamily(rule('0.0.0.0', 0, 2))).toBe(false);
  expect(coversFamily(rule('0.0.0.0', 1))).toBe(false);
});
