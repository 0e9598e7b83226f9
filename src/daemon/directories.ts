/**
 * The directories that torrc names, made and checked. A fault names the torrc line beside the path.
 */
import { removeTemporaries } from '../atomic-file.ts';
import { CACHE_FILES } from '../directory/cache.ts';
import { OperatorError } from '../fault.ts';
import {
  FINGERPRINT_ED25519_FILE,
  FINGERPRINT_FILE,
  HASHED_FINGERPRINT_FILE,
  writeFingerprintFiles,
} from '../keys/fingerprint-file.ts';
import {
  MASTER_PUBLIC_FILE,
  MASTER_SECRET_FILE,
  type RelayIdentity,
  RSA_IDENTITY_FILE,
} from '../keys/identity.ts';
import { ensureDirectory, type KeyStore, openKeyStore } from '../keys/key-store.ts';
import { LEGACY_ONION_KEY_FILE, ONION_KEY_FILE } from '../keys/onion-key.ts';
import { SIGNING_CERT_FILE, SIGNING_SECRET_FILE } from '../keys/signing-key.ts';
import { log } from '../log.ts';
import { placeOf, type RelayOptions } from '../torrc/relay-options.ts';

/**
 * Open DataDirectory and KeyDirectory, making either if it is missing.
 * @throws OperatorError when one cannot be made, is none, or belongs to someone else
 */
export function openKeys(options: RelayOptions, warn: (text: string) => void): KeyStore {
  return placed(options, () =>
    openKeyStore({
      dataDirectory: options.dataDirectory,
      keyDirectory: options.keyDirectory,
      dataDirectoryGroupReadable: options.dataDirectoryGroupReadable,
      keyDirectoryGroupReadable: options.keyDirectoryGroupReadable,
      warn,
    }),
  );
}

/**
 * Open all directories of a running relay: CacheDirectory too.
 * @throws OperatorError when one cannot be made, is none, or belongs to someone else
 */
export function openDirectories(options: RelayOptions, warn: (text: string) => void): KeyStore {
  const store = openKeys(options, warn);
  const { cacheDirectory, cacheDirectoryGroupReadable } = options;
  if (cacheDirectory !== options.dataDirectory) {
    placed(options, () => ensureDirectory(cacheDirectory, cacheDirectoryGroupReadable, store.uid, warn));
  }
  return store;
}

const KEY_FILES = [
  RSA_IDENTITY_FILE,
  MASTER_SECRET_FILE,
  MASTER_PUBLIC_FILE,
  SIGNING_SECRET_FILE,
  SIGNING_CERT_FILE,
  ONION_KEY_FILE,
  LEGACY_ONION_KEY_FILE,
];
const DATA_FILES = ['state', FINGERPRINT_FILE, FINGERPRINT_ED25519_FILE, HASHED_FINGERPRINT_FILE];

/** Remove what is left of the writes of a process that was killed. The lock is held, the identity is loaded. */
export function removeLeftovers(options: RelayOptions, store: KeyStore): void {
  const removed = [
    ...removeTemporaries(store.keyDirectory, KEY_FILES),
    ...removeTemporaries(options.dataDirectory, DATA_FILES),
    ...removeTemporaries(options.cacheDirectory, CACHE_FILES),
  ];
  for (const path of removed)
    log.info('fs', `Removed ${path}: it was being written when this relay was killed.`);
}

/** Write the fingerprint files anew. They are for the operator: one that cannot be written is no reason to stop. */
export function renewFingerprints(
  options: RelayOptions,
  store: KeyStore,
  identity: RelayIdentity,
  warn: (text: string) => void,
): void {
  try {
    writeFingerprintFiles(store, options.nickname, identity, options.bridgeRelay);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    warn(error.message);
  }
}

function placed<T>(options: RelayOptions, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const name = optionOf(options, error.where);
    if (name === null) throw error;
    const what = `${name} ${error.where}: ${error.what}`;
    throw new OperatorError(what, placeOf(options, name), error.hint, error.exitCode);
  }
}

/** Which option names this path; `keys` without a KeyDirectory line is DataDirectory's. */
function optionOf(options: RelayOptions, path: string): string | null {
  if (path === options.dataDirectory) return 'DataDirectory';
  if (path === options.keyDirectory)
    return options.explicit.includes('KeyDirectory') ? 'KeyDirectory' : 'DataDirectory';
  return path === options.cacheDirectory ? 'CacheDirectory' : null;
}
