/**
 * Why a connection to a destination failed or ended, as the reason of the END that says so.
 * @source C tor 0.4.9 reasons.c
 */
import { EndReason } from '../cell/reason.ts';

const REASONS: ReadonlyMap<string, number> = new Map([
  ['EPIPE', EndReason.DONE],
  ['EBADF', EndReason.INTERNAL],
  ['EFAULT', EndReason.INTERNAL],
  ['EINVAL', EndReason.INTERNAL],
  ['EISCONN', EndReason.INTERNAL],
  ['ENOTSOCK', EndReason.INTERNAL],
  ['EPROTONOSUPPORT', EndReason.INTERNAL],
  ['EAFNOSUPPORT', EndReason.INTERNAL],
  ['ENOTCONN', EndReason.INTERNAL],
  ['ENETUNREACH', EndReason.NOROUTE],
  ['EHOSTUNREACH', EndReason.NOROUTE],
  ['EACCES', EndReason.NOROUTE],
  ['EPERM', EndReason.NOROUTE],
  ['ECONNREFUSED', EndReason.CONNECTREFUSED],
  ['ECONNRESET', EndReason.CONNRESET],
  ['ETIMEDOUT', EndReason.TIMEOUT],
  ['ENOBUFS', EndReason.RESOURCELIMIT],
  ['ENOMEM', EndReason.RESOURCELIMIT],
  ['ENFILE', EndReason.RESOURCELIMIT],
  ['EADDRINUSE', EndReason.RESOURCELIMIT],
  ['EADDRNOTAVAIL', EndReason.RESOURCELIMIT],
  ['EMFILE', EndReason.RESOURCELIMIT],
]);

/** The reason for a system error by its name (`ECONNREFUSED`). */
export function endReasonOf(code: string): number {
  return REASONS.get(code) ?? EndReason.MISC;
}
