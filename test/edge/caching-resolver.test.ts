/** Lookups for streams: literals, names, the cache, one question for many askers, search domains, hijacked answers. */

import { afterEach, describe, expect, test } from 'bun:test';
import { parseIp, printIp } from '../../src/bytes/address.ts';
import { RecordType, ResponseCode } from '../../src/dns/message.ts';
import type { CachingResolver } from '../../src/edge/caching-resolver.ts';
import type { NameAnswer } from '../../src/edge/resolver.ts';
import { DnsCache } from '../../src/shm/dns-cache.ts';
import type { DnsParams, ExitParams } from '../../src/shm/exit-params.ts';
import { Memory } from '../../src/shm/memory-ledger.ts';
import { type Answerer, TestNameserver } from '../dns/nameserver.ts';
import { answerOf, DnsRig, dnsParams, exitParams, until } from './dns-rig.ts';

const { A, AAAA, PTR } = RecordType;
const BOTH = { ipv4: true, ipv6: true };
const undo: (() => void)[] = [];

afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
});

const zone: Answerer = ({ type }) => {
  if (type === A) return { records: [{ type: A, ttlSec: 60, data: Uint8Array.of(192, 0, 2, 1) }] };
  if (type === AAAA) return { records: [{ type: AAAA, ttlSec: 9999, data: parseIp('2001:db8::1')! }] };
  return { records: [{ type: PTR, ttlSec: 60, data: 'Host.example' }] };
};

interface Stage {
  readonly rig: DnsRig;
  readonly server: TestNameserver;
  readonly resolver: CachingResolver;
  readonly params: ExitParams;
}

async function stage(
  answer: Answerer = zone,
  dns: Partial<DnsParams> = {},
  exit: Partial<ExitParams> = {},
  cache?: SharedArrayBuffer,
): Promise<Stage> {
  const server = await TestNameserver.start(answer);
  const rig = new DnsRig(cache);
  undo.push(() => {
    server.stop();
    rig.stop();
  });
  const params = exitParams(dnsParams([server.port], dns), exit);
  return { rig, server, resolver: rig.resolver(params), params };
}

const look = ({ resolver }: Stage, name: string, want = BOTH): Promise<NameAnswer> =>
  answerOf((done) => resolver.resolve(name, want, done));
const text = ({ ipv4, ipv6, hostname, failure }: NameAnswer) => [
  ipv4 === null ? null : printIp(ipv4),
  ipv6 === null ? null : printIp(ipv6),
  hostname,
  failure,
];

describe('without a nameserver', () => {
  test('literals are known at once', async () => {
    const use = await stage();
    expect(text(await look(use, '192.0.2.7'))).toEqual(['192.0.2.7', null, null, null]);
    expect(text(await look(use, '[2001:db8::7]'))).toEqual([null, '2001:db8::7', null, null]);
    expect((await look(use, '2001:db8::7')).ttlSec).toBe(1800);
    expect(text(await look(use, '192.0.2.7', { ipv4: false, ipv6: true }))).toEqual([
      null,
      null,
      null,
      'not-found',
    ]);
    expect(use.server.asked).toEqual([]);
  });

  for (const name of [
    'not a name',
    'x@example',
    '',
    '.',
    'a..example',
    'b'.repeat(64),
    '4.3.2.1.in-addr.arpa',
    'x.ip6.arpa',
  ]) {
    test(`"${name}" is refused`, async () => {
      const use = await stage();
      expect((await look(use, name)).failure).toBe('not-found');
      expect([use.server.asked.length, use.rig.count('dns_refused_name')]).toEqual([0, 1]);
    });
  }

  test('odd characters are taken if torrc wants', async () => {
    const use = await stage(zone, { allowNonRfc953: true });
    expect(text(await look(use, 'x@example'))[0]).toBe('192.0.2.1');
  });
});

