/**
 * The DataDirectory's `lock`: held by flock(2) as C tor holds it, so that no two relays, theirs or ours, ever run
 * on one directory.
 *
 * Taken before anything in the directory is written, kept until the process ends; the file itself stays. The
 * kernel frees it when the process dies, whatever it dies of.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { fileFault } from '../atomic-file.ts';
import { EXIT_CONFIG, OperatorError } from '../fault.ts';
import { flockExclusive, isFault } from '../libc.ts';
import { log } from '../log.ts';

export const LOCK_FILE = 'lock';

/** How long to wait for another relay that may be stopping just now: as C tor. */
const WAIT_MS = 5000;
const POLL_MS = 100;

/** A held lock. */
export interface DirectoryLock {
  readonly path: string;
  /** Give the directory up. */
  release(): void;
}

/** The pid that holds a flock on this open file, for the message; null when it cannot be told. */
function holder(fd: number): number | null {
  try {
    const { dev, ino } = fstatSync(fd);
    const hex = (value: number) => value.toString(16).padStart(2, '0');
    // The kernel prints the device as major:minor; these are glibc's gnu_dev_major and gnu_dev_minor.
    const name = `${hex((dev >> 8) & 0xfff)}:${hex((dev & 0xff) | ((dev >> 12) & 0xfff00))}:${ino}`;
    for (const line of readFileSync('/proc/locks', 'latin1').split('\n')) {
      const words = line.trim().split(/\s+/);
      if (words[1] === 'FLOCK' && words[5] === name) return Number(words[4]);
    }
  } catch {
    // Without /proc/locks the message has no number.
  }
  return null;
}

/** Try once. Returns the lock, or the holder's pid (null when unknown) if someone else has it. */
function tryLock(path: string): DirectoryLock | { heldBy: number | null } {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    throw fileFault(error, 'opening the lock file', path);
  }
  const locked = flockExclusive(fd);
  if (locked === true) return { path, release: () => closeSync(fd) };
  const heldBy = locked === false ? holder(fd) : null;
  closeSync(fd);
  if (isFault(locked)) {
    throw new OperatorError(
      `cannot be locked: ${locked.text}`,
      path,
      'put the DataDirectory on a local disk',
    );
  }
  return { heldBy };
}

function taken(path: string, heldBy: number | null): OperatorError {
  const who = heldBy === null ? 'another relay' : `process ${heldBy}`;
  return new OperatorError(
    `${who} already runs with this DataDirectory`,
    path,
    'stop it first, or give this one a DataDirectory of its own',
    EXIT_CONFIG,
  );
}

/**
 * Take the lock of a DataDirectory, which must exist, without waiting.
 *
 * @throws OperatorError when another process holds it, naming that process where it can be told.
 */
export function lockDirectory(dataDirectory: string): DirectoryLock {
  const path = join(dataDirectory, LOCK_FILE);
  const lock = tryLock(path);
  if ('release' in lock) return lock;
  throw taken(path, lock.heldBy);
}

/**
 * Take the lock of a DataDirectory, giving another relay that may be on its way out some seconds.
 *
 * @throws OperatorError when it is still held then.
 */
export async function lockDirectoryPatiently(
  dataDirectory: string,
  waitMs = WAIT_MS,
): Promise<DirectoryLock> {
  const path = join(dataDirectory, LOCK_FILE);
  let lock = tryLock(path);
  if (!('release' in lock)) {
    log.warn(
      'general',
      `${taken(path, lock.heldBy).what}; waiting ${waitMs / 1000} seconds for it to go away`,
    );
  }
  for (let waitedMs = 0; !('release' in lock) && waitedMs < waitMs; waitedMs += POLL_MS) {
    await Bun.sleep(POLL_MS);
    lock = tryLock(path);
  }
  if ('release' in lock) return lock;
  throw taken(path, lock.heldBy);
}
