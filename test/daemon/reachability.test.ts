/** Self-tests with played workers and a clock of their own: what is tested when, what is said, what publishing waits for. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { type Family, Reachability, type ReachabilitySettings } from '../../src/daemon/reachability.ts';
import { OriginClient } from '../../src/directory/origin-client.ts';
import type { AddressChoice, AddressOrigin } from '../../src/directory/published-address.ts';
import { setLogSink } from '../../src/log.ts';
import type { OriginHop, OriginOrder } from '../../src/shm/origin-letter.ts';

const said: string[] = [];

beforeEach(() => {
  said.length = 0;
  setLogSink(({ severity, text }) => {
    if (severity !== 'info') said.push(`${severity} ${text}`);
  });
});

afterEach(() => setLogSink(null));

const MINUTE_MS = 60_000;

function addressOf(ipv6: string | null, ipv6Origin: AddressOrigin | null = null): AddressChoice {
  return {
    ipv4: { host: parseIp('198.51.100.7')!, port: 9001 },
    ipv6: ipv6 === null ? null : { host: parseIp(ipv6)!, port: 9001 },
    ipv4Origin: 'torrc',
    ipv6Origin,
    problem: null,
  };
}

function hop(family: Family): OriginHop {
  const endpoint = { host: parseIp(family === 'ipv4' ? '198.51.100.7' : '2001:db9::7')!, port: 9001 };
  return {
    rsaId: new Uint8Array(20),
    ed25519Id: null,
    onionKey: null,
    ipv4: family === 'ipv4' ? endpoint : null,
    ipv6: family === 'ipv6' ? endpoint : null,
    ntorV3: false,
    congestionControl: false,
  };
}

class Bench {
  nowMs = 1000;
  readonly orders: OriginOrder[] = [];
  readonly changes: string[] = [];
  readonly counts = { ipv4: 5, ipv6: 0 };
  address = addressOf(null);
  hasPaths = true;
  /** Whether the relays that could dial us have links to us. */
  areLinked = false;
  retired = 0;
  settings: ReachabilitySettings = {
    assume: { ipv4: false, ipv6: false },
    publishAnyway: { ipv4: false, ipv6: false },
    publishes: true,
    testing: false,
    bandwidthRate: 1_000_000,
  };
  readonly client = new OriginClient(1, (_worker, order) => {
    this.orders.push(order);
    return true;
  });
  readonly self = new Reachability({
    nowMs: () => this.nowMs,
    client: this.client,
    settings: () => this.settings,
    address: () => this.address,
    reachedCount: (family) => this.counts[family],
    pathTo: (family) => (this.hasPaths ? [hop('ipv4'), hop('ipv4'), hop(family)] : null),
    isLinked: () => this.areLinked,
    retireLinks: () => {
      this.retired++;
    },
    onChange: (why) => this.changes.push(why),
  });

  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs += 1000;
      this.self.tick();
    }
  }

  /** Circuits that were asked for, and the family of their last hop. */
  opened(): [number, Family][] {
    return this.orders.flatMap((order) =>
      order.kind === 'open' ? [[order.circuit, order.path[2]!.ipv4 === null ? 'ipv6' : 'ipv4']] : [],
    );
  }

  open(circuit: number): void {
    this.client.take({ kind: 'opened', circuit });
  }

  fail(circuit: number, hops: number): void {
    this.client.take({ kind: 'closed', circuit, reason: 6, hops });
  }
}

