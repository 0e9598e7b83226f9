import { describe, expect, test } from 'bun:test';
import {
  isAnyIp,
  isInternalIp,
  isLoopback,
  isUnicastIp,
  parseIp,
  printEndpoint,
  printIp,
  sameIp,
  unmapIp,
} from '../../src/bytes/address.ts';
import { Prng } from '../fuzz/prng.ts';

function ip(text: string): Uint8Array {
  const host = parseIp(text);
  if (host === null) throw new Error(`no address: ${text}`);
  return host;
}

describe('parseIp', () => {
  test('reads dotted quads', () => {
    expect(parseIp('1.2.3.4')).toEqual(Uint8Array.of(1, 2, 3, 4));
    expect(parseIp('255.0.255.0')).toEqual(Uint8Array.of(255, 0, 255, 0));
  });

  test('reads IPv6, shortened, bracketed, and with a dotted quad at its end', () => {
    expect(ip('2001:db8::1').toHex()).toBe('20010db8000000000000000000000001');
    expect(ip('[2001:DB8::1]').toHex()).toBe('20010db8000000000000000000000001');
    expect(ip('::').toHex()).toBe('00'.repeat(16));
    expect(ip('::1').toHex()).toBe(`${'00'.repeat(15)}01`);
    expect(ip('1::').toHex()).toBe(`0001${'00'.repeat(14)}`);
    expect(ip('1:2:3:4:5:6:7:8').toHex()).toBe('00010002000300040005000600070008');
    expect(ip('1:2:3:4:5:6:7::').toHex()).toBe('00010002000300040005000600070000');
    expect(ip('::ffff:1.2.3.4').toHex()).toBe(`${'00'.repeat(10)}ffff01020304`);
    expect(ip('1:2:3:4:5:6:1.2.3.4').toHex()).toBe('00010002000300040005000601020304');
  });

  test('refuses everything else', () => {
    const wrong = [
      '',
      '1.2.3',
      '1.2.3.4.5',
      '1.2.3.256',
      '1.2.3.04',
      '1.2.3.-4',
      '1.2.3.4 ',
      ' 1.2.3.4',
      '1.2..4',
      '0x1.2.3.4',
      '[1.2.3.4]',
      'localhost',
      ':',
      ':::',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7:8::',
      '::1::',
      ':1::',
      '1:',
      'g::',
      '12345::',
      '[::1',
      '::1]',
      '[]',
      '::1%eth0',
      '1.2.3.4::',
      '1.2.3.4::5.6.7.8',
      '1.2.3.4:5::',
      '::1.2.3.4:5',
      '::1.2.3',
      '1:2:3:4:5:6:7:1.2.3.4',
    ];
    for (const text of wrong) expect([text, parseIp(text)]).toEqual([text, null]);
  });
});

describe('printIp', () => {
  test('follows RFC 5952', () => {
    for (const text of [
      '0.0.0.0',
      '192.0.2.1',
      '::',
      '::1',
      '1::',
      '2001:db8::1',
      '2001:db8:0:1:1:1:1:1',
      '2001:0:0:1::1',
      'fe80::abcd:0:0:1',
    ]) {
      expect(printIp(ip(text))).toBe(text);
    }
    expect(printIp(ip('1:0:0:2:0:0:3:4'))).toBe('1::2:0:0:3:4');
    expect(printIp(ip('2001:DB8:0:0:0:0:0:1'))).toBe('2001:db8::1');
  });

  test('prints what parseIp reads back', () => {
    const random = new Prng(5952);
    for (let i = 0; i < 2000; i++) {
      const host = random.bytes(random.below(2) === 0 ? 4 : 16);
      for (let at = 0; at < host.length; at += 2) if (random.below(2) === 0) host.fill(0, at, at + 2);
      expect(parseIp(printIp(host))).toEqual(host);
    }
  });

  test('brackets IPv6 in front of a port', () => {
    expect(printEndpoint({ host: ip('1.2.3.4'), port: 9001 })).toBe('1.2.3.4:9001');
    expect(printEndpoint({ host: ip('::1'), port: 443 })).toBe('[::1]:443');
  });
});

describe('what an address is', () => {
  test('mapped IPv4 is IPv4', () => {
    expect(unmapIp(ip('::ffff:1.2.3.4'))).toEqual(ip('1.2.3.4'));
    expect(unmapIp(ip('::fffe:1.2.3.4'))).toEqual(ip('::fffe:1.2.3.4'));
    expect(unmapIp(ip('1::ffff:1.2.3.4'))).toEqual(ip('1::ffff:1.2.3.4'));
    expect(unmapIp(ip('1.2.3.4'))).toEqual(ip('1.2.3.4'));
  });

  test('equality, any, loopback', () => {
    expect(sameIp(ip('1.2.3.4'), ip('1.2.3.4'))).toBe(true);
    expect(sameIp(ip('1.2.3.4'), ip('1.2.3.5'))).toBe(false);
    expect(sameIp(ip('0.0.0.0'), ip('::'))).toBe(false);
    expect([isAnyIp(ip('0.0.0.0')), isAnyIp(ip('::')), isAnyIp(ip('::1'))]).toEqual([true, true, false]);
    expect([isLoopback(ip('127.9.9.9')), isLoopback(ip('::1'))]).toEqual([true, true]);
    expect([isLoopback(ip('128.0.0.1')), isLoopback(ip('::2')), isLoopback(ip('::'))]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('internal ranges end where C tor ends them', () => {
    const internal = [
      ['0.0.0.0', '0.255.255.255', '1.0.0.0'],
      ['10.0.0.0', '10.255.255.255', '11.0.0.0'],
      ['100.64.0.0', '100.127.255.255', '100.128.0.0'],
      ['127.0.0.0', '127.255.255.255', '128.0.0.0'],
      ['169.254.0.0', '169.254.255.255', '169.255.0.0'],
      ['172.16.0.0', '172.31.255.255', '172.32.0.0'],
      ['192.168.0.0', '192.168.255.255', '192.169.0.0'],
      ['fc00::', 'fdff::1', 'fbff::'],
      ['fe80::', 'feff::1', 'fe7f::'],
      ['::', '::1', '::1:0:0'],
      ['::ffff:10.0.0.1', '::ffff:127.0.0.1', '::ffff:9.9.9.9'],
    ] as const;
    for (const [first, last, outside] of internal) {
      expect([first, isInternalIp(ip(first))]).toEqual([first, true]);
      expect([last, isInternalIp(ip(last))]).toEqual([last, true]);
      expect([outside, isInternalIp(ip(outside))]).toEqual([outside, false]);
    }
  });
});

test('multicast, broadcast and "any" name no host', () => {
  for (const text of ['0.0.0.0', '::', '224.0.0.1', '239.255.255.250', '255.255.255.255', 'ff02::1']) {
    expect(isUnicastIp(parseIp(text)!), text).toBe(false);
  }
  for (const text of ['127.0.0.1', '223.255.255.255', '2001:db8::1', '::1', 'fe80::1']) {
    expect(isUnicastIp(parseIp(text)!), text).toBe(true);
  }
});
