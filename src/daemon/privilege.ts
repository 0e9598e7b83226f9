/**
 * What this process may do, and what may be done to it: torrc's `User`, how many files it may open, debuggers.
 *
 * Started as root, a relay opens its listening sockets, becomes `User`, and only then touches the DataDirectory,
 * so that every file in it belongs to that user. Becoming another user is for good: it is checked that root
 * cannot be had back.
 */

import { OperatorError } from '../fault.ts';
import {
  findUser,
  getEffectiveUid,
  getFileLimit,
  getGid,
  getUid,
  initGroups,
  isFault,
  type SystemFault,
  setDumpable,
  setFileLimit,
  setGid,
  setUid,
  type UserRecord,
} from '../libc.ts';
import { log } from '../log.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';

/**
 * Look up torrc's `User`.
 *
 * @param where the torrc line, for the message.
 * @throws OperatorError when there is no such user.
 */
export function lookUpUser(name: string, where: string): UserRecord {
  const user = findUser(name);
  if (user !== null) return user;
  throw new OperatorError(`there is no user "${name}"`, where, `make it: useradd --system ${name}`);
}

function check(fault: SystemFault | null, doing: string, where: string): void {
  if (fault === null) return;
  throw new OperatorError(`${doing} failed: ${fault.text}`, where, 'start as root, or remove the User line');
}

/**
 * Become another user in all threads: groups, group, user. Nothing happens when this process is that user already.
 *
 * @param where the torrc line, for messages.
 * @throws OperatorError when there is no such user, or this process may not become it.
 */
export function becomeUser(name: string, where: string): void {
  const user = lookUpUser(name, where);
  if (getUid() === user.uid && getEffectiveUid() === user.uid && getGid() === user.gid && user.uid !== 0)
    return;
  if (getEffectiveUid() !== 0) {
    const me = findUser(getEffectiveUid())?.name ?? `uid ${getEffectiveUid()}`;
    const hint = `start as root, start as ${name}, or remove the User line`;
    throw new OperatorError(`only root can become "${name}", and this process runs as ${me}`, where, hint);
  }
  check(initGroups(user), `setting the groups of "${name}"`, where);
  check(setGid(user.gid), `setting the group of "${name}"`, where);
  check(setUid(user.uid), `becoming "${name}"`, where);
  if (user.uid !== 0 && (setUid(0) === null || getUid() !== user.uid)) {
    throw new OperatorError(
      `became "${name}", but could become root again`,
      where,
      'start without root instead',
    );
  }
}

/**
 * Do what torrc's `DisableDebuggerAttachment` says: unless it is 0, no process of our own user may read our memory,
 * and a crash leaves no core. Call it after `becomeUser` and before keys are read.
 */
export function keepDebuggersOff(options: Pick<RelayOptions, 'user' | 'values'>): void {
  const allowed = options.values['DisableDebuggerAttachment']?.[0] === '0';
  // Without a change of user the kernel's own choice stands.
  if (allowed && options.user === null) return;
  const fault = setDumpable(allowed);
  if (fault !== null)
    log.warn('process', `debuggers cannot be ${allowed ? 'let in' : 'kept off'}: ${fault.text}`);
}

/**
 * Raise the number of files that may be open to `wanted`, or to as many as the system allows.
 *
 * @returns the limit in force, or null when it cannot be told.
 */
export function raiseFileLimit(wanted: number): number | null {
  const limit = getFileLimit();
  if (isFault(limit)) return null;
  const target = Math.min(wanted, limit.hard);
  if (target <= limit.soft) return limit.soft;
  const fault = setFileLimit(target);
  if (fault === null) return target;
  log.warn('net', `the limit of open files stays at ${limit.soft}: ${fault.text}`);
  return limit.soft;
}
