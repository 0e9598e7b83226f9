import { expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { endReasonOf } from '../../src/edge/end-reason.ts';

test('system errors have the reasons that C tor gives them', () => {
  const cases: [string, number][] = [
    ['EPIPE', EndReason.DONE],
    ['ENOTCONN', EndReason.INTERNAL],
    ['EHOSTUNREACH', EndReason.NOROUTE],
    ['EPERM', EndReason.NOROUTE],
    ['ECONNREFUSED', EndReason.CONNECTREFUSED],
    ['ECONNRESET', EndReason.CONNRESET],
    ['ETIMEDOUT', EndReason.TIMEOUT],
    ['EMFILE', EndReason.RESOURCELIMIT],
    ['EADDRINUSE', EndReason.RESOURCELIMIT],
    ['ENOTHING', EndReason.MISC],
    ['', EndReason.MISC],
  ];
  for (const [code, reason] of cases) expect([code, endReasonOf(code)]).toEqual([code, reason]);
});
