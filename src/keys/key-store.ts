/**
 * The DataDirectory and its `keys` directory: who may own and read them, and how key files come and go.
 *
 * Everything in `keys/` goes through here. Invariants: a key file is never overwritten, only created or renamed;
 * directories and secret files belong to the user that runs us and no one else may read them (a group may,
 * if torrc says so). Too open a mode is tightened with a warning, another owner refuses, as in C tor.
 * A fault names the file and what to do, and ends the process with `EXIT_KEYS`.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { basename, join } from 'node:path';

import {
  createFile,
  fileErrorCode,
  fileFault,
  passStep,
  placeLeftover,
  type StagedFile,
  stageFile,
  syncDirectory,
} from '../atomic-file.ts';
import { EXIT_KEYS, Malformed, OperatorError } from '../fault.ts';
import { findUser, getEffectiveUid } from '../libc.ts';
import { log } from '../log.ts';
import { KEY_FILE_BYTES_MAX } from './tagged-file.ts';

export interface KeyStoreOptions {
  readonly dataDirectory: string;
  /** Default: `keys` in the DataDirectory. */
  readonly keyDirectory?: string;
  /** torrc's DataDirectoryGroupReadable. */
  readonly dataDirectoryGroupReadable?: boolean;
  /** torrc's KeyDirectoryGroupReadable. */
  readonly keyDirectoryGroupReadable?: boolean;
  /** Takes warnings. Default: the log, domain fs. */
  readonly warn?: (text: string) => void;
  /** Who must own everything. Default: the effective user of this process. */
  readonly uid?: number;
}

/** An opened DataDirectory. */
export interface KeyStore {
  readonly dataDirectory: string;
  readonly keyDirectory: string;
  readonly warn: (text: string) => void;
  readonly uid: number;
  readonly keysGroupReadable: boolean;
}

const OTHERS_AND_GROUP = 0o077;
const OTHERS_AND_GROUP_WRITE = 0o027;

/** Where a key file is. */
export function keyPath(store: KeyStore, name: string): string {
  return join(store.keyDirectory, name);
}

/** Refuse a key file with its name and the remedy. */
export function keyFault(what: string, path: string, hint: string): OperatorError {
  return new OperatorError(what, path, hint, EXIT_KEYS);
}

function userName(uid: number): string {
  return findUser(uid)?.name ?? `uid ${uid}`;
}

/** @throws OperatorError when someone else owns it. */
function checkOwner(stats: Stats, path: string, uid: number, recursive: boolean): void {
  if (stats.uid === uid) return;
  const [owner, me] = [userName(stats.uid), userName(uid)];
  throw keyFault(
    `belongs to ${owner}, but this relay runs as ${me}`,
    path,
    `run it as ${owner} (torrc: User ${owner}), or give it away: chown ${recursive ? '-R ' : ''}${me} ${path}`,
  );
}

/** When something may not be opened because it is somebody else's, say that. @throws OperatorError */
function refuseForeign(error: unknown, path: string, uid: number, recursive: boolean): void {
  if (fileErrorCode(error) !== 'EACCES') return;
  let stats: Stats | undefined;
  try {
    stats = lstatSync(path, { throwIfNoEntry: false });
  } catch {
    // Then it is a directory above that may not be entered.
  }
  if (stats !== undefined) checkOwner(stats, path, uid, recursive);
}

function checkDirectory(path: string, groupReadable: boolean, uid: number, warn: KeyStore['warn']): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = fileErrorCode(error);
    const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    if ((code === 'ELOOP' || code === 'ENOTDIR') && isLink) {
      throw keyFault('is a symbolic link', path, 'name the directory itself in torrc');
    }
    refuseForeign(error, path, uid, true);
    throw fileFault(error, 'opening the directory', path, EXIT_KEYS);
  }
  try {
    const stats = fstatSync(fd);
    checkOwner(stats, path, uid, true);
    const unwanted = groupReadable ? OTHERS_AND_GROUP_WRITE : OTHERS_AND_GROUP;
    const mode = ((stats.mode & 0o777) | (groupReadable ? 0o750 : 0o700)) & ~unwanted;
    if ((stats.mode & 0o777) === mode) return;
    if ((stats.mode & unwanted) !== 0)
      warn(`${path}: mode ${octal(stats.mode)} lets others in; set to ${octal(mode)}`);
    fchmodSync(fd, mode);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw fileFault(error, 'checking the directory', path, EXIT_KEYS);
  } finally {
    closeSync(fd);
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

/**
 * Make a directory if it is missing; tighten its mode if others may enter it.
 *
 * @throws OperatorError when it is not a directory, belongs to someone else or cannot be made.
 */
export function ensureDirectory(
  path: string,
  groupReadable: boolean,
  uid: number,
  warn: KeyStore['warn'],
): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    try {
      mkdirSync(path, { mode: groupReadable ? 0o750 : 0o700 });
    } catch (error) {
      throw fileFault(error, 'making the directory', path, EXIT_KEYS);
    }
  }
  checkDirectory(path, groupReadable, uid, warn);
}

