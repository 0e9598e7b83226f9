/** Whether nameservers make answers up: what is asked, what is concluded, what main is told. */

import { afterEach, describe, expect, test } from 'bun:test';
import { RecordType, ResponseCode } from '../../src/dns/message.ts';
import { HijackCheck } from '../../src/edge/hijack-check.ts';
import { setLogSink } from '../../src/log.ts';
import type { DnsParams } from '../../src/shm/exit-params.ts';
import type { DnsReport } from '../../src/shm/letter.ts';
import { type Answerer, type Asked, TestNameserver } from '../dns/nameserver.ts';
import { DnsRig, dnsParams, until } from './dns-rig.ts';

const { A, AAAA } = RecordType;
const MADE_UP = Uint8Array.of(203, 0, 113, 80);
const TRUE = Uint8Array.of(192, 0, 2, 1);
const REAL = ['one.real', 'two.real', 'three.real', 'four.real'];
const undo: (() => void)[] = [];
let said: string[] = [];

afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
  setLogSink(null);
});

const isReal = ({ name }: Asked) => REAL.includes(name.toLowerCase());
const honest: Answerer = (asked) =>
  isReal(asked) && asked.type === A ? { records: [{ type: A, data: TRUE }] } : { code: ResponseCode.NAME };

async function stage(answer: Answerer, more: Partial<DnsParams> = {}) {
  said = [];
  setLogSink(({ severity, text }) => said.push(`${severity} ${text}`));
  const server = await TestNameserver.start(answer);
  const rig = new DnsRig();
  undo.push(() => {
    server.stop();
    rig.stop();
  });
  const params = dnsParams([server.port], { detectHijacking: true, testNames: REAL, ...more });
  const client = rig.client(params);
  const reports: DnsReport[] = [];
  const check = new HijackCheck(
    { client, random: rig.random, report: (report) => reports.push(report) },
    params,
    rig.now(),
  );
  const round = async () => {
    rig.skip(25 * 3_600_000);
    const before = server.asked.length;
    check.tick(rig.now());
    await until(() => server.asked.length >= before + 24 && client.inFlight === 0);
  };
  return { server, rig, params, client, reports, check, round };
}

describe('HijackCheck', () => {
  test('asks for names that are none, of every kind and in both families, and finds honest nameservers honest', async () => {
    const { server, reports, round } = await stage(honest);
    await round();
    const names = server.asked.map(({ name }) => name.toLowerCase());
    expect(names).toHaveLength(24);
    expect(new Set(names).size).toBe(24);
    for (const [ending, least] of [
      ['.invalid', 2],
      ['.test', 2],
      ['.com', 8],
      ['.org', 8],
      ['.net', 8],
    ] as const) {
      const those = names.filter((name) => name.endsWith(ending));
      expect(those).toHaveLength(4);
      for (const name of those) expect(name.length - ending.length).toBeWithin(least, 17);
    }
    expect(names.filter((name) => /^[a-z2-7]{8,16}$/.test(name))).toHaveLength(4);
    expect(server.asked.filter(({ type }) => type === AAAA)).toHaveLength(12);
    expect(reports).toEqual([]);
    expect(said).toEqual([]);
  });

  test('the first time is a minute to three after the start, and never if torrc does not want it', async () => {
    const { server, rig, check, client } = await stage(honest);
    rig.skip(59_000);
    check.tick(rig.now());
    expect(client.inFlight).toBe(0);
    rig.skip(122_000);
    check.tick(rig.now());
    await until(() => server.asked.length === 24);
    const off = await stage(honest, { detectHijacking: false });
    off.rig.skip(25 * 3_600_000);
    off.check.tick(off.rig.now());
    expect(off.client.inFlight).toBe(0);
  });

  test('an address for many names that are none is found out, reported once, and forgotten when it is over', async () => {
    const liar: Answerer = (asked) =>
      isReal(asked) || asked.type !== A ? honest(asked) : { records: [{ type: A, data: MADE_UP }] };
    const { server, reports, round, params } = await stage(liar);
    await round();
    const found = { generation: params.generation, hijackedHosts: [MADE_UP], useless: false };
    expect(reports).toEqual([found]);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('203.0.113.80');
    await round();
    expect(reports).toHaveLength(1);
    server.answer = honest;
    await round();
    expect(reports.slice(1)).toEqual([{ ...found, hijackedHosts: [] }]);
    expect(said[1]).toContain('no longer');
  });

  test('what a predecessor reported is taken back when it is over', async () => {
    const { reports, round } = await stage(honest, { hijackedHosts: [MADE_UP] });
    await round();
    expect(reports).toEqual([{ generation: 1, hijackedHosts: [], useless: false }]);
  });

  test('a few sightings are not enough', async () => {
    let lies = 0;
    const { reports, round } = await stage((asked) =>
      asked.type === A && lies++ < 5 ? { records: [{ type: A, data: MADE_UP }] } : honest(asked),
    );
    await round();
    expect(reports).toEqual([]);
  });

  for (const [redirected, useless] of [
    [2, false],
    [3, true],
  ] as const) {
    test(`${redirected} of 4 names that exist: ${useless ? 'useless' : 'usable'}`, async () => {
      const { reports, round } = await stage((asked) =>
        asked.type === A && !REAL.slice(redirected).includes(asked.name.toLowerCase())
          ? { records: [{ type: A, data: MADE_UP }] }
          : honest(asked),
      );
      await round();
      expect(reports.map((report) => report.useless)).toEqual([useless]);
      expect(said.some((line) => line.startsWith('warn'))).toBe(useless);
    });
  }

  test('other nameservers are looked at anew', async () => {
    const { server, rig, check, params, client, reports } = await stage(() => null, { timeoutMs: 60_000 });
    rig.skip(200_000);
    check.tick(rig.now());
    await until(() => server.asked.length === 24);
    const next = { ...params, generation: 2 };
    check.setParams(next, rig.now());
    client.close();
    expect(reports).toEqual([]);
    rig.skip(50_000);
    check.tick(rig.now());
    expect(client.inFlight).toBe(0);
    rig.skip(140_000);
    check.tick(rig.now());
    expect(client.inFlight).toBe(24);
  });
});
