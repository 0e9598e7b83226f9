/**
 * Ed25519 keys and signatures, in the standard form (a 32-byte seed) and in C tor's expanded form (64 bytes:
 * a clamped scalar and the prefix that nonces are hashed from).
 *
 * Identity, signing and family keys lie on disk in the expanded form, from which no seed comes back, so signing
 * with them is done here with noble's point arithmetic: a quarter of a millisecond, and seldom. Verifying and
 * signing with a seed go through node:crypto.
 * @source tor-spec "Preliminaries", cert-spec, dir-spec "Converting a curve25519 public key to an ed25519 one"
 */

import { generateKeyPairSync, KeyObject, sign, verify } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { assert } from '../fault.ts';
import { sha512 } from './digest.ts';
import { join } from './join.ts';
import { exportRawPrivate, exportRawPublic, importRawPrivate, importRawPublic } from './raw-key.ts';

export const ED25519_PUBLIC_BYTES = 32;
export const ED25519_SEED_BYTES = 32;
export const ED25519_EXPANDED_BYTES = 64;
export const ED25519_SIGNATURE_BYTES = 64;

/** C tor's form of a secret key: scalar (32, little endian, clamped), then nonce prefix (32). */
export type ExpandedSecret = Uint8Array;

/** A new key in every form. */
export interface Ed25519KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. Secret. */
  readonly seed: Uint8Array;
  /** 64 bytes. Secret. */
  readonly expanded: ExpandedSecret;
}

/** A key pair that has no seed, only an expanded secret. */
export interface ConvertedKeyPair {
  readonly publicKey: Uint8Array;
  readonly expanded: ExpandedSecret;
  /** Top bit of `publicKey`: the sign of x, which the Curve25519 key doesn't carry. */
  readonly signBit: 0 | 1;
}

const { Point } = ed25519;
const { Fp } = Point;
const ORDER = Point.Fn.ORDER;
/** Hashed with its terminating NUL, as C's `sizeof` counts it. */
const HIGH_PART = new TextEncoder().encode('Derive high part of ed25519 key from curve25519 key\0');

/** Make a new key from the system's randomness. */
export function generateEd25519(): Ed25519KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const seed = exportRawPrivate(privateKey);
  return { publicKey: exportRawPublic(publicKey), seed, expanded: expandSeed(seed) };
}

/** Expand a 32-byte seed to the form that C tor stores: 64 bytes, new. */
export function expandSeed(seed: Uint8Array): ExpandedSecret {
  assert(seed.length === ED25519_SEED_BYTES, 'an Ed25519 seed has 32 bytes');
  return clamp(sha512(seed));
}

/** Compute the public key (32 bytes) of an expanded secret. */
export function publicFromExpanded(expanded: ExpandedSecret): Uint8Array {
  assert(expanded.length === ED25519_EXPANDED_BYTES, 'an expanded Ed25519 secret has 64 bytes');
  return multiplyBase(modOrder(expanded.subarray(0, 32)));
}

/** Sign `message` with an expanded secret and its public key: 64 bytes. Deterministic, as RFC 8032. */
export function signExpanded(
  expanded: ExpandedSecret,
  publicKey: Uint8Array,
  message: Uint8Array,
): Uint8Array {
  assert(expanded.length === ED25519_EXPANDED_BYTES, 'an expanded Ed25519 secret has 64 bytes');
  assert(publicKey.length === ED25519_PUBLIC_BYTES, 'an Ed25519 public key has 32 bytes');
  const nonce = modOrder(sha512(join(expanded.subarray(32), message)));
  const commitment = multiplyBase(nonce);
  const challenge = modOrder(sha512(join(commitment, publicKey, message)));
  const response = (nonce + challenge * modOrder(expanded.subarray(0, 32))) % ORDER;
  const signature = new Uint8Array(ED25519_SIGNATURE_BYTES);
  signature.set(commitment);
  writeLittleEndian(response, signature.subarray(32));
  return signature;
}

