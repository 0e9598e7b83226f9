/**
 * The ntor-v3 handshake: ntor with SHA-3, which carries an encrypted message each way (extension lists, when
 * it creates a circuit).
 *
 * The relay's side answers CREATE2 type 3; the client's side serves our own circuits and the tests.
 * Ephemeral keys are arguments: each must be fresh, and used for one handshake only.
 * @source tor-spec "The ntor-v3 handshake", proposal 332
 */

import { equal } from '../../bytes/secret.ts';
import { assert } from '../../fault.ts';
import { applyKeystream, createAesCtr } from '../aes.ts';
import { type Curve25519KeyPair, sharedSecret } from '../curve25519.ts';
import { sha3_256 } from '../digest.ts';
import { join } from '../join.ts';
import { shake256 } from '../kdf.ts';

/** The verification string of a handshake that creates or extends a circuit. */
export const NTOR_V3_CIRCUIT = 'circuit extend';
/** Onionskin without its message: node id (32), onion key (32), X (32), MAC (32). */
export const NTOR_V3_ONIONSKIN_BYTES_MIN = 128;
/** Answer without its message: Y (32), AUTH (32). */
export const NTOR_V3_REPLY_BYTES_MIN = 64;

const KEY_BYTES = 32;
const HEAD_BYTES = 96;
const MAC_BYTES = 32;

const ascii = new TextEncoder();
const PROTOID = ascii.encode('ntor3-curve25519-sha3_256-1');
const SERVER = ascii.encode('Server');
const T_MSG_KDF = tweak('kdf_phase1');
const T_MSG_MAC = tweak('msg_mac');
const T_KEY_SEED = tweak('key_seed');
const T_VERIFY = tweak('verify');
const T_FINAL = tweak('kdf_final');
const T_AUTH = tweak('auth_final');

/** A finished relay side. */
export interface NtorV3Answer {
  /** 64 bytes and the message, for CREATED2. */
  readonly reply: Uint8Array;
  readonly keys: Uint8Array;
}

/** A client's side, waiting for the answer. */
export interface NtorV3Client {
  /** For CREATE2. */
  readonly onionskin: Uint8Array;
  /** Check the relay's answer: its message and `keyBytes` of key material, or null if it is not that relay's. */
  finish(reply: Uint8Array, keyBytes: number): { message: Uint8Array; keys: Uint8Array } | null;
}

/** The public side of one handshake. Names as in the specification: B is the onion key. */
interface Parties {
  readonly id: Uint8Array;
  readonly b: Uint8Array;
  readonly x: Uint8Array;
  readonly verification: Uint8Array;
}

/**
 * Answer a client's onionskin. `respond` gets the client's decrypted message (new bytes), once it is proven
 * whole, and gives ours, or null to refuse. Null for any handshake that fails: another identity, a key that we
 * do not hold, a wrong MAC, a point of small order, or a refusal.
 */
export function serverNtorV3(
  onionskin: Uint8Array,
  ed25519Id: Uint8Array,
  onionKeys: readonly Curve25519KeyPair[],
  ephemeral: Curve25519KeyPair,
  verification: string,
  keyBytes: number,
  respond: (clientMessage: Uint8Array) => Uint8Array | null,
): NtorV3Answer | null {
  if (onionskin.length < NTOR_V3_ONIONSKIN_BYTES_MIN) return null;
  if (!equal(onionskin.subarray(0, KEY_BYTES), ed25519Id)) return null;
  const b = onionskin.subarray(KEY_BYTES, 2 * KEY_BYTES);
  const x = onionskin.subarray(2 * KEY_BYTES, HEAD_BYTES);
  const encrypted = onionskin.subarray(HEAD_BYTES, onionskin.length - MAC_BYTES);
  const mac = onionskin.subarray(onionskin.length - MAC_BYTES);
  // An unknown key costs the same exchange as a known one, so that time tells nobody which keys we hold.
  let onionKey = ephemeral;
  let known = false;
  for (const key of onionKeys) {
    if (!equal(key.publicKey, b)) continue;
    onionKey = key;
    known = true;
  }
  const xb = sharedSecret(onionKey, x);
  if (xb === null) return null;
  const parties: Parties = { id: ed25519Id, b, x, verification: ascii.encode(verification) };
  const phase1 = deriveMessageKeys(xb, parties);
  const expected = messageMac(phase1.macKey, parties, encrypted);
  if (!equal(expected, mac) || !known) return null;
  const message = respond(crypt(phase1.encryptionKey, encrypted));
  if (message === null) return null;

  const xy = sharedSecret(ephemeral, x);
  if (xy === null) return null;
  const y = ephemeral.publicKey;
  const final = deriveFinalKeys(xy, xb, parties, y, keyBytes);
  const answer = crypt(final.encryptionKey, message);
  const auth = answerAuth(final.verify, parties, y, mac, answer);
  return { reply: join(y, auth, answer), keys: final.keys };
}

