import { describe, expect, test } from 'bun:test';
import { BODY_BYTES } from '../../src/cell/cell.ts';
import {
  CREATE2_DATA_MAX,
  CREATED2_DATA_MAX,
  decodeCreate2,
  decodeCreated2,
  decodeCreatedFast,
  decodeCreateFast,
  encodeCreate2,
  encodeCreated2,
  encodeCreatedFast,
  encodeCreateFast,
  HandshakeType,
} from '../../src/cell/create.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';
import { expectTrailingIgnored, expectTruncationsRefused, expectView } from './laws.ts';

const vector = readVectors('channel-bodies.txt');
const random = new Prng(2);

describe('CREATE2', () => {
  test('agrees with C tor', () => {
    const body = vector('create2-ntor');
    const create = decodeCreate2(body);
    expect(create.handshakeType).toBe(HandshakeType.NTOR);
    expect(create.data).toEqual(body.slice(4));
    expect(create.data.length).toBe(84);
    expectView(create.data, body);
    expect(encodeCreate2(create)).toEqual(body);
  });

  test('refuses every truncation and ignores the padding', () => {
    expectTruncationsRefused(vector('create2-ntor'), decodeCreate2);
    expectTrailingIgnored(vector('create2-ntor'), decodeCreate2);
  });

  test('passes on any handshake type and any length that fits', () => {
    for (const handshakeType of [0, 1, 3, 0x105, 0xffff]) {
      for (const length of [0, 1, CREATE2_DATA_MAX]) {
        const create = { handshakeType, data: random.bytes(length) };
        expect(decodeCreate2(encodeCreate2(create))).toEqual(create);
      }
    }
    expect(encodeCreate2({ handshakeType: 3, data: new Uint8Array(CREATE2_DATA_MAX) }).length).toBe(
      BODY_BYTES,
    );
    expect(() => encodeCreate2({ handshakeType: 3, data: new Uint8Array(CREATE2_DATA_MAX + 1) })).toThrow(
      Bug,
    );
  });

  test('refuses a length that leaves the cell', () => {
    for (const length of [CREATE2_DATA_MAX + 1, 512, 0xffff]) {
      const body = new Uint8Array(BODY_BYTES);
      body.set([0, 2, length >> 8, length & 255]);
      expect(() => decodeCreate2(body)).toThrow(Malformed);
    }
  });
});

describe('CREATED2', () => {
  test('agrees with C tor', () => {
    const body = vector('created2-ntor');
    const data = decodeCreated2(body);
    expect(data).toEqual(body.slice(2));
    expectView(data, body);
    expect(encodeCreated2(data)).toEqual(body);
  });

  test('refuses every truncation and ignores the padding', () => {
    expectTruncationsRefused(vector('created2-ntor'), decodeCreated2);
    expectTrailingIgnored(vector('created2-ntor'), decodeCreated2);
  });

  test('takes lengths up to the cell and no more', () => {
    for (const length of [0, 496, CREATED2_DATA_MAX]) {
      const data = random.bytes(length);
      expect(decodeCreated2(encodeCreated2(data))).toEqual(data);
    }
    for (const length of [CREATED2_DATA_MAX + 1, 0x2ff]) {
      const body = new Uint8Array(BODY_BYTES);
      body.set([length >> 8, length & 255]);
      expect(() => decodeCreated2(body)).toThrow(Malformed);
      expect(() => encodeCreated2(new Uint8Array(length))).toThrow(Bug);
    }
  });
});

describe('CREATE_FAST and CREATED_FAST', () => {
  test('agree with C tor', () => {
    const create = vector('create-fast');
    expect(decodeCreateFast(create)).toEqual(create);
    expectView(decodeCreateFast(create), create);
    expect(encodeCreateFast(create)).toEqual(create);
    const created = vector('created-fast');
    const { y, kh } = decodeCreatedFast(created);
    expect([y, kh]).toEqual([created.slice(0, 20), created.slice(20)]);
    expectView(kh, created);
    expect(encodeCreatedFast(y, kh)).toEqual(created);
  });

  test('refuse every truncation and ignore the padding', () => {
    expectTruncationsRefused(vector('create-fast'), decodeCreateFast);
    expectTrailingIgnored(vector('create-fast'), decodeCreateFast);
    expectTruncationsRefused(vector('created-fast'), decodeCreatedFast);
    expectTrailingIgnored(vector('created-fast'), decodeCreatedFast);
  });

  test('have exact sizes', () => {
    for (const length of [19, 21]) {
      const wrong = new Uint8Array(length);
      expect(() => encodeCreateFast(wrong)).toThrow(Bug);
      expect(() => encodeCreatedFast(wrong, new Uint8Array(20))).toThrow(Bug);
      expect(() => encodeCreatedFast(new Uint8Array(20), wrong)).toThrow(Bug);
    }
  });
});
