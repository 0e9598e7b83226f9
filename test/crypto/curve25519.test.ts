/** X25519 against noble, the clamping that C tor's files rely on, and points that give nothing away. */
import { describe, expect, test } from 'bun:test';
import { x25519 } from '@noble/curves/ed25519.js';
import { curve25519FromSecret, generateCurve25519, sharedSecret } from '../../src/crypto/curve25519.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';

/** Encodings of points of small order, and 2^255 - 19 with some neighbours, that all give an all-zero secret. */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

describe('Curve25519', () => {
  test('makes pairs whose secrets are clamped, as C tor stores them', () => {
    for (let i = 0; i < 20; i++) {
      const { publicKey, secretKey } = generateCurve25519();
      expect(secretKey[0] & 7).toBe(0);
      expect(secretKey[31] & 0xc0).toBe(0x40);
      expect(publicKey).toEqual(x25519.getPublicKey(secretKey));
      expect(curve25519FromSecret(secretKey).publicKey).toEqual(publicKey);
    }
  });

  test("rebuilds the pair of C tor's onion key file", () => {
    const file = readVectors('c-tor-keys.txt')('onion-ntor');
    const pair = curve25519FromSecret(file.subarray(32, 64));
    expect(pair.publicKey).toEqual(file.subarray(64, 96));
    expect(pair.secretKey).toEqual(file.slice(32, 64));
  });

  test("keeps its own copy of a secret, and leaves the caller's alone", () => {
    const secret = new Uint8Array(32).fill(0xff);
    const pair = curve25519FromSecret(secret);
    expect(secret).toEqual(new Uint8Array(32).fill(0xff));
    secret.fill(0);
    expect(pair.publicKey).toEqual(x25519.getPublicKey(new Uint8Array(32).fill(0xff)));
  });

  test('agrees with noble on shared secrets, both ways', () => {
    const random = new Prng(25519);
    for (let i = 0; i < 20; i++) {
      const a = curve25519FromSecret(random.bytes(32));
      const b = curve25519FromSecret(random.bytes(32));
      const shared = sharedSecret(a, b.publicKey);
      expect(shared).toEqual(x25519.getSharedSecret(a.secretKey, b.publicKey));
      expect(sharedSecret(b, a.publicKey)).toEqual(shared);
      const anyPoint = random.bytes(32);
      expect(sharedSecret(a, anyPoint)).toEqual(x25519.getSharedSecret(a.secretKey, anyPoint));
    }
  });

  for (const point of SMALL_ORDER) {
    test(`refuses ${point.slice(0, 8)}…${point.slice(-2)}, with and without the top bit`, () => {
      const bytes = Uint8Array.fromHex(point);
      expect(sharedSecret(generateCurve25519(), bytes)).toBeNull();
      bytes[31] |= 0x80;
      expect(sharedSecret(generateCurve25519(), bytes)).toBeNull();
    });
  }

  test('refuses keys of other lengths', () => {
    for (const length of [0, 31, 33]) {
      expect(sharedSecret(generateCurve25519(), new Uint8Array(length).fill(9))).toBeNull();
    }
  });
});
