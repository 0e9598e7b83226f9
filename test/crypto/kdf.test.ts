/** The key derivation functions against C tor's answers, the RFC and noble. */
import { describe, expect, test } from 'bun:test';
import { expand, extract, hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { shake256 as nobleShake } from '@noble/hashes/sha3.js';
import { hkdfExpand, hkdfExtract, hkdfSha256, kdfTor, shake256 } from '../../src/crypto/kdf.ts';
import { Bug } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';

const vector = readVectors('kdf.txt');
const SALT = new TextEncoder().encode('ntor-curve25519-sha256-1:key_extract');
const INFO = new TextEncoder().encode('ntor-curve25519-sha256-1:key_expand');

describe('KDF-TOR', () => {
  for (const n of [0, 1, 2]) {
    test(`answers vector ${n}, and every prefix of it`, () => {
      const answer = vector(`kdf-tor-${n}-output`);
      for (const length of [0, 1, 19, 20, 21, 40, 72, 99, 100]) {
        expect(kdfTor(vector(`kdf-tor-${n}-input`), length)).toEqual(answer.subarray(0, length));
      }
    });
  }

  test('ends where its counter ends', () => {
    expect(kdfTor(new Uint8Array(40), 5120).length).toBe(5120);
    expect(() => kdfTor(new Uint8Array(40), 5121)).toThrow(Bug);
  });
});

describe('HKDF-SHA256', () => {
  for (const n of [0, 1]) {
    test(`answers ntor's vector ${n}`, () => {
      const input = vector(`ntor-hkdf-${n}-input`);
      const answer = vector(`ntor-hkdf-${n}-output`);
      expect(hkdfSha256(input, SALT, INFO, 100)).toEqual(answer);
      expect(hkdfExpand(hkdfExtract(SALT, input), INFO, 100)).toEqual(answer);
    });
  }

  test("answers the RFC's first test case", () => {
    const prk = hkdfExtract(vector('hkdf-rfc5869-salt'), vector('hkdf-rfc5869-ikm'));
    expect(prk).toEqual(vector('hkdf-rfc5869-prk'));
    expect(hkdfExpand(prk, vector('hkdf-rfc5869-info'), 42)).toEqual(vector('hkdf-rfc5869-okm'));
  });

  test('agrees with noble', () => {
    const ikm = new Uint8Array(70).fill(7);
    for (const length of [1, 31, 32, 33, 92, 255]) {
      expect(hkdfSha256(ikm, SALT, INFO, length)).toEqual(hkdf(sha256, ikm, SALT, INFO, length));
    }
    const prk = extract(sha256, ikm, SALT);
    expect(hkdfExtract(SALT, ikm)).toEqual(prk);
    expect(hkdfExpand(prk, INFO, 77)).toEqual(expand(sha256, prk, INFO, 77));
  });
});

describe('SHAKE-256', () => {
  for (const n of [0, 1]) {
    test(`answers vector ${n}, and every prefix of it`, () => {
      const answer = vector(`shake256-${n}-output`);
      for (const length of [1, 16, 32, 33, answer.length]) {
        expect(shake256(vector(`shake256-${n}-input`), length)).toEqual(answer.subarray(0, length));
      }
    });
  }

  test('agrees with noble beyond one block', () => {
    const input = new Uint8Array(300).fill(3);
    expect(shake256(input, 5000)).toEqual(nobleShake(input, { dkLen: 5000 }));
  });
});