describe('reaching IPv4', () => {
  test('from the first path on, each minute, until a relay came in by our address', () => {
    const bench = new Bench();
    bench.hasPaths = false;
    bench.self.start();
    bench.pass(3 * MINUTE_MS);
    expect(bench.opened()).toEqual([]);
    expect(bench.self.waitsFor).toBe('nobody is known to reach our ORPort at 198.51.100.7:9001');
    bench.hasPaths = true;
    bench.self.lookAgain();
    bench.pass(1000);
    expect(bench.opened()).toEqual([[1, 'ipv4']]);
    bench.fail(1, 2);
    bench.pass(MINUTE_MS);
    expect(bench.opened().length).toBe(2);
    expect(said).toEqual([
      'notice Now checking whether IPv4 ORPort 198.51.100.7:9001 is reachable... (this may take up to 20 minutes -- ' +
        'look for log messages indicating success)',
    ]);
    bench.counts.ipv4++;
    bench.pass(1000);
    expect(said.at(-1)).toBe(
      'notice Self-testing indicates your ORPort 198.51.100.7:9001 is reachable from the outside. Excellent. ' +
        'Publishing server descriptor.',
    );
    expect(bench.changes).toEqual(['IPv4 ORPort found reachable']);
    expect(bench.self.waitsFor).toBeNull();
  });

  test('what was counted before is no proof', () => {
    const bench = new Bench();
    bench.self.start();
    bench.pass(MINUTE_MS);
    expect(bench.self.isReachable('ipv4')).toBe(false);
    // A circuit that opened without anybody coming in shows nothing, and is closed.
    bench.open(1);
    expect(bench.self.isReachable('ipv4')).toBe(false);
    expect(bench.orders.at(-1)).toEqual({ kind: 'close', circuit: 1 });
  });

  test('nothing is said of publishing when nothing is published', () => {
    const bench = new Bench();
    bench.settings = { ...bench.settings, publishes: false };
    bench.self.start();
    bench.counts.ipv4++;
    bench.pass(1000);
    expect(said.at(-1)).toEndWith('Excellent.');
  });

  test('a new address is tested anew', () => {
    const bench = new Bench();
    bench.self.start();
    bench.counts.ipv4++;
    bench.pass(1000);
    expect(bench.self.waitsFor).toBeNull();
    bench.self.reset();
    // Circuits to the old one keep links in use.
    expect(bench.client.count).toBe(0);
    expect(bench.self.waitsFor).not.toBeNull();
    bench.pass(1000);
    expect(said.filter((text) => text.includes('Now checking')).length).toBe(1);
  });

  test('AssumeReachable: nothing to wait for, nothing to say', () => {
    const bench = new Bench();
    bench.settings = { ...bench.settings, assume: { ipv4: true, ipv6: true } };
    bench.self.start();
    expect(bench.self.waitsFor).toBeNull();
    bench.counts.ipv4++;
    bench.pass(30 * MINUTE_MS);
    expect(said).toEqual([]);
    // The circuits are for the bandwidth test.
    expect(bench.opened().length).toBeGreaterThan(0);
  });

  test('assume-reachable of the consensus lets us publish, and the tests go on', () => {
    const bench = new Bench();
    bench.settings = { ...bench.settings, publishAnyway: { ipv4: true, ipv6: true } };
    bench.self.start();
    expect(bench.self.waitsFor).toBeNull();
    bench.pass(1000);
    expect(bench.opened().length).toBe(1);
  });

  test('without an address there is nothing to test', () => {
    const bench = new Bench();
    const problem = { why: 'x', line: 'y' };
    bench.address = { ipv4: null, ipv6: null, ipv4Origin: null, ipv6Origin: null, problem };
    bench.self.start();
    bench.pass(30 * MINUTE_MS);
    expect(bench.orders).toEqual([]);
    expect(said).toEqual([]);
  });

  test('tests are few at a time, and seldom after twenty minutes', () => {
    const bench = new Bench();
    bench.self.start();
    bench.pass(20 * MINUTE_MS);
    const early = bench.opened().length;
    expect(early).toBe(20);
    bench.pass(60 * MINUTE_MS);
    expect(bench.opened().length - early).toBe(3);
    expect(bench.client.count).toBeLessThanOrEqual(12);
    bench.self.stop();
    expect(bench.client.count).toBe(0);
    bench.pass(60 * MINUTE_MS);
    expect(bench.opened().length - early).toBe(3);
  });
});

describe('after twenty minutes', () => {
  test.each([
    [0, 'No circuit got even to its first relay'],
    [2, 'Relays tried and could not connect. Please check that firewalls'],
  ])('what nobody reaches is told, with what to look at: circuits of %p hops', (hops, advice) => {
    const bench = new Bench();
    bench.self.start();
    bench.pass(1000);
    bench.fail(1, hops);
    bench.pass(20 * MINUTE_MS);
    const warnings = said.filter((text) => text.startsWith('warn'));
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toContain(
      'has not managed to confirm reachability for its ORPort(s) at 198.51.100.7:9001.',
    );
    expect(warnings[0]).toContain(advice);
    bench.pass(20 * MINUTE_MS);
    expect(said.filter((text) => text.startsWith('warn')).length).toBe(2);
  });

  test('without any test that could be made, that is said', () => {
    const bench = new Bench();
    bench.hasPaths = false;
    bench.self.start();
    bench.pass(21 * MINUTE_MS);
    expect(said.at(-1)).toContain('No test could be made yet');
  });

  test('IPv6 that torrc does not name is left out, until somebody reaches it', () => {
    const bench = new Bench();
    bench.address = addressOf('2001:db9::7', 'interface');
    bench.self.start();
    bench.pass(1000);
    expect(bench.opened().map(([, family]) => family)).toEqual(['ipv4']);
    bench.pass(2000);
    expect(bench.opened().map(([, family]) => family)).toEqual(['ipv4', 'ipv6']);
    bench.counts.ipv4++;
    bench.pass(1000);
    expect(bench.self.waitsFor).toBe('nobody is known to reach our ORPort at [2001:db9::7]:9001');
    expect(said.at(-1)).toEndWith('Excellent.');
    bench.pass(20 * MINUTE_MS);
    expect(bench.self.omitsIpv6).toBe(true);
    expect(bench.self.waitsFor).toBeNull();
    expect(said.at(-1)).toStartWith(
      'notice Auto-discovered IPv6 address [2001:db9::7]:9001 has not been found',
    );
    expect(bench.changes.length).toBe(2);
    bench.counts.ipv6++;
    bench.pass(1000);
    expect(bench.self.omitsIpv6).toBe(false);
    expect(bench.changes.at(-1)).toBe('IPv6 ORPort found reachable');
  });

  test('IPv6 that torrc names must be reached', () => {
    const bench = new Bench();
    bench.address = addressOf('2001:db9::7', 'torrc');
    bench.self.start();
    bench.counts.ipv4++;
    bench.pass(21 * MINUTE_MS);
    expect(bench.self.omitsIpv6).toBe(false);
    expect(bench.self.waitsFor).toContain('2001:db9::7');
    expect(said.at(-1)).toStartWith('warn Your server');
    bench.settings = { ...bench.settings, assume: { ipv4: false, ipv6: true } };
    expect(bench.self.waitsFor).toBeNull();
  });
});

