import { afterEach, beforeEach, expect, test } from 'bun:test';
import type { DirectoryAuthority } from '../../src/directory/authority.ts';
import type { DirectoryReply, DirectoryRequest, Exchange } from '../../src/directory/http-exchange.ts';
import type { AddressChoice } from '../../src/directory/published-address.ts';
import { Publisher, type PublishSettings } from '../../src/directory/publisher.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { seededRandom, settle, VirtualTime } from './virtual-time.ts';

const T0 = Date.UTC(2026, 10, 22, 12) / 1000;
const HOUR_MS = 3_600_000;
const HERE: AddressChoice = {
  ipv4: { host: new Uint8Array([198, 51, 100, 7]), port: 9001 },
  ipv6: null,
  ipv4Origin: 'torrc',
  ipv6Origin: null,
  problem: null,
};
const NOWHERE: AddressChoice = {
  ipv4: null,
  ipv6: null,
  ipv4Origin: null,
  ipv6Origin: null,
  problem: { why: 'no address', line: 'Address 203.0.113.5' },
};

const records: LogRecord[] = [];

beforeEach(() => {
  records.length = 0;
  setLogThreshold(() => true);
  setLogSink((record) => records.push(record));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
});

function authority(nickname: string, voter = true): DirectoryAuthority {
  return {
    nickname,
    rsaId: new Uint8Array(20),
    v3Ident: voter ? new Uint8Array(20) : null,
    dir: { host: new Uint8Array([127, 0, 0, 1]), port: nickname.charCodeAt(0) },
    orPort: 0,
    ipv6: null,
    isBridgeAuthority: !voter,
    weight: 1,
    uploadTo: [],
    downloadFrom: [],
  };
}

type Outcome = number | string | [number, string] | { notNew: true };

/** A publisher with everything around it in the test's hands. */
class Bench {
  readonly time = new VirtualTime(T0);
  readonly requests: DirectoryRequest[] = [];
  aborted = 0;
  readonly built: { reason: string; publishedSec: number }[] = [];
  settings: PublishSettings = { publish: true, waitsFor: null, testing: false, address: HERE };
  network = { hasConsensus: true, missingRequired: '' };
  listing: { listed: boolean; stale: boolean; validAfterSec: number } | null = null;
  bytesPerSec = 0;
  uptimeOffsetSec = 0;
  /** What each authority answers, by nickname; 200 otherwise. */
  outcomes: Record<string, Outcome> = {};
  readonly publisher: Publisher;

  constructor(authorities = [authority('a'), authority('b'), authority('c'), authority('S', false)]) {
    const names = new Map(authorities.map((each) => [each.dir.port, each.nickname]));
    const exchange: Exchange = (request) => {
      this.requests.push(request);
      const abort = () => {
        this.aborted++;
      };
      return { reply: this.#answer(names.get(request.endpoint.port)!), abort };
    };
    this.publisher = new Publisher({
      authorities,
      network: bindView(this),
      exchange,
      timing: this.time,
      random: seededRandom(7),
      settings: () => this.settings,
      buildDescriptor: (reason, publishedSec) => {
        this.built.push({ reason, publishedSec });
        return { descriptor: `router ${this.built.length}\n`, extraInfo: 'extra-info\n' };
      },
      observedBytesPerSec: () => this.bytesPerSec,
      uptimeSec: () => this.uptimeOffsetSec + this.time.nowMs() / 1000,
    });
  }

  async #answer(name: string): Promise<DirectoryReply> {
    const outcome = this.outcomes[name] ?? 200;
    if (typeof outcome === 'string') throw new Error(outcome);
    const [status, reason] =
      typeof outcome === 'number' ? [outcome, 'OK'] : Array.isArray(outcome) ? outcome : [200, 'OK'];
    const headers: Record<string, string> =
      typeof outcome === 'object' && 'notNew' in outcome ? { 'x-descriptor-not-new': 'Yes' } : {};
    return { status, reason, headers, body: new Uint8Array(0), wireBytes: 0, sentSec: this.time.nowSec() };
  }

  said(severity: string): string[] {
    return records.filter((record) => record.severity === severity).map((record) => record.text);
  }
}

function bindView(bench: Bench) {
  return {
    get hasConsensus() {
      return bench.network.hasConsensus;
    },
    get missingRequired() {
      return bench.network.missingRequired;
    },
    ownListing: () => bench.listing,
  };
}

