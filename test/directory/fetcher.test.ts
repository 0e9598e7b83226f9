import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeHex } from '../../src/bytes/base.ts';
import { DirectoryCache } from '../../src/directory/cache.ts';
import { Fetcher, type FetcherConfig } from '../../src/directory/fetcher.ts';
import type { DirectoryReply, DirectoryRequest, Exchange } from '../../src/directory/http-exchange.ts';
import { Network } from '../../src/directory/network.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import type { ConsensusFlavour } from '../../src/netdoc/consensus.ts';
import { makeAuthority, printCertificate, printConsensus } from './paper-network.ts';
import { seededRandom, settle, VirtualTime } from './virtual-time.ts';

const T0 = Date.UTC(2026, 10, 22, 12) / 1000;
const DAY = 86400;
const PAPERS = [makeAuthority('a', 97), makeAuthority('b', 98), makeAuthority('c', 99)];
const SIGNING = PAPERS.map((paper) => paper.signing);

let records: LogRecord[] = [];
let directory = '';

beforeEach(() => {
  records = [];
  for (const [i, paper] of PAPERS.entries()) paper.signing = SIGNING[i]!;
  setLogThreshold(() => true);
  setLogSink((record) => records.push(record));
  directory = mkdtempSync(join(tmpdir(), 'directory-'));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
  rmSync(directory, { recursive: true, force: true });
});

interface Asked {
  readonly port: number;
  readonly path: string;
  readonly atSec: number;
  readonly modifiedSince: string | undefined;
}

/** A fetcher among paper authorities that vote each `intervalSec`. */
class Bench {
  readonly time: VirtualTime;
  readonly asked: Asked[] = [];
  readonly network: Network;
  readonly cache: DirectoryCache;
  readonly fetcher: Fetcher;
  readonly intervalSec: number;
  /** Authorities that do not answer, by port. */
  readonly down = new Set<number>();
  /** Replaces the answer where it returns one. */
  override: (path: string, port: number) => { status: number; body: string } | null = () => null;

  constructor(
    intervalSec: number,
    testing: boolean,
    seed = 1,
    startSec = T0 + 5,
    delays: Pick<FetcherConfig, 'consensusDelaySec' | 'certificateDelaySec'> = {},
  ) {
    this.intervalSec = intervalSec;
    this.time = new VirtualTime(startSec);
    this.cache = new DirectoryCache(directory);
    const authorities = PAPERS.map((paper) => paper.authority);
    this.network = new Network({
      authorities,
      ownRsaId: new Uint8Array(20).fill(77),
      ownProtocols: 'Link=4-5',
      timing: this.time,
    });
    const exchange: Exchange = (request) => ({ reply: this.#answer(request), abort: () => undefined });
    const random = seededRandom(seed);
    this.fetcher = new Fetcher({
      authorities,
      network: this.network,
      cache: this.cache,
      exchange,
      timing: this.time,
      random,
      testing,
      ...delays,
    });
  }

  /** When the consensus that is current began. */
  get currentSec(): number {
    return T0 + Math.floor((this.time.nowSec() - T0) / this.intervalSec) * this.intervalSec;
  }

  async #answer(request: DirectoryRequest): Promise<DirectoryReply> {
    const { port } = request.endpoint;
    const modifiedSince = request.headers['If-Modified-Since'];
    this.asked.push({ port, path: request.path, atSec: this.time.nowSec(), modifiedSince });
    if (this.down.has(port)) throw new Error('connect ECONNREFUSED');
    const { status, body } = this.override(request.path, port) ?? this.#serve(request.path, modifiedSince);
    return {
      status,
      reason: status === 200 ? 'OK' : 'Sorry',
      headers: { date: new Date(this.time.nowSec() * 1000).toUTCString() },
      body: new TextEncoder().encode(body),
      wireBytes: body.length,
      sentSec: this.time.nowSec(),
    };
  }

  #serve(path: string, modifiedSince: string | undefined): { status: number; body: string } {
    if (path.startsWith('/tor/keys/')) {
      const body = PAPERS.filter(({ authority }) => path.includes(encodeHex(authority.v3Ident!)))
        .map((paper) => printCertificate(paper, T0 - DAY, T0 + 90 * DAY))
        .join('');
      return { status: body === '' ? 404 : 200, body };
    }
    const since = modifiedSince === undefined ? 0 : Date.parse(modifiedSince) / 1000;
    if (this.currentSec <= since) return { status: 304, body: '' };
    const flavour: ConsensusFlavour = path.includes('/consensus-microdesc/') ? 'microdesc' : 'ns';
    const consensus = { flavour, validAfterSec: this.currentSec, intervalSec: this.intervalSec };
    return { status: 200, body: printConsensus(consensus, PAPERS) };
  }

