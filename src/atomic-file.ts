/**
 * Files that are either wholly written or not at all, also when the power fails: keys, `state`, caches.
 *
 * The control plane's only way to write a file of the DataDirectory. The bytes go to `NAME.tmp` beside the file,
 * are synced, then take the file's name in one step, and the directory is synced. One process writes a
 * directory at a time (the DataDirectory is locked), so a `.tmp` that is found is a leftover and is removed. A process
 * that is killed at any step leaves the old file or the new one, and at most a `.tmp`.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { EXIT_CONFIG, OperatorError } from './fault.ts';

export interface WriteOptions {
  /** Permissions of the file, whatever the umask. Default 0600. */
  readonly mode?: number;
  /** Exit code of the `OperatorError`, should it end the process. Default `EXIT_CONFIG`. */
  readonly exitCode?: number;
}

/** The error code of a failed file operation, e.g. `ENOSPC`; empty when it has none. */
export function fileErrorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'free some space on that disk',
  EDQUOT: 'free some space, or raise the disk quota of this user',
  EROFS: 'that disk is mounted read-only: mount it writable, or move the DataDirectory',
  EACCES: 'give this user permission, or run as the user that owns it (see the torrc option User)',
  EPERM: 'give this user permission, or run as the user that owns it (see the torrc option User)',
  ENOENT: 'make the directory that it should be in',
  ENOTDIR: 'a part of that path is not a directory: correct the path',
  EISDIR: 'a directory stands where a file is needed: move it away',
  ELOOP: 'it is a symbolic link: put the file itself there',
  EMFILE: 'too many files are open: raise LimitNOFILE',
  EIO: 'the disk reports an error: check it',
};

/** Describe a failed file operation to the operator. */
export function fileFault(
  error: unknown,
  doing: string,
  path: string,
  exitCode = EXIT_CONFIG,
): OperatorError {
  const code = fileErrorCode(error);
  const text = error instanceof Error ? error.message : String(error);
  return new OperatorError(`${doing} failed: ${text}`, path, REMEDIES[code] ?? 'check that path', exitCode);
}

/** Told of every step on disk; null unless a test wants to die at one. */
let stepWatch: (() => void) | null = null;

/** Have every step of a file's coming and going told, before the next. For tests of a death in between. */
export function watchSteps(watch: () => void): void {
  stepWatch = watch;
}

/** Tell of a step on disk: whoever renames or deletes files of the DataDirectory calls this behind it. */
export function passStep(): void {
  stepWatch?.();
}

/** Make a directory's entries durable. Filesystems that cannot sync a directory are left to themselves. */
export function syncDirectory(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return;
  }
  try {
    fsyncSync(fd);
  } catch {
    // EINVAL from some network and FUSE filesystems: the file itself was synced, nothing more can be done.
  } finally {
    closeSync(fd);
  }
}

/** Write and sync the temporary file; nothing is left behind on failure. */
function writeTemporary(temporary: string, content: Uint8Array, mode: number): void {
  rmSync(temporary, { force: true });
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    passStep();
    fchmodSync(fd, mode);
    // A file is written in one go, unless its writer shall be able to die in the middle.
    const piece = stepWatch === null ? content.length : Math.ceil(content.length / 2);
    for (let at = 0; at < content.length; passStep()) {
      at += writeSync(fd, content, at, Math.min(piece, content.length - at));
    }
    fsyncSync(fd);
    passStep();
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function toBytes(content: Uint8Array | string): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content;
}

/**
 * Write a file, replacing the one that has its name.
 *
 * @throws OperatorError naming the path; the old file is then untouched.
 */
export function replaceFile(path: string, content: Uint8Array | string, options: WriteOptions = {}): void {
  const { mode = 0o600, exitCode = EXIT_CONFIG } = options;
  const temporary = `${path}.tmp`;
  try {
    writeTemporary(temporary, toBytes(content), mode);
    try {
      renameSync(temporary, path);
      passStep();
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  } catch (error) {
    throw fileFault(error, 'writing the file', path, exitCode);
  }
  syncDirectory(dirname(path));
}

/** Give the temporary file its name unless that name is taken. */
function nameExclusively(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
    passStep();
    unlinkSync(temporary);
    passStep();
    return;
  } catch (error) {
    // Filesystems without hard links say one of these; then a look must do instead of the atomic refusal.
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(fileErrorCode(error))) throw error;
  }
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw Object.assign(new Error('EEXIST: file already exists'), { code: 'EEXIST' });
  }
  renameSync(temporary, path);
}

/** A file that is on disk and has not its name yet: nothing about it can fail for want of space any more. */
export interface StagedFile {
  /** Give it its name. @throws OperatorError naming the path; a file that has the name is never touched */
  place(): void;
  /** Drop it, unless it has its name. */
  discard(): void;
}

/**
 * Write and sync a file that gets its name later: for several that come together or not at all.
 *
 * @throws OperatorError naming the path; nothing is left behind then.
 */
export function stageFile(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): StagedFile {
  const { mode = 0o600, exitCode = EXIT_CONFIG } = options;
  const temporary = `${path}.tmp`;
  const discard = (): void => rmSync(temporary, { force: true });
  try {
    writeTemporary(temporary, toBytes(content), mode);
  } catch (error) {
    throw fileFault(error, 'creating the file', path, exitCode);
  }
  return {
    discard,
    place(): void {
      try {
        nameExclusively(temporary, path);
      } catch (error) {
        discard();
        throw fileFault(error, 'creating the file', path, exitCode);
      }
      syncDirectory(dirname(path));
    },
  };
}

/**
 * Give a file its name that had none when its writer died: the temporary one must be known to be whole.
 *
 * @throws OperatorError naming the path; a file that has the name is never touched.
 */
export function placeLeftover(path: string): void {
  try {
    nameExclusively(`${path}.tmp`, path);
  } catch (error) {
    throw fileFault(error, 'creating the file', path);
  }
  syncDirectory(dirname(path));
}

/**
 * Remove what a writer that died left of its writes: the temporary files of these names. Only for who holds the lock
 * of the directory.
 *
 * @returns the paths that were removed.
 */
export function removeTemporaries(directory: string, names: readonly string[]): string[] {
  const temporaries = names.map((name) => join(directory, `${name}.tmp`));
  return temporaries.filter((path) => {
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
    try {
      unlinkSync(path);
      return true;
    } catch {
      // It is in nobody's way: the next write of that name replaces it.
      return false;
    }
  });
}

/**
 * Write a file whose name must not be taken yet: what keys are made with.
 *
 * @throws OperatorError naming the path; a file that is there is never touched.
 */
export function createFile(path: string, content: Uint8Array | string, options: WriteOptions = {}): void {
  stageFile(path, content, options).place();
}
