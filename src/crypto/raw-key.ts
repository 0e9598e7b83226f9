/**
 * Raw 32-byte keys in and out of node:crypto's key objects, for X25519 and Ed25519.
 *
 * The one place that knows that these formats are newer than node's type declarations. Importing a public key
 * costs a quarter of a microsecond; importing a secret one costs a scalar multiplication.
 */

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

/** The two curves whose keys are 32 raw bytes. */
export type RawKeyType = 'x25519' | 'ed25519';

/** Import a public key (32 bytes). @throws whatever node:crypto throws when it refuses the bytes. */
export function importRawPublic(type: RawKeyType, bytes: Uint8Array): KeyObject {
  const input = { key: bytes, format: 'raw-public', asymmetricKeyType: type };
  return createPublicKey(input as unknown as Parameters<typeof createPublicKey>[0]);
}

/** Import a secret key (32 bytes: an X25519 scalar or an Ed25519 seed). */
export function importRawPrivate(type: RawKeyType, bytes: Uint8Array): KeyObject {
  const input = { key: bytes, format: 'raw-private', asymmetricKeyType: type };
  return createPrivateKey(input as unknown as Parameters<typeof createPrivateKey>[0]);
}

/** Export the 32 public bytes of a public key object. */
export function exportRawPublic(key: KeyObject): Uint8Array {
  return exportRaw(key, 'raw-public');
}

/** Export the 32 public bytes that belong to a private key object. */
export function publicOf(key: KeyObject): Uint8Array {
  return exportRawPublic(createPublicKey(key));
}

/** Export the 32 secret bytes of a private key object. */
export function exportRawPrivate(key: KeyObject): Uint8Array {
  return exportRaw(key, 'raw-private');
}

function exportRaw(key: KeyObject, format: 'raw-public' | 'raw-private'): Uint8Array {
  const raw = key.export({ format } as unknown as Parameters<KeyObject['export']>[0]);
  return new Uint8Array(raw as unknown as Buffer);
}