describe('names', () => {
  test('are asked for in every family that we exit to, whatever is wanted', async () => {
    const six = await stage(zone, {}, { ipv6Exit: true });
    expect(text(await look(six, 'WWW.example.'))).toEqual(['192.0.2.1', '2001:db8::1', null, null]);
    expect(six.server.asked.map(({ type }) => type).sort()).toEqual([A, AAAA]);
    expect(text(await look(six, 'other.example', { ipv4: true, ipv6: false }))).toEqual([
      '192.0.2.1',
      null,
      null,
      null,
    ]);
    expect(six.server.count('other.example')).toBe(2);
    const four = await stage();
    expect(text(await look(four, 'www.example'))).toEqual(['192.0.2.1', null, null, null]);
    expect(four.server.asked).toHaveLength(1);
  });

  test('a failure of one family does not hide the other’s address', async () => {
    const use = await stage(
      (asked) => (asked.type === A ? { code: ResponseCode.SERVER_FAILED } : zone(asked)),
      {},
      { ipv6Exit: true },
    );
    expect(text(await look(use, 'www.example'))).toEqual([null, '2001:db8::1', null, null]);
    expect((await look(use, 'www.example', { ipv4: true, ipv6: false })).failure).toBe('transient');
  });

  test('many askers, one question', async () => {
    const use = await stage();
    const answers = await Promise.all(Array.from({ length: 50 }, () => look(use, 'www.example')));
    expect(answers.every(({ failure }) => failure === null)).toBe(true);
    expect([use.server.asked.length, use.rig.count('dns_joined')]).toEqual([1, 49]);
  });

  test('who cancels is told nothing; the others are', async () => {
    const use = await stage();
    let told = 0;
    const cancelled = use.resolver.resolve('www.example', BOTH, () => told++);
    const other = look(use, 'www.example');
    cancelled.cancel();
    expect((await other).failure).toBeNull();
    expect(told).toBe(0);
  });

  test('reverse', async () => {
    const use = await stage();
    expect(text(await answerOf((done) => use.resolver.reverse(parseIp('198.51.100.7')!, done)))).toEqual([
      null,
      null,
      'Host.example',
      null,
    ]);
    expect(use.server.count('7.100.51.198.in-addr.arpa')).toBe(1);
    expect((await answerOf((done) => use.resolver.reverse(parseIp('10.0.0.1')!, done))).failure).toBe(
      'not-found',
    );
    expect(use.server.asked).toHaveLength(1);
  });

  test('RESOLVE messages: names, literals, reverse names', async () => {
    const use = await stage(zone, {}, { ipv6Exit: true });
    const message = (name: string) => answerOf((done) => use.resolver.resolveMessage(name, done));
    expect(text(await message('www.example'))).toEqual(['192.0.2.1', '2001:db8::1', null, null]);
    expect(text(await message('2001:db8::5'))).toEqual([null, '2001:db8::5', null, null]);
    expect(text(await message('7.100.51.198.IN-ADDR.arpa'))).toEqual([null, null, 'Host.example', null]);
    expect((await message('300.100.51.198.in-addr.arpa')).failure).toBe('not-found');
    const four = await stage();
    expect(text(await answerOf((done) => four.resolver.resolveMessage('www.example', done)))[1]).toBeNull();
  });
});

