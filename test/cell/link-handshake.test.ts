import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { BODY_BYTES } from '../../src/cell/cell.ts';
import {
  decodeAuthChallenge,
  decodeAuthenticate,
  decodeCerts,
  decodeNetinfo,
  decodeVersions,
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeCerts,
  encodeNetinfo,
  encodeVersions,
} from '../../src/cell/link-handshake.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { expectTrailingIgnored, expectTruncationsRefused, expectView } from './laws.ts';

const vector = readVectors('channel-bodies.txt');
const v4 = parseIp('127.0.0.1')!;
const v6 = parseIp('::1')!;

describe('VERSIONS', () => {
  test('agrees with C tor', () => {
    expect(decodeVersions(vector('versions-3-4-5'))).toEqual([3, 4, 5]);
    expect(encodeVersions([3, 4, 5])).toEqual(vector('versions-3-4-5'));
  });

  test('keeps order, doubles and unknown versions; may be empty', () => {
    expect(decodeVersions(encodeVersions([5, 4, 4, 0, 65535]))).toEqual([5, 4, 4, 0, 65535]);
    expect(decodeVersions(new Uint8Array(0))).toEqual([]);
  });

  test('refuses odd lengths', () => {
    for (const length of [1, 3, 5, 65535]) {
      expect(() => decodeVersions(new Uint8Array(length))).toThrow(Malformed);
    }
  });
});

describe('CERTS', () => {
  test('agrees with C tor', () => {
    const body = vector('certs');
    const entries = decodeCerts(body);
    expect(entries.map((entry) => [entry.type, entry.body.length])).toEqual([
      [1, 0x23e],
      [2, 0x1bd],
      [4, 0x8c],
      [5, 0x68],
      [7, 0xa5],
    ]);
    for (const entry of entries) expectView(entry.body, body);
    expect(encodeCerts(entries)).toEqual(body);
  });

  test('refuses every truncation and ignores what trails', () => {
    expectTruncationsRefused(vector('certs'), decodeCerts);
    expectTrailingIgnored(encodeCerts([{ type: 2, body: v6 }]), decodeCerts);
  });

  test('leaves doubles, unknown types and empty bodies to the handshake', () => {
    const entries = [
      { type: 4, body: v4 },
      { type: 4, body: v6 },
      { type: 255, body: new Uint8Array(0) },
    ];
    expect(decodeCerts(encodeCerts(entries))).toEqual(entries);
    expect(decodeCerts(Uint8Array.of(0))).toEqual([]);
  });
});

describe('AUTH_CHALLENGE', () => {
  test('agrees with C tor', () => {
    const body = vector('auth-challenge');
    const { challenge, methods } = decodeAuthChallenge(body);
    expect(methods).toEqual([1, 3]);
    expectView(challenge, body);
    expect(challenge.toHex()).toStartWith('00da5c085dee4f36');
    expect(encodeAuthChallenge(challenge, methods)).toEqual(body);
  });

  test('refuses every truncation and ignores what trails', () => {
    expectTruncationsRefused(vector('auth-challenge'), decodeAuthChallenge);
    expectTrailingIgnored(vector('auth-challenge'), decodeAuthChallenge);
  });

  test('may offer nothing', () => {
    const challenge = new Uint8Array(32).fill(7);
    expect(decodeAuthChallenge(encodeAuthChallenge(challenge, []))).toEqual({ challenge, methods: [] });
    expect(() => encodeAuthChallenge(new Uint8Array(31), [3])).toThrow(Bug);
  });
});

describe('AUTHENTICATE', () => {
  test('agrees with C tor', () => {
    const body = vector('authenticate');
    const { method, authentication } = decodeAuthenticate(body);
    expect(method).toBe(3);
    expect(authentication.length).toBe(352);
    expect(Buffer.from(authentication.subarray(0, 8)).toString('latin1')).toBe('AUTH0003');
    expectView(authentication, body);
    expect(encodeAuthenticate(method, authentication)).toEqual(body);
  });

  test('refuses every truncation and ignores what trails', () => {
    expectTruncationsRefused(vector('authenticate'), decodeAuthenticate);
    expectTrailingIgnored(vector('authenticate'), decodeAuthenticate);
  });
});

describe('NETINFO', () => {
  test('agrees with C tor, as client and as relay', () => {
    for (const [name, netinfo] of [
      ['netinfo-client', { timestampSec: 0, otherAddress: v4, myAddresses: [] }],
      ['netinfo-relay', { timestampSec: 0x5f6f80e1, otherAddress: v4, myAddresses: [v4] }],
      ['netinfo-relay-ipv6', { timestampSec: 0x5f6f859c, otherAddress: v6, myAddresses: [v4, v6] }],
      ['netinfo-any-receiver', { timestampSec: 0, otherAddress: null, myAddresses: [] }],
    ] as const) {
      expect(decodeNetinfo(vector(name))).toEqual({ ...netinfo, myAddresses: [...netinfo.myAddresses] });
      expect(encodeNetinfo({ ...netinfo, myAddresses: [...netinfo.myAddresses] })).toEqual(vector(name));
    }
  });

  test('refuses every truncation and ignores what trails', () => {
    for (const name of ['netinfo-client', 'netinfo-relay', 'netinfo-relay-ipv6']) {
      expectTruncationsRefused(vector(name), decodeNetinfo);
      expectTrailingIgnored(vector(name), decodeNetinfo);
    }
  });

  test('refuses an address of the receiver that it cannot read, as C tor does', () => {
    expect(() => decodeNetinfo(vector('netinfo-unreadable-receiver'))).toThrow(Malformed);
    expect(() => decodeNetinfo(new Uint8Array(BODY_BYTES))).toThrow(Malformed);
    for (const other of ['0400', '040300000000', '04057f00000100', '06047f000001', '05047f000001']) {
      const body = new Uint8Array(BODY_BYTES);
      body.set(Uint8Array.fromHex(other), 4);
      expect(() => decodeNetinfo(body)).toThrow(Malformed);
    }
  });

  test('skips own addresses that it cannot read', () => {
    const body = Uint8Array.fromHex(
      `00000001 04047f000001 04 bb02ffff 04067f0000010000 00ff${'11'.repeat(255)} 0610${v6.toHex()}`.replaceAll(
        ' ',
        '',
      ),
    );
    expect(decodeNetinfo(body)).toEqual({ timestampSec: 1, otherAddress: v4, myAddresses: [v6] });
  });

  test('all-zero IPv6 of the receiver is no address either', () => {
    const body = encodeNetinfo({ timestampSec: 1, otherAddress: new Uint8Array(16), myAddresses: [v6] });
    expect(decodeNetinfo(body)).toEqual({ timestampSec: 1, otherAddress: null, myAddresses: [v6] });
  });

  test('reads times after 2038 as unsigned', () => {
    const netinfo = { timestampSec: 0xfffffffe, otherAddress: v4, myAddresses: [] };
    expect(decodeNetinfo(encodeNetinfo(netinfo))).toEqual(netinfo);
  });

  test('fits a cell with 27 IPv6 addresses', () => {
    const most = { timestampSec: 1, otherAddress: v6, myAddresses: new Array<Uint8Array>(27).fill(v6) };
    const body = encodeNetinfo(most);
    expect(body.length).toBe(BODY_BYTES);
    expect(decodeNetinfo(body)).toEqual(most);
  });
});
