/**
 * The running SHA-1 that tor1 keeps per circuit and direction: it digests all of this hop's cells so far, and
 * can look one cell ahead without moving.
 * @hot
 *
 * Made at first use, because most directions of most circuits only pass cells on and a hash object costs half a
 * kilobyte.
 * Digests are strings of one character per byte, which cost a third less to make than buffers.
 * Invariant: the state moves only by `absorb` and `commit`; a `trial` of someone else's cell leaves it alone.
 * @source tor-spec "Relay cells" (the digest field)
 */

import { createHash, type Hash } from 'node:crypto';

/** A SHA-1 over a seed and every message absorbed or committed since. */
export class RunningSha1 {
  readonly #seed: Uint8Array;
  #state: Hash | null = null;
  #ahead: Hash | null = null;

  /** Start from `seed`, which is kept. */
  constructor(seed: Uint8Array) {
    this.#seed = seed;
  }

  /** Digest the state and then `bytes`; the state moves only if `commit` follows. 20 bytes, one per character. */
  trial(bytes: Uint8Array): string {
    const ahead = (this.#state ?? this.#start()).copy();
    ahead.update(bytes);
    this.#ahead = ahead;
    return ahead.copy().digest('latin1');
  }

  /** Make the last `trial` part of the state. */
  commit(): void {
    if (this.#ahead !== null) this.#state = this.#ahead;
    this.#ahead = null;
  }

  /** Add `bytes` to the state, and digest it. 20 bytes, one per character. */
  absorb(bytes: Uint8Array): string {
    const state = this.#state ?? this.#start();
    state.update(bytes);
    return state.copy().digest('latin1');
  }

  #start(): Hash {
    const state = createHash('sha1').update(this.#seed);
    this.#state = state;
    return state;
  }
}
