/**
 * Onion keys: what clients encrypt their circuit handshakes to, current and previous.
 *
 * The ntor key changes every `rotationDays`; the previous one is answered for `graceDays` more, for clients with
 * an older directory. The RSA key of the old TAP handshake is rotated beside it: no one uses it any more, but a
 * descriptor without one is refused. `state` remembers when the last rotation was (`LastRotatedOnionKey`).
 * Who calls must give a new key to every worker before a descriptor names it, and save `state` soon.
 * @source tor-spec "Keys and names", dir-spec "Descriptor content", proposal 274
 */

import { lstatSync } from 'node:fs';

import { equal } from '../bytes/secret.ts';
import { type Curve25519KeyPair, curve25519FromSecret, generateCurve25519 } from '../crypto/curve25519.ts';
import { generateRsa, type RsaKey, rsaFromPem, rsaToPem } from '../crypto/rsa.ts';
import { Malformed, OperatorError } from '../fault.ts';
import {
  createKeyFile,
  isKeyFile,
  type KeyStore,
  keyPath,
  loadKeyFile,
  removeKeyFile,
  supersedeKeyFiles,
} from './key-store.ts';
import { decodePemFile, decodeTagged, encodePemFile, encodeTagged, TaggedForms } from './tagged-file.ts';

export const ONION_KEY_FILE = 'secret_onion_key_ntor';
export const LEGACY_ONION_KEY_FILE = 'secret_onion_key';
const LAST_ROTATED = 'LastRotatedOnionKey';
const LEGACY_RSA_BITS = 1024;
const DAY_SEC = 86_400;

/** The times in `state` that onion keys go by. */
export interface StateTimes {
  /** Seconds since 1970, or null when there is no such line. */
  getTime(key: string): number | null;
  setTime(key: string, sec: number): void;
}

/** Consensus parameters `onion-key-rotation-days` and `onion-key-grace-period-days`. */
export interface OnionKeyParams {
  readonly rotationDays: number;
  readonly graceDays: number;
}

export const DEFAULT_ONION_KEY_PARAMS: OnionKeyParams = { rotationDays: 28, graceDays: 7 };

/** The onion keys in force. Never mutated. */
export interface OnionKeys {
  readonly current: Curve25519KeyPair;
  /** The one before, while its grace period lasts. */
  readonly previous: Curve25519KeyPair | null;
  /** TAP key for the descriptor's `onion-key`. */
  readonly legacyRsa: RsaKey;
  /** When `current` came into force, seconds since 1970. */
  readonly rotatedSec: number;
}

function decodeOnionKey(bytes: Uint8Array): Curve25519KeyPair {
  const content = decodeTagged(TaggedForms.onionKey, bytes);
  const pair = curve25519FromSecret(content.subarray(0, 32));
  if (!equal(pair.publicKey, content.subarray(32))) {
    throw new Malformed('key file', 'its public key does not match its secret key');
  }
  return pair;
}

function encodeOnionKey(pair: Curve25519KeyPair): Uint8Array {
  const content = new Uint8Array(64);
  content.set(pair.secretKey);
  content.set(pair.publicKey, 32);
  return encodeTagged(TaggedForms.onionKey, content);
}

function decodeLegacy(bytes: Uint8Array): RsaKey {
  return rsaFromPem(decodePemFile('RSA PRIVATE KEY', bytes));
}

const REMEDY = 'restore it from a backup, or move it away and a new one is made';

/** Load the previous onion key. A damaged one costs some clients a circuit, not the relay its start. */
function loadPrevious(store: KeyStore): Curve25519KeyPair | null {
  const name = `${ONION_KEY_FILE}.old`;
  if (!isKeyFile(store, name)) return null;
  try {
    return loadKeyFile(store, name, true, decodeOnionKey, REMEDY);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    store.warn(`${error.message}; going on without the previous onion key`);
    return null;
  }
}

/** When the current key came into force: what `state` says, unless that cannot be. */
function lastRotation(state: StateTimes, nowSec: number): number | null {
  const sec = state.getTime(LAST_ROTATED);
  // A time in the future would put off the next rotation for ever.
  return sec !== null && sec > 100 && sec <= nowSec ? sec : null;
}

