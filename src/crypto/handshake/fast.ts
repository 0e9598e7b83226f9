/**
 * CREATE_FAST: keys from two random halves, with no public-key step. TLS alone protects it, so it serves
 * one-hop circuits only (a client's directory fetches).
 *
 * Called by the circuit folder when a CREATE_FAST cell arrives, and by our own one-hop circuits.
 * @source tor-spec "CREATE_FAST/CREATED_FAST cells"
 */

import { equal } from '../../bytes/secret.ts';
import { assert } from '../../fault.ts';
import { kdfTor } from '../kdf.ts';

/** Bytes of X and of Y. */
export const FAST_HALF_BYTES = 20;
/** Bytes of KH, by which the relay shows that it derived the same keys. */
export const FAST_KH_BYTES = 20;

/** Answer a client's `x` with our random `y` (20 bytes each): the proof `kh`, and `keyBytes` of key material. */
export function serverFast(
  x: Uint8Array,
  y: Uint8Array,
  keyBytes: number,
): { kh: Uint8Array; keys: Uint8Array } {
  assert(x.length === FAST_HALF_BYTES && y.length === FAST_HALF_BYTES, 'CREATE_FAST halves have 20 bytes');
  const seed = new Uint8Array(2 * FAST_HALF_BYTES);
  seed.set(x);
  seed.set(y, FAST_HALF_BYTES);
  const stream = kdfTor(seed, FAST_KH_BYTES + keyBytes);
  return { kh: stream.slice(0, FAST_KH_BYTES), keys: stream.slice(FAST_KH_BYTES) };
}

/** Finish a client's side: `keyBytes` of key material, or null if the relay's `kh` proves nothing. */
export function clientFast(
  x: Uint8Array,
  y: Uint8Array,
  kh: Uint8Array,
  keyBytes: number,
): Uint8Array | null {
  const derived = serverFast(x, y, keyBytes);
  return equal(derived.kh, kh) ? derived.keys : null;
}
