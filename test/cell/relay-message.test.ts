import { describe, expect, test } from 'bun:test';
import { BODY_AT, BODY_BYTES, CELL_BYTES } from '../../src/cell/cell.ts';
import {
  DATA_AT,
  RELAY_DATA_MAX,
  RelayCommand,
  relayCommand,
  relayCommandName,
  relayData,
  relayLength,
  relayRecognized,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { Bug } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';
import { ascii, expectView } from './laws.ts';

const vector = readVectors('relay-messages.txt');

/** As the tests of Arti do: all padding is f0. */
function bodyOf(name: string): Uint8Array {
  const body = new Uint8Array(BODY_BYTES).fill(0xf0);
  body.set(vector(name));
  return body;
}

describe('relay message header', () => {
  test('agrees with C tor', () => {
    const header = vector('header');
    expect(header.length).toBe(DATA_AT);
    expect(relayCommand(header, 0)).toBe(RelayCommand.END);
    expect(relayRecognized(header, 0)).toBe(0);
    expect(relayStreamId(header, 0)).toBe(0x2122);
    expect(relayLength(header, 0)).toBe(0x103);
  });

  test('is read anywhere in a buffer, and as unsigned numbers', () => {
    const cell = new Uint8Array(CELL_BYTES).fill(0xff);
    expect(relayCommand(cell, BODY_AT)).toBe(255);
    expect(relayRecognized(cell, BODY_AT)).toBe(0xffff);
    expect(relayStreamId(cell, BODY_AT)).toBe(0xffff);
    expect(relayLength(cell, BODY_AT)).toBe(0xffff);
    cell.set(vector('header'), BODY_AT);
    expect(relayStreamId(cell, BODY_AT)).toBe(0x2122);
    expect(relayLength(cell, BODY_AT)).toBe(0x103);
  });

  test('the data is a view of at most 498 bytes', () => {
    const body = bodyOf('body-need-to-know');
    const data = relayData(body, 0)!;
    expect(data).toEqual(ascii('need-to-know'));
    expectView(data, body);
    for (const [length, fits] of [
      [0, true],
      [0x1f2, true],
      [0x1f3, false],
      [0x4f2, false],
      [0xffff, false],
    ] as const) {
      body[9] = length >> 8;
      body[10] = length & 255;
      expect(relayLength(body, 0)).toBe(length);
      expect(relayData(body, 0)?.length ?? null).toBe(fits ? length : null);
    }
  });
});

describe('writeRelayMessage', () => {
  const f0 = (n: number): Uint8Array => new Uint8Array(n).fill(0xf0);

  test('agrees with C tor and Arti', () => {
    for (const [name, command, streamId, text] of [
      ['body-hello-world', RelayCommand.DATA, 0x250, 'hello world'],
      ['body-sendme', RelayCommand.SENDME, 0, 'hello i am a tag....'],
    ] as const) {
      const body = f0(BODY_BYTES);
      writeRelayMessage(body, 0, command, streamId, ascii(text), f0);
      expect(body).toEqual(bodyOf(name));
    }
    const body = f0(BODY_BYTES);
    writeRelayMessage(body, 0, RelayCommand.DATA, 0x9999, ascii('need-to-know'), f0);
    const expected = bodyOf('body-need-to-know');
    expected.fill(0, 5, 9);
    expect(body).toEqual(expected);
  });

  test('round trips at every length, with a gap of zeros and then just the padding that is left', () => {
    const random = new Prng(289);
    const buffer = new Uint8Array(2 * CELL_BYTES);
    for (let length = 0; length <= RELAY_DATA_MAX; length++) {
      buffer.fill(0xee);
      const data = random.bytes(length);
      const streamId = random.below(65536);
      const command = random.below(256);
      const asked: number[] = [];
      writeRelayMessage(buffer, CELL_BYTES - 7, command, streamId, data, (n) => {
        asked.push(n);
        return f0(n);
      });
      const body = buffer.subarray(CELL_BYTES - 7, CELL_BYTES - 7 + BODY_BYTES);
      expect(buffer[CELL_BYTES - 8]).toBe(0xee);
      expect(buffer[CELL_BYTES - 7 + BODY_BYTES]).toBe(0xee);
      expect(relayCommand(body, 0)).toBe(command);
      expect(relayRecognized(body, 0)).toBe(0);
      expect(relayStreamId(body, 0)).toBe(streamId);
      expect(body.subarray(5, 9).toHex()).toBe('00000000');
      expect(relayData(body, 0)).toEqual(data);
      const gapEnd = Math.min(DATA_AT + length + 4, BODY_BYTES);
      expect(body.subarray(DATA_AT + length, gapEnd).every((byte) => byte === 0)).toBe(true);
      expect(body.subarray(gapEnd).every((byte) => byte === 0xf0)).toBe(true);
      expect(asked).toEqual(gapEnd < BODY_BYTES ? [BODY_BYTES - gapEnd] : []);
    }
  });

  test('pads with zeros when no randomness is given', () => {
    const body = f0(BODY_BYTES);
    writeRelayMessage(body, 0, RelayCommand.DROP, 0, new Uint8Array(0));
    expect(body.subarray(1).every((byte) => byte === 0)).toBe(true);
  });

  test('too much data, or padding of another length, is our bug', () => {
    const body = new Uint8Array(BODY_BYTES);
    const tooLong = new Uint8Array(RELAY_DATA_MAX + 1);
    expect(() => writeRelayMessage(body, 0, 2, 1, tooLong)).toThrow(Bug);
    expect(() => writeRelayMessage(body, 0, 2, 1, ascii('x'), () => new Uint8Array(1))).toThrow(Bug);
  });
});

test('relay commands have names', () => {
  expect(relayCommandName(RelayCommand.EXTEND2)).toBe('EXTEND2');
  expect(relayCommandName(44)).toBe('XON');
  expect(relayCommandName(0)).toBe('relay command 0');
  expect(relayCommandName(16)).toBe('relay command 16');
});
