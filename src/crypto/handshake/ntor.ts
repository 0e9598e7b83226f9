/**
 * The ntor handshake: one Curve25519 exchange with the relay's onion key and one with an ephemeral key.
 *
 * The relay's side answers CREATE2 type 2; the client's side serves our own circuits and the tests.
 * Ephemeral keys are arguments: each must be fresh, and used for one handshake only.
 * @source tor-spec "The ntor handshake"
 */

import { createHmac } from 'node:crypto';
import { equal } from '../../bytes/secret.ts';
import { assert } from '../../fault.ts';
import {
  type Curve25519KeyPair,
  type EphemeralKeyPair,
  importPeerKey,
  sharedSecret,
  sharedSecretWith,
} from '../curve25519.ts';
import { join } from '../join.ts';
import { hkdfSha256 } from '../kdf.ts';

/** What the client sends: node id (20), onion key (32), X (32). */
export const NTOR_ONIONSKIN_BYTES = 84;
/** What the relay answers: Y (32), AUTH (32). */
export const NTOR_REPLY_BYTES = 64;

const ID_BYTES = 20;
const KEY_BYTES = 32;

const ascii = new TextEncoder();
const PROTOID = ascii.encode('ntor-curve25519-sha256-1');
const T_MAC = ascii.encode('ntor-curve25519-sha256-1:mac');
const T_VERIFY = ascii.encode('ntor-curve25519-sha256-1:verify');
const T_KEY = ascii.encode('ntor-curve25519-sha256-1:key_extract');
const M_EXPAND = ascii.encode('ntor-curve25519-sha256-1:key_expand');
const SERVER = ascii.encode('Server');

/** A finished relay side. */
export interface NtorAnswer {
  /** 64 bytes for CREATED2. */
  readonly reply: Uint8Array;
  readonly keys: Uint8Array;
}

/** A client's side, waiting for the answer. */
export interface NtorClient {
  /** 84 bytes for CREATE2. */
  readonly onionskin: Uint8Array;
  /** Check the relay's answer: `keyBytes` of key material, or null if it is not that relay's. */
  finish(reply: Uint8Array, keyBytes: number): Uint8Array | null;
}

/**
 * Answer a client's onionskin. Null if it is not for `rsaId`, has a wrong length, or its X is a point of small
 * order. A key id that is none of `onionKeys` is answered with `junk`: the client will refuse the answer, and
 * how long we took tells nobody which keys we still hold.
 */
export function serverNtor(
  onionskin: Uint8Array,
  rsaId: Uint8Array,
  onionKeys: readonly Curve25519KeyPair[],
  junk: EphemeralKeyPair,
  ephemeral: EphemeralKeyPair,
  keyBytes: number,
): NtorAnswer | null {
  if (onionskin.length !== NTOR_ONIONSKIN_BYTES) return null;
  if (!equal(onionskin.subarray(0, ID_BYTES), rsaId)) return null;
  const wanted = onionskin.subarray(ID_BYTES, ID_BYTES + KEY_BYTES);
  let onionKey: EphemeralKeyPair = junk;
  for (const key of onionKeys) if (equal(key.publicKey, wanted)) onionKey = key;
  const x = onionskin.subarray(ID_BYTES + KEY_BYTES);
  const peer = importPeerKey(x);
  if (peer === null) return null;
  const xy = sharedSecretWith(ephemeral, peer);
  const xb = sharedSecretWith(onionKey, peer);
  if (xy === null || xb === null) return null;
  const derived = derive(xy, xb, rsaId, onionKey.publicKey, x, ephemeral.publicKey, keyBytes);
  return { reply: join(ephemeral.publicKey, derived.auth), keys: derived.keys };
}

/** Start a handshake with the relay of this identity (20 bytes) and onion key (32 bytes). */
export function clientNtor(to: {
  readonly rsaId: Uint8Array;
  readonly onionKey: Uint8Array;
  readonly ephemeral: Curve25519KeyPair;
}): NtorClient {
  const { rsaId, onionKey, ephemeral } = to;
  assert(
    rsaId.length === ID_BYTES && onionKey.length === KEY_BYTES,
    'ntor needs a 20-byte id, a 32-byte key',
  );
  return {
    onionskin: join(rsaId, onionKey, ephemeral.publicKey),
    finish(reply: Uint8Array, keyBytes: number): Uint8Array | null {
      if (reply.length !== NTOR_REPLY_BYTES) return null;
      const y = reply.subarray(0, KEY_BYTES);
      const xy = sharedSecret(ephemeral, y);
      const xb = sharedSecret(ephemeral, onionKey);
      if (xy === null || xb === null) return null;
      const derived = derive(xy, xb, rsaId, onionKey, ephemeral.publicKey, y, keyBytes);
      return equal(derived.auth, reply.subarray(KEY_BYTES)) ? derived.keys : null;
    },
  };
}

/** Names as in the specification: B is the onion key, X the client's ephemeral key, Y the relay's. */
function derive(
  xy: Uint8Array,
  xb: Uint8Array,
  id: Uint8Array,
  b: Uint8Array,
  x: Uint8Array,
  y: Uint8Array,
  keyBytes: number,
): { auth: Uint8Array; keys: Uint8Array } {
  const secretInput = join(xy, xb, id, b, x, y, PROTOID);
  const verify = createHmac('sha256', T_VERIFY).update(secretInput).digest();
  const auth = createHmac('sha256', T_MAC)
    .update(join(verify, id, b, y, x, PROTOID, SERVER))
    .digest();
  const keys = hkdfSha256(secretInput, T_KEY, M_EXPAND, keyBytes);
  secretInput.fill(0);
  return { auth, keys };
}
