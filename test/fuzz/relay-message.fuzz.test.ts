/** Fuzzes the bodies of relay cells: every accessor on every body, and messages that are written back. */
import { deepStrictEqual, ok } from 'node:assert';
import { BODY_BYTES } from '../../src/cell/cell.ts';
import {
  DATA_AT,
  PADDING_GAP,
  RELAY_DATA_MAX,
  relayCommand,
  relayData,
  relayLength,
  relayRecognized,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('relay-messages.txt');
const SHIFT = 11;

function bodyOf(name: string): Uint8Array {
  const body = new Uint8Array(BODY_BYTES).fill(0xf0);
  body.set(vector(name));
  return body;
}

fuzz('relay-message', {
  corpus: [bodyOf('body-hello-world'), bodyOf('body-need-to-know'), bodyOf('body-sendme')],
  run: (bytes) => {
    const buffer = new Uint8Array(SHIFT + BODY_BYTES + SHIFT).fill(0xee);
    buffer.set(bytes.subarray(0, BODY_BYTES), SHIFT);
    ok(relayRecognized(buffer, SHIFT) <= 0xffff);
    const data = relayData(buffer, SHIFT);
    if (data === null) {
      ok(relayLength(buffer, SHIFT) > RELAY_DATA_MAX);
      throw new Malformed('relay message', 'longer than its cell', 9);
    }
    const again = new Uint8Array(BODY_BYTES);
    const padding = (n: number): Uint8Array => buffer.slice(SHIFT + BODY_BYTES - n, SHIFT + BODY_BYTES);
    writeRelayMessage(again, 0, relayCommand(buffer, SHIFT), relayStreamId(buffer, SHIFT), data, padding);
    deepStrictEqual(relayData(again, 0), data);
    const expected = buffer.slice(SHIFT, SHIFT + BODY_BYTES);
    expected.fill(0, 1, 3);
    expected.fill(0, 5, 9);
    expected.fill(0, DATA_AT + data.length, DATA_AT + data.length + PADDING_GAP);
    deepStrictEqual(again, expected);
  },
});
