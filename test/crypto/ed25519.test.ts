/** Ed25519 against C tor's vectors, its key files and descriptor, and noble. */
import { describe, expect, test } from 'bun:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import { curve25519FromSecret, generateCurve25519 } from '../../src/crypto/curve25519.ts';
import {
  convertCurve25519PublicToEd25519,
  convertCurve25519ToEd25519,
  ed25519PrivateKey,
  expandSeed,
  generateEd25519,
  publicFromExpanded,
  signExpanded,
  signSeed,
  verifyEd25519,
} from '../../src/crypto/ed25519.ts';
import { importRawPublic } from '../../src/crypto/raw-key.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';

const vector = readVectors('ed25519.txt');
const keyFile = readVectors('c-tor-keys.txt');
const MESSAGE = new TextEncoder().encode('a message');

describe('known answers', () => {
  for (let n = 0; n < 10; n++) {
    test(`key ${n}: expansion, public key, signature, Curve25519 form`, () => {
      const expanded = vector(`keys-${n}-expanded`);
      const publicKey = vector(`keys-${n}-public`);
      const signature = vector(`keys-${n}-self-signature`);
      expect(expandSeed(vector(`keys-${n}-seed`))).toEqual(expanded);
      expect(publicFromExpanded(expanded)).toEqual(publicKey);
      expect(signExpanded(expanded, publicKey, publicKey)).toEqual(signature);
      expect(signSeed(vector(`keys-${n}-seed`), publicKey)).toEqual(signature);
      expect(verifyEd25519(publicKey, publicKey, signature)).toBe(true);

      const pair = curve25519FromSecret(expanded.subarray(0, 32));
      expect(pair.publicKey).toEqual(vector(`keys-${n}-curve25519`));
      const converted = convertCurve25519ToEd25519(pair.secretKey);
      expect(converted.publicKey).toEqual(publicKey);
      expect(converted.signBit).toBe(publicKey[31] >> 7 === 1 ? 1 : 0);
      expect(convertCurve25519PublicToEd25519(pair.publicKey, converted.signBit)).toEqual(publicKey);
    });
  }

  test("C tor's key files hold what we compute", () => {
    const master = keyFile('master-secret').subarray(32);
    expect(publicFromExpanded(master)).toEqual(keyFile('master-public').slice(32));
    const text = new TextDecoder().decode(keyFile('fingerprint-ed25519'));
    expect(text.split(' ')[1]).toBe(publicFromExpanded(master).toBase64({ omitPadding: true }));
  });
});

describe('signing and verifying', () => {
  test('agrees with noble, from a seed and from an expanded secret', () => {
    const random = new Prng(8032);
    for (let n = 0; n < 10; n++) {
      const seed = random.bytes(32);
      const message = random.bytes(n * 20);
      const publicKey = ed25519.getPublicKey(seed);
      const signature = ed25519.sign(message, seed);
      expect(publicFromExpanded(expandSeed(seed))).toEqual(publicKey);
      expect(signExpanded(expandSeed(seed), publicKey, message)).toEqual(signature);
      expect(signSeed(seed, message)).toEqual(signature);
      expect(signSeed(ed25519PrivateKey(seed), message)).toEqual(signature);
      expect(verifyEd25519(publicKey, message, signature)).toBe(true);
      expect(verifyEd25519(importRawPublic('ed25519', publicKey), message, signature)).toBe(true);
    }
  });

  test('new keys are whole', () => {
    const key = generateEd25519();
    expect(publicFromExpanded(key.expanded)).toEqual(key.publicKey);
    expect(expandSeed(key.seed)).toEqual(key.expanded);
    const signature = signExpanded(key.expanded, key.publicKey, MESSAGE);
    expect(ed25519.verify(signature, MESSAGE, key.publicKey)).toBe(true);
  });

  test('one changed bit anywhere is noticed', () => {
    const key = generateEd25519();
    const signature = signSeed(key.seed, MESSAGE);
    for (let bit = 0; bit < 64 * 8; bit += 7) {
      const changed = new Uint8Array(signature);
      changed[bit >> 3] ^= 1 << (bit & 7);
      expect(verifyEd25519(key.publicKey, MESSAGE, changed)).toBe(false);
    }
    expect(verifyEd25519(key.publicKey, MESSAGE.subarray(1), signature)).toBe(false);
    expect(verifyEd25519(generateEd25519().publicKey, MESSAGE, signature)).toBe(false);
  });

  test('is just false for what is no key or signature', () => {
    const key = generateEd25519();
    const signature = signSeed(key.seed, MESSAGE);
    for (const length of [0, 31, 33]) {
      expect(verifyEd25519(new Uint8Array(length), MESSAGE, signature)).toBe(false);
    }
    for (const length of [0, 63, 65]) {
      expect(verifyEd25519(key.publicKey, MESSAGE, new Uint8Array(length))).toBe(false);
    }
    expect(verifyEd25519(new Uint8Array(32).fill(0xff), MESSAGE, signature)).toBe(false);
    expect(verifyEd25519(new Uint8Array(32).fill(2), MESSAGE, signature)).toBe(false);
  });

  test('refuses a response that is not reduced: signatures have one form', () => {
    const key = generateEd25519();
    const signature = signSeed(key.seed, MESSAGE);
    let response = ed25519.Point.Fn.ORDER;
    for (let i = 63; i >= 32; i--) response += BigInt(signature[i]) << BigInt(8 * (i - 32));
    for (let i = 32; i < 64; i++) {
      signature[i] = Number(response & 0xffn);
      response >>= 8n;
    }
    expect(verifyEd25519(key.publicKey, MESSAGE, signature)).toBe(false);
  });
});

describe('Curve25519 as Ed25519', () => {
  test("verifies the cross-certificate in C tor's descriptor", () => {
    const descriptor = readVectors('c-tor-descriptor.txt');
    const cert = descriptor('ntor-cross-cert');
    const signBit = descriptor('ntor-sign-bit')[3] === 1 ? 1 : 0;
    const key = convertCurve25519PublicToEd25519(descriptor('ntor-onion-key'), signBit);
    expect(key).not.toBeNull();
    expect(verifyEd25519(key!, cert.subarray(0, -64), cert.subarray(-64))).toBe(true);
    const other = convertCurve25519PublicToEd25519(descriptor('ntor-onion-key'), signBit === 1 ? 0 : 1);
    expect(verifyEd25519(other!, cert.subarray(0, -64), cert.subarray(-64))).toBe(false);
  });

  test('both halves agree for new keys, and sign', () => {
    for (let i = 0; i < 8; i++) {
      const pair = generateCurve25519();
      const { publicKey, expanded, signBit } = convertCurve25519ToEd25519(pair.secretKey);
      expect(convertCurve25519PublicToEd25519(pair.publicKey, signBit)).toEqual(publicKey);
      expect(verifyEd25519(publicKey, MESSAGE, signExpanded(expanded, publicKey, MESSAGE))).toBe(true);
    }
  });

  test('the one key without an image, keys off the curve and other lengths give null', () => {
    const minusOne = Uint8Array.fromHex('ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f');
    expect(convertCurve25519PublicToEd25519(minusOne, 0)).toBeNull();
    expect(convertCurve25519PublicToEd25519(new Uint8Array(31), 0)).toBeNull();
    const random = new Prng(1);
    let refused = 0;
    for (let i = 0; i < 50; i++) {
      if (convertCurve25519PublicToEd25519(random.bytes(32), 1) === null) refused++;
    }
    expect(refused).toBeGreaterThan(5);
    expect(refused).toBeLessThan(45);
  });
});
