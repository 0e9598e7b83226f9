import { describe, expect, test } from 'bun:test';
import { Reader } from '../../src/bytes/reader.ts';
import { Bug, Malformed } from '../../src/fault.ts';

const bytes = Uint8Array.of(0xff, 0x80, 0x01, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32);

function thrownBy(run: () => void): Malformed {
  try {
    run();
  } catch (fault) {
    if (fault instanceof Malformed) return fault;
    throw fault;
  }
  throw new Error('nothing was thrown');
}

describe('Reader', () => {
  test('reads unsigned big-endian numbers', () => {
    expect(new Reader(bytes, 'x').u8()).toBe(0xff);
    expect(new Reader(bytes, 'x').u16()).toBe(0xff80);
    expect(new Reader(bytes, 'x').u32()).toBe(0xff8001fe);
    expect(new Reader(bytes, 'x').u64()).toBe(0xff8001fedcba9876n);
  });

  test('moves on by what it read', () => {
    const reader = new Reader(bytes, 'x');
    reader.u8();
    expect(reader.at).toBe(1);
    expect(reader.u16()).toBe(0x8001);
    expect(reader.view(3)).toEqual(Uint8Array.of(0xfe, 0xdc, 0xba));
    expect(reader.remaining).toBe(4);
    expect(reader.copy(2)).toEqual(Uint8Array.of(0x98, 0x76));
    expect(reader.rest()).toEqual(Uint8Array.of(0x54, 0x32));
    expect(reader.remaining).toBe(0);
    reader.finish();
    expect(reader.rest().length).toBe(0);
  });

  test('views share the input, copies do not', () => {
    const input = bytes.slice();
    const view = new Reader(input, 'x').view(2);
    const copy = new Reader(input, 'x').copy(2);
    input[0] = 7;
    expect(view[0]).toBe(7);
    expect(copy[0]).toBe(0xff);
    expect(copy.buffer.byteLength).toBe(2);
    expect(copy.constructor).toBe(Uint8Array);
  });

  test('copies of a Buffer are plain arrays that own their bytes', () => {
    const copy = new Reader(Buffer.from(bytes), 'x').copy(2);
    expect(copy.constructor).toBe(Uint8Array);
  });

  test('stays between its bounds', () => {
    const reader = new Reader(bytes, 'x', 2, 5);
    expect(reader.remaining).toBe(3);
    expect(reader.u8()).toBe(0x01);
    expect(reader.rest()).toEqual(Uint8Array.of(0xfe, 0xdc));
    expect(() => reader.u8()).toThrow(Malformed);
  });

  test('refuses to read past the end, says where, and stays there', () => {
    for (const [length, read] of [
      [1, (reader: Reader) => reader.u8()],
      [2, (reader: Reader) => reader.u16()],
      [4, (reader: Reader) => reader.u32()],
      [8, (reader: Reader) => reader.u64()],
      [9, (reader: Reader) => reader.view(9)],
      [9, (reader: Reader) => reader.copy(9)],
    ] as const) {
      for (let available = 0; available < length; available++) {
        const reader = new Reader(bytes, 'thing', 1, 1 + available);
        const fault = thrownBy(() => read(reader));
        expect(fault.noun).toBe('thing');
        expect(fault.offset).toBe(1);
        expect(reader.at).toBe(1);
      }
      read(new Reader(bytes, 'thing', 1, 1 + length));
    }
  });

  test('finish and fail name the offset', () => {
    const reader = new Reader(bytes, 'thing');
    reader.u16();
    expect(thrownBy(() => reader.finish()).message).toBe('thing: trailing bytes (at 2)');
    expect(thrownBy(() => reader.fail('odd')).message).toBe('thing: odd (at 2)');
  });

  test('bounds outside the bytes are our bug', () => {
    expect(() => new Reader(bytes, 'x', 11)).toThrow(Bug);
    expect(() => new Reader(bytes, 'x', 0, 11)).toThrow(Bug);
    expect(() => new Reader(bytes, 'x', 4, 3)).toThrow(Bug);
    expect(() => new Reader(bytes, 'x', -1)).toThrow(Bug);
  });
});
