/** The ports from which a nameserver is asked. */

import { expect, test } from 'bun:test';
import { RandomPool } from '../../src/circuit/random-pool.ts';
import { RecordType } from '../../src/dns/message.ts';
import { DnsQuery, failed } from '../../src/edge/dns-query.ts';
import { Nameserver } from '../../src/edge/nameserver.ts';
import { TestNameserver } from '../dns/nameserver.ts';
import { until } from './dns-rig.ts';

const EVENTS = { onMessage: () => {}, onUnasked: () => {}, onUnreachable: () => {} };

test('a port serves thirty-two questions; with eight ports that wait they are shared', async () => {
  const server = await TestNameserver.start(() => null);
  const nameserver = new Nameserver(
    { host: Uint8Array.of(127, 0, 0, 1), port: server.port },
    new RandomPool().bytes,
    EVENTS,
  );
  const queries: DnsQuery[] = [];
  const ask = () => {
    const query = new DnsQuery('www.example', RecordType.A, () => {});
    nameserver.ask(query, true);
    queries.push(query);
  };
  const portsAfter = async (count: number) => {
    while (queries.length < count) ask();
    await until(() => server.asked.length === count);
    return new Set(server.asked.map(({ port }) => port)).size;
  };
  expect(await portsAfter(32)).toBe(1);
  expect(await portsAfter(33)).toBe(2);
  expect(await portsAfter(256)).toBe(8);
  expect(await portsAfter(300)).toBe(8);
  // When nothing waits on the old ones any more, they are closed and new ones may be opened.
  for (const query of queries) query.finish(failed('timeout'));
  expect(await portsAfter(301)).toBe(9);
  expect(`${nameserver}`).toBe(`127.0.0.1:${server.port}`);
  nameserver.close();
  server.stop();
});
