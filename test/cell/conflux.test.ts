import { describe, expect, test } from 'bun:test';
import {
  type ConfluxLink,
  ConfluxUx,
  decodeConfluxLink,
  decodeConfluxLinked,
  decodeConfluxSwitch,
  encodeConfluxLink,
  encodeConfluxSwitch,
} from '../../src/cell/conflux.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { expectTrailingIgnored, expectTruncationsRefused, expectView } from './laws.ts';

const vector = readVectors('conflux.txt');

const FRESH: ConfluxLink = {
  nonce: Uint8Array.from({ length: 32 }, (_, i) => i),
  lastSeqSent: 0n,
  lastSeqRecv: 0n,
  desiredUx: ConfluxUx.HIGH_THROUGHPUT,
};

describe('LINK and LINKED', () => {
  test('are laid out as C tor has them', () => {
    expect(encodeConfluxLink(FRESH)).toEqual(vector('link-fresh'));
    expect(decodeConfluxLink(vector('link-fresh'))).toEqual(FRESH);
    const linked = decodeConfluxLinked(vector('linked-numbers'));
    expect(linked.lastSeqSent).toBe(0x0102030405060708n);
    expect(linked.lastSeqRecv).toBe(0x0000000b00000016n);
    expect(linked.desiredUx).toBe(ConfluxUx.MIN_LATENCY);
    expect(encodeConfluxLink(linked)).toEqual(vector('linked-numbers'));
  });

  test('are cut short nowhere, and may be followed by anything', () => {
    for (const name of ['link-fresh', 'linked-numbers']) {
      expectTruncationsRefused(vector(name), decodeConfluxLink);
      expectTruncationsRefused(vector(name), decodeConfluxLinked);
      expectTrailingIgnored(vector(name), decodeConfluxLink);
    }
  });

  test('hold a view of the nonce, not a copy', () => {
    const bytes = vector('link-fresh');
    expectView(decodeConfluxLink(bytes).nonce, bytes);
  });

  test('are of version 1 only', () => {
    for (let version = 0; version < 256; version++) {
      const bytes = vector('link-fresh');
      bytes[0] = version;
      if (version === 1) decodeConfluxLink(bytes);
      else expect(() => decodeConfluxLink(bytes)).toThrow(Malformed);
    }
  });

  test('ask for one of five experiences', () => {
    for (let ux = 0; ux < 256; ux++) {
      const bytes = vector('link-fresh');
      bytes[49] = ux;
      if (ux <= 4) expect(decodeConfluxLink(bytes).desiredUx).toBe(ux);
      else expect(() => decodeConfluxLink(bytes)).toThrow(Malformed);
    }
  });

  test('carry 64-bit numbers whole', () => {
    const link = { ...FRESH, lastSeqSent: 2n ** 64n - 1n, lastSeqRecv: 2n ** 53n + 1n };
    expect(decodeConfluxLink(encodeConfluxLink(link))).toEqual(link);
  });

  test('of another nonce length are a bug', () => {
    expect(() => encodeConfluxLink({ ...FRESH, nonce: new Uint8Array(31) })).toThrow(Bug);
  });
});

describe('SWITCH', () => {
  test('is four bytes, whatever trails', () => {
    expect(encodeConfluxSwitch(31)).toEqual(vector('switch-31'));
    expect(decodeConfluxSwitch(vector('switch-31'))).toBe(31);
    expect(decodeConfluxSwitch(vector('switch-31-padded'))).toBe(31);
    for (const n of [0, 1, 0x7fffffff, 0xffffffff]) {
      expect(decodeConfluxSwitch(encodeConfluxSwitch(n))).toBe(n);
    }
    expectTruncationsRefused(vector('switch-31'), decodeConfluxSwitch);
    expectTrailingIgnored(vector('switch-31'), decodeConfluxSwitch);
    expect(() => encodeConfluxSwitch(2 ** 32)).toThrow(Bug);
  });
});
