/** RSA keys as C tor writes them: files, fingerprints, raw signatures; and DER that is not quite a key. */
import { describe, expect, test } from 'bun:test';
import { generateKeyPairSync } from 'node:crypto';
import { der, derInteger, Tag } from '../../src/crypto/der.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { join } from '../../src/crypto/join.ts';
import {
  fingerprint,
  fingerprintSha256,
  generateRsa,
  hasUsualExponent,
  modulusBits,
  recoverRaw,
  rsaFromPem,
  rsaPublicFromDer,
  rsaPublicToPem,
  rsaToPem,
  signRaw,
  verifyRaw,
} from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import { fuzz } from '../fuzz/fuzz.ts';
import { readVectors } from '../vectors/read.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const keyFile = readVectors('c-tor-keys.txt');
const descriptor = readVectors('c-tor-descriptor.txt');
const key = generateRsa(1024);

describe('key files', () => {
  test("reads C tor's secret_id_key and names the relay as C tor does", () => {
    const identity = rsaFromPem(text(keyFile('secret-id-key')));
    expect(modulusBits(identity.publicKey)).toBe(1024);
    expect(hasUsualExponent(identity.publicKey)).toBe(true);
    expect(text(keyFile('fingerprint')).split(' ')[1]).toBe(
      fingerprint(identity.publicDer).toHex().toUpperCase(),
    );
  });

  test('writes the very bytes that C tor wrote, but for the NUL that C tor leaves at the end', () => {
    const pem = text(keyFile('secret-id-key'));
    expect(`${rsaToPem(rsaFromPem(pem))}\0`).toBe(pem);
  });

  test('reads back what it writes', () => {
    const again = rsaFromPem(rsaToPem(key));
    expect(again.publicDer).toEqual(key.publicDer);
    expect(verifyRaw(again.publicKey, sha256(key.publicDer), signRaw(key, sha256(key.publicDer)))).toBe(true);
  });

  test('refuses what is no RSA private key, as Malformed', () => {
    const pem = rsaToPem(key);
    const lines = pem.split('\n');
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    const encrypted = key.privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-128-cbc',
      passphrase: 'x',
    });
    const wrong = [
      '',
      'x',
      pem.slice(0, 200),
      rsaPublicToPem(key.publicDer),
      lines.toSpliced(4, 1).join('\n'),
    ];
    for (const input of [...wrong, ed25519 as string, encrypted as string]) {
      expect(() => rsaFromPem(input)).toThrow(Malformed);
    }
  });
});

describe('public keys', () => {
  test('of a C tor descriptor: fingerprint and encoding', () => {
    const identity = descriptor('signing-key');
    expect(fingerprint(identity)).toEqual(descriptor('fingerprint'));
    expect(modulusBits(rsaPublicFromDer(identity))).toBe(1024);
    expect(rsaPublicToPem(descriptor('onion-key'))).toBe(
      [
        '-----BEGIN RSA PUBLIC KEY-----',
        'MIGJAoGBANDX7zPAhTBNUvg5QYEse41NonlcTxoALZDTgIZ7Q45mFgU1vbMakJzl',
        'hdctPh8eN2Z2trRbFcKg9C4P3EQYZtOaiTdybNaI3LWJ+u6DSjBHmNNw9uVowaPO',
        'yZWrxoXVK2/MBnCGZ0mISM3FMs75U6gSvZ1cWb6A74ajW3+kHoBXAgMBAAE=',
        '-----END RSA PUBLIC KEY-----',
        '',
      ].join('\n'),
    );
  });

  test('fingerprints hash the PKCS#1 DER', () => {
    expect(fingerprint(key.publicDer).length).toBe(20);
    expect(fingerprintSha256(key.publicDer)).toEqual(sha256(key.publicDer));
  });

  test('every truncation and a trailing byte is Malformed', () => {
    for (let length = 0; length < key.publicDer.length; length++) {
      expect(() => rsaPublicFromDer(key.publicDer.subarray(0, length))).toThrow(Malformed);
    }
    expect(() => rsaPublicFromDer(join(key.publicDer, Uint8Array.of(0)))).toThrow(Malformed);
  });

  test('other encodings and absurd numbers are Malformed', () => {
    const modulus = key.publicDer.subarray(7, 135);
    const e = Uint8Array.of(1, 0, 1);
    expect(der(Tag.SEQUENCE, derInteger(modulus), derInteger(e))).toEqual(key.publicDer);
    const integer = (...parts: Uint8Array[]): Uint8Array => der(Tag.INTEGER, ...parts);
    const sequences = [
      [integer(Uint8Array.of(0, 0), modulus), derInteger(e)],
      [derInteger(modulus), integer(Uint8Array.of(0, 1, 0, 1))],
      [integer(modulus), derInteger(e)],
      [derInteger(modulus), integer(Uint8Array.of(0))],
      [derInteger(modulus), integer()],
      [derInteger(modulus), derInteger(Uint8Array.of(1, 0, 0, 0, 1))],
      [derInteger(new Uint8Array(1024).fill(0xff)), derInteger(e)],
      [derInteger(modulus)],
      [derInteger(modulus), derInteger(e), derInteger(e)],
    ];
    for (const parts of sequences)
      expect(() => rsaPublicFromDer(der(Tag.SEQUENCE, ...parts))).toThrow(Malformed);
    const long = join(Uint8Array.of(0x30, 0x82, 0, 0x89), key.publicDer.subarray(3));
    expect(() => rsaPublicFromDer(long)).toThrow(Malformed);
  });

  fuzz('rsa-public-key', {
    corpus: [descriptor('signing-key'), descriptor('onion-key')],
    cases: 1000,
    run: (bytes) => {
      rsaPublicFromDer(bytes);
    },
  });
});

describe('raw signatures', () => {
  test("the onion key's cross-certificate in a C tor descriptor: both identities, without DigestInfo", () => {
    const signed = recoverRaw(descriptor('onion-key'), descriptor('onion-key-cross-cert'));
    expect(signed).toEqual(join(descriptor('fingerprint'), descriptor('master-key')));
    expect(recoverRaw(descriptor('signing-key'), descriptor('onion-key-cross-cert'))).toBeNull();
  });

  test('recover what was signed', () => {
    for (const length of [0, 1, 20, 32, 52, 117]) {
      const digest = new Uint8Array(length).fill(length);
      const signature = signRaw(key, digest);
      expect(signature.length).toBe(128);
      expect(recoverRaw(key.publicKey, signature)).toEqual(digest);
      expect(recoverRaw(key.publicDer, signature)).toEqual(digest);
      expect(verifyRaw(key.publicKey, digest, signature)).toBe(true);
      expect(verifyRaw(key.publicKey, join(digest, digest.subarray(0, 0), Uint8Array.of(1)), signature)).toBe(
        false,
      );
    }
  });

  test('are nothing when changed, cut, of another key, or checked with a broken key', () => {
    const signature = signRaw(key, sha256(key.publicDer));
    const changed = new Uint8Array(signature);
    changed[60] ^= 1;
    expect(recoverRaw(key.publicKey, changed)).toBeNull();
    for (const length of [0, 1, 127]) {
      expect(recoverRaw(key.publicKey, signature.subarray(0, length))).toBeNull();
    }
    expect(recoverRaw(key.publicKey, new Uint8Array(129))).toBeNull();
    expect(recoverRaw(generateRsa(1024).publicKey, signature)).toBeNull();
    expect(recoverRaw(new Uint8Array(10), signature)).toBeNull();
  });
});
