/**
 * The files `fingerprint`, `fingerprint-ed25519` and, for a bridge, `hashed-fingerprint` in the DataDirectory.
 *
 * One line each, `NICKNAME FINGERPRINT`, for the operator and for scripts. They are also the only witness on
 * disk of which two identities belong together: authorities pin an RSA identity to one Ed25519 identity for
 * ever, so a relay that comes up with one half exchanged is told before the authorities tell it.
 */

import { lstatSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

import { passStep, replaceFile } from '../atomic-file.ts';
import { decodeBase64, decodeHex, encodeBase64Unpadded, encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { sha1 } from '../crypto/digest.ts';
import { EXIT_KEYS } from '../fault.ts';
import { type KeyStore, keyFault } from './key-store.ts';

export const FINGERPRINT_FILE = 'fingerprint';
export const FINGERPRINT_ED25519_FILE = 'fingerprint-ed25519';
export const HASHED_FINGERPRINT_FILE = 'hashed-fingerprint';

const LINE_BYTES_MAX = 1024;

/** Read a short text file; null when it is missing or unreadable. */
function readLine(path: string): string | null {
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.size <= LINE_BYTES_MAX ? readFileSync(path, 'latin1') : null;
  } catch {
    return null;
  }
}

/** The identity that a fingerprint file names; null when it is missing or names none of `bytes` bytes. */
function readIdentity(
  path: string,
  decode: (text: string) => Uint8Array | null,
  bytes: number,
): Uint8Array | null {
  const words = readLine(path)?.trim().split(' ');
  if (words?.length !== 2) return null;
  const identity = decode(words[1]!);
  return identity?.length === bytes ? identity : null;
}

/**
 * Compare the identities with those that the fingerprint files of an earlier run name. Both different is a
 * relay moved in as a whole, which is fine; one different is two relays mixed up.
 *
 * @throws OperatorError in that last case.
 */
export function checkFingerprintFiles(store: KeyStore, rsaId: Uint8Array, ed25519Id: Uint8Array): void {
  const rsaPath = join(store.dataDirectory, FINGERPRINT_FILE);
  const edPath = join(store.dataDirectory, FINGERPRINT_ED25519_FILE);
  const rsaBefore = readIdentity(rsaPath, decodeHex, rsaId.length);
  const edBefore = readIdentity(edPath, decodeBase64, ed25519Id.length);
  if (rsaBefore === null || edBefore === null) return;
  const sameRsa = equal(rsaBefore, rsaId);
  if (sameRsa === equal(edBefore, ed25519Id)) return;
  const [kept, other] = sameRsa ? ['RSA', 'Ed25519'] : ['Ed25519', 'RSA'];
  throw keyFault(
    `the ${kept} identity is pinned to another ${other} identity than the one in ${store.keyDirectory}`,
    sameRsa ? edPath : rsaPath,
    'restore secret_id_key and the ed25519_master_id files from one backup (authorities refuse a mixed pair); ' +
      'if these files do belong together, delete fingerprint and fingerprint-ed25519',
  );
}

/** The two names of a relay in text. */
export interface FingerprintTexts {
  /** 40 upper-case hexadecimal digits. */
  readonly rsa: string;
  /** 43 characters of base64, without padding. */
  readonly ed25519: string;
  /** SHA-1 of the RSA fingerprint's 20 bytes, in hexadecimal: what a bridge may show. */
  readonly hashed: string;
}

/** Print the fingerprints of a relay. */
export function printFingerprints(rsaId: Uint8Array, ed25519Id: Uint8Array): FingerprintTexts {
  return { rsa: encodeHex(rsaId), ed25519: encodeBase64Unpadded(ed25519Id), hashed: encodeHex(sha1(rsaId)) };
}

/**
 * Write the fingerprint files where they say something else than they should.
 *
 * @param bridge also write `hashed-fingerprint`.
 * @throws OperatorError when the disk refuses.
 */
export function writeFingerprintFiles(
  store: KeyStore,
  nickname: string,
  identity: { readonly rsaId: Uint8Array; readonly ed25519Id: Uint8Array },
  bridge: boolean,
): void {
  const texts = printFingerprints(identity.rsaId, identity.ed25519Id);
  const files: [string, string][] = [
    [FINGERPRINT_FILE, texts.rsa],
    [FINGERPRINT_ED25519_FILE, texts.ed25519],
  ];
  if (bridge) files.push([HASHED_FINGERPRINT_FILE, texts.hashed]);
  const stale = files
    .map(([name, text]) => ({ path: join(store.dataDirectory, name), line: `${nickname} ${text}\n` }))
    .filter(({ path, line }) => readLine(path) !== line);
  // Never one of the old and one of the new, which the next start would take for two relays mixed up.
  for (const { path } of stale) {
    try {
      unlinkSync(path);
      passStep();
    } catch {
      // It was not there; or it cannot be replaced either, which tells why.
    }
  }
  for (const { path, line } of stale) replaceFile(path, line, { exitCode: EXIT_KEYS });
}
