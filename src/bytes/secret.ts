/**
 * Handling of secret bytes: comparing without telling where they differ, wiping, and not printing them.
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

const SCRUBBED = '[scrubbed]';

/** Hold secret bytes so that logs, JSON and the inspector print `[scrubbed]` instead. Does not copy them. */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves, not a copy. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return SCRUBBED;
  }

  toJSON(): string {
    return SCRUBBED;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return SCRUBBED;
  }
}
