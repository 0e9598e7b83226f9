/**
 * AES in counter mode: the keystream under every tor1 relay cell and inside the ntor-v3 handshake.
 * @hot
 *
 * Lowest room of `crypto/`; the layers above keep one cipher object per circuit and direction. The engine is
 * node:crypto (BoringSSL inside Bun), which has no way to encrypt into an existing buffer: `update` returns a
 * new one, and copying it back over the input is the measured floor.
 * Invariant: a cipher object is a position in one keystream; every byte passed through it moves it on, and
 * nothing moves it back.
 * @source tor-spec "Ciphers"
 */

import { type Cipheriv, createCipheriv } from 'node:crypto';
import { assert } from '../fault.ts';

/** A position in an AES-CTR keystream. Encrypting and decrypting are the same operation. */
export type AesCtr = Cipheriv;

/** Tor starts every counter at zero; a key is never used for a second keystream. */
const ZERO_IV = new Uint8Array(16);

/** Start a keystream at counter zero. `key`: 16 bytes for AES-128, 32 for AES-256; not kept. */
export function createAesCtr(key: Uint8Array): AesCtr {
  assert(key.length === 16 || key.length === 32, 'an AES key has 16 or 32 bytes');
  return createCipheriv(key.length === 16 ? 'aes-128-ctr' : 'aes-256-ctr', key, ZERO_IV);
}

/** XOR the next `length` bytes of the keystream onto those from `at`, into a new buffer. */
export function withKeystream(cipher: AesCtr, bytes: Uint8Array, at: number, length: number): Uint8Array {
  return cipher.update(bytes.subarray(at, at + length));
}

/** XOR the next `length` bytes of the keystream onto `bytes` from `at`, in place. */
export function applyKeystream(cipher: AesCtr, bytes: Uint8Array, at: number, length: number): void {
  bytes.set(cipher.update(bytes.subarray(at, at + length)), at);
}