describe('relays without a link to us', () => {
  test('are left to the family that nobody reaches yet: the bandwidth test waits', () => {
    const bench = new Bench();
    bench.address = addressOf('2001:db9::7', 'torrc');
    bench.self.start();
    bench.pass(2000);
    bench.counts.ipv4++;
    bench.open(1);
    expect(bench.orders.at(-1)).toEqual({ kind: 'close', circuit: 1 });
    bench.fail(2, 2);
    bench.pass(3 * MINUTE_MS);
    expect(bench.opened().map(([, family]) => family)).toEqual(['ipv4', 'ipv6', 'ipv6', 'ipv6', 'ipv6']);
    bench.counts.ipv6++;
    bench.pass(MINUTE_MS);
    for (let i = 0; i < 4; i++) bench.open(bench.opened().at(-1)![0]);
    expect(said.at(-1)).toBe('notice Performing bandwidth self-test...done.');
  });

  test('where there are none, one link is given up now and then, and tested by soon after', () => {
    const bench = new Bench();
    bench.areLinked = true;
    bench.self.start();
    bench.pass(1000);
    expect([bench.retired, bench.opened().length]).toEqual([1, 0]);
    // It is in use still: the test is made all the same.
    bench.pass(5000);
    expect([bench.retired, bench.opened().length]).toEqual([1, 1]);
    bench.pass(2 * MINUTE_MS);
    expect(bench.retired).toBe(2);
    bench.areLinked = false;
    bench.pass(5000);
    expect(bench.retired).toBe(2);
    bench.counts.ipv4++;
    bench.areLinked = true;
    bench.pass(10 * MINUTE_MS);
    expect(bench.retired).toBe(2);
  });

  test('what opens over links that were there is told as such', () => {
    const bench = new Bench();
    bench.self.start();
    bench.pass(1000);
    bench.open(1);
    bench.pass(20 * MINUTE_MS);
    expect(said.at(-1)).toContain(
      'Test circuits came in by links that were already there, which shows nothing.',
    );
  });
});

describe('bandwidth', () => {
  /** Reachable, with so many test circuits open. */
  function withOpen(count: number): Bench {
    const bench = new Bench();
    bench.self.start();
    bench.counts.ipv4++;
    bench.pass(1000);
    for (let i = 0; i < count; i++) bench.open(bench.opened().at(-1)![0]);
    return bench;
  }

  const drops = (bench: Bench): number[] =>
    bench.orders.flatMap((order) => (order.kind === 'drop' ? [order.cells] : []));

  test('each circuit that opens asks for the next; four carry 1000 cells, once', () => {
    const bench = withOpen(3);
    expect(drops(bench)).toEqual([]);
    bench.open(bench.opened().at(-1)![0]);
    expect(drops(bench)).toEqual([250, 250, 250, 250]);
    expect(said.at(-1)).toBe('notice Performing bandwidth self-test...done.');
    const { length } = bench.opened();
    bench.pass(29_000);
    expect(bench.client.count).toBe(4);
    bench.pass(2000);
    expect(bench.client.count).toBe(0);
    bench.pass(6 * MINUTE_MS);
    expect(bench.opened().length).toBe(length);
  });

  test('a slow relay sends what it may in ten seconds', () => {
    const bench = new Bench();
    bench.settings = { ...bench.settings, bandwidthRate: 20_000 };
    bench.self.start();
    bench.counts.ipv4++;
    bench.pass(1000);
    for (let i = 0; i < 4; i++) bench.open(bench.opened().at(-1)![0]);
    expect(drops(bench)).toEqual([97, 97, 97, 97]);
  });

  test('a relay with little bandwidth tests it again after twelve hours', () => {
    const bench = withOpen(4);
    const { length } = bench.opened();
    bench.pass(11 * 60 * MINUTE_MS);
    bench.self.noteBandwidth(100);
    bench.pass(30 * MINUTE_MS);
    expect(bench.opened().length).toBe(length);
    bench.pass(60 * MINUTE_MS);
    bench.self.noteBandwidth(60_000);
    bench.pass(30 * MINUTE_MS);
    expect(bench.opened().length).toBe(length);
    bench.self.noteBandwidth(100);
    bench.pass(30 * MINUTE_MS);
    expect(bench.opened().length).toBeGreaterThan(length);
  });
});

test('a test network is tested every five seconds', () => {
  const bench = new Bench();
  bench.settings = { ...bench.settings, testing: true };
  bench.self.start();
  bench.pass(16_000);
  expect(bench.opened().length).toBe(4);
});
