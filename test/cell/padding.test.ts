import { describe, expect, test } from 'bun:test';
import { decodePaddingNegotiate, encodePaddingNegotiate, PaddingCommand } from '../../src/cell/padding.ts';
import { Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { expectTrailingIgnored, expectTruncationsRefused } from './laws.ts';

const vector = readVectors('channel-bodies.txt');

describe('PADDING_NEGOTIATE', () => {
  test('agrees with Arti', () => {
    for (const [name, negotiate] of [
      ['padding-negotiate-start', { command: PaddingCommand.START, itoLowMs: 256, itoHighMs: 512 }],
      ['padding-negotiate-stop', { command: PaddingCommand.STOP, itoLowMs: 0, itoHighMs: 0 }],
    ] as const) {
      expect(decodePaddingNegotiate(vector(name))).toEqual(negotiate);
      expect(encodePaddingNegotiate(negotiate)).toEqual(vector(name));
    }
  });

  test('refuses every truncation and ignores the padding', () => {
    expectTruncationsRefused(vector('padding-negotiate-start'), decodePaddingNegotiate);
    expectTrailingIgnored(vector('padding-negotiate-start'), decodePaddingNegotiate);
  });

  test('refuses other versions and commands', () => {
    const padded = new Uint8Array(509);
    padded.set(vector('padding-negotiate-version-144'));
    expect(() => decodePaddingNegotiate(padded)).toThrow(Malformed);
    for (let byte = 0; byte < 256; byte++) {
      if (byte !== 0)
        expect(() => decodePaddingNegotiate(Uint8Array.of(byte, 1, 0, 0, 0, 0))).toThrow(Malformed);
      if (byte !== 1 && byte !== 2) {
        expect(() => decodePaddingNegotiate(Uint8Array.of(0, byte, 0, 0, 0, 0))).toThrow(Malformed);
      }
    }
  });

  test('leaves times that contradict each other to the channel', () => {
    const odd = { command: PaddingCommand.START, itoLowMs: 65535, itoHighMs: 0 };
    expect(decodePaddingNegotiate(encodePaddingNegotiate(odd))).toEqual(odd);
  });
});
