/** AES-CTR against noble's, over a keystream read in uneven pieces. */
import { describe, expect, test } from 'bun:test';
import { ctr } from '@noble/ciphers/aes.js';
import { applyKeystream, createAesCtr } from '../../src/crypto/aes.ts';
import { Bug } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';

describe('AES-CTR', () => {
  for (const keyBytes of [16, 32]) {
    test(`with ${keyBytes * 8} bits is one keystream, whatever the pieces`, () => {
      const random = new Prng(keyBytes);
      const key = random.bytes(keyBytes);
      const plain = random.bytes(509 * 4);
      const bytes = new Uint8Array(plain);
      const cipher = createAesCtr(key);
      let at = 0;
      for (const length of [509, 1, 15, 16, 17, 451, 509, 518]) {
        applyKeystream(cipher, bytes, at, length);
        at += length;
      }
      expect(at).toBe(bytes.length);
      expect(bytes).toEqual(ctr(key, new Uint8Array(16)).encrypt(plain));
    });
  }

  test('leaves its neighbours alone', () => {
    const bytes = new Uint8Array(64);
    applyKeystream(createAesCtr(new Uint8Array(16)), bytes, 20, 16);
    expect(bytes.subarray(0, 20)).toEqual(new Uint8Array(20));
    expect(bytes.subarray(36)).toEqual(new Uint8Array(28));
    // AES-128 of a zero block under the zero key: H of the GCM specification's first test case.
    expect(bytes.subarray(20, 36).toHex()).toBe('66e94bd4ef8a2c3b884cfa59ca342b2e');
  });

  test('takes no key of another length', () => {
    expect(() => createAesCtr(new Uint8Array(24))).toThrow(Bug);
  });
});
