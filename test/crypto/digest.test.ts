/** Hashes against noble's, and the running SHA-1's promise to move only when told. */
import { describe, expect, test } from 'bun:test';
import { sha1 as nobleSha1 } from '@noble/hashes/legacy.js';
import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js';
import { sha3_256 as nobleSha3 } from '@noble/hashes/sha3.js';
import { sha1, sha3_256, sha256, sha512 } from '../../src/crypto/digest.ts';
import { join } from '../../src/crypto/join.ts';
import { RunningSha1 } from '../../src/crypto/running-sha1.ts';
import { Prng } from '../fuzz/prng.ts';

describe('one-shot hashes', () => {
  for (const length of [0, 1, 55, 64, 135, 136, 509, 4096]) {
    test(`agree with noble over ${length} bytes`, () => {
      const input = new Prng(length).bytes(length);
      expect(sha1(input)).toEqual(nobleSha1(input));
      expect(sha256(input)).toEqual(nobleSha256(input));
      expect(sha512(input)).toEqual(nobleSha512(input));
      expect(sha3_256(input)).toEqual(nobleSha3(input));
    });
  }
});

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

describe('RunningSha1', () => {
  const seed = Uint8Array.of(1, 2, 3);
  const a = new Uint8Array(509).fill(0xaa);
  const b = new Uint8Array(509).fill(0xbb);

  test('digests everything absorbed', () => {
    const running = new RunningSha1(seed);
    expect(bytesOf(running.absorb(a))).toEqual(nobleSha1(join(seed, a)));
    expect(bytesOf(running.absorb(b))).toEqual(nobleSha1(join(seed, a, b)));
  });

  test('forgets a trial that is not committed', () => {
    const running = new RunningSha1(seed);
    expect(bytesOf(running.trial(a))).toEqual(nobleSha1(join(seed, a)));
    expect(bytesOf(running.trial(b))).toEqual(nobleSha1(join(seed, b)));
    expect(bytesOf(running.absorb(a))).toEqual(nobleSha1(join(seed, a)));
  });

  test('keeps the last trial when committed, once', () => {
    const running = new RunningSha1(seed);
    running.trial(b);
    running.trial(a);
    running.commit();
    running.commit();
    expect(bytesOf(running.trial(b))).toEqual(nobleSha1(join(seed, a, b)));
  });
});
