import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { EndReason } from '../../src/cell/reason.ts';
import {
  BeginFlag,
  decodeBegin,
  decodeConnected,
  decodeEnd,
  decodeResolve,
  decodeResolved,
  decodeXoff,
  decodeXon,
  encodeBegin,
  encodeConnected,
  encodeEnd,
  encodePolicyEnd,
  encodeResolve,
  encodeResolved,
  encodeXoff,
  encodeXon,
  ResolvedType,
} from '../../src/cell/stream-message.ts';
import { Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { ascii, expectTrailingIgnored, expectTruncationsRefused } from './laws.ts';

const vector = readVectors('stream-messages.txt');
const ip = (text: string): Uint8Array => parseIp(text)!;

describe('BEGIN', () => {
  test('names an address or a name, a port, and flags', () => {
    expect(decodeBegin(vector('begin'))).toEqual({
      host: '127.0.0.1',
      address: ip('127.0.0.1'),
      port: 7003,
      flags: 0,
    });
    expect(decodeBegin(vector('begin-flags'))).toEqual({
      host: 'www.xkcd.com',
      address: null,
      port: 443,
      flags: BeginFlag.IPV6_OK | BeginFlag.IPV4_NOT_OK,
    });
    expect(decodeBegin(vector('begin-ipv6'))).toMatchObject({ address: ip('2001:db8::1'), port: 22 });
  });

  test('is encoded as it was', () => {
    expect(encodeBegin('127.0.0.1:7003')).toEqual(vector('begin'));
    expect(encodeBegin('www.xkcd.com:443', 3)).toEqual(vector('begin-flags'));
    expect(encodeBegin('[2001:db8::1]:22')).toEqual(vector('begin-ipv6'));
  });

  test('becomes lower case, and keeps bytes that are no ASCII', () => {
    expect(decodeBegin(ascii('WWW.Example.COM:80\0')).host).toBe('www.example.com');
    expect(decodeBegin(Uint8Array.of(0xe2, 0x84, 0x3a, 0x38, 0)).host).toBe('\u00e2\u0084');
  });

  test('has flags only when the whole word is there', () => {
    const bytes = encodeBegin('a:80', 7);
    expect(decodeBegin(bytes).flags).toBe(7);
    expect(decodeBegin(bytes.subarray(0, bytes.length - 1)).flags).toBe(0);
    expectTrailingIgnored(bytes, decodeBegin);
  });

  test('is malformed without a NUL, a host, or a port from 1 to 65535', () => {
    const bad = [
      'a:80',
      'a\0',
      'a:\0',
      ':80\0',
      'a:0\0',
      'a:65536\0',
      'a:8o\0',
      'a:-1\0',
      '\0',
      '::1\0',
      '1::2:80\0',
    ];
    for (const text of [...bad, 'a:99999999999\0']) {
      expect(() => decodeBegin(ascii(text))).toThrow(Malformed);
    }
    expect(() => decodeBegin(vector('begin-no-port'))).toThrow(Malformed);
    expect(decodeBegin(ascii('a:65535\0')).port).toBe(65535);
  });
});

describe('CONNECTED', () => {
  test('states address and TTL', () => {
    expect(encodeConnected(ip('127.0.0.1'), 3600)).toEqual(vector('connected'));
    expect(encodeConnected(ip('2001:db8::1122'), 3600)).toEqual(vector('connected-ipv6'));
    for (const name of ['connected', 'connected-ipv6']) {
      const { address, ttl } = decodeConnected(vector(name));
      expect(encodeConnected(address!, ttl)).toEqual(vector(name));
      expectTrailingIgnored(vector(name), decodeConnected);
    }
  });

  test('may be empty, or leave out the TTL of an IPv4 address', () => {
    expect(decodeConnected(new Uint8Array(0))).toEqual({ address: null, ttl: 0 });
    expect(decodeConnected(Uint8Array.of(1, 2, 3, 4))).toEqual({
      address: Uint8Array.of(1, 2, 3, 4),
      ttl: 0,
    });
  });

  test('is malformed when cut short or of an unknown type', () => {
    expect(() => decodeConnected(vector('connected-bogus'))).toThrow(Malformed);
    for (let length = 1; length < 25; length++) {
      expect(() => decodeConnected(vector('connected-ipv6').subarray(0, length))).toThrow(Malformed);
    }
  });
});

describe('END', () => {
  test('is a reason', () => {
    expect(encodeEnd(EndReason.DONE)).toEqual(Uint8Array.of(6));
    expect(decodeEnd(Uint8Array.of(6, 1, 2, 3, 4))).toEqual({ reason: 6, address: null, ttl: 0 });
    expect(() => decodeEnd(new Uint8Array(0))).toThrow(Malformed);
  });

  test('of a refusal by policy carries the address', () => {
    expect(encodePolicyEnd(ip('127.0.0.7'), 256)).toEqual(vector('end-policy'));
    expect(encodePolicyEnd(ip('2001:db8::f00b'), 512)).toEqual(vector('end-policy-ipv6'));
    expect(decodeEnd(vector('end-policy'))).toEqual({ reason: 4, address: ip('127.0.0.7'), ttl: 256 });
    expect(decodeEnd(vector('end-policy-ipv6'))).toEqual({
      reason: 4,
      address: ip('2001:db8::f00b'),
      ttl: 512,
    });
    expect(decodeEnd(Uint8Array.of(4))).toEqual({ reason: 4, address: null, ttl: 0 });
  });
});

describe('RESOLVE and RESOLVED', () => {
  test('a name ends at its NUL, or with the data', () => {
    expect(decodeResolve(vector('resolve'))).toBe('www.torproject.org');
    expect(decodeResolve(ascii('abc'))).toBe('abc');
    expect(decodeResolve(ascii('abc\0def'))).toBe('abc');
    expect(encodeResolve('www.torproject.org')).toEqual(vector('resolve'));
  });

  test('answers round trip', () => {
    const names = ['transient', 'error', 'two', 'ipv6', 'hostname', 'unknown'];
    for (const name of names) {
      const bytes = vector(`resolved-${name}`);
      expect(encodeResolved(decodeResolved(bytes))).toEqual(bytes);
    }
    expect(decodeResolved(vector('resolved-two'))).toEqual([
      { type: ResolvedType.IPV4, value: ip('127.0.0.1'), ttl: 3600 },
      { type: ResolvedType.IPV4, value: ip('127.0.0.2'), ttl: 7200 },
    ]);
    expect(decodeResolved(vector('resolved-error'))[0]!.type).toBe(ResolvedType.ERROR);
    expect(decodeResolved(vector('resolved-transient'))[0]!.type).toBe(ResolvedType.ERROR_TRANSIENT);
    expect(decodeResolved(new Uint8Array(0))).toEqual([]);
  });

  test('answers are malformed when cut short or of a wrong size', () => {
    expect(() => decodeResolved(vector('resolved-wrong-length'))).toThrow(Malformed);
    const bytes = vector('resolved-ipv6');
    expectTruncationsRefused(bytes, (cut) => decodeResolved(cut.length === 0 ? Uint8Array.of(6) : cut));
    expect(() => decodeResolved(Uint8Array.of(6, 4, 1, 2, 3, 4, 0, 0, 0, 1))).toThrow(Malformed);
  });
});

describe('XON and XOFF', () => {
  test('are a version, and the rate of XON', () => {
    expect(encodeXoff()).toEqual(Uint8Array.of(0));
    expect(encodeXon(0x01020304)).toEqual(Uint8Array.of(0, 1, 2, 3, 4));
    for (const rate of [0, 500, 0xffffffff]) expect(decodeXon(encodeXon(rate))).toBe(rate);
    decodeXoff(encodeXoff());
    expectTrailingIgnored(encodeXon(9), decodeXon);
    expectTruncationsRefused(encodeXon(9), decodeXon);
    expectTruncationsRefused(encodeXoff(), decodeXoff);
  });

  test('of another version are malformed', () => {
    expect(() => decodeXoff(Uint8Array.of(1))).toThrow(Malformed);
    expect(() => decodeXon(Uint8Array.of(1, 0, 0, 0, 0))).toThrow(Malformed);
  });
});