describe('the cache', () => {
  test('is asked first, and tells the same TTL however old', async () => {
    const use = await stage(zone, {}, { ipv6Exit: true });
    const first = await look(use, 'www.example');
    use.rig.skip(20_000);
    const again = await look(use, 'WWW.EXAMPLE');
    expect(again).toEqual(first);
    expect([use.server.asked.length, use.rig.count('dns_cache_hits')]).toEqual([2, 1]);
  });

  test('keeps five minutes or an hour, blurred by four minutes', async () => {
    const use = await stage(({ name, type }) => ({
      records: [
        { type, ttlSec: name.toLowerCase().startsWith('low') ? 299 : 300, data: Uint8Array.of(192, 0, 2, 1) },
      ],
    }));
    const seen = { low: new Set<number>(), high: new Set<number>() };
    for (let i = 0; i < 40; i++) {
      seen.low.add((await look(use, `low${i}.example`)).ttlSec);
      seen.high.add((await look(use, `high${i}.example`)).ttlSec);
    }
    expect(Math.min(...seen.low)).toBeGreaterThanOrEqual(60);
    expect(Math.max(...seen.low)).toBeLessThanOrEqual(540);
    expect(Math.min(...seen.high)).toBeGreaterThanOrEqual(3360);
    expect(Math.max(...seen.high)).toBeLessThanOrEqual(3840);
    expect(seen.low.size).toBeGreaterThan(20);
    use.rig.skip(541_000);
    const { length } = use.server.asked;
    await look(use, 'low0.example');
    expect(use.server.asked).toHaveLength(length + 1);
  });

  test('is one for all workers', async () => {
    const sab = DnsCache.create(1, { addresses: 64, names: 16 });
    const one = await stage(zone, {}, {}, sab);
    const two = await stage(zone, {}, {}, sab);
    await look(one, 'www.example');
    expect(text(await look(two, 'www.example'))[0]).toBe('192.0.2.1');
    expect(two.server.asked).toEqual([]);
  });

  test('keeps that there is no such name, but no failure that may pass', async () => {
    const use = await stage(() => ({ code: ResponseCode.NAME }));
    for (let i = 0; i < 3; i++) expect((await look(use, 'none.example')).failure).toBe('not-found');
    expect(use.server.asked).toHaveLength(1);
    use.server.answer = () => ({ code: ResponseCode.SERVER_FAILED });
    expect((await look(use, 'later.example')).failure).toBe('transient');
    use.server.answer = () => ({ code: ResponseCode.REFUSED });
    expect((await look(use, 'later.example')).failure).toBe('not-found');
    use.server.answer = zone;
    expect((await look(use, 'later.example')).failure).toBeNull();
  });

  test('what is cached of one family is not asked for again', async () => {
    const use = await stage();
    await look(use, 'www.example');
    use.resolver.setParams({ ...use.params, ipv6Exit: true });
    expect(text(await look(use, 'www.example'))).toEqual(['192.0.2.1', '2001:db8::1', null, null]);
    expect(use.server.asked.map(({ type }) => type)).toEqual([A, AAAA]);
  });

  test('is counted in the ledger and given up for its memory', async () => {
    const use = await stage();
    await look(use, 'www.example');
    await until(() => use.rig.memory.kind(Memory.dns) === 64);
    use.resolver.dropCache();
    expect(use.rig.memory.kind(Memory.dns)).toBe(0);
    expect(use.rig.count('oom_dns_bytes')).toBe(64);
    await look(use, 'www.example');
    expect(use.server.asked).toHaveLength(2);
  });
});

describe('search domains', () => {
  const search = ['one.example', 'two.example'];
  const only =
    (wanted: string): Answerer =>
    (asked) =>
      asked.name.toLowerCase() === wanted ? zone(asked) : { code: ResponseCode.NAME };
  const asked = ({ server }: Stage) => server.asked.map(({ name }) => name.toLowerCase());

  test('are tried behind short names first, and behind whole ones last', async () => {
    const short = await stage(only('www'), { search });
    expect(text(await look(short, 'www'))[0]).toBe('192.0.2.1');
    expect(asked(short)).toEqual(['www.one.example', 'www.two.example', 'www']);
    const whole = await stage(only('a.b.two.example'), { search, ndots: 1 });
    expect(text(await look(whole, 'a.b'))[0]).toBe('192.0.2.1');
    expect(asked(whole)).toEqual(['a.b', 'a.b.one.example', 'a.b.two.example']);
    // The cache has it under the name that was asked for.
    await look(whole, 'a.b');
    expect(whole.server.asked).toHaveLength(3);
  });

  test('not behind addresses, and not after a failure that may pass', async () => {
    const use = await stage(() => ({ code: ResponseCode.SERVER_FAILED }), { search, attempts: 1 });
    expect((await look(use, 'a.b')).failure).toBe('transient');
    await answerOf((done) => use.resolver.reverse(parseIp('198.51.100.7')!, done));
    expect(asked(use)).toEqual(['a.b', '7.100.51.198.in-addr.arpa']);
  });
});

test('an address that stands for "no such name" is none', async () => {
  const use = await stage(zone, { hijackedHosts: [Uint8Array.of(192, 0, 2, 1)] }, { ipv6Exit: true });
  expect(text(await look(use, 'www.example'))).toEqual([null, '2001:db8::1', null, null]);
  expect(use.rig.count('dns_hijacked')).toBe(1);
  expect((await look(use, 'www.example', { ipv4: true, ipv6: false })).failure).toBe('not-found');
});

test('what is under way when it ends may pass', async () => {
  const use = await stage(() => null, { timeoutMs: 60_000 });
  const answer = look(use, 'www.example');
  await until(() => use.server.asked.length === 1);
  use.resolver.close();
  expect((await answer).failure).toBe('transient');
});
