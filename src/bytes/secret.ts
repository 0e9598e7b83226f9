/**
 * Handling of secret bytes: comparing without telling where they differ, and wiping.
 *
 * Wiping is a courtesy, not a promise: the engine may have copied the bytes while moving its heap.
 */
import { timingSafeEqual } from 'node:crypto';

/** Compare in time that depends on the lengths only. Unequal lengths are unequal. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Overwrite with zeros. */
export function wipe(bytes: Uint8Array): void {
  bytes.fill(0);
}