  consensusFetches(flavour: ConsensusFlavour): Asked[] {
    const part = flavour === 'ns' ? '/consensus/' : '/consensus-microdesc/';
    return this.asked.filter(({ path }) => path.includes(part));
  }

  warnings(): string[] {
    return records.filter(({ severity }) => severity === 'warn').map(({ text }) => text);
  }
}

test('a start from nothing asks at once for certificates and both flavours, and keeps them on disk', async () => {
  const bench = new Bench(3600, false);
  bench.fetcher.start();
  await bench.time.pass(1000);
  expect(bench.network.consensus('ns')).not.toBeNull();
  expect(bench.network.consensus('microdesc')).not.toBeNull();
  const ids = PAPERS.map(({ authority }) => encodeHex(authority.v3Ident!)).sort();
  expect(bench.asked.map(({ path }) => path).sort()).toEqual([
    `/tor/keys/fp/${ids.join('+')}`,
    `/tor/status-vote/current/consensus-microdesc/${ids.map((id) => id.slice(0, 6)).join('+')}`,
    `/tor/status-vote/current/consensus/${ids.map((id) => id.slice(0, 6)).join('+')}`,
  ]);
  expect(readdirSync(directory).sort()).toEqual([
    'cached-certs',
    'cached-consensus',
    'cached-microdesc-consensus',
  ]);
  expect(statSync(join(directory, 'cached-consensus')).mode & 0o777).toBe(0o600);
  expect(bench.warnings()).toEqual([]);
  bench.fetcher.stop();
});

test('a test network may say that a relay looks later for the first time', async () => {
  const bench = new Bench(3600, true, 1, T0 + 5, { consensusDelaySec: 20, certificateDelaySec: 40 });
  bench.fetcher.start();
  await bench.time.pass(19_000);
  expect(bench.asked).toEqual([]);
  await bench.time.pass(2000);
  expect(bench.asked.map(({ path }) => path.includes('/consensus'))).toContain(true);
  expect(bench.asked.every(({ atSec }) => atSec >= T0 + 25)).toBe(true);
  bench.fetcher.stop();
});

test('the next one is asked for in the half hour after the present one stops being fresh', async () => {
  const seen = new Set<number>();
  for (let seed = 1; seed <= 20; seed++) {
    const bench = new Bench(3600, false, seed);
    bench.fetcher.start();
    await bench.time.pass(1000);
    const dueSec = bench.fetcher.nextFetchSec('ns');
    expect(dueSec).toBeGreaterThanOrEqual(T0 + 3600 + 120);
    expect(dueSec).toBeLessThan(T0 + 3600 + 120 + 1800);
    seen.add(dueSec);
    await bench.time.pass((dueSec - bench.time.nowSec() + 1) * 1000);
    expect(bench.network.consensus('ns')!.validAfterSec).toBe(T0 + 3600);
    const fetches = bench.consensusFetches('ns');
    expect(fetches.length).toBe(2);
    expect(fetches[1]!.atSec).toBe(dueSec);
    expect(fetches[1]!.modifiedSince).toBe(new Date((T0 + 180) * 1000).toUTCString());
    bench.fetcher.stop();
  }
  expect(seen.size).toBeGreaterThan(10);
});