/** Turn a seed into the key object that `signSeed` takes, for a key that signs often. */
export function ed25519PrivateKey(seed: Uint8Array): KeyObject {
  assert(seed.length === ED25519_SEED_BYTES, 'an Ed25519 seed has 32 bytes');
  return importRawPrivate('ed25519', seed);
}

/** Sign `message` with a seed, or with the key object made from one: 64 bytes. */
export function signSeed(seed: Uint8Array | KeyObject, message: Uint8Array): Uint8Array {
  const key = seed instanceof KeyObject ? seed : ed25519PrivateKey(seed);
  return new Uint8Array(sign(null, message, key));
}

/**
 * Check a signature. Never throws: a key or signature of a wrong length or shape is just false.
 * `publicKey`: 32 bytes, or a key object where one key checks many signatures.
 */
export function verifyEd25519(
  publicKey: Uint8Array | KeyObject,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== ED25519_SIGNATURE_BYTES) return false;
  try {
    const key = publicKey instanceof KeyObject ? publicKey : importRawPublic('ed25519', publicKey);
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}

/**
 * Derive the Ed25519 key pair with which a Curve25519 onion key cross-certifies the identity key.
 * `secretKey`: 32 bytes, as stored (clamped). Not for signing anything that a stranger chooses.
 * @source dir-spec "ntor-onion-key-crosscert", proposal 228
 */
export function convertCurve25519ToEd25519(secretKey: Uint8Array): ConvertedKeyPair {
  assert(secretKey.length === 32, 'a Curve25519 secret has 32 bytes');
  const expanded = new Uint8Array(ED25519_EXPANDED_BYTES);
  expanded.set(secretKey);
  clamp(expanded);
  expanded.set(sha512(join(expanded.subarray(0, 32), HIGH_PART)).subarray(0, 32), 32);
  const publicKey = publicFromExpanded(expanded);
  return { publicKey, expanded, signBit: publicKey[31] >> 7 === 1 ? 1 : 0 };
}

/**
 * Convert a Curve25519 public key (32 bytes) to the Ed25519 one that `convertCurve25519ToEd25519` gives its
 * owner: y = (u - 1) / (u + 1), and the sign of x as told. Null for a key that has no such point.
 */
export function convertCurve25519PublicToEd25519(publicKey: Uint8Array, signBit: 0 | 1): Uint8Array | null {
  if (publicKey.length !== 32) return null;
  const masked = new Uint8Array(publicKey);
  masked[31] &= 0x7f;
  const u = Fp.create(readLittleEndian(masked));
  const denominator = Fp.add(u, Fp.ONE);
  if (Fp.is0(denominator)) return null;
  const out = new Uint8Array(ED25519_PUBLIC_BYTES);
  writeLittleEndian(Fp.mul(Fp.sub(u, Fp.ONE), Fp.inv(denominator)), out);
  out[31] |= signBit << 7;
  try {
    Point.fromBytes(out);
  } catch {
    return null;
  }
  return out;
}

/** Multiply the base point: constant-time as far as noble is. */
function multiplyBase(scalar: bigint): Uint8Array {
  return scalar === 0n ? Point.ZERO.toBytes() : Point.BASE.multiply(scalar).toBytes();
}

/** Force the fixed bits of the first 32 bytes, in place. */
function clamp(expanded: Uint8Array): Uint8Array {
  expanded[0] &= 0xf8;
  expanded[31] = (expanded[31] & 0x7f) | 0x40;
  return expanded;
}

function modOrder(bytes: Uint8Array): bigint {
  return readLittleEndian(bytes) % ORDER;
}

function readLittleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at]);
  return value;
}

function writeLittleEndian(value: bigint, out: Uint8Array): void {
  let left = value;
  for (let at = 0; at < out.length; at++) {
    out[at] = Number(left & 0xffn);
    left >>= 8n;
  }
}
