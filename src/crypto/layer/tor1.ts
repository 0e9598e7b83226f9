/**
 * The relay cipher suite that every circuit without CGO uses: AES-128-CTR over the whole body, and a running
 * SHA-1 per direction of which four bytes go into each message.
 * @hot
 *
 * One object per circuit on a relay, one per hop on a client. Circuits that only pass cells on never make their
 * digests, which are most of the object's size; circuits on which nothing comes, as in a flood of CREATE cells, make no
 * cipher either, and leave nothing to the collector but bytes.
 * Invariants: a keystream moves once per cell, in order; a running digest moves only for cells that are this
 * hop's own. A cell whose recognised field is zero by chance (1 in 65536) keeps its digest field.
 * @source tor-spec "Relay cells", "Routing relay cells"
 */

import { BODY_BYTES } from '../../cell/cell.ts';
import { DIGEST_AT, RECOGNIZED_AT } from '../../cell/relay-message.ts';
import { assert } from '../../fault.ts';
import { type AesCtr, applyKeystream, createAesCtr, withKeystream } from '../aes.ts';
import { SHA1_BYTES } from '../digest.ts';
import { RunningSha1 } from '../running-sha1.ts';
import { type ClientLayer, PASS, RECOGNISED, type RelayLayer } from './layer.ts';

/** Key material of a tor1 circuit: Df 20, Db 20, Kf 16, Kb 16. */
export const TOR1_KEY_BYTES = 72;

const KEY_BYTES = 16;
const NO_TAG = '\0'.repeat(SHA1_BYTES);

/** One direction of one hop: a keystream and a digest that are made at first use, and the last tag. */
class Direction {
  readonly #key: Uint8Array;
  readonly #digest: RunningSha1;
  #cipher: AesCtr | null = null;
  #tag: string = NO_TAG;

  /** Both are kept. */
  constructor(seed: Uint8Array, key: Uint8Array) {
    this.#key = key;
    this.#digest = new RunningSha1(seed);
  }

