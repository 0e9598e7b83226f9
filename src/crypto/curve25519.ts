/**
 * Curve25519 key pairs and shared secrets, for onion keys and the ephemeral keys of handshakes.
 *
 * Used by `handshake/` per circuit and by the key folder per rotation. A pair keeps its node:crypto key object,
 * because importing a secret costs as much as using it.
 * Invariant: `secretKey` is always clamped. BoringSSL hands out secrets that are deliberately not, which no
 * X25519 minds, but C tor copies the bytes of a stored onion key into an Ed25519 scalar, and aborts if that
 * scalar does not give the same point.
 * @source tor-spec "The ntor handshake"
 */

import { diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { equal } from '../bytes/secret.ts';
import { assert } from '../fault.ts';
import { exportRawPrivate, exportRawPublic, importRawPrivate, importRawPublic, publicOf } from './raw-key.ts';

export const CURVE25519_BYTES = 32;

/** A Curve25519 key pair. The arrays belong to the pair and are never mutated. */
export interface Curve25519KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, clamped. Secret. */
  readonly secretKey: Uint8Array;
  /** The secret as node:crypto wants it. Not clonable to another thread: send `secretKey`. */
  readonly privateKeyObject: KeyObject;
}

const ZERO = new Uint8Array(CURVE25519_BYTES);

/** A key pair for one handshake: nobody needs its secret but node:crypto. */
export type EphemeralKeyPair = Pick<Curve25519KeyPair, 'publicKey' | 'privateKeyObject'>;

/** Make a key pair for one handshake. */
export function generateEphemeral(): EphemeralKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: exportRawPublic(publicKey), privateKeyObject: privateKey };
}

/** Make a new key pair from the system's randomness. */
export function generateCurve25519(): Curve25519KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return {
    publicKey: exportRawPublic(publicKey),
    secretKey: clamp(exportRawPrivate(privateKey)),
    privateKeyObject: privateKey,
  };
}

/** Rebuild a key pair from its 32 secret bytes (copied, clamped). */
export function curve25519FromSecret(secret: Uint8Array): Curve25519KeyPair {
  assert(secret.length === CURVE25519_BYTES, 'a Curve25519 secret has 32 bytes');
  const secretKey = clamp(new Uint8Array(secret));
  const privateKeyObject = importRawPrivate('x25519', secretKey);
  return { publicKey: publicOf(privateKeyObject), secretKey, privateKeyObject };
}

/** A peer's public key, imported: worth it where it meets two of our keys. */
export type PeerKey = KeyObject;

/** Import a peer's public key. Null unless it has 32 bytes. */
export function importPeerKey(peerPublic: Uint8Array): PeerKey | null {
  return peerPublic.length === CURVE25519_BYTES ? importRawPublic('x25519', peerPublic) : null;
}

/** Compute the shared secret as `sharedSecretWith` does, with a peer's 32 bytes; null also for another length. */
export function sharedSecret(pair: EphemeralKeyPair, peerPublic: Uint8Array): Uint8Array | null {
  const peer = importPeerKey(peerPublic);
  return peer === null ? null : sharedSecretWith(pair, peer);
}

/**
 * Compute the 32-byte shared secret of our pair and a peer's public key. Null if it is all zero, which is so exactly
 * when the peer sent a point of small order: that depends on public bytes only, so nothing leaks by answering early.
 */
export function sharedSecretWith(pair: EphemeralKeyPair, peer: PeerKey): Uint8Array | null {
  let secret: Uint8Array;
  try {
    secret = new Uint8Array(diffieHellman({ privateKey: pair.privateKeyObject, publicKey: peer }));
  } catch {
    // BoringSSL refuses a zero result itself.
    return null;
  }
  return equal(secret, ZERO) ? null : secret;
}

/** Force a secret's fixed bits, in place. The public key that belongs to it does not change. */
function clamp(secret: Uint8Array): Uint8Array {
  secret[0] &= 0xf8;
  secret[31] = (secret[31] & 0x7f) | 0x40;
  return secret;
}