test.each([10, 20, 300])(
  'with votes each %p s a new consensus is there within the interval',
  async (intervalSec) => {
    const bench = new Bench(intervalSec, true);
    bench.fetcher.start();
    await bench.time.pass(1000);
    for (let round = 0; round < 30; round++) {
      await bench.time.pass(intervalSec * 1000);
      const lagSec = bench.time.nowSec() - bench.network.consensus('microdesc')!.validAfterSec;
      expect(lagSec).toBeLessThanOrEqual(2 * intervalSec);
    }
    const perRound = bench.consensusFetches('microdesc').length / 31;
    expect(perRound).toBeLessThan(1.5);
    bench.fetcher.stop();
  },
);

test('an authority that is down is passed over for another one', async () => {
  const bench = new Bench(3600, false);
  bench.down.add(97).add(98);
  bench.fetcher.start();
  await bench.time.pass(10 * 60_000);
  expect(bench.network.consensus('ns')).not.toBeNull();
  expect(bench.network.consensus('microdesc')).not.toBeNull();
  bench.fetcher.stop();
});

test('with all down the waits grow, and the operator is warned', async () => {
  const bench = new Bench(3600, false);
  for (const { authority } of PAPERS) bench.down.add(authority.dir.port);
  bench.fetcher.start();
  await bench.time.pass(6 * 3600_000);
  const fetches = bench.consensusFetches('ns');
  expect(fetches.length).toBeGreaterThan(5);
  expect(fetches.length).toBeLessThan(120);
  const gaps = fetches.slice(1).map((fetch, i) => fetch.atSec - fetches[i]!.atSec);
  expect(Math.max(...gaps)).toBeGreaterThan(600);
  expect(bench.warnings()[0]).toContain('ECONNREFUSED');
  bench.down.clear();
  await bench.time.pass(3_700_000);
  expect(bench.network.consensus('ns')).not.toBeNull();
  bench.fetcher.stop();
});

test('a consensus signed with a key that we lack waits for that very certificate', async () => {
  const bench = new Bench(3600, false);
  bench.fetcher.start();
  await bench.time.pass(1000);
  for (const [i, paper] of PAPERS.entries()) paper.signing = makeAuthority('x', i).signing;
  await bench.time.pass(2 * 3600_000);
  const pairs = bench.asked.filter(({ path }) => path.startsWith('/tor/keys/fp-sk/'));
  expect(pairs.length).toBe(1);
  expect(pairs[0]!.path).toMatch(
    /^\/tor\/keys\/fp-sk\/([0-9A-F]{40}-[0-9A-F]{40}\+){2}[0-9A-F]{40}-[0-9A-F]{40}$/,
  );
  expect(bench.network.consensus('ns')!.validAfterSec).toBeGreaterThanOrEqual(T0 + 3600);
  bench.fetcher.stop();
});

test('what cannot be believed is not kept, and asked of another authority', async () => {
  const bench = new Bench(3600, false);
  bench.override = (path, port) => {
    if (port !== 97 || path.startsWith('/tor/keys/')) return null;
    return { status: 200, body: 'network-status-version 3\nnonsense\n' };
  };
  bench.fetcher.start();
  await bench.time.pass(10 * 60_000);
  expect(bench.network.consensus('ns')).not.toBeNull();
  expect(readFileSync(join(directory, 'cached-consensus'), 'utf8')).not.toContain('nonsense');
  bench.fetcher.stop();
});

test('a relay that restarts uses what it kept, and asks for nothing', async () => {
  const first = new Bench(3600, false);
  first.fetcher.start();
  await first.time.pass(1000);
  first.fetcher.stop();
  const second = new Bench(3600, false, 1, T0 + 600);
  second.cache.load(second.network);
  expect(second.network.consensus('ns')!.validAfterSec).toBe(T0);
  second.fetcher.start();
  await second.time.pass(60_000);
  expect(second.asked).toEqual([]);
  second.fetcher.stop();
});

