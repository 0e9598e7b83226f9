/** Tagged and PEM key files: round trip, each truncation, trailing bytes, wrong tags. */

import { expect, test } from 'bun:test';

import { Malformed } from '../../src/fault.ts';
import {
  decodePemFile,
  decodeTagged,
  encodePemFile,
  encodeTagged,
  TaggedForms,
} from '../../src/keys/tagged-file.ts';

function why(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(Malformed);
    return (error as Malformed).why;
  }
  throw new Error('it was accepted');
}

for (const [name, form] of Object.entries(TaggedForms)) {
  test(`${name}: round trip, every truncation and a trailing byte`, () => {
    const content = new Uint8Array(form.bytes).map((_, i) => i * 7 + 1);
    const file = encodeTagged(form, content);
    expect(file.length).toBe(32 + form.bytes);
    expect(decodeTagged(form, file)).toEqual(content);
    for (let length = 0; length < file.length; length++) {
      expect(why(() => decodeTagged(form, file.subarray(0, length)))).toStartWith('truncated: ');
    }
    expect(why(() => decodeTagged(form, Buffer.concat([file, Buffer.alloc(1)])))).toStartWith('too long: ');
  });
}

test('the headers are those of C tor', () => {
  const headers = Object.values(TaggedForms).map((form) =>
    Buffer.from(encodeTagged(form, new Uint8Array(form.bytes)).subarray(0, 32))
      .toString('latin1')
      .replace(/\0+$/, ''),
  );
  expect(headers).toEqual([
    '== ed25519v1-secret: type0 ==',
    '== ed25519v1-public: type0 ==',
    '== ed25519v1-secret: type4 ==',
    '== ed25519v1-cert: type4 ==',
    '== c25519v1: onion ==',
  ]);
});

test('another tag, and no tag at all, are told apart', () => {
  const file = encodeTagged(TaggedForms.signingSecret, new Uint8Array(64));
  expect(why(() => decodeTagged(TaggedForms.masterSecret, file))).toBe(
    'wrong tag: "== ed25519v1-secret: type0 ==" expected, "== ed25519v1-secret: type4 ==" found',
  );
  expect(why(() => decodeTagged(TaggedForms.masterSecret, new Uint8Array(96)))).toContain('no such header');
  const padded = Uint8Array.from(file);
  padded[31] = 1;
  expect(why(() => decodeTagged(TaggedForms.signingSecret, padded))).toStartWith('wrong tag');
});

const PEM = '-----BEGIN RSA PRIVATE KEY-----\nAAAA\nBBBB\n-----END RSA PRIVATE KEY-----\n';

test('PEM files carry a zero byte, and need not', () => {
  const file = encodePemFile(PEM);
  expect(file.at(-1)).toBe(0);
  expect(decodePemFile('RSA PRIVATE KEY', file)).toBe(PEM);
  expect(decodePemFile('RSA PRIVATE KEY', file.subarray(0, -1))).toBe(PEM);
});

test('every truncation of a PEM file is refused', () => {
  const file = new TextEncoder().encode(PEM);
  for (let length = 0; length < file.length - 1; length++) {
    why(() => decodePemFile('RSA PRIVATE KEY', file.subarray(0, length)));
  }
});

test('PEM of another kind, two objects, and no PEM are refused', () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  expect(why(() => decodePemFile('RSA PRIVATE KEY', encode(PEM.replaceAll('RSA ', ''))))).toStartWith(
    'does not begin',
  );
  expect(why(() => decodePemFile('RSA PRIVATE KEY', encode(PEM + PEM)))).toBe('more than one PEM object');
  expect(why(() => decodePemFile('RSA PRIVATE KEY', new Uint8Array(0)))).toBe('empty');
});
