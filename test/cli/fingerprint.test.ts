/** What --list-fingerprint prints, as C tor 0.4.9.11 prints it (compared with it in test/keys/c-tor.test.ts). */

import { expect, test } from 'bun:test';

import { fingerprintText } from '../../src/cli/fingerprint.ts';

const identity = {
  rsaId: Uint8Array.fromHex('287949026E066989A9F25FA76C1CD08A6583BF2D'),
  ed25519Id: Uint8Array.fromBase64('Nxa9YCk0yJ6P5kAVJvNs+tlE6+lCBVaZwZW/CSnfB60'),
};

test('the RSA fingerprint comes in groups of four, the Ed25519 one in base64', () => {
  expect(fingerprintText('kt', identity)).toBe('kt 2879 4902 6E06 6989 A9F2 5FA7 6C1C D08A 6583 BF2D\n');
  expect(fingerprintText('kt', identity, 'ed25519')).toBe('kt Nxa9YCk0yJ6P5kAVJvNs+tlE6+lCBVaZwZW/CSnfB60\n');
});
