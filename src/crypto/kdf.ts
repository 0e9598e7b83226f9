/**
 * The key derivation functions of circuit handshakes: KDF-TOR (CREATE_FAST), HKDF-SHA256 (ntor) and
 * SHAKE-256 (ntor-v3).
 *
 * Called by `handshake/`, once per circuit. Each is a prefix of one endless stream: asking for fewer bytes
 * gives the start of what asking for more would give.
 * @source tor-spec "Setting circuit keys"
 */

import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { assert } from '../fault.ts';
import { SHA1_BYTES, SHA256_BYTES, sha1 } from './digest.ts';

/** Expand `k0` to `n` bytes with KDF-TOR: SHA-1 of `k0` and a counter byte from 0. At most 5120 bytes. */
export function kdfTor(k0: Uint8Array, n: number): Uint8Array {
  assert(n <= SHA1_BYTES * 256, 'KDF-TOR has a one-byte counter');
  const input = new Uint8Array(k0.length + 1);
  input.set(k0);
  const out = new Uint8Array(n);
  for (let at = 0; at < n; at += SHA1_BYTES) {
    const block = sha1(input);
    out.set(at + SHA1_BYTES <= n ? block : block.subarray(0, n - at), at);
    input[k0.length] = input[k0.length] + 1;
  }
  input.fill(0);
  return out;
}

/** HKDF-Extract with SHA-256: a 32-byte pseudorandom key. */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac('sha256', salt).update(ikm).digest());
}

/** HKDF-Expand with SHA-256: `n` bytes (at most 8160) from a pseudorandom key. */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, n: number): Uint8Array {
  assert(n <= SHA256_BYTES * 255, 'HKDF-SHA256 gives at most 8160 bytes');
  const out = new Uint8Array(n);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < n; at += SHA256_BYTES, counter++) {
    block = createHmac('sha256', prk).update(block).update(info).update(Uint8Array.of(counter)).digest();
    out.set(at + SHA256_BYTES <= n ? block : block.subarray(0, n - at), at);
  }
  return out;
}

/** HKDF-SHA256, extract and expand in one call: `n` bytes from `ikm`. */
export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, n: number): Uint8Array {
  assert(n <= SHA256_BYTES * 255, 'HKDF-SHA256 gives at most 8160 bytes');
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, n));
}

/** Read `n` bytes of SHAKE-256 over `input`. */
export function shake256(input: Uint8Array, n: number): Uint8Array {
  return new Uint8Array(createHash('shake256', { outputLength: n }).update(input).digest());
}
