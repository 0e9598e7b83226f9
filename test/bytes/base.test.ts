import { describe, expect, test } from 'bun:test';
import {
  decodeBase32,
  decodeBase64,
  decodeHex,
  encodeBase32,
  encodeBase64,
  encodeBase64Unpadded,
  encodeHex,
  wrapBase64,
} from '../../src/bytes/base.ts';
import { ascii } from '../cell/laws.ts';
import { Prng } from '../fuzz/prng.ts';

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);

describe('base16', () => {
  test('prints upper case, reads both', () => {
    expect(encodeHex(Uint8Array.of(0, 0xab, 0xff))).toBe('00ABFF');
    expect(decodeHex('00aBfF')).toEqual(Uint8Array.of(0, 0xab, 0xff));
    expect(decodeHex('')).toEqual(new Uint8Array(0));
    expect(decodeHex(encodeHex(everyByte))).toEqual(everyByte);
  });

  test('refuses odd lengths and foreign characters', () => {
    for (const text of ['0', '000', '0g', ' 00', '00\n', '0x00', '00 00', '\u0660\u0660']) {
      expect(decodeHex(text)).toBeNull();
    }
  });
});

describe('base64', () => {
  test('agrees with RFC 4648', () => {
    for (const [text, padded] of [
      ['', ''],
      ['f', 'Zg=='],
      ['fo', 'Zm8='],
      ['foo', 'Zm9v'],
      ['foob', 'Zm9vYg=='],
      ['fooba', 'Zm9vYmE='],
      ['foobar', 'Zm9vYmFy'],
    ] as const) {
      expect(encodeBase64(ascii(text))).toBe(padded);
      expect(encodeBase64Unpadded(ascii(text))).toBe(padded.replaceAll('=', ''));
      expect(decodeBase64(padded)).toEqual(ascii(text));
      expect(decodeBase64(padded.replaceAll('=', ''))).toEqual(ascii(text));
    }
    expect(encodeBase64(Uint8Array.of(0xfb, 0xff, 0xbf))).toBe('+/+/');
  });

  test('round trips every length, padded and not', () => {
    for (let length = 0; length < 256; length++) {
      const bytes = everyByte.slice(0, length);
      expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
      expect(decodeBase64(encodeBase64Unpadded(bytes))).toEqual(bytes);
    }
  });

  test('refuses what no encoder prints', () => {
    const wrong = [
      'Z',
      'Zg=',
      'Zg===',
      'Zm8==',
      'Zm9v=',
      '=',
      '==',
      '====',
      'Zm=8',
      'Zm9v Zm9v',
      'Zm9v\n',
      ' Zm9v',
      'Zm9-',
      'Zm9_',
      'Zh==',
      'Zh',
      'Zm9=',
      'Zm9',
    ];
    for (const text of wrong) expect([text, decodeBase64(text)]).toEqual([text, null]);
  });

  test('refuses every last digit with bits that no byte uses', () => {
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    for (const [value, digit] of [...digits].entries()) {
      expect(decodeBase64(`Z${digit}==`)?.length ?? null).toBe(value % 16 === 0 ? 1 : null);
      expect(decodeBase64(`Zm${digit}`)?.length ?? null).toBe(value % 4 === 0 ? 2 : null);
      expect(decodeBase64(`Zm9${digit}`)?.[2]).toBe((((9 + 52) << 6) & 0xc0) | value);
    }
  });

  test('has one spelling per value: any text that it reads, it prints', () => {
    const random = new Prng(64);
    const letters = 'ABab09+/==';
    for (let i = 0; i < 5000; i++) {
      let text = '';
      for (let left = random.below(9); left > 0; left--) text += letters[random.below(letters.length)]!;
      const bytes = decodeBase64(text);
      if (bytes !== null) expect([encodeBase64(bytes), encodeBase64Unpadded(bytes)]).toContain(text);
    }
  });

  test('wraps into lines that each end', () => {
    expect(wrapBase64(new Uint8Array(0))).toBe('');
    expect(wrapBase64(ascii('foobar'), 4)).toBe('Zm9v\nYmFy\n');
    expect(wrapBase64(ascii('fooba'), 5)).toBe('Zm9vY\nmE=\n');
    const lines = wrapBase64(everyByte).split('\n');
    expect(lines.slice(0, -2).every((line) => line.length === 64)).toBe(true);
    expect(lines.at(-1)).toBe('');
    expect(decodeBase64(lines.join(''))).toEqual(everyByte);
  });
});

describe('base32', () => {
  test('agrees with RFC 4648, in lower case and without padding', () => {
    for (const [text, base32] of [
      ['', ''],
      ['f', 'my'],
      ['fo', 'mzxq'],
      ['foo', 'mzxw6'],
      ['foob', 'mzxw6yq'],
      ['fooba', 'mzxw6ytb'],
      ['foobar', 'mzxw6ytboi'],
    ] as const) {
      expect(encodeBase32(ascii(text))).toBe(base32);
      expect(decodeBase32(base32)).toEqual(ascii(text));
      expect(decodeBase32(base32.toUpperCase())).toEqual(ascii(text));
    }
  });

  test('round trips every length', () => {
    for (let length = 0; length < 256; length++) {
      const bytes = everyByte.slice(256 - length);
      expect(decodeBase32(encodeBase32(bytes))).toEqual(bytes);
    }
  });

  test('refuses what no encoder prints', () => {
    for (const text of [
      'm',
      'mzx',
      'mzxw6y',
      'mz',
      'mzxr',
      'my======',
      'm1',
      'm0',
      'm8',
      'mzxw6 ',
      ' my',
      'ſy',
    ]) {
      expect([text, decodeBase32(text)]).toEqual([text, null]);
    }
  });
});