/**
 * Load the onion keys and make those that are missing.
 *
 * @throws OperatorError when a current key is damaged, or the disk refuses.
 */
export function loadOrCreateOnionKeys(
  store: KeyStore,
  state: StateTimes,
  nowSec: number,
  params: OnionKeyParams = DEFAULT_ONION_KEY_PARAMS,
): OnionKeys {
  let current = loadKeyFile(store, ONION_KEY_FILE, true, decodeOnionKey, REMEDY);
  let rotatedSec = current === null ? null : lastRotation(state, nowSec);
  if (current === null) {
    current = generateCurve25519();
    createKeyFile(store, ONION_KEY_FILE, encodeOnionKey(current));
  }
  let legacyRsa = loadKeyFile(store, LEGACY_ONION_KEY_FILE, true, decodeLegacy, REMEDY);
  if (legacyRsa === null) {
    legacyRsa = generateRsa(LEGACY_RSA_BITS);
    createKeyFile(store, LEGACY_ONION_KEY_FILE, encodePemFile(rsaToPem(legacyRsa)));
  }
  if (rotatedSec === null) {
    rotatedSec = nowSec;
    state.setTime(LAST_ROTATED, nowSec);
  }
  const keys = { current, previous: loadPrevious(store), legacyRsa, rotatedSec };
  return graceIsOver(keys, nowSec, params) ? expirePrevious(store, keys) : keys;
}

function graceIsOver(keys: OnionKeys, nowSec: number, params: OnionKeyParams): boolean {
  return keys.previous !== null && nowSec >= keys.rotatedSec + params.graceDays * DAY_SEC;
}

function expirePrevious(store: KeyStore, keys: OnionKeys): OnionKeys {
  for (const name of [`${ONION_KEY_FILE}.old`, `${LEGACY_ONION_KEY_FILE}.old`]) {
    if (isKeyFile(store, name)) removeKeyFile(store, name);
  }
  return { ...keys, previous: null };
}

/** The name that keeps a key from being renamed to `.old`, if there is one: some operators put directories there. */
function rotationObstacle(store: KeyStore): string | null {
  for (const name of [`${ONION_KEY_FILE}.old`, `${LEGACY_ONION_KEY_FILE}.old`]) {
    const stats = lstatSync(keyPath(store, name), { throwIfNoEntry: false });
    if (stats !== undefined && !stats.isFile()) return keyPath(store, name);
  }
  return null;
}

function rotate(store: KeyStore, state: StateTimes, keys: OnionKeys, nowSec: number): OnionKeys {
  const current = generateCurve25519();
  const legacyRsa = generateRsa(LEGACY_RSA_BITS);
  supersedeKeyFiles(store, [
    { name: ONION_KEY_FILE, bytes: encodeOnionKey(current) },
    { name: LEGACY_ONION_KEY_FILE, bytes: encodePemFile(rsaToPem(legacyRsa)) },
  ]);
  state.setTime(LAST_ROTATED, nowSec);
  return { current, previous: keys.current, legacyRsa, rotatedSec: nowSec };
}

/**
 * Rotate the onion keys or drop the previous one, if it is time. Call it hourly.
 *
 * @returns `keys` itself when nothing changed; `current` differs exactly when a new descriptor is needed.
 * @throws OperatorError when the disk refuses; the keys in use stay good.
 */
export function maintainOnionKeys(
  store: KeyStore,
  state: StateTimes,
  keys: OnionKeys,
  nowSec: number,
  params: OnionKeyParams,
): OnionKeys {
  if (keys.rotatedSec > nowSec) {
    // The clock was set back: a time in the future would put off the next rotation.
    state.setTime(LAST_ROTATED, nowSec);
    return { ...keys, rotatedSec: nowSec };
  }
  if (nowSec >= keys.rotatedSec + params.rotationDays * DAY_SEC) {
    const obstacle = rotationObstacle(store);
    if (obstacle === null) return rotate(store, state, keys, nowSec);
    store.warn(`${obstacle}: is not a file, so the onion key cannot be rotated; move it away`);
  }
  return graceIsOver(keys, nowSec, params) ? expirePrevious(store, keys) : keys;
}
