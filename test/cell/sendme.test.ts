import { describe, expect, test } from 'bun:test';
import { decodeSendme, encodeSendme } from '../../src/cell/sendme.ts';
import { Malformed } from '../../src/fault.ts';
import { expectTrailingIgnored, expectTruncationsRefused, expectView } from './laws.ts';

const tag = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

describe('SENDME', () => {
  test('of version 1 is version, length and tag', () => {
    const bytes = encodeSendme(tag);
    expect(bytes.toHex()).toBe(`010014${tag.toHex()}`);
    const read = decodeSendme(bytes);
    expect(read).toEqual({ version: 1, tag });
    expectView(read.tag!, bytes);
    expectTrailingIgnored(bytes, decodeSendme);
  });

  test('of version 0 is empty, or says so', () => {
    for (const hex of ['', '000000', '000002ffff', `000014${tag.toHex()}`]) {
      expect(decodeSendme(Uint8Array.fromHex(hex))).toEqual({ version: 0, tag: null });
    }
  });

  test('is malformed when cut short, of another version, or with a tag of another size', () => {
    const bytes = encodeSendme(tag);
    // The empty one is version 0.
    expectTruncationsRefused(bytes, (cut) => decodeSendme(cut.length === 0 ? Uint8Array.of(1) : cut));
    for (const hex of ['00', '0000', '020000', `ff0014${tag.toHex()}`, '010000', `010013${tag.toHex()}`]) {
      expect(() => decodeSendme(Uint8Array.fromHex(hex))).toThrow(Malformed);
    }
    expect(() => decodeSendme(encodeSendme(new Uint8Array(21)))).toThrow(Malformed);
  });
});