test('cache files that lie or are broken cost a message and nothing more', async () => {
  writeFileSync(join(directory, 'cached-certs'), 'dir-key-certificate-version 3\nbroken\n');
  writeFileSync(join(directory, 'cached-consensus'), new Uint8Array(1000).fill(255));
  const bench = new Bench(3600, false);
  bench.cache.load(bench.network);
  expect(bench.network.hasConsensus).toBe(false);
  expect(bench.warnings()[0]).toContain('cached-certs');
  bench.fetcher.start();
  await bench.time.pass(1000);
  expect(bench.network.hasConsensus).toBe(true);
  bench.fetcher.stop();
});

test('a clock that jumps past valid-until makes the fetch due within a minute', async () => {
  const bench = new Bench(3600, false);
  bench.fetcher.start();
  await bench.time.pass(1000);
  const before = bench.consensusFetches('ns').length;
  bench.time.jump(5 * 3600);
  await bench.time.pass(61_000);
  expect(bench.consensusFetches('ns').length).toBe(before + 1);
  bench.fetcher.stop();
});

test('a clock that jumps to before valid-after replaces the consensus, if ever more seldom', async () => {
  const bench = new Bench(3600, false);
  bench.fetcher.start();
  await bench.time.pass(1000);
  const before = bench.consensusFetches('ns').length;
  bench.time.jump(-DAY);
  await bench.time.pass(61_000);
  expect(bench.consensusFetches('ns').length).toBe(before + 1);
  await bench.time.pass(6 * 3600_000);
  const more = bench.consensusFetches('ns').length - before;
  expect(more).toBeGreaterThan(5);
  expect(more).toBeLessThan(120);
  bench.fetcher.stop();
});

test.each([-1, 1])('a clock that jumps by %p day neither stops nor hastens retries', async (days) => {
  const monotonic = async (jumpSec: number) => {
    const bench = new Bench(3600, false, 3);
    for (const { authority } of PAPERS) bench.down.add(authority.dir.port);
    bench.fetcher.start();
    await bench.time.pass(30 * 60_000);
    bench.time.jump(jumpSec);
    const fetched: number[] = [];
    for (let minute = 0; minute < 240; minute++) {
      await bench.time.pass(60_000);
      fetched.push(bench.asked.length);
    }
    bench.fetcher.stop();
    return fetched;
  };
  const steady = await monotonic(0);
  expect(steady.at(-1)).toBeGreaterThan(10);
  expect(await monotonic(days * DAY)).toEqual(steady);
});

test.each([-1, 1])('a wait for certificates is as long when the clock jumps by %p day', async (days) => {
  const bench = new Bench(3600, false);
  bench.override = (path) => (path.startsWith('/tor/keys/') ? { status: 404, body: '' } : null);
  bench.fetcher.start();
  await bench.time.pass(1000);
  expect(bench.network.isWaiting('ns')).toBe(true);
  expect(bench.consensusFetches('ns').length).toBe(1);
  const { length } = bench.asked;
  bench.time.jump(days * DAY);
  expect(bench.fetcher.nextFetchSec('ns') - bench.time.nowSec()).toBe(20 * 60 - 1);
  await bench.time.pass(19 * 60_000);
  expect(bench.consensusFetches('ns').length).toBe(1);
  expect(bench.asked.length).toBeGreaterThan(length);
  await bench.time.pass(2 * 60_000);
  expect(bench.consensusFetches('ns').length).toBe(2);
  bench.fetcher.stop();
});

test('a stopped fetcher lets go of every timer', async () => {
  const bench = new Bench(3600, false);
  bench.fetcher.start();
  await settle();
  bench.fetcher.stop();
  expect(bench.time.pending()).toEqual([]);
});
