/**
 * Bandwidth limits of the real relay with two workers, under floods that could carry more: what the peers receive in
 * seconds 5 to 15 is within 5 % of the rate, and HUP changes the rate under way.
 *
 * A busy machine may keep the relay or its peers waiting for a second, which a bucket then makes up for by its burst.
 * So what a bucket allows at most (the rate, a burst, and what sockets held) is asserted of each window, the 5 % of one
 * out of three. It may carry less than 100 MB/s by itself, too: there the 5 % are asserted only when runs without
 * limit, in the same test, before and after, carried clearly more.
 */
import { afterEach, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FloodPart } from '../../src/load/flood-part.ts';
import { blemish, type Direction, type FloodPlan } from '../../src/load/plan.ts';
import { RelayProcess } from './relay-process.ts';

const MB = 2 ** 20;
const FROM_MS = 5000;
const MEASURED_MS = 10_000;
const CONTROL_MS = 4000;
const TOLERANCE = 0.05;
const WINDOWS = 3;
/** How much more the machine must carry without limit, for the 5 % to mean anything. */
const CLEARLY_MORE = 1.4;
const TEST_MS = 240_000;

const FLOOD: FloodPlan = {
  mode: 'flood',
  direction: 'forward',
  circuits: 48,
  links: { connections: 6, ports: null, spare: 0 },
  route: { nextHops: 4, routes: null, dialers: null },
  window: 400,
  burst: 8,
  bytes: 0,
  warmUpBytes: 0,
  bytesPerSec: null,
};

let relay: RelayProcess | null = null;
let flood: FloodPart | null = null;

afterEach(async () => {
  flood?.close();
  flood = null;
  await relay?.stop();
  relay = null;
});

function limits(rate: number, prefix = ''): string[] {
  return [
    `${prefix}BandwidthRate ${rate} bytes`,
    `${prefix}BandwidthBurst ${rate} bytes`,
    'CountPrivateBandwidth 1',
  ];
}

async function start(lines: readonly string[], direction: Direction = 'forward'): Promise<RelayProcess> {
  relay = await RelayProcess.start(lines);
  flood = new FloodPart(
    { ...FLOOD, direction },
    {
      host: '127.0.0.1',
      port: relay.port(),
      rsaId: relay.rsaId,
      ed25519Id: relay.ed25519Id,
      onionKey: relay.onionKey,
    },
  );
  await flood.connect();
  await flood.prepare(null);
  await flood.beginBeside();
  return relay;
}

/** Bytes of cells per second that the peers receive in a window of time. */
async function received(ms: number): Promise<number> {
  const window = flood!.look();
  await Bun.sleep(ms);
  return flood!.since(window).bytesPerSec;
}

/** Read a torrc with these limits instead of those before. */
async function reload(lines: readonly string[]): Promise<void> {
  const path = join(relay!.directory, 'torrc');
  const kept = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => !/^((Relay)?Bandwidth|PerConnBW|CountPrivateBandwidth)/.test(line));
  writeFileSync(path, `${[...kept, ...lines].join('\n')}\n`);
  const from = relay!.log().length;
  process.kill(relay!.pid, 'SIGHUP');
  await relay!.logged(/Reloaded: /, from);
}

/** Whether the peers receive so much per second; fails at once when it is more than any bucket allows. */
async function keepsRate(wanted: number, ms = MEASURED_MS): Promise<boolean> {
  for (let i = 0; i < WINDOWS; i++) {
    const rate = await received(ms);
    // The rate, one burst of a second's bytes, and a second's bytes that sockets held while we were kept waiting.
    expect(rate).toBeLessThan(wanted * (1 + TOLERANCE + 2000 / ms));
    if (Math.abs(rate / wanted - 1) < TOLERANCE) return true;
  }
  return false;
}

/** End the flood: every cell must arrive. */
async function endWhole(): Promise<void> {
  await flood!.endBeside();
  expect(blemish(FLOOD.mode, await flood!.check())).toBeNull();
  relay!.assertWell();
}

test.each(['forward', 'both'] as const)(
  'keeps 1 MB/s, %s; one way, new limits from HUP, too',
  async (direction) => {
    const running = await start(limits(MB), direction);
    await Bun.sleep(FROM_MS);
    expect(await keepsRate(MB)).toBe(true);
    const hits = await running.counters('bandwidth_read_limit_hit', 'bandwidth_write_limit_hit');
    expect(hits.bandwidth_read_limit_hit).toBeGreaterThan(0);
    expect(hits.bandwidth_write_limit_hit).toBeGreaterThan(0);
    for (const megabytes of direction === 'forward' ? [4, 2] : []) {
      await reload(limits(megabytes * MB));
      await Bun.sleep(3000);
      expect(await keepsRate(megabytes * MB, 5000)).toBe(true);
    }
    await reload(limits(200 * MB));
    await endWhole();
  },
  TEST_MS,
);

test(
  'keeps a limit of relayed traffic below that of all',
  async () => {
    const running = await start([...limits(50 * MB), ...limits(3 * MB, 'Relay').slice(0, 2)]);
    await Bun.sleep(FROM_MS);
    expect(await keepsRate(3 * MB)).toBe(true);
    const hits = await running.counters('relay_bandwidth_read_limit_hit', 'bandwidth_read_limit_hit');
    expect(hits.relay_bandwidth_read_limit_hit).toBeGreaterThan(0);
    expect(hits.bandwidth_read_limit_hit).toBe(0);
    await reload(limits(200 * MB));
    await endWhole();
  },
  TEST_MS,
);

test(
  'keeps a limit of each link, also a new one from HUP',
  async () => {
    // Nobody here is a relay of the consensus; four links lead out.
    const each = (rate: number) => [`PerConnBWRate ${rate} bytes`, `PerConnBWBurst ${rate} bytes`];
    const running = await start([...each(MB / 4), 'CountPrivateBandwidth 1']);
    await Bun.sleep(FROM_MS);
    expect(await keepsRate(MB)).toBe(true);
    const hits = await running.counters('link_bandwidth_limit_hit', 'bandwidth_write_limit_hit');
    expect(hits.link_bandwidth_limit_hit).toBeGreaterThan(0);
    expect(hits.bandwidth_write_limit_hit).toBe(0);
    await reload([...each(MB / 2), 'CountPrivateBandwidth 1']);
    await Bun.sleep(3000);
    expect(await keepsRate(2 * MB, 5000)).toBe(true);
    await reload(limits(200 * MB));
    await endWhole();
  },
  TEST_MS,
);

test(
  'keeps 100 MB/s',
  async () => {
    await start(limits(1024 * MB));
    await Bun.sleep(2000);
    const before = await received(CONTROL_MS);
    await reload(limits(100 * MB));
    await Bun.sleep(FROM_MS);
    if (!(await keepsRate(100 * MB))) {
      await reload(limits(1024 * MB));
      await Bun.sleep(2000);
      const after = await received(CONTROL_MS);
      // Else the machine is too busy to tell.
      expect(Math.min(before, after)).toBeLessThan(100 * MB * CLEARLY_MORE);
    }
    await endWhole();
  },
  TEST_MS,
);
