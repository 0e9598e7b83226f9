/** What we know of ourselves, wired: addresses that come and change, circuits to ourselves, whom paths leave out. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { parseIp, printEndpoint } from '../../src/bytes/address.ts';
import type { KeyKeeper } from '../../src/daemon/key-keeper.ts';
import { type DirectoryView, SelfSide } from '../../src/daemon/self-side.ts';
import { parseDirAuthority } from '../../src/directory/authority.ts';
import type { DocumentListener } from '../../src/directory/document-store.ts';
import { setLogSink } from '../../src/log.ts';
import { NO_PARAMS, paramValue } from '../../src/netdoc/consensus-params.ts';
import type { OriginOrder } from '../../src/shm/origin-letter.ts';
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';
import type { RelayOptions } from '../../src/torrc/relay-options.ts';
import { fingerprintOf, type MadeRelay, makeConsensus } from '../directory/path-network.ts';
import { settle, VirtualTime } from '../directory/virtual-time.ts';

const said: string[] = [];

beforeEach(() => {
  said.length = 0;
  setLogSink(({ severity, text }) => {
    if (severity !== 'info' && severity !== 'debug') said.push(text);
  });
});

afterEach(() => setLogSink(null));

const AUTHORITY = '203.0.113.1';
const guard: MadeRelay = { flags: ['Fast', 'Guard', 'Stable'] };

class Bench {
  readonly time = new VirtualTime(1_790_000_000);
  readonly orders: OriginOrder[] = [];
  readonly dirty: string[] = [];
  renewed = 0;
  options = {
    nickname: 'me',
    addresses: ['198.51.100.7'],
    addressDisableIpv6: false,
    dirAllowPrivateAddresses: false,
    assumeReachable: false,
    assumeReachableIpv6: false,
    publishServerDescriptor: 'v3',
    testingTorNetwork: false,
    bandwidthRate: 1_000_000,
    bridgeRelay: false,
    cache: { isCache: false },
    exit: { isExit: false, refuseUnknown: null as boolean | null },
    values: {} as Record<string, string[]>,
  };
  relays: MadeRelay[] = [guard, guard, guard, guard];
  readonly scoreboard = new Scoreboard(Scoreboard.create(1), 0);
  private listener: DocumentListener = () => {};
  readonly self: SelfSide;

  constructor(options: Partial<Bench['options']> = {}) {
    this.options = { ...this.options, ...options };
    const line = `auth orport=5000 v3ident=${'1'.repeat(40)} ${AUTHORITY}:80 ${'2'.repeat(40)}`;
    const directory = {
      authorities: [parseDirAuthority(line, 'torrc:1').authority],
      network: {
        consensus: () => makeConsensus(this.relays).consensus,
        param: (name: Parameters<DirectoryView['network']['param']>[0]) => paramValue(NO_PARAMS, name),
      },
      publisher: { markDirty: (reason: string) => this.dirty.push(reason) },
      timing: this.time,
      documents: {
        microdescriptors: { get: (digest: Uint8Array) => makeConsensus(this.relays).factsOf(digest) },
        onChange: (listener: DocumentListener) => {
          this.listener = listener;
        },
      },
    };
    this.self = new SelfSide(
      {
        options: () => this.options as unknown as RelayOptions,
        ports: () => [{ host: parseIp('0.0.0.0')!, port: 9001, advertise: true }],
        keys: {
          identity: { rsaId: Buffer.from(fingerprintOf(1), 'hex'), ed25519Id: new Uint8Array(32).fill(5) },
          describedOnionKeys: { current: { publicKey: new Uint8Array(32).fill(6) } },
        } as unknown as KeyKeeper,
        workers: 1,
        supervisor: () => ({
          scoreboard: this.scoreboard,
          isLinked: () => false,
          retireLinks: () => {},
          postOrigin: (_worker: number, order: OriginOrder) => {
            this.orders.push(order);
            return true;
          },
        }),
        observedBytesPerSec: () => 1_000_000,
        onAddress: () => {
          this.renewed++;
        },
      },
      directory as unknown as DirectoryView,
    );
  }

  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await this.time.pass(1000);
      this.self.tick();
    }
  }

  tell(kind: Parameters<DocumentListener>[0]): void {
    this.listener(kind);
  }

  paths() {
    return this.orders.flatMap((order) => (order.kind === 'open' ? [order.path] : []));
  }

  get at(): string {
    const { ipv4, problem } = this.self.published;
    return ipv4 === null ? problem!.why : printEndpoint(ipv4);
  }
}

test('a circuit through two others to ourselves, at the address that we publish', async () => {
  const bench = new Bench();
  bench.self.start();
  await bench.pass(1);
  const [path] = bench.paths();
  expect(path!.length).toBe(3);
  expect(path![2]).toEqual({
    rsaId: Buffer.from(fingerprintOf(1), 'hex'),
    ed25519Id: new Uint8Array(32).fill(5),
    onionKey: new Uint8Array(32).fill(6),
    ipv4: { host: parseIp('198.51.100.7')!, port: 9001 },
    ipv6: null,
    ntorV3: true,
    congestionControl: false,
  });
  expect(path!.slice(0, 2).map(({ rsaId }) => rsaId[19]!)).not.toContain(1);
  expect(bench.self.reachability.waitsFor).toContain('198.51.100.7:9001');
  bench.scoreboard.add(Counter.own_ipv4_reached, 1);
  await bench.pass(1);
  expect(bench.self.reachability.waitsFor).toBeNull();
  expect(bench.dirty).toEqual(['IPv4 ORPort found reachable']);
});

test('no circuits while little of the network is known; new documents are looked at at once', async () => {
  const bench = new Bench();
  bench.relays = [guard, guard, { unknown: true }, { unknown: true }, { unknown: true }];
  bench.self.start();
  await bench.pass(30);
  expect(bench.paths()).toEqual([]);
  bench.relays = [guard, guard, guard, guard];
  bench.tell('certificates');
  await bench.pass(1);
  expect(bench.paths()).toEqual([]);
  bench.tell('microdescriptors');
  await bench.pass(1);
  expect(bench.paths().length).toBe(1);
  bench.self.stop();
  expect(bench.orders.at(-1)!.kind).toBe('close');
});

test('ExcludeNodes, MyFamily and EnforceDistinctSubnets bound every path', () => {
  const middles = (values: Record<string, string[]>, relays: MadeRelay[]): number[] => {
    const bench = new Bench({ values });
    bench.relays = relays;
    const found = new Set<number>();
    for (let i = 0; i < 200; i++)
      for (const node of bench.self.paths()!.inside(false) ?? []) found.add(node.rsaId[19]!);
    return [...found].sort((a, b) => a - b);
  };
  const me = `$${fingerprintOf(1)}`;
  const relays = [guard, guard, { ...guard, family: [me] }, guard, guard, guard];
  expect(middles({}, relays)).toEqual([2, 3, 4, 5, 6]);
  expect(middles({ MyFamily: [fingerprintOf(3)] }, relays)).toEqual([2, 4, 5, 6]);
  expect(middles({ ExcludeNodes: ['r6'] }, relays)).toEqual([2, 3, 4, 5]);
  expect(said).toEqual([]);
  expect(middles({ ExcludeNodes: ['r6,{de}'] }, relays)).toEqual([2, 3, 4, 5]);
  expect(said.length).toBe(1);
  expect(said[0]).toContain('ExcludeNodes: {de} cannot be looked up');
  const crowded = relays.map((relay, i) => ({ ...relay, ipv4: [10, 1, 0, i] as const }));
  expect(middles({}, crowded)).toEqual([]);
  expect(middles({ EnforceDistinctSubnets: ['0'] }, crowded)).toEqual([2, 3, 4, 5, 6]);
});

test('an unknown address: an authority is asked, and its word is published, tested and told', async () => {
  const bench = new Bench({ addresses: [] });
  // What this machine has of its own does not matter here.
  if (bench.self.address.ipv4 !== null) return;
  bench.self.start();
  await bench.pass(2);
  const [path] = bench.paths();
  expect(path).toMatchObject([{ onionKey: null, ipv4: { host: parseIp(AUTHORITY)!, port: 5000 } }]);
  expect(bench.orders.length).toBe(1);
  bench.self.suggest(parseIp('192.0.2.44')!, parseIp('203.0.113.2')!);
  expect(bench.at).toContain('no public IPv4 address');
  bench.self.suggest(parseIp('192.88.98.44')!, parseIp(AUTHORITY)!);
  expect(bench.at).toBe('192.88.98.44:9001');
  expect([bench.renewed, bench.dirty]).toEqual([1, ['IP address changed']]);
  expect(said).toEqual(['Our address is 192.88.98.44:9001, known from the authority.']);
  bench.self.takeHeader('192.88.98.45', parseIp(AUTHORITY)!);
  expect(said.at(-1)).toContain('changed from 192.88.98.44:9001 to 192.88.98.45:9001');
  bench.self.takeHeader('nonsense', parseIp(AUTHORITY)!);
  expect(bench.at).toBe('192.88.98.45:9001');
});

test('torrc’s address is ours whatever authorities say; a new one is noticed within a minute, tested and published', async () => {
  const bench = new Bench();
  bench.self.start();
  bench.self.suggest(parseIp('192.88.98.44')!, parseIp(AUTHORITY)!);
  expect(bench.at).toBe('198.51.100.7:9001');
  bench.scoreboard.add(Counter.own_ipv4_reached, 1);
  await bench.pass(2);
  expect(bench.self.reachability.waitsFor).toBeNull();
  bench.options.addresses = ['198.51.100.8'];
  bench.self.onOptions();
  await bench.pass(61);
  expect(said.some((text) => text.startsWith('Your IP address seems to have changed'))).toBe(true);
  expect(bench.self.reachability.waitsFor).toContain('198.51.100.8:9001');
  expect(bench.dirty.at(-1)).toBe('IP address changed');
  expect(bench.self.publishedHosts).toEqual([parseIp('198.51.100.8')!]);
  expect(bench.self.hosts).toEqual([parseIp('198.51.100.8')!]);
});

describe('directory requests', () => {
  const request = {
    endpoint: { host: parseIp(AUTHORITY)!, port: 80 },
    method: 'GET' as const,
    path: '/tor/keys/all',
    headers: {},
    body: null,
    bytesMax: 1000,
    stallMs: 60_000,
    deadlineMs: 60_000,
  };
  const dir: MadeRelay = { flags: ['Fast', 'V2Dir'] };
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  function benchOf(options: Partial<Bench['options']> = {}): Bench {
    const bench = new Bench(options);
    bench.relays = [dir, dir, dir, { unknown: true }];
    return bench;
  }

  async function answer(bench: Bench, circuit: number, head: string): Promise<void> {
    bench.self.take({ kind: 'opened', circuit });
    bench.self.take({ kind: 'bytes', circuit, stream: 1, bytes: bytes(`${head}\r\n\r\nbody`) });
    bench.self.take({ kind: 'ended', circuit, stream: 1, reason: 6 });
    await settle();
  }

  test('of a cache go straight to the authority', () => {
    expect(benchOf({ cache: { isCache: true } }).self.tunnel(request)).toBeNull();
    expect(benchOf({ exit: { isExit: true, refuseUnknown: null } }).self.tunnel(request)).toBeNull();
    expect(benchOf({ exit: { isExit: true, refuseUnknown: false } }).self.tunnel(request)).not.toBeNull();
    expect(benchOf({ values: { FetchDirInfoEarly: ['1'] } }).self.tunnel(request)).toBeNull();
  });

  test('of others go through a circuit to a cache, which tells us neither the time nor our address', async () => {
    const bench = benchOf();
    const pending = bench.self.tunnel(request)!;
    const [path] = bench.paths();
    // We are the first relay ourselves.
    expect([2, 3]).toContain(path![0]!.rsaId[19]!);
    const head = 'HTTP/1.0 200 OK\r\nDate: Sat\r\nX-Your-Address-Is: 192.88.98.44\r\nExpires: Sun';
    await answer(bench, 1, head);
    const { status, headers, body } = await pending.reply;
    expect([status, { ...headers }, body]).toEqual([200, { expires: 'Sun' }, bytes('body')]);
  });

  test.each(['busy', 'broken'])('a cache that is %s is passed over next time', async (how) => {
    const bench = benchOf();
    const pending = bench.self.tunnel(request)!;
    pending.reply.catch(() => {});
    if (how === 'busy') await answer(bench, 1, 'HTTP/1.0 503 Directory busy');
    else bench.self.take({ kind: 'closed', circuit: 1, reason: 6, hops: 0 });
    await settle();
    const failed = bench.paths()[0]![0]!.rsaId[19]!;
    for (let i = 0; i < 20; i++) {
      bench.self.tunnel(request)!.reply.catch(() => {});
      expect(bench.paths().at(-1)![0]!.rsaId[19]).not.toBe(failed);
    }
    bench.self.stop();
    await settle();
  });
});
