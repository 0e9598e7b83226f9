/**
 * The keystream of a hop at any place, without passing the cells before it through a cipher.
 *
 * A flood need not be encrypted by the client: what a relay must do to a cell costs it the same whatever the cell
 * holds. So cells of a flood all carry one body, and only the cells that check the keystream's place are computed,
 * by seeking: AES-CTR can start at any block.
 */
import { createCipheriv } from 'node:crypto';
import { BODY_BYTES } from '../cell/cell.ts';

const BLOCK_BYTES = 16;
const SEED_BYTES = 40;

/** AES-128 keys of a hop. */
export interface HopKeys {
  readonly forward: Uint8Array;
  readonly backward: Uint8Array;
}

/** Cut the two cipher keys out of a hop's 72 bytes of tor1 key material; copies. */
export function hopKeys(material: Uint8Array): HopKeys {
  return { forward: material.slice(SEED_BYTES, SEED_BYTES + 16), backward: material.slice(SEED_BYTES + 16) };
}

/** XOR the keystream for the `cell`-th relay body of a direction (counted from 0) onto the body at `at`. */
export function cryptAt(key: Uint8Array, cell: number, bytes: Uint8Array, at: number): void {
  const place = cell * BODY_BYTES;
  const block = Math.floor(place / BLOCK_BYTES);
  const iv = Buffer.alloc(BLOCK_BYTES);
  iv.writeUInt32BE(Math.floor(block / 0x100000000), 8);
  iv.writeUInt32BE(block >>> 0, 12);
  const cipher = createCipheriv('aes-128-ctr', key, iv);
  const lead = place % BLOCK_BYTES;
  if (lead > 0) cipher.update(new Uint8Array(lead));
  bytes.set(cipher.update(bytes.subarray(at, at + BODY_BYTES)), at);
}

/** The body that every cell of a flood carries. Not zero at its start, so that a relay seldom looks twice. */
export const FLOOD_BODY = Uint8Array.from({ length: BODY_BYTES }, (_, i) => (i * 151 + 57) & 0xff);

/** Whether a body is the flood's after (or before) the `cell`-th piece of this keystream was put on it. */
export function isFloodBody(key: Uint8Array, cell: number, bytes: Uint8Array, at: number): boolean {
  const body = bytes.slice(at, at + BODY_BYTES);
  cryptAt(key, cell, body, 0);
  return Buffer.compare(body, FLOOD_BODY) === 0;
}