test('a fresh relay posts both documents to every authority that votes, and to no other', async () => {
  const bench = new Bench();
  expect(bench.publisher.silence).toBe('Nothing is published.');
  bench.publisher.start();
  await settle();
  expect(bench.publisher.silence).toBeNull();
  expect(bench.requests.length).toBe(3);
  const [request] = bench.requests;
  expect([request!.method, request!.path]).toEqual(['POST', '/tor/']);
  expect(request!.headers).toEqual({ 'X-Desc-Gen-Reason': 'the relay just started' });
  expect(new TextDecoder().decode(request!.body!)).toBe('router 1\nextra-info\n');
  expect(bench.publisher.uploads().map((upload) => upload.state)).toEqual([
    'accepted',
    'accepted',
    'accepted',
  ]);
  expect(bench.said('notice')).toEqual([
    'Publishing a descriptor for 198.51.100.7:9001 to 3 authorities (the relay just started).',
  ]);
});

test('nothing happens for 18 hours, then a new one is made', async () => {
  const bench = new Bench();
  bench.listing = { listed: true, stale: false, validAfterSec: T0 };
  bench.publisher.start();
  await bench.time.pass(18 * HOUR_MS);
  expect(bench.built.length).toBe(1);
  await bench.time.pass(60_000);
  expect(bench.built.map((each) => each.reason)).toEqual([
    'the relay just started',
    'time for new descriptor',
  ]);
  expect(bench.built[1]!.publishedSec).toBe(T0 + 18 * 3600 + 60);
});

test('not being listed, or stale, in a live consensus repeats it after 90 minutes', async () => {
  const bench = new Bench();
  bench.listing = { listed: false, stale: false, validAfterSec: T0 };
  bench.publisher.start();
  await bench.time.pass(90 * 60_000);
  expect(bench.built.length).toBe(1);
  await bench.time.pass(60_000);
  expect(bench.built[1]!.reason).toBe('not listed in consensus');
  bench.listing = { listed: true, stale: true, validAfterSec: T0 + 3600 };
  await bench.time.pass(3 * HOUR_MS);
  expect(bench.built.length).toBe(2);
  bench.listing = { listed: true, stale: true, validAfterSec: bench.time.nowSec() };
  await bench.time.pass(60_000);
  expect(bench.built[2]!.reason).toBe('listed as stale in consensus');
});

test('bandwidth counts only when it doubled or halved, each three hours, in the first day', async () => {
  const bench = new Bench();
  bench.bytesPerSec = 100_000;
  bench.publisher.start();
  await settle();
  bench.bytesPerSec = 190_000;
  await bench.time.pass(4 * HOUR_MS);
  expect(bench.built.length).toBe(1);
  bench.bytesPerSec = 201_000;
  await bench.time.pass(60_000);
  expect(bench.built.map((each) => each.reason)).toEqual(['the relay just started', 'bandwidth has changed']);
  bench.bytesPerSec = 90_000;
  await bench.time.pass(2 * HOUR_MS);
  expect(bench.built.length).toBe(2);
  await bench.time.pass(1.1 * HOUR_MS);
  expect(bench.built.length).toBe(3);
  bench.uptimeOffsetSec = 24 * 3600;
  bench.bytesPerSec = 900_000;
  await bench.time.pass(5 * HOUR_MS);
  expect(bench.built.length).toBe(3);
});

test('another address, and what the daemon marks, publish at the next look', async () => {
  const bench = new Bench();
  bench.publisher.start();
  await settle();
  bench.settings = {
    ...bench.settings,
    address: { ...HERE, ipv6: { host: new Uint8Array(16).fill(32), port: 9001 } },
  };
  await bench.time.pass(60_000);
  expect(bench.built[1]!.reason).toBe('the address changed');
  bench.publisher.markDirty('rotated onion key');
  expect(bench.built[2]!.reason).toBe('rotated onion key');
  bench.publisher.markDirty('config change');
  expect(bench.built[3]!.publishedSec).toBe(bench.built[2]!.publishedSec + 1);
});

test('a refusal is told in the words of the authority and not repeated', async () => {
  const bench = new Bench();
  bench.outcomes = { b: [400, 'Missing TAP key in descriptor'], c: { notNew: true } };
  bench.publisher.start();
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(3);
  expect(bench.said('warn')).toEqual([
    'Authority b at 127.0.0.1:98 refused our descriptor: Missing TAP key in descriptor',
  ]);
  expect(bench.publisher.uploads().map((upload) => upload.state)).toEqual([
    'accepted',
    'refused',
    'accepted',
  ]);
  expect(bench.said('info').some((text) => text.includes('not new'))).toBe(true);
});

