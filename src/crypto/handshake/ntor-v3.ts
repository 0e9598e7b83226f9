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
import { createAesCtr } from '../aes.ts';
import {
  type Curve25519KeyPair,
  type EphemeralKeyPair,
  importPeerKey,
  sharedSecret,
  sharedSecretWith,
} from '../curve25519.ts';
import { join } from '../join.ts';
import { Sponge } from '../sponge.ts';

/** The verification string of a handshake that creates or extends a circuit. */
export const NTOR_V3_CIRCUIT = 'circuit extend';
/** Onionskin without its message: node id (32), onion key (32), X (32), MAC (32). */
export const NTOR_V3_ONIONSKIN_BYTES_MIN = 128;
/** Answer without its message: Y (32), AUTH (32). */
export const NTOR_V3_REPLY_BYTES_MIN = 64;

const KEY_BYTES = 32;
const HEAD_BYTES = 96;
const MAC_BYTES = 32;
const LENGTH_BYTES = 8;

const ascii = new TextEncoder();
const lengthBytes = new Uint8Array(LENGTH_BYTES);
const lengthView = new DataView(lengthBytes.buffer);
const sponge = new Sponge();
const PROTOID = ascii.encode('ntor3-curve25519-sha3_256-1');
const PROTOID_SERVER = ascii.encode('ntor3-curve25519-sha3_256-1Server');
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
  /** The verification string, encapsulated. */
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
  ephemeral: EphemeralKeyPair,
  verification: string,
  keyBytes: number,
  respond: (clientMessage: Uint8Array) => Uint8Array | null,
): NtorV3Answer | null {
  if (onionskin.length < NTOR_V3_ONIONSKIN_BYTES_MIN) return null;
  // Copies: of so few bytes they cost less than views.
  if (!equal(onionskin.slice(0, KEY_BYTES), ed25519Id)) return null;
  const b = onionskin.slice(KEY_BYTES, 2 * KEY_BYTES);
  const x = onionskin.slice(2 * KEY_BYTES, HEAD_BYTES);
  const encrypted = onionskin.slice(HEAD_BYTES, onionskin.length - MAC_BYTES);
  const mac = onionskin.slice(onionskin.length - MAC_BYTES);
  // An unknown key costs the same exchange as a known one, so that time tells nobody which keys we hold.
  let onionKey: EphemeralKeyPair = ephemeral;
  let known = false;
  for (const key of onionKeys) {
    if (!equal(key.publicKey, b)) continue;
    onionKey = key;
    known = true;
  }
  const peer = importPeerKey(x)!;
  const xb = sharedSecretWith(onionKey, peer);
  if (xb === null) return null;
  const parties: Parties = { id: ed25519Id, b, x, verification: encapsulate(ascii.encode(verification)) };
  const phase1 = deriveMessageKeys(xb, parties);
  const expected = messageMac(phase1.macKey, parties, encrypted);
  if (!equal(expected, mac) || !known) return null;
  const message = respond(crypt(phase1.encryptionKey, encrypted));
  if (message === null) return null;

  const xy = sharedSecretWith(ephemeral, peer);
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
  const parties: Parties = {
    id: ed25519Id,
    b: onionKey,
    x,
    verification: encapsulate(ascii.encode(to.verification)),
  };
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
  sponge.feed(T_MSG_KDF).feed(xb).feed(p.id).feed(p.x).feed(p.b).feed(PROTOID);
  const stream = sponge.feed(p.verification).shake(2 * KEY_BYTES);
  return { encryptionKey: stream.slice(0, KEY_BYTES), macKey: stream.slice(KEY_BYTES) };
}

function messageMac(macKey: Uint8Array, p: Parties, encrypted: Uint8Array): Uint8Array {
  sponge.feed(T_MSG_MAC).feed(lengthOf(macKey)).feed(macKey);
  return sponge.feed(p.id).feed(p.b).feed(p.x).feed(encrypted).sha3();
}

function deriveFinalKeys(
  xy: Uint8Array,
  xb: Uint8Array,
  p: Parties,
  y: Uint8Array,
  keyBytes: number,
): { verify: Uint8Array; encryptionKey: Uint8Array; keys: Uint8Array } {
  const keySeed = feedSecrets(T_KEY_SEED, xy, xb, p, y).sha3();
  const verify = feedSecrets(T_VERIFY, xy, xb, p, y).sha3();
  const stream = sponge
    .feed(T_FINAL)
    .feed(keySeed)
    .shake(KEY_BYTES + keyBytes);
  return { verify, encryptionKey: stream.slice(0, KEY_BYTES), keys: stream.slice(KEY_BYTES) };
}

/** Feed the secret input of the last keys, for the purpose that `purpose` says. */
function feedSecrets(purpose: Uint8Array, xy: Uint8Array, xb: Uint8Array, p: Parties, y: Uint8Array): Sponge {
  sponge.feed(purpose).feed(xy).feed(xb).feed(p.id).feed(p.b).feed(p.x).feed(y);
  return sponge.feed(PROTOID).feed(p.verification);
}

function answerAuth(
  verify: Uint8Array,
  p: Parties,
  y: Uint8Array,
  mac: Uint8Array,
  answer: Uint8Array,
): Uint8Array {
  sponge.feed(T_AUTH).feed(verify).feed(p.id).feed(p.b).feed(y).feed(p.x).feed(mac);
  return sponge.feed(lengthOf(answer)).feed(answer).feed(PROTOID_SERVER).sha3();
}

/** Encrypt or decrypt with a key that is used once: AES-256-CTR from counter zero. New bytes. */
function crypt(key: Uint8Array, message: Uint8Array): Uint8Array {
  return message.length === 0 ? message : new Uint8Array(createAesCtr(key).update(message));
}

/** The first half of ENCAP: the length of a string, in eight bytes that are good until the next call. */
function lengthOf(bytes: Uint8Array): Uint8Array {
  lengthView.setUint32(LENGTH_BYTES - 4, bytes.length);
  return lengthBytes;
}

/** ENCAP: a string behind its length. */
function encapsulate(bytes: Uint8Array): Uint8Array {
  return join(lengthOf(bytes), bytes);
}

function tweak(suffix: string): Uint8Array {
  return encapsulate(ascii.encode(`ntor3-curve25519-sha3_256-1:${suffix}`));
}