  crypt(bytes: Uint8Array, at: number): void {
    applyKeystream(this.#cipher ?? this.#start(), bytes, at, BODY_BYTES);
  }

  cryptBodies(bytes: Uint8Array, at: number, bodies: number): Uint8Array {
    return withKeystream(this.#cipher ?? this.#start(), bytes, at, bodies * BODY_BYTES);
  }

  /** Put the digest of everything sealed so far, and of this body, into its digest field. */
  seal(bytes: Uint8Array, at: number): void {
    const tag = this.#digest.absorb(bytes.subarray(at, at + BODY_BYTES));
    const field = at + DIGEST_AT;
    bytes[field] = tag.charCodeAt(0);
    bytes[field + 1] = tag.charCodeAt(1);
    bytes[field + 2] = tag.charCodeAt(2);
    bytes[field + 3] = tag.charCodeAt(3);
    this.#tag = tag;
  }

  /** The digest of the last body that was sealed or recognised: 20 new bytes. */
  get tag(): Uint8Array {
    return Buffer.from(this.#tag, 'latin1');
  }

  /**
   * Tell whether a decrypted body was sealed with this digest; only then does the digest move. If `isLast` it moves in
   * any case, which costs less.
   */
  recognise(bytes: Uint8Array, at: number, isLast: boolean): number {
    if ((bytes[at + RECOGNIZED_AT] | bytes[at + RECOGNIZED_AT + 1]) !== 0) return PASS;
    const field = at + DIGEST_AT;
    const d0 = bytes[field];
    const d1 = bytes[field + 1];
    const d2 = bytes[field + 2];
    const d3 = bytes[field + 3];
    bytes[field] = 0;
    bytes[field + 1] = 0;
    bytes[field + 2] = 0;
    bytes[field + 3] = 0;
    const body = bytes.subarray(at, at + BODY_BYTES);
    const tag = isLast ? this.#digest.absorb(body) : this.#digest.trial(body);
    bytes[field] = d0;
    bytes[field + 1] = d1;
    bytes[field + 2] = d2;
    bytes[field + 3] = d3;
    const difference =
      (tag.charCodeAt(0) ^ d0) |
      (tag.charCodeAt(1) ^ d1) |
      (tag.charCodeAt(2) ^ d2) |
      (tag.charCodeAt(3) ^ d3);
    if (difference !== 0) return PASS;
    if (!isLast) this.#digest.commit();
    this.#tag = tag;
    return RECOGNISED;
  }

  #start(): AesCtr {
    this.#cipher = createAesCtr(this.#key);
    return this.#cipher;
  }
}

/** A relay's tor1 layer. */
export class Tor1Layer implements RelayLayer {
  readonly #forward: Direction;
  readonly #backward: Direction;

  /** `keys`: 72 bytes, Df, Db, Kf, Kb; not kept. */
  constructor(keys: Uint8Array) {
    assert(keys.length === TOR1_KEY_BYTES, 'tor1 takes 72 bytes of key material');
    this.#forward = createForward(keys);
    this.#backward = createBackward(keys);
  }

  decryptForward(bytes: Uint8Array, at: number): number {
    this.#forward.crypt(bytes, at);
    return this.#forward.recognise(bytes, at, false);
  }

  encryptBackward(bytes: Uint8Array, at: number): void {
    this.#backward.crypt(bytes, at);
  }

  decryptBodies(bytes: Uint8Array, at: number, bodies: number): Uint8Array {
    return this.#forward.cryptBodies(bytes, at, bodies);
  }

  recogniseForward(bytes: Uint8Array, at: number): number {
    return this.#forward.recognise(bytes, at, false);
  }

  recogniseLast(bytes: Uint8Array, at: number): number {
    return this.#forward.recognise(bytes, at, true);
  }

  encryptBodies(bytes: Uint8Array, at: number, bodies: number): Uint8Array {
    return this.#backward.cryptBodies(bytes, at, bodies);
  }

  originateBackward(bytes: Uint8Array, at: number): void {
    this.#backward.seal(bytes, at);
    this.#backward.crypt(bytes, at);
  }

  sealBackward(bytes: Uint8Array, at: number): void {
    this.#backward.seal(bytes, at);
  }

  get forwardTag(): Uint8Array {
    return this.#forward.tag;
  }

  get backwardTag(): Uint8Array {
    return this.#backward.tag;
  }
}

/** A client's tor1 layer for one hop. */
export class Tor1ClientLayer implements ClientLayer {
  readonly #forward: Direction;
  readonly #backward: Direction;

  /** `keys`: 72 bytes, Df, Db, Kf, Kb; not kept. */
  constructor(keys: Uint8Array) {
    assert(keys.length === TOR1_KEY_BYTES, 'tor1 takes 72 bytes of key material');
    this.#forward = createForward(keys);
    this.#backward = createBackward(keys);
  }

  originateForward(bytes: Uint8Array, at: number): void {
    this.#forward.seal(bytes, at);
    this.#forward.crypt(bytes, at);
  }

  encryptForward(bytes: Uint8Array, at: number): void {
    this.#forward.crypt(bytes, at);
  }

  decryptBackward(bytes: Uint8Array, at: number): number {
    this.#backward.crypt(bytes, at);
    return this.#backward.recognise(bytes, at, false);
  }

  get forwardTag(): Uint8Array {
    return this.#forward.tag;
  }

  get backwardTag(): Uint8Array {
    return this.#backward.tag;
  }
}

function createForward(keys: Uint8Array): Direction {
  const key = 2 * SHA1_BYTES;
  return new Direction(keys.slice(0, SHA1_BYTES), keys.slice(key, key + KEY_BYTES));
}

function createBackward(keys: Uint8Array): Direction {
  const key = 2 * SHA1_BYTES + KEY_BYTES;
  return new Direction(keys.slice(SHA1_BYTES, 2 * SHA1_BYTES), keys.slice(key));
}