test('an authority out of reach is tried again ever more seldom, the others are not bothered', async () => {
  const bench = new Bench();
  bench.outcomes = { a: 'connect ECONNREFUSED', b: 503 };
  bench.publisher.start();
  await bench.time.pass(10 * 60_000);
  const early = bench.requests.filter((request) => request.endpoint.port === 97).length;
  expect(early).toBeGreaterThanOrEqual(2);
  expect(early).toBeLessThanOrEqual(10);
  expect(bench.requests.filter((request) => request.endpoint.port === 99).length).toBe(1);
  bench.outcomes = {};
  await bench.time.pass(HOUR_MS);
  expect(bench.publisher.uploads().map((upload) => upload.state)).toEqual([
    'accepted',
    'accepted',
    'accepted',
  ]);
  const done = bench.requests.length;
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(done);
});

test('a new descriptor replaces the one that still waits for its retry', async () => {
  const bench = new Bench();
  bench.outcomes = { a: 'timeout' };
  bench.publisher.start();
  await settle();
  bench.outcomes = {};
  bench.publisher.markDirty('config change');
  await bench.time.pass(2 * HOUR_MS);
  const bodies = bench.requests
    .filter((request) => request.endpoint.port === 97)
    .map((request) => new TextDecoder().decode(request.body!).slice(0, 8));
  expect(bodies).toEqual(['router 1', 'router 2']);
});

test('what is missing is told with the line to write, once', async () => {
  const bench = new Bench();
  bench.settings = {
    publish: true,
    waitsFor: 'nobody is known to reach us',
    testing: false,
    address: NOWHERE,
  };
  bench.publisher.start();
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(0);
  const said = bench.said('notice');
  expect(said.length).toBe(1);
  expect(said[0]).toContain('Address 203.0.113.5');
  expect(bench.publisher.silence).toBe(said[0]!);
  bench.settings = { ...bench.settings, address: HERE };
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(0);
  expect(bench.said('notice').slice(1)).toEqual(['Publishing nothing yet: nobody is known to reach us.']);
  bench.settings = { ...bench.settings, waitsFor: null };
  await bench.time.pass(60_000);
  expect(bench.requests.length).toBe(3);
});

const FORBIDDEN: [string, (bench: Bench) => void][] = [
  [
    'PublishServerDescriptor 0',
    (bench) => {
      bench.settings = { ...bench.settings, publish: false };
    },
  ],
  [
    'that nobody is known to reach us',
    (bench) => {
      bench.settings = { ...bench.settings, waitsFor: 'nobody is known to reach us' };
    },
  ],
  [
    'a problem with the address',
    (bench) => {
      bench.settings = { ...bench.settings, address: NOWHERE };
    },
  ],
  [
    'a consensus that requires what we lack',
    (bench) => {
      bench.network = { hasConsensus: true, missingRequired: 'HSDir=2' };
    },
  ],
];

test.each(FORBIDDEN)(
  '%s withdraws uploads that wait for their retry, and later makes a new descriptor',
  async (_name, forbid) => {
    const bench = new Bench();
    const { settings, network } = bench;
    bench.outcomes = { a: 'timeout', b: 503 };
    bench.publisher.start();
    await settle();
    expect(bench.publisher.uploads().map(({ state }) => state)).toEqual(['failed', 'failed', 'accepted']);
    forbid(bench);
    bench.publisher.check();
    expect(bench.publisher.uploads().map(({ state }) => state)).toEqual(['waiting', 'waiting', 'accepted']);
    bench.outcomes = {};
    await bench.time.pass(5 * HOUR_MS);
    expect(bench.requests.length).toBe(3);
    bench.settings = settings;
    bench.network = network;
    await bench.time.pass(60_000);
    expect(bench.built.map(({ reason }) => reason)).toEqual([
      'the relay just started',
      'the relay just started',
    ]);
    expect(bench.built[1]!.publishedSec).toBeGreaterThan(T0 + 5 * 3600);
    expect(bench.requests.length).toBe(6);
    expect(bench.publisher.uploads().map(({ state }) => state)).toEqual(['accepted', 'accepted', 'accepted']);
  },
);