/**
 * Open the DataDirectory and its keys directory, making either if it is missing.
 *
 * @throws OperatorError when one is not a directory, belongs to someone else or cannot be made.
 */
export function openKeyStore(options: KeyStoreOptions): KeyStore {
  const { dataDirectory, dataDirectoryGroupReadable = false, keyDirectoryGroupReadable = false } = options;
  const keyDirectory = options.keyDirectory ?? join(dataDirectory, 'keys');
  const warn = options.warn ?? ((text: string) => log.warn('fs', text));
  const uid = options.uid ?? getEffectiveUid();
  ensureDirectory(dataDirectory, dataDirectoryGroupReadable, uid, warn);
  ensureDirectory(keyDirectory, keyDirectoryGroupReadable, uid, warn);
  return { dataDirectory, keyDirectory, warn, uid, keysGroupReadable: keyDirectoryGroupReadable };
}

/** Tell whether something has this name in the keys directory. */
export function hasKeyFile(store: KeyStore, name: string): boolean {
  return lstatSync(keyPath(store, name), { throwIfNoEntry: false }) !== undefined;
}

/** Tell whether a plain file has this name in the keys directory. */
export function isKeyFile(store: KeyStore, name: string): boolean {
  return lstatSync(keyPath(store, name), { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Read an open file whole, up to one byte more than any key file has. */
function readAll(fd: number): Uint8Array {
  const buffer = new Uint8Array(KEY_FILE_BYTES_MAX + 1);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(fd, buffer, length, buffer.length - length, null);
    if (count === 0) break;
    length += count;
  }
  return buffer.slice(0, length);
}

/**
 * Read a key file after checking its kind, owner and mode. Returns null when it does not exist.
 *
 * @param secret whether others reading it would matter; a writable one always does.
 * @throws OperatorError
 */
export function readKeyFile(store: KeyStore, name: string, secret: boolean): Uint8Array | null {
  const path = keyPath(store, name);
  let fd: number;
  try {
    // Nonblocking, so that a FIFO under a key's name is refused and not waited for.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (fileErrorCode(error) === 'ENOENT') return null;
    refuseForeign(error, path, store.uid, false);
    throw fileFault(error, 'opening the key file', path, EXIT_KEYS);
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw keyFault('is not a file', path, 'move it away, or restore the key file');
    checkOwner(stats, path, store.uid, false);
    const unwanted = !secret ? 0o022 : store.keysGroupReadable ? 0o037 : OTHERS_AND_GROUP;
    if ((stats.mode & unwanted) !== 0) {
      const mode = stats.mode & 0o777 & ~unwanted;
      fchmodSync(fd, mode);
      store.warn(`${path}: mode ${octal(stats.mode)} lets others in; set to ${octal(mode)}`);
    }
    return readAll(fd);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw fileFault(error, 'reading the key file', path, EXIT_KEYS);
  } finally {
    closeSync(fd);
  }
}

/**
 * Read and decode a key file. Returns null when it does not exist.
 *
 * @param hint what to do when it is damaged.
 * @throws OperatorError for whatever the decoder calls malformed.
 */
export function loadKeyFile<T>(
  store: KeyStore,
  name: string,
  secret: boolean,
  decode: (bytes: Uint8Array) => T,
  hint: string,
): T | null {
  const bytes = readKeyFile(store, name, secret);
  if (bytes === null) return null;
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw keyFault(`is damaged: ${error.why}`, keyPath(store, name), hint);
  }
}

/** Create a key file, mode 0600. @throws OperatorError when the name is taken or the disk refuses. */
export function createKeyFile(store: KeyStore, name: string, bytes: Uint8Array): void {
  createFile(keyPath(store, name), bytes, { mode: 0o600, exitCode: EXIT_KEYS });
}

/**
 * Rename a key file to `NAME.old`, over an older one of that name. Nothing happens when there is no such file.
 *
 * @throws OperatorError when a directory has the name `NAME.old`, or the disk refuses.
 */
export function setAsideKeyFile(store: KeyStore, name: string): void {
  const path = keyPath(store, name);
  if (!hasKeyFile(store, name)) return;
  try {
    renameSync(path, `${path}.old`);
    passStep();
  } catch (error) {
    throw fileFault(error, `renaming it to ${basename(path)}.old`, path, EXIT_KEYS);
  }
  syncDirectory(store.keyDirectory);
}

/** Delete a key file that is no longer needed. @throws OperatorError */
export function removeKeyFile(store: KeyStore, name: string): void {
  const path = keyPath(store, name);
  try {
    unlinkSync(path);
    passStep();
  } catch (error) {
    if (fileErrorCode(error) === 'ENOENT') return;
    throw fileFault(error, 'deleting the key file', path, EXIT_KEYS);
  }
  syncDirectory(store.keyDirectory);
}

/** A key and the name that it shall have. */
export interface NamedKey {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Create several key files. All are on disk under temporary names before the first has its own, so that a process
 * that dies in between leaves all that `finishKeyFile` needs.
 *
 * @throws OperatorError when a name is taken or the disk refuses; none of them is there then.
 */
export function createKeyFiles(store: KeyStore, keys: readonly NamedKey[]): void {
  const staged: StagedFile[] = [];
  const undo: (() => void)[] = [];
  try {
    for (const { name, bytes } of keys) {
      staged.push(stageFile(keyPath(store, name), bytes, { mode: 0o600, exitCode: EXIT_KEYS }));
    }
    for (const [i, { name }] of keys.entries()) {
      staged[i]!.place();
      undo.push(() => unlinkSync(keyPath(store, name)));
    }
  } catch (error) {
    for (const step of undo.reverse()) putBack(store, step);
    for (const file of staged) file.discard();
    throw error;
  }
}

/** Tell whether a key file that has not its name yet is on disk whole. */
export function isKeyFileStaged(
  store: KeyStore,
  name: string,
  decode: (bytes: Uint8Array) => unknown,
): boolean {
  try {
    return loadKeyFile(store, `${name}.tmp`, true, decode, '') !== null;
  } catch (error) {
    if (error instanceof OperatorError) return false;
    throw error;
  }
}

/** Give such a key file its name. @throws OperatorError */
export function finishKeyFile(store: KeyStore, name: string): void {
  placeLeftover(keyPath(store, name));
}

/**
 * Put new keys in the place of those that are renamed to `NAME.old`: all of them, or none. Each is on disk before the
 * first current one loses its name, so a full disk costs nothing; if a rename fails then, the current ones get their
 * names back.
 *
 * @throws OperatorError; the current keys are in their places then.
 */
export function supersedeKeyFiles(store: KeyStore, keys: readonly NamedKey[]): void {
  const staged: StagedFile[] = [];
  const undo: (() => void)[] = [];
  try {
    for (const { name, bytes } of keys) {
      staged.push(stageFile(keyPath(store, name), bytes, { mode: 0o600, exitCode: EXIT_KEYS }));
    }
    for (const [i, { name }] of keys.entries()) {
      const path = keyPath(store, name);
      if (hasKeyFile(store, name)) {
        setAsideKeyFile(store, name);
        undo.push(() => renameSync(`${path}.old`, path));
      }
      staged[i]!.place();
      undo.push(() => unlinkSync(path));
    }
  } catch (error) {
    for (const step of undo.reverse()) putBack(store, step);
    for (const file of staged) file.discard();
    throw error;
  }
}

/** One step back of a change that failed. The first fault is the one to tell; this one must not hide it. */
function putBack(store: KeyStore, step: () => void): void {
  try {
    step();
  } catch (error) {
    store.warn(`putting a key back: ${String(error)}`);
  }
}
