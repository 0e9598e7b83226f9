import { describe, expect, test } from 'bun:test';
import { Reader } from '../../src/bytes/reader.ts';
import {
  decodeCcResponse,
  decodeExtensions,
  decodeSubprotocolRequest,
  ExtensionType,
  encodeCcRequest,
  encodeCcResponse,
  encodeExtensions,
  encodeSubprotocolRequest,
  firstOfType,
  readExtensions,
} from '../../src/cell/extension.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import {
  expectTrailingIgnored,
  expectTrailingRefused,
  expectTruncationsRefused,
  expectView,
} from './laws.ts';

const request = [
  { type: ExtensionType.CC_REQUEST, body: encodeCcRequest() },
  { type: ExtensionType.SUBPROTOCOL_REQUEST, body: Uint8Array.of(2, 6) },
  { type: 0xf0, body: new Uint8Array(255).fill(9) },
];

describe('extensions', () => {
  test('are a count, then type, length and body of each', () => {
    const bytes = encodeExtensions(request.slice(0, 2));
    expect(bytes.toHex()).toBe('02010003020206');
    expect(decodeExtensions(bytes)).toEqual(request.slice(0, 2));
    expect(encodeExtensions([]).toHex()).toBe('00');
    expect(decodeExtensions(Uint8Array.of(0))).toEqual([]);
  });

  test('round trip, unknown and empty ones too, as views', () => {
    const bytes = encodeExtensions(request);
    const read = decodeExtensions(bytes);
    expect(read).toEqual(request);
    for (const extension of read) expectView(extension.body, bytes);
  });

  test('refuse every truncation and whatever trails', () => {
    expectTruncationsRefused(encodeExtensions(request), decodeExtensions);
    expectTrailingRefused(encodeExtensions(request), decodeExtensions);
    expectTrailingRefused(Uint8Array.of(0), decodeExtensions);
  });

  test('are taken out of a bigger object', () => {
    const reader = new Reader(Uint8Array.of(7, 1, 1, 0, 9), 'thing', 1);
    expect(readExtensions(reader)).toEqual([{ type: 1, body: new Uint8Array(0) }]);
    expect(reader.u8()).toBe(9);
  });

  test('count the first time only', () => {
    const twice = [...request, { type: 3, body: Uint8Array.of(2, 5) }];
    expect(firstOfType(twice, 3)?.body).toEqual(Uint8Array.of(2, 6));
    expect(firstOfType(twice, 2)).toBeNull();
    expect(firstOfType([], 1)).toBeNull();
  });

  test('have bodies of at most 255 bytes, and are at most 255', () => {
    const empty = { type: 1, body: new Uint8Array(0) };
    expect(decodeExtensions(encodeExtensions(new Array(255).fill(empty))).length).toBe(255);
    expect(() => encodeExtensions(new Array(256).fill(empty))).toThrow(Bug);
    expect(() => encodeExtensions([{ type: 1, body: new Uint8Array(256) }])).toThrow(Bug);
  });
});

describe('congestion control response', () => {
  test('is one byte', () => {
    expect(encodeCcResponse(31).toHex()).toBe('1f');
    for (const inc of [0, 31, 255]) expect(decodeCcResponse(encodeCcResponse(inc))).toBe(inc);
    expectTruncationsRefused(encodeCcResponse(31), decodeCcResponse);
    expectTrailingIgnored(encodeCcResponse(31), decodeCcResponse);
    expect(() => encodeCcResponse(256)).toThrow(Bug);
  });
});

describe('subprotocol request', () => {
  test('is a list of pairs, strictly ascending', () => {
    const wanted = [
      { protocol: 0, version: 4 },
      { protocol: 2, version: 4 },
      { protocol: 2, version: 6 },
      { protocol: 255, version: 255 },
    ];
    expect(encodeSubprotocolRequest(wanted).toHex()).toBe('000402040206ffff');
    expect(decodeSubprotocolRequest(encodeSubprotocolRequest(wanted))).toEqual(wanted);
    expect(decodeSubprotocolRequest(new Uint8Array(0))).toEqual([]);
  });

  test('is malformed when odd, doubled or unsorted', () => {
    for (const hex of ['00', '000402', '00040004', '02040004', '00040003', '000402060205', 'ffff0000']) {
      expect(() => decodeSubprotocolRequest(Uint8Array.fromHex(hex))).toThrow(Malformed);
    }
  });

  test('of ours is sorted, or it is our bug', () => {
    const pair = { protocol: 2, version: 6 };
    expect(() => encodeSubprotocolRequest([pair, pair])).toThrow(Bug);
    expect(() => encodeSubprotocolRequest([pair, { protocol: 0, version: 4 }])).toThrow(Bug);
  });
});
