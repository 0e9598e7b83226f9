import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import {
  decodeExtend2,
  decodeExtended2,
  encodeExtend2,
  encodeExtended2,
  interpretSpecifiers,
  type LinkSpecifier,
  specifiersOf,
} from '../../src/cell/extend.ts';
import { RELAY_DATA_MAX } from '../../src/cell/relay-message.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';
import { ascii, expectTrailingIgnored, expectTruncationsRefused, expectView, joined } from './laws.ts';

const vector = readVectors('relay-messages.txt');
const random = new Prng(14);
const ipv4 = { host: parseIp('18.244.0.1')!, port: 61681 };
const ipv6 = { host: parseIp('2002::f0:c51e')!, port: 4370 };
const rsaId = ascii('anthropomorphization');
const ed25519Id = ascii('brownshoesdontmakeit/brownshoesd');

describe('EXTEND2', () => {
  test('agrees with C tor on a plain ntor extension', () => {
    const body = vector('extend2-two');
    const extend = decodeExtend2(body);
    expect(extend.handshakeType).toBe(2);
    expect(extend.data).toEqual(body.slice(-84));
    expect(interpretSpecifiers(extend.specifiers)).toEqual({
      rsaId: Uint8Array.fromHex('03479e93ebf3ff2c58c1c9dbf2de9de9c2801b3e'),
      ed25519Id: null,
      ipv4: { host: parseIp('127.0.0.1')!, port: 5000 },
      ipv6: null,
    });
    expect(encodeExtend2(extend)).toEqual(body);
    expectView(extend.data, body);
    for (const specifier of extend.specifiers) expectView(specifier.body, body);
  });

  test('agrees with C tor on one with an unknown specifier, which it keeps and passes over', () => {
    const body = joined(vector('extend2-konami-head'), random.bytes(99));
    const extend = decodeExtend2(body);
    expect(extend.handshakeType).toBe(0x105);
    expect(extend.data.length).toBe(99);
    expect(extend.specifiers.map((specifier) => specifier.type)).toEqual([0, 2, 1, 0xf0]);
    expect(interpretSpecifiers(extend.specifiers)).toEqual({ rsaId, ed25519Id: null, ipv4, ipv6 });
    expect(encodeExtend2(extend)).toEqual(body);
  });

  test('agrees with C tor on all four specifiers, and on their order', () => {
    const body = joined(vector('extend2-with-ed25519-head'), random.bytes(99));
    const extend = decodeExtend2(body);
    const target = { rsaId, ed25519Id, ipv4, ipv6 };
    expect(interpretSpecifiers(extend.specifiers)).toEqual(target);
    expect(encodeExtend2({ ...extend, specifiers: specifiersOf(target) })).toEqual(body);
  });

  test('agrees with C tor on IPv6 alone', () => {
    const body = joined(vector('extend2-ipv6-only-head'), new Uint8Array(32));
    const target = interpretSpecifiers(decodeExtend2(body).specifiers);
    const host = new Uint8Array(16).fill(0x78);
    expect(target).toEqual({ rsaId, ed25519Id: null, ipv4: null, ipv6: { host, port: 0x5959 } });
    expect(
      encodeExtend2({ specifiers: specifiersOf(target), handshakeType: 0xffff, data: new Uint8Array(32) }),
    ).toEqual(body);
  });

  test('refuses every truncation and ignores what trails', () => {
    expectTruncationsRefused(vector('extend2-two'), decodeExtend2);
    expectTrailingIgnored(vector('extend2-two'), decodeExtend2);
  });

  test('refuses what C tor refuses by shape', () => {
    const tooLong = joined(
      vector('extend2-two').subarray(0, 31),
      Uint8Array.of(0xff, 0xff, 0x01, 0xd0),
      new Uint8Array(463),
    );
    expect(tooLong.length).toBe(RELAY_DATA_MAX);
    expect(() => decodeExtend2(tooLong)).toThrow(Malformed);
    const outOfSpecifiers = new Uint8Array(RELAY_DATA_MAX);
    outOfSpecifiers.set([5, 0x0a, 0xff]);
    outOfSpecifiers.set([0x0a, 0xff], 3 + 255);
    expect(() => decodeExtend2(outOfSpecifiers)).toThrow(Malformed);
  });

  test('may name nothing and hold nothing', () => {
    const empty = { specifiers: [], handshakeType: 3, data: new Uint8Array(0) };
    expect(decodeExtend2(encodeExtend2(empty))).toEqual(empty);
  });

  test('has to fit a relay cell', () => {
    const data = new Uint8Array(RELAY_DATA_MAX - 5);
    expect(encodeExtend2({ specifiers: [], handshakeType: 3, data }).length).toBe(RELAY_DATA_MAX);
    const more = new Uint8Array(RELAY_DATA_MAX - 4);
    expect(() => encodeExtend2({ specifiers: [], handshakeType: 3, data: more })).toThrow(Bug);
  });
});