/** Start a handshake with the relay of this identity (32 bytes) and onion key (32 bytes). */
export function clientNtorV3(to: {
  readonly ed25519Id: Uint8Array;
  readonly onionKey: Uint8Array;
  readonly ephemeral: Curve25519KeyPair;
  readonly verification: string;
  readonly message: Uint8Array;
}): NtorV3Client | null {
  const { ed25519Id, onionKey, ephemeral, message } = to;
  assert(
    ed25519Id.length === KEY_BYTES && onionKey.length === KEY_BYTES,
    'ntor-v3 ids and keys have 32 bytes',
  );
  const xb = sharedSecret(ephemeral, onionKey);
  if (xb === null) return null;
  const x = ephemeral.publicKey;
  const parties: Parties = { id: ed25519Id, b: onionKey, x, verification: ascii.encode(to.verification) };
  const phase1 = deriveMessageKeys(xb, parties);
  const encrypted = crypt(phase1.encryptionKey, message);
  const mac = messageMac(phase1.macKey, parties, encrypted);
  return {
    onionskin: join(ed25519Id, onionKey, x, encrypted, mac),
    finish(reply: Uint8Array, keyBytes: number): { message: Uint8Array; keys: Uint8Array } | null {
      if (reply.length < NTOR_V3_REPLY_BYTES_MIN) return null;
      const y = reply.subarray(0, KEY_BYTES);
      const answer = reply.subarray(NTOR_V3_REPLY_BYTES_MIN);
      const xy = sharedSecret(ephemeral, y);
      if (xy === null) return null;
      const final = deriveFinalKeys(xy, xb, parties, y, keyBytes);
      const auth = answerAuth(final.verify, parties, y, mac, answer);
      if (!equal(auth, reply.subarray(KEY_BYTES, NTOR_V3_REPLY_BYTES_MIN))) return null;
      return { message: crypt(final.encryptionKey, answer), keys: final.keys };
    },
  };
}

function deriveMessageKeys(xb: Uint8Array, p: Parties): { encryptionKey: Uint8Array; macKey: Uint8Array } {
  const stream = shake256(join(T_MSG_KDF, xb, p.id, p.x, p.b, PROTOID, encapsulate(p.verification)), 64);
  return { encryptionKey: stream.subarray(0, 32), macKey: stream.subarray(32) };
}

function messageMac(macKey: Uint8Array, p: Parties, encrypted: Uint8Array): Uint8Array {
  return sha3_256(join(T_MSG_MAC, encapsulate(macKey), p.id, p.b, p.x, encrypted));
}

function deriveFinalKeys(
  xy: Uint8Array,
  xb: Uint8Array,
  p: Parties,
  y: Uint8Array,
  keyBytes: number,
): { verify: Uint8Array; encryptionKey: Uint8Array; keys: Uint8Array } {
  const secretInput = join(xy, xb, p.id, p.b, p.x, y, PROTOID, encapsulate(p.verification));
  const keySeed = sha3_256(join(T_KEY_SEED, secretInput));
  const verify = sha3_256(join(T_VERIFY, secretInput));
  const stream = shake256(join(T_FINAL, keySeed), 32 + keyBytes);
  secretInput.fill(0);
  return { verify, encryptionKey: stream.subarray(0, 32), keys: stream.slice(32) };
}

function answerAuth(
  verify: Uint8Array,
  p: Parties,
  y: Uint8Array,
  mac: Uint8Array,
  answer: Uint8Array,
): Uint8Array {
  return sha3_256(join(T_AUTH, verify, p.id, p.b, y, p.x, mac, encapsulate(answer), PROTOID, SERVER));
}

/** Encrypt or decrypt with a key that is used once: AES-256-CTR from counter zero. New bytes. */
function crypt(key: Uint8Array, message: Uint8Array): Uint8Array {
  const out = new Uint8Array(message);
  if (out.length > 0) applyKeystream(createAesCtr(key), out, 0, out.length);
  return out;
}

/** ENCAP: a string behind its length in eight bytes. */
function encapsulate(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + bytes.length);
  new DataView(out.buffer).setUint32(4, bytes.length);
  out.set(bytes, 8);
  return out;
}

function tweak(suffix: string): Uint8Array {
  return encapsulate(ascii.encode(`ntor3-curve25519-sha3_256-1:${suffix}`));
}
