import { afterEach, expect, test } from 'bun:test';
import { RecordType } from '../../src/dns/message.ts';
import { setLogSink } from '../../src/log.ts';
import type { DnsReport } from '../../src/shm/letter.ts';
import { Lookups } from '../../src/worker/lookups.ts';
import { TestNameserver } from '../dns/nameserver.ts';
import { answerOf, DnsRig, dnsParams, exitParams, until } from '../edge/dns-rig.ts';

const undo: (() => void)[] = [];

afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
  setLogSink(null);
});

async function stage(worker: number) {
  setLogSink(() => {});
  const server = await TestNameserver.start(({ type }) =>
    type === RecordType.A ? { records: [{ type, data: Uint8Array.of(203, 0, 113, 80) }] } : {},
  );
  const rig = new DnsRig();
  rig.worker = worker;
  const params = exitParams(dnsParams([server.port], { detectHijacking: true, testNames: ['real.example'] }));
  const reports: DnsReport[] = [];
  const lookups = new Lookups(rig, params, (report) => reports.push(report));
  const ticker = setInterval(() => lookups.tick(), 5);
  undo.push(() => {
    clearInterval(ticker);
    server.stop();
  });
  return { rig, server, lookups, params, reports };
}

test('the first worker checks nameservers and reports; what it found counts for its own lookups too', async () => {
  const { rig, server, lookups, params, reports } = await stage(0);
  rig.skip(200_000);
  await until(() => reports.length === 1);
  expect(reports[0]).toEqual({
    generation: 1,
    hijackedHosts: [Uint8Array.of(203, 0, 113, 80)],
    useless: true,
  });
  expect(server.asked).toHaveLength(24 + 2);
  lookups.setParams({ ...params, dns: { ...params.dns, hijackedHosts: reports[0]!.hijackedHosts } });
  const answer = await answerOf((done) =>
    lookups.resolver.resolve('www.example', { ipv4: true, ipv6: false }, done),
  );
  expect(answer.failure).toBe('not-found');
});

test('the others only look names up', async () => {
  const { rig, server, lookups } = await stage(1);
  rig.skip(200_000);
  const answer = await answerOf((done) =>
    lookups.resolver.resolve('www.example', { ipv4: true, ipv6: false }, done),
  );
  expect(answer.failure).toBeNull();
  expect(server.asked).toHaveLength(1);
});
