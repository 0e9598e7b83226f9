import { expect, test } from 'bun:test';
import { DnsQuery, failed } from '../../src/edge/dns-query.ts';

test('an outcome ends what was waited for, once', () => {
  const results: unknown[] = [];
  let ended = 0;
  const query = new DnsQuery('www.example', 1, (result) => results.push(result));
  query.tcp = { end: () => ended++ };
  query.finish(failed('nodata', 30));
  query.withdraw();
  expect([ended, query.isOver]).toEqual([1, true]);
  expect(query.tcp).toBeNull();
  expect(results).toEqual([{ failure: 'nodata', hosts: [], hostname: null, ttlSec: 30 }]);
});
