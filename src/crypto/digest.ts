/**
 * The hashes of the Tor protocol, in one call each: SHA-1, SHA-256, SHA-512 and SHA3-256.
 *
 * The engine is node:crypto; results are plain Uint8Arrays of their own. The running SHA-1 of relay cells is in
 * `running-sha1.ts`.
 * @source tor-spec "Preliminaries" (H)
 */

import { hash } from 'node:crypto';

export const SHA1_BYTES = 20;
export const SHA256_BYTES = 32;

/** Hash with SHA-1: 20 bytes. */
export function sha1(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha1', bytes, 'buffer'));
}

/** Hash with SHA-256: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', bytes, 'buffer'));
}

/** Hash with SHA-512: 64 bytes. */
export function sha512(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha512', bytes, 'buffer'));
}

/** Hash with SHA3-256: 32 bytes. */
export function sha3_256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha3-256', bytes, 'buffer'));
}
