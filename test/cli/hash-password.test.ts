import { expect, test } from 'bun:test';
import { checkPassword, hashPassword } from '../../src/cli/hash-password.ts';

test('hashes with the salt that it is given', () => {
  const hash = hashPassword('foo', (bytes) => new Uint8Array(bytes).fill(0xab));
  expect(hash).toMatch(/^16:ABABABABABABABAB60[0-9A-F]{40}$/);
  expect(checkPassword('foo', hash)).toBe(true);
  expect(checkPassword('fop', hash)).toBe(false);
});

test('knows hashes that C tor printed', () => {
  // tor 0.4.9.11 --hash-password 'open sesame'
  expect(checkPassword('open sesame', '16:CE2F3614D47AF37760670E2C72047B6D4D209033D9BB85A711BC4123BD')).toBe(
    true,
  );
});

test('takes empty, long and non-ASCII passwords', () => {
  for (const password of ['', 'x'.repeat(100_000), 'pässwörd']) {
    expect(
      checkPassword(
        password,
        hashPassword(password, (bytes) => new Uint8Array(bytes)),
      ),
    ).toBe(true);
  }
});

test('refuses what is no hash', () => {
  expect(checkPassword('x', '16:00')).toBe(false);
  expect(checkPassword('x', '')).toBe(false);
});
