import { describe, expect, test } from 'bun:test';
import { Reader } from '../../src/bytes/reader.ts';
import { Writer } from '../../src/bytes/writer.ts';
import { Bug } from '../../src/fault.ts';

describe('Writer', () => {
  test('writes big-endian fields behind each other', () => {
    const writer = new Writer(new Uint8Array(10), 1);
    writer.u8(0xff);
    writer.u16(0x8001);
    writer.u32(0xfedcba98);
    writer.bytes(Uint8Array.of(1, 2));
    expect(writer.at).toBe(10);
    expect(writer.buffer.toHex()).toBe('00ff8001fedcba980102');
  });

  test('what it writes, the Reader reads', () => {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const writer = new Writer(new Uint8Array(7));
      writer.u8(value);
      writer.u16(value * 0x101);
      writer.u32(value * 0x1010101);
      const reader = new Reader(writer.buffer, 'x');
      expect([reader.u8(), reader.u16(), reader.u32()]).toEqual([value, value * 0x101, value * 0x1010101]);
    }
  });

  test('never grows: too little room is our bug, and nothing is written', () => {
    for (const [length, write] of [
      [1, (writer: Writer) => writer.u8(1)],
      [2, (writer: Writer) => writer.u16(0x101)],
      [4, (writer: Writer) => writer.u32(0x1010101)],
      [3, (writer: Writer) => writer.bytes(Uint8Array.of(1, 1, 1))],
    ] as const) {
      for (let room = 0; room < length; room++) {
        const writer = new Writer(new Uint8Array(room));
        expect(() => write(writer)).toThrow(Bug);
        expect(writer.at).toBe(0);
        expect(writer.buffer.every((byte) => byte === 0)).toBe(true);
      }
    }
    expect(() => new Writer(new Uint8Array(1), 2)).toThrow(Bug);
  });

  test('numbers that do not fit are our bug', () => {
    const writer = new Writer(new Uint8Array(8));
    expect(() => writer.u8(256)).toThrow(Bug);
    expect(() => writer.u16(65536)).toThrow(Bug);
    expect(() => writer.u32(2 ** 32)).toThrow(Bug);
    for (const put of [
      (n: number) => writer.u8(n),
      (n: number) => writer.u16(n),
      (n: number) => writer.u32(n),
    ]) {
      expect(() => put(-1)).toThrow(Bug);
      expect(() => put(Number.NaN)).toThrow(Bug);
    }
  });
});
