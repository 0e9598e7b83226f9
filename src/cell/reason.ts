/**
 * Why a circuit or a stream ended, as numbers on the wire and as words for people.
 *
 * C tor knows more stream reasons (15 and from 257 on), but those never leave the process that made them.
 *
 * @source tor-spec "Tearing down circuits", tor-spec "Closing streams"
 */

/** Reasons of DESTROY, TRUNCATE and TRUNCATED. */
export const DestroyReason = {
  NONE: 0,
  PROTOCOL: 1,
  INTERNAL: 2,
  REQUESTED: 3,
  HIBERNATING: 4,
  RESOURCELIMIT: 5,
  CONNECTFAILED: 6,
  OR_IDENTITY: 7,
  CHANNEL_CLOSED: 8,
  FINISHED: 9,
  TIMEOUT: 10,
  DESTROYED: 11,
  NOSUCHSERVICE: 12,
} as const;

/** Reasons of END. */
export const EndReason = {
  MISC: 1,
  RESOLVEFAILED: 2,
  CONNECTREFUSED: 3,
  EXITPOLICY: 4,
  DESTROY: 5,
  DONE: 6,
  TIMEOUT: 7,
  NOROUTE: 8,
  HIBERNATING: 9,
  INTERNAL: 10,
  RESOURCELIMIT: 11,
  CONNRESET: 12,
  TORPROTOCOL: 13,
  NOTDIRECTORY: 14,
} as const;

const DESTROY_NAMES = namesOf(DestroyReason);
const END_NAMES = namesOf(EndReason);

function namesOf(reasons: Readonly<Record<string, number>>): Map<number, string> {
  return new Map(Object.entries(reasons).map(([name, reason]) => [reason, name]));
}

/** Name a circuit's reason; unassigned ones are called by number. */
export function destroyReasonName(reason: number): string {
  return DESTROY_NAMES.get(reason) ?? `reason ${reason}`;
}

/** Name a stream's reason; unassigned ones are called by number. */
export function endReasonName(reason: number): string {
  return END_NAMES.get(reason) ?? `reason ${reason}`;
}
