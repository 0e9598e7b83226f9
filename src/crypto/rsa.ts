/**
 * RSA keys: the 1024-bit legacy identity and onion keys, and the 2048-bit key of the TLS link certificate.
 *
 * A key is named by its PKCS#1 DER: fingerprints hash it, descriptors and X.509 carry it, and C tor's key
 * files are PKCS#1 PEM. Tor signs digests "raw": PKCS#1 v1.5 padding with no DigestInfo in front of them.
 * Private operations run on the control plane only; workers check peers' signatures.
 * @source tor-spec "Preliminaries", dir-spec "signing-key"
 */

import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  KeyObject,
  privateEncrypt,
  publicDecrypt,
} from 'node:crypto';
import { wrapBase64 } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { assert, Malformed } from '../fault.ts';
import { DerReader, Tag } from './der.ts';
import { sha1, sha256 } from './digest.ts';

/** Every RSA key that names a relay has exactly this many bits. */
export const RSA_IDENTITY_BITS = 1024;
/** The one public exponent that C tor accepts in descriptors. */
export const RSA_EXPONENT = 65537n;
/** Larger than any key in the protocol; bounds what a peer can make us compute. */
const MODULUS_BITS_MAX = 4096;

/** An RSA key pair. */
export interface RsaKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** PKCS#1 DER of the public key; never mutated. */
  readonly publicDer: Uint8Array;
}

/** A public key as a key object, or as its PKCS#1 DER. */
export type RsaPublic = KeyObject | Uint8Array;

/** Make a new key with exponent 65537. Takes milliseconds (1024 bits) to tenths of a second (2048 bits). */
export function generateRsa(bits: number): RsaKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicExponent: 65537,
  });
  return { privateKey, publicKey, publicDer: exportDer(publicKey) };
}

/**
 * Read a private key from PEM, as C tor's key files hold it.
 * @throws Malformed when it is no unencrypted RSA private key.
 */
export function rsaFromPem(pem: string): RsaKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw new Malformed('RSA private key', 'not a private key in PEM');
  }
  if (privateKey.asymmetricKeyType !== 'rsa') throw new Malformed('RSA private key', 'not an RSA key');
  const publicKey = createPublicKey(privateKey);
  return { privateKey, publicKey, publicDer: exportDer(publicKey) };
}

/** Print a private key as C tor's key files hold it: PKCS#1 PEM. Secret. */
export function rsaToPem(key: RsaKey): string {
  return key.privateKey.export({ type: 'pkcs1', format: 'pem' });
}

/**
 * Read a public key from PKCS#1 DER. Only the one canonical encoding is accepted, so that a key has one
 * fingerprint.
 * @throws Malformed
 */
export function rsaPublicFromDer(der: Uint8Array): KeyObject {
  const noun = 'RSA public key';
  const outer = new DerReader(der, noun);
  const sequence = outer.enter(Tag.SEQUENCE);
  outer.finish();
  const modulus = sequence.positiveInteger();
  const exponent = sequence.positiveInteger();
  sequence.finish();
  if (bitLength(modulus) > MODULUS_BITS_MAX) throw new Malformed(noun, 'modulus too long', 0);
  if (exponent.length > 4) throw new Malformed(noun, 'exponent too long', 0);
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'pkcs1' });
  } catch {
    throw new Malformed(noun, 'numbers that are no RSA key', 0);
  }
  if (!equal(exportDer(key), der)) throw new Malformed(noun, 'not canonical DER', 0);
  return key;
}

/** Print a public key's PKCS#1 DER as the `RSA PUBLIC KEY` object of descriptors, with its final newline. */
export function rsaPublicToPem(der: Uint8Array): string {
  return `-----BEGIN RSA PUBLIC KEY-----\n${wrapBase64(der, 64)}-----END RSA PUBLIC KEY-----\n`;
}

/** SHA-1 of a public key's PKCS#1 DER: the 20 bytes that name a relay. */
export function fingerprint(publicDer: Uint8Array): Uint8Array {
  return sha1(publicDer);
}

/** SHA-256 of a public key's PKCS#1 DER: 32 bytes, as AUTHENTICATE names identities. */
export function fingerprintSha256(publicDer: Uint8Array): Uint8Array {
  return sha256(publicDer);
}

/** Sign `digest` with PKCS#1 v1.5 padding and no DigestInfo: as many bytes as the modulus. */
export function signRaw(key: RsaKey, digest: Uint8Array): Uint8Array {
  const bytes = privateEncrypt({ key: key.privateKey, padding: constants.RSA_PKCS1_PADDING }, digest);
  return new Uint8Array(bytes);
}

/** Recover what a raw signature signs. Null when it is not one of this key; never throws. */
export function recoverRaw(publicKey: RsaPublic, signature: Uint8Array): Uint8Array | null {
  try {
    const key = publicKey instanceof KeyObject ? publicKey : rsaPublicFromDer(publicKey);
    return new Uint8Array(publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature));
  } catch {
    return null;
  }
}

/** Check that `signature` signs exactly `digest`, raw. Never throws. */
export function verifyRaw(publicKey: RsaPublic, digest: Uint8Array, signature: Uint8Array): boolean {
  const signed = recoverRaw(publicKey, signature);
  return signed !== null && equal(signed, digest);
}

/** Count the bits of a key's modulus. */
export function modulusBits(key: KeyObject): number {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  assert(bits !== undefined, 'an RSA key object has a modulus');
  return bits;
}

/** Tell whether a key has the public exponent 65537. */
export function hasUsualExponent(key: KeyObject): boolean {
  return key.asymmetricKeyDetails?.publicExponent === RSA_EXPONENT;
}

function exportDer(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(publicKey.export({ type: 'pkcs1', format: 'der' }));
}

/** Bits of a big-endian number without leading zero bytes. */
function bitLength(number: Uint8Array): number {
  return number.length === 0 ? 0 : number.length * 8 - Math.clz32(number[0]) + 24;
}
