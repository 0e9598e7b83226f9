/**
 * SHA3-256 and SHAKE-256 over a few short pieces, without an object per hash and without joining the pieces: what an
 * ntor-v3 handshake needs six times.
 *
 * One sponge a thread; a hash is begun, fed and finished without anything between. Long inputs are better off with
 * `digest.ts`.
 * Invariant: nothing of an input stays in the sponge's memory once it is finished.
 * @source FIPS 202 "SHA-3 Standard", sections 4, 6 and B.2
 */

import { assert } from '../fault.ts';
import {
  BLOCKS_AT,
  buildKeccakModule,
  MEMORY_BYTES,
  RATE_BYTES,
  STATE_AT,
  STATE_BYTES,
} from './keccak-module.ts';

const SHA3_SUFFIX = 0x06;
const SHAKE_SUFFIX = 0x1f;
const SHA3_256_BYTES = 32;
/** As many whole blocks as the module's memory has room for. */
const ROOM = Math.floor((MEMORY_BYTES - BLOCKS_AT) / RATE_BYTES) * RATE_BYTES;

type Absorb = (at: number, blocks: number) => void;

/** A Keccak sponge with a rate of 136 bytes. */
export class Sponge {
  readonly #memory: Uint8Array;
  readonly #absorb: Absorb;
  /** Bytes that wait to be absorbed, from BLOCKS_AT. */
  #waiting = 0;
  /** The most that waited since the memory was last wiped. */
  #dirty = 0;

  constructor() {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(buildKeccakModule()));
    this.#memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
    this.#absorb = exports.absorb as Absorb;
  }

  /** Add a piece to the input. */
  feed(piece: Uint8Array): Sponge {
    if (this.#waiting + piece.length < ROOM) {
      this.#memory.set(piece, BLOCKS_AT + this.#waiting);
      this.#waiting += piece.length;
    } else this.#feedLong(piece);
    return this;
  }

  /** SHA3-256 of what was fed: 32 bytes. The sponge is empty again. */
  sha3(): Uint8Array {
    return this.#finish(SHA3_SUFFIX, SHA3_256_BYTES);
  }

  /** The first `n` bytes of SHAKE-256 of what was fed. The sponge is empty again. */
  shake(n: number): Uint8Array {
    return this.#finish(SHAKE_SUFFIX, n);
  }

  /** All of its memory, as a copy. */
  memory(): Uint8Array {
    return this.#memory.slice();
  }

  #feedLong(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; ) {
      const length = Math.min(piece.length - at, ROOM - this.#waiting);
      this.#memory.set(piece.subarray(at, at + length), BLOCKS_AT + this.#waiting);
      this.#waiting += length;
      at += length;
      if (this.#waiting < ROOM) continue;
      this.#absorb(BLOCKS_AT, ROOM / RATE_BYTES);
      this.#dirty = ROOM;
      this.#waiting = 0;
    }
  }

  #finish(suffix: number, n: number): Uint8Array {
    const memory = this.#memory;
    const blocks = Math.floor(this.#waiting / RATE_BYTES) + 1;
    const end = BLOCKS_AT + blocks * RATE_BYTES;
    const dirtyEnd = Math.max(end, BLOCKS_AT + this.#dirty);
    const last = BLOCKS_AT + this.#waiting;
    assert(end <= MEMORY_BYTES, 'a sponge is fed by its own rules');
    memory.fill(0, last, end);
    memory[last] = suffix;
    memory[end - 1] = memory[end - 1]! | 0x80;
    this.#absorb(BLOCKS_AT, blocks);
    memory.fill(0, BLOCKS_AT, dirtyEnd);
    this.#waiting = 0;
    this.#dirty = 0;
    // Most take less than a block: a copy of it at once costs half of what a view and a copy do.
    const out = n <= RATE_BYTES ? memory.slice(STATE_AT, STATE_AT + n) : this.#squeeze(n);
    memory.fill(0, STATE_AT, STATE_AT + STATE_BYTES);
    return out;
  }

  #squeeze(n: number): Uint8Array {
    const out = new Uint8Array(n);
    for (let at = 0; ; ) {
      const length = Math.min(n - at, RATE_BYTES);
      out.set(this.#memory.subarray(STATE_AT, STATE_AT + length), at);
      at += length;
      if (at === n) return out;
      // More is squeezed out by absorbing zeros: nothing waits in the memory now.
      this.#absorb(BLOCKS_AT, 1);
    }
  }
}