test('an upload on its way is withdrawn too; what all have is not made again, and each ban is told', async () => {
  const bench = new Bench();
  const { settings } = bench;
  bench.publisher.start();
  bench.settings = { ...settings, waitsFor: 'nobody is known to reach us' };
  bench.publisher.check();
  expect(bench.aborted).toBe(3);
  await settle();
  expect(bench.publisher.uploads().map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting']);
  bench.settings = settings;
  await bench.time.pass(60_000);
  expect(bench.built.length).toBe(2);
  bench.settings = { ...settings, waitsFor: 'nobody is known to reach us' };
  await bench.time.pass(HOUR_MS);
  bench.settings = settings;
  await bench.time.pass(HOUR_MS);
  expect(bench.built.length).toBe(2);
  const told = bench.said('notice').filter((text) => text.startsWith('Publishing nothing'));
  expect(told.length).toBe(2);
  bench.settings = { ...settings, waitsFor: 'nobody is known to reach us' };
  await bench.time.pass(HOUR_MS);
  expect(bench.said('notice').filter((text) => text.startsWith('Publishing nothing')).length).toBe(3);
});

test.each([-1, 1])('a clock that jumps by %p day moves no age', async (days) => {
  const bench = new Bench();
  bench.listing = { listed: true, stale: false, validAfterSec: T0 };
  bench.publisher.start();
  await bench.time.pass(HOUR_MS);
  bench.time.jump(days * 86_400);
  bench.listing = { listed: false, stale: false, validAfterSec: T0 };
  await bench.time.pass(HOUR_MS / 2);
  expect(bench.built.length).toBe(1);
  await bench.time.pass(60_000);
  expect(bench.built[1]!.reason).toBe('not listed in consensus');
  bench.listing = { listed: true, stale: false, validAfterSec: T0 };
  bench.time.jump(-days * 86_400);
  await bench.time.pass(18 * HOUR_MS);
  expect(bench.built.length).toBe(2);
  await bench.time.pass(60_000);
  expect(bench.built[2]!.reason).toBe('time for new descriptor');
  expect(bench.built[2]!.publishedSec).toBe(bench.time.nowSec());
});

test.each([-1, 1])(
  'after a jump by %p day a new descriptor bears the date of the new clock',
  async (days) => {
    const bench = new Bench();
    bench.bytesPerSec = 100_000;
    bench.publisher.start();
    await bench.time.pass(60_000);
    bench.time.jump(days * 86_400);
    bench.publisher.markDirty('clock jumped');
    expect(bench.built[1]).toEqual({ reason: 'clock jumped', publishedSec: T0 + 60 + days * 86_400 });
    bench.bytesPerSec = 300_000;
    await bench.time.pass(60_000);
    expect(bench.built[2]!.reason).toBe('bandwidth has changed');
    bench.bytesPerSec = 900_000;
    bench.time.jump(-days * 86_400);
    await bench.time.pass(2 * HOUR_MS);
    expect(bench.built.length).toBe(3);
    await bench.time.pass(HOUR_MS + 60_000);
    expect(bench.built[3]!.reason).toBe('bandwidth has changed');
  },
);

test('a clock that steps back by seconds makes no descriptor look older than the one before', () => {
  const bench = new Bench();
  bench.publisher.start();
  bench.time.jump(-30);
  bench.publisher.markDirty('clock jumped');
  expect(bench.built[1]!.publishedSec).toBe(T0 + 1);
});

test('PublishServerDescriptor 0 publishes nothing', async () => {
  const bench = new Bench();
  bench.settings = { ...bench.settings, publish: false };
  bench.publisher.start();
  await bench.time.pass(20 * HOUR_MS);
  expect(bench.requests.length).toBe(0);
  expect(bench.said('warn')).toEqual([]);
});

test('on a public network a required protocol that we lack keeps us silent, and so does not knowing', async () => {
  const bench = new Bench();
  bench.network.hasConsensus = false;
  bench.publisher.start();
  await bench.time.pass(60_000);
  expect(bench.requests.length).toBe(0);
  bench.network = { ...bench.network, hasConsensus: true, missingRequired: 'HSIntro=4-5' };
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(0);
  expect(bench.said('warn').length).toBe(1);
  expect(bench.said('warn')[0]).toContain('HSIntro=4-5');
  bench.network.missingRequired = '';
  bench.publisher.check();
  expect(bench.requests.length).toBe(3);
});

test('in a testing network a lacking protocol is named once, and nothing waits for a consensus', async () => {
  const bench = new Bench();
  bench.settings = { ...bench.settings, testing: true };
  bench.network.hasConsensus = false;
  bench.publisher.start();
  expect(bench.requests.length).toBe(3);
  bench.network = { ...bench.network, hasConsensus: true, missingRequired: 'HSDir=2' };
  bench.publisher.markDirty('config change');
  bench.publisher.markDirty('config change');
  expect(bench.requests.length).toBe(9);
  expect(bench.said('warn').length).toBe(1);
  expect(bench.said('warn')[0]).toContain('HSDir=2');
});

test('a stopped publisher lets go of every timer', async () => {
  const bench = new Bench();
  bench.outcomes = { a: 'timeout' };
  bench.publisher.start();
  await settle();
  bench.publisher.stop();
  expect(bench.time.pending()).toEqual([]);
  bench.publisher.markDirty('config change');
  await bench.time.pass(HOUR_MS);
  expect(bench.requests.length).toBe(3);
});
