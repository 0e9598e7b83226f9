/**
 * The directories that torrc names, made and checked. A fault names the torrc line beside the path.
 */
import { OperatorError } from '../fault.ts';
import { ensureDirectory, type KeyStore, openKeyStore } from '../keys/key-store.ts';
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