describe('link specifiers', () => {
  const good: LinkSpecifier[] = specifiersOf({ rsaId, ed25519Id, ipv4, ipv6 });

  test('of known types have one length only', () => {
    for (const [i, specifier] of good.entries()) {
      for (const length of [0, specifier.body.length - 1, specifier.body.length + 1, 255]) {
        const list = good.slice();
        list[i] = { type: specifier.type, body: new Uint8Array(length) };
        expect(() => interpretSpecifiers(list)).toThrow(Malformed);
      }
    }
    expect(() => interpretSpecifiers([...good, { type: 0, body: new Uint8Array(5) }])).toThrow(Malformed);
  });

  test('may come in any order', () => {
    expect(interpretSpecifiers(good.toReversed())).toEqual({ rsaId, ed25519Id, ipv4, ipv6 });
  });

  test('name an identity once: twice is malformed, even the same', () => {
    for (const type of [2, 3]) {
      const same = good.find((specifier) => specifier.type === type)!;
      expect(() => interpretSpecifiers([...good, same])).toThrow(Malformed);
    }
    const zero = { type: 3, body: new Uint8Array(32) };
    expect(() => interpretSpecifiers([zero, zero])).toThrow(Malformed);
    expect(() => interpretSpecifiers([zero, ...good])).toThrow(Malformed);
  });

  test('of a second address of a family are passed over', () => {
    const others = specifiersOf({
      rsaId: null,
      ed25519Id: null,
      ipv4: { host: parseIp('9.9.9.9')!, port: 9 },
      ipv6: { host: parseIp('9::9')!, port: 9 },
    });
    expect(interpretSpecifiers([...good, ...others])).toEqual({ rsaId, ed25519Id, ipv4, ipv6 });
  });

  test('with an Ed25519 id of zeros name none; an RSA id of zeros is left to the caller', () => {
    const zeros = [
      { type: 2, body: new Uint8Array(20) },
      { type: 3, body: new Uint8Array(32) },
    ];
    const target = { rsaId: new Uint8Array(20), ed25519Id: null, ipv4: null, ipv6: null };
    expect(interpretSpecifiers(zeros)).toEqual(target);
    expect(interpretSpecifiers([])).toEqual({ rsaId: null, ed25519Id: null, ipv4: null, ipv6: null });
  });
});

describe('EXTENDED2', () => {
  test('agrees with C tor', () => {
    const body = vector('extended2');
    const handshake = decodeExtended2(body);
    expect(handshake).toEqual(body.slice(2));
    expectView(handshake, body);
    expect(encodeExtended2(handshake)).toEqual(body);
  });

  test('refuses every truncation and ignores what trails', () => {
    expectTruncationsRefused(vector('extended2'), decodeExtended2);
    expectTrailingIgnored(vector('extended2'), decodeExtended2);
  });

  test('holds up to 496 bytes', () => {
    const most = random.bytes(0x1f0);
    expect(encodeExtended2(most).length).toBe(RELAY_DATA_MAX);
    expect(decodeExtended2(encodeExtended2(most))).toEqual(most);
    const tooLong = new Uint8Array(RELAY_DATA_MAX);
    tooLong.set([0x01, 0xf1]);
    expect(() => decodeExtended2(tooLong)).toThrow(Malformed);
    expect(() => encodeExtended2(new Uint8Array(0x1f1))).toThrow(Bug);
  });
});
