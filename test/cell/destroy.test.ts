import { describe, expect, test } from 'bun:test';
import {
  decodeDestroy,
  decodeTruncate,
  decodeTruncated,
  encodeDestroy,
  encodeTruncate,
  encodeTruncated,
} from '../../src/cell/destroy.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { expectTrailingIgnored, expectTruncationsRefused } from './laws.ts';

const vector = readVectors('channel-bodies.txt');
const codecs = [
  [decodeDestroy, encodeDestroy],
  [decodeTruncate, encodeTruncate],
  [decodeTruncated, encodeTruncated],
] as const;

describe('DESTROY, TRUNCATE, TRUNCATED', () => {
  test('agree with C tor', () => {
    expect(decodeDestroy(vector('destroy-hibernating'))).toBe(DestroyReason.HIBERNATING);
    expect(encodeDestroy(DestroyReason.HIBERNATING)).toEqual(vector('destroy-hibernating'));
    expect(decodeDestroy(vector('destroy-none'))).toBe(DestroyReason.NONE);
    const truncated = readVectors('relay-messages.txt')('truncated');
    expect(decodeTruncated(truncated)).toBe(DestroyReason.CHANNEL_CLOSED);
    expect(encodeTruncated(DestroyReason.CHANNEL_CLOSED)).toEqual(truncated);
  });

  test('carry any byte, known reason or not', () => {
    for (const [decode, encode] of codecs) {
      for (let reason = 0; reason < 256; reason++) expect(decode(encode(reason))).toBe(reason);
      expect(() => encode(256)).toThrow(Bug);
    }
  });

  test('refuse to be empty, ignore what trails', () => {
    for (const [decode, encode] of codecs) {
      expectTruncationsRefused(encode(11), decode);
      expectTrailingIgnored(encode(11), decode);
    }
    expect(() => decodeTruncated(new Uint8Array(0))).toThrow(
      new Malformed('TRUNCATED', 'needs 1 more bytes, has 0', 0),
    );
  });
});
