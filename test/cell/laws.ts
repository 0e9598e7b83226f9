/** What every codec must do with input that is cut short, runs on, or is padded to a whole cell. */
import { expect } from 'bun:test';
import { BODY_BYTES } from '../../src/cell/cell.ts';
import { Malformed } from '../../src/fault.ts';

type Decode = (bytes: Uint8Array) => unknown;

/** Every proper prefix is malformed. */
export function expectTruncationsRefused(bytes: Uint8Array, decode: Decode): void {
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decode(bytes.slice(0, length))).toThrow(Malformed);
  }
}

/** Bytes behind the content, up to a whole cell body, change nothing. */
export function expectTrailingIgnored(bytes: Uint8Array, decode: Decode): void {
  const expected = decode(bytes);
  for (let value = 0; value < 256; value++) {
    expect(decode(joined(bytes, Uint8Array.of(value)))).toEqual(expected);
  }
  for (const fill of [0, 0xff]) {
    for (let length = bytes.length; length <= BODY_BYTES; length++) {
      const padded = new Uint8Array(length).fill(fill);
      padded.set(bytes);
      expect(decode(padded)).toEqual(expected);
    }
  }
}

/** No byte may follow the content. */
export function expectTrailingRefused(bytes: Uint8Array, decode: Decode): void {
  for (let value = 0; value < 256; value++) {
    expect(() => decode(joined(bytes, Uint8Array.of(value)))).toThrow(Malformed);
  }
}

/** The views that a decoder returns lie within its input: nothing is copied, nothing outside is seen. */
export function expectView(view: Uint8Array, input: Uint8Array): void {
  expect(view.buffer).toBe(input.buffer);
  expect(view.byteOffset >= input.byteOffset).toBe(true);
  expect(view.byteOffset + view.length <= input.byteOffset + input.length).toBe(true);
}

/** Put byte strings behind each other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Make the bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
