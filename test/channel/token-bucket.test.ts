/**
 * Links of two workers under one limit, by a virtual clock: rates, order, fairness, what is limited and what is not.
 */
import { describe, expect, test } from 'bun:test';
import { Slab } from '../../src/bytes/slab.ts';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { BufferPool } from '../../src/channel/buffer-pool.ts';
import {
  type Channel,
  type ChannelShared,
  CLOSED,
  HANDSHAKING,
  HELD_IN_LINE,
  NOT_HELD,
  OPEN,
  STAGING_CELLS,
} from '../../src/channel/channel.ts';
import { ChannelTable } from '../../src/channel/channel-table.ts';
import { REFILL_WAKE_MS, Throttle } from '../../src/channel/token-bucket.ts';
import type { Wire } from '../../src/channel/wire.ts';
import { Bandwidth, READ, WRITE } from '../../src/shm/bandwidth.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { Counter, type CounterName, Scoreboard } from '../../src/shm/scoreboard.ts';
import { OPTIONS } from '../sim/relay.ts';

const CHUNK_MOST = 524_288;
const PUBLIC = Uint8Array.of(198, 51, 100, 7);
const CELL = new Uint8Array(CELL_BYTES);

/** A wire that takes all, and whose other end always has more. */
class BusyWire implements Wire {
  written = 0;
  read = 0;
  paused = false;
  chunkBytes = CHUNK_MOST;

  write(_bytes: Uint8Array, _from: number, length: number): number {
    this.written += length;
    return length;
  }
  acknowledge(): void {}
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(): void {}
  abort(): void {}
}

class Rig {
  nowMs = 1000;
  readonly board: Scoreboard;
  readonly bandwidth: Bandwidth;
  readonly throttles: Throttle[] = [];
  readonly tables: ChannelTable[] = [];
  readonly channels: Channel[][] = [];
  private readonly shared: ChannelShared[] = [];
  options: WorkerOptions;
  index = new RelayIndex(RelayIndex.create([]));

  constructor(options: Partial<WorkerOptions>, workers = 2) {
    this.options = { ...OPTIONS, ...options };
    const sab = Bandwidth.create(workers, this.nowMs);
    this.bandwidth = new Bandwidth(sab);
    this.bandwidth.setLimits(this.options);
    const scores = Scoreboard.create(workers);
    this.board = new Scoreboard(scores, 0);
    for (let worker = 0; worker < workers; worker++) {
      const channels = new ChannelTable();
      const throttle = new Throttle(
        {
          bandwidth: new Bandwidth(sab),
          worker,
          channels,
          counters: new Scoreboard(scores, worker),
          relayIndex: () => this.index,
          now: () => this.nowMs,
        },
        this.options,
      );
      this.tables.push(channels);
      this.throttles.push(throttle);
      this.channels.push([]);
      this.shared.push({
        staging: new BufferPool(STAGING_CELLS * CELL_BYTES, 4),
        parked: new Slab(CELL_BYTES),
        source: {
          refill(channel) {
            while (!channel.congested) channel.put(CELL, 0);
          },
        },
        mayWrite: (channel, bytes) => throttle.mayWrite(channel, bytes),
        markDirty: () => {},
        onWritten: (channel, bytes) => throttle.onWritten(channel, bytes),
        onControlOverflow: () => {},
      });
    }
  }

  add(worker: number, chunkBytes = CHUNK_MOST, host = PUBLIC, rsaId: Uint8Array | null = null): Channel {
    const channel = this.tables[worker]!.add(this.shared[worker]!, false, host, 9001);
    const wire = new BusyWire();
    wire.chunkBytes = chunkBytes;
    channel.wire = wire;
    this.throttles[worker]!.onAdded(channel);
    channel.state = OPEN;
    channel.peerRsaId = rsaId;
    this.throttles[worker]!.onOpen(channel);
    this.channels[worker]!.push(channel);
    return channel;
  }

  count(name: CounterName): number {
    return this.board.total(Counter[name]);
  }

  /** Let every unpaused channel read a chunk, in each step of 2 ms; tick each worker at its own phase. */
  read(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; this.nowMs += 2) {
      for (const [worker, channels] of this.channels.entries()) {
        for (const channel of channels) {
          const wire = wireOf(channel);
          if (wire.paused || channel.state === CLOSED) continue;
          wire.read += wire.chunkBytes;
          this.throttles[worker]!.onRead(channel, wire.chunkBytes);
        }
        if (this.nowMs % REFILL_WAKE_MS === 0) this.throttles[worker]!.tick(this.nowMs);
      }
    }
  }

  /** Let every channel write all that it may. */
  write(ms: number): void {
    for (const channels of this.channels) {
      for (const channel of channels) while (!channel.congested) channel.put(CELL, 0);
    }
    for (const end = this.nowMs + ms; this.nowMs < end; this.nowMs += REFILL_WAKE_MS) {
      for (const throttle of this.throttles) throttle.tick(this.nowMs);
    }
  }

  total(which: 'read' | 'written'): number {
    return this.channels.flat().reduce((sum, channel) => sum + wireOf(channel)[which], 0);
  }
}

function wireOf(channel: Channel): BusyWire {
  return channel.wire as BusyWire;
}

function limit(rate: number): Partial<WorkerOptions> {
  return { bandwidthRate: rate, bandwidthBurst: rate };
}

function within(value: number, wanted: number, share: number): void {
  expect(Math.abs(value / wanted - 1)).toBeLessThan(share);
}

const SHAPES: readonly (readonly [number, number, number])[] = [
  [1_000_000, 1, 1],
  [1_000_000, 3, 9],
  [1_000_000, 250, 250],
  [100_000_000, 4, 4],
  [100_000_000, 1, 0],
  [100_000_000, 200, 20],
];

describe('reading', () => {
  test.each(SHAPES)('%d bytes a second over %d and %d links', (rate, here, there) => {
    const rig = new Rig(limit(rate));
    for (let i = 0; i < here; i++) rig.add(0);
    for (let i = 0; i < there; i++) rig.add(1);
    rig.read(5000);
    const before = rig.total('read');
    rig.read(60_000);
    // What is owed at either end are a few chunks at most.
    const slack = (4 * CHUNK_MOST) / (rate * 60);
    within(rig.total('read') - before, rate * 60, 0.01 + slack);
    const each = rig.channels.flat().map((channel) => wireOf(channel).read);
    expect(Math.max(...each) - Math.min(...each)).toBeLessThan(2 * CHUNK_MOST + rate / 20);
    expect(rig.bandwidth.level(READ)).toBeGreaterThan(-Math.max(2 ** 20, rate / 4) - 3 * CHUNK_MOST);
    expect(rig.count('bandwidth_read_limit_hit')).toBeGreaterThan(0);
  });

  test('serves links in turn, wherever they are, and however long their chunks', () => {
    const rig = new Rig(limit(2_000_000));
    const busy = [rig.add(0), rig.add(0), rig.add(1)];
    const small = [rig.add(0, 5140), rig.add(1, 5140), rig.add(1, 5140)];
    rig.read(60_000);
    const turns = [...busy, ...small].map((one) => wireOf(one).read / wireOf(one).chunkBytes);
    expect(Math.min(...turns)).toBeGreaterThan(Math.max(...turns) * 0.6);
  });

  test('a link beside 499 busy ones gets its turn once in each round', () => {
    const rig = new Rig(limit(10_000_000));
    for (let i = 0; i < 499; i++) rig.add(i & 1);
    const one = rig.add(1, 514);
    rig.read(60_000);
    const rounds = rig.total('read') / (499 * CHUNK_MOST);
    expect(wireOf(one).read / 514).toBeGreaterThanOrEqual(Math.floor(rounds));
  });

  test('many idle links hold up nobody', () => {
    const rig = new Rig(limit(1_000_000));
    for (let i = 0; i < 2000; i++) rig.add(i & 1, 0);
    for (const channel of rig.channels.flat()) channel.lastChunkBytes = 514;
    const busy = rig.add(0);
    rig.read(20_000);
    within(wireOf(busy).read, 21_000_000, 0.05);
  });

  test('a worker that hangs is not waited for', () => {
    const rig = new Rig(limit(1_000_000));
    const [hung, busy] = [rig.add(0), rig.add(1)];
    rig.read(2000);
    rig.channels[0] = [];
    rig.throttles[0]!.tick = () => {};
    const before = wireOf(busy).read;
    rig.read(20_000);
    within(wireOf(busy).read - before, 20_000_000, 0.06);
    expect(wireOf(hung).paused || hung.readHeld === NOT_HELD).toBe(true);
  });

  test('goes on at once when the limit is raised', () => {
    const rig = new Rig(limit(100_000));
    const busy = rig.add(0);
    rig.read(2000);
    expect(busy.readHeld).toBe(HELD_IN_LINE);
    const before = rig.total('read');
    rig.bandwidth.setLimits({ ...rig.options, ...limit(50_000_000) });
    rig.read(1000);
    within(rig.total('read') - before, 50_000_000, 0.05);
  });

  test('what is under way when a link is paused is counted; a closed link leaves the line', () => {
    const rig = new Rig(limit(1_000_000), 1);
    const [first, second] = [rig.add(0), rig.add(0)];
    const [throttle] = rig.throttles;
    throttle!.onRead(first, 1_000_000);
    expect(wireOf(first).paused).toBe(true);
    throttle!.onRead(first, 2000);
    expect([rig.bandwidth.level(READ), first.lastChunkBytes]).toEqual([-2000, 1_002_000]);
    throttle!.onRead(second, 1);
    first.state = CLOSED;
    rig.nowMs += 100;
    throttle!.tick(rig.nowMs);
    expect([wireOf(second).paused, second.readHeld, throttle!.isWaiting]).toEqual([false, NOT_HELD, false]);
  });
});

describe('writing', () => {
  test.each(SHAPES)('%d bytes a second over %d and %d links', (rate, here, there) => {
    const rig = new Rig(limit(rate));
    for (let i = 0; i < here; i++) rig.add(0);
    for (let i = 0; i < there; i++) rig.add(1);
    rig.write(5000);
    const before = rig.total('written');
    rig.write(60_000);
    within(rig.total('written') - before, rate * 60, 0.01);
    expect(rig.count('bandwidth_write_limit_hit')).toBeGreaterThan(0);
    const each = rig.channels.flat().map((channel) => wireOf(channel).written);
    expect(Math.max(...each) - Math.min(...each)).toBeLessThan(rate * 1.2 + 200_000);
  });

  test('nobody overtakes those that wait', () => {
    const rig = new Rig(limit(1_000_000), 1);
    const [first, second] = [rig.add(0), rig.add(0)];
    while (!first.congested) first.put(CELL, 0);
    rig.nowMs += 50;
    second.put(CELL, 0);
    second.flush();
    expect([rig.bandwidth.level(WRITE) > 0, second.writeHeld]).toEqual([true, HELD_IN_LINE]);
    rig.throttles[0]!.tick(rig.nowMs);
    expect(wireOf(second).written).toBeGreaterThan(0);
  });

  test('a link handshake is counted and never held up', () => {
    const rig = new Rig(limit(1_000_000), 1);
    const channel = rig.add(0);
    channel.state = HANDSHAKING;
    rig.throttles[0]!.onWritten(channel, 3_000_000);
    rig.throttles[0]!.onRead(channel, 3_000_000);
    expect([rig.bandwidth.level(WRITE), rig.bandwidth.level(READ)]).toEqual([-2_000_000, -2_000_000]);
    expect([wireOf(channel).paused, rig.throttles[0]!.isWaiting]).toEqual([false, false]);
  });

  test('a flood of handshakes makes no debt that takes long to repay', () => {
    const rig = new Rig(limit(100_000), 1);
    const channel = rig.add(0);
    channel.state = HANDSHAKING;
    for (let i = 0; i < 10_000; i++) {
      rig.throttles[0]!.onRead(channel, 2000);
      rig.throttles[0]!.onWritten(channel, 3000);
    }
    for (const direction of [READ, WRITE]) {
      expect(rig.bandwidth.level(direction)).toBeLessThan(-(2 ** 20));
      expect(rig.bandwidth.level(direction)).toBeGreaterThan(-(2 ** 20) - 4000);
    }
  });
});

describe('what is limited', () => {
  const PRIVATE = Uint8Array.of(10, 0, 0, 1);

  test('private addresses are, only with CountPrivateBandwidth', () => {
    const rig = new Rig({ ...limit(1_000_000), countPrivateBandwidth: false }, 1);
    const channel = rig.add(0, CHUNK_MOST, PRIVATE);
    rig.read(100);
    rig.throttles[0]!.onWritten(channel, 10_000_000);
    expect([rig.bandwidth.level(READ), rig.bandwidth.level(WRITE)]).toEqual([1_000_000, 1_000_000]);
    rig.throttles[0]!.update({ ...rig.options, countPrivateBandwidth: true });
    rig.read(100);
    expect(rig.bandwidth.level(READ)).toBeLessThan(0);
  });

  test('relayed traffic has its own limit, counted by itself', () => {
    const rig = new Rig({
      ...limit(50_000_000),
      relayBandwidthRate: 2_000_000,
      relayBandwidthBurst: 2_000_000,
    });
    rig.add(0);
    rig.add(1);
    rig.read(30_000);
    rig.write(30_000);
    within(rig.total('read'), 62_000_000, 0.05);
    within(rig.total('written'), 62_000_000, 0.05);
    expect(rig.count('relay_bandwidth_read_limit_hit')).toBeGreaterThan(0);
    expect(rig.count('relay_bandwidth_write_limit_hit')).toBeGreaterThan(0);
    expect(rig.count('bandwidth_read_limit_hit') + rig.count('bandwidth_write_limit_hit')).toBe(0);
  });

  test('a link of a client, or of a relay that is not listed, has buckets of its own', () => {
    const listed = new Uint8Array(20).fill(4);
    const rig = new Rig({ ...limit(40_000_000), perConnBwRate: 500_000, perConnBwBurst: 1_000_000 });
    rig.index = new RelayIndex(RelayIndex.create([{ rsaId: listed, ipv4: null, ipv6: null }]));
    const client = rig.add(0, 100_000);
    const unlisted = rig.add(1, 100_000, PUBLIC, new Uint8Array(20).fill(5));
    const relay = rig.add(1, 100_000, PUBLIC, listed);
    rig.read(20_000);
    rig.write(20_000);
    for (const one of [client, unlisted]) {
      within(wireOf(one).read, 11_000_000, 0.05);
      within(wireOf(one).written, 11_000_000, 0.05);
    }
    expect(wireOf(relay).read).toBeGreaterThan(100_000_000);
    expect(rig.count('link_bandwidth_limit_hit')).toBeGreaterThan(0);
    // Without that limit both go on.
    const before = wireOf(client).read;
    for (const throttle of rig.throttles)
      throttle.update({ ...rig.options, perConnBwRate: 2 ** 30, perConnBwBurst: 2 ** 30 });
    rig.read(1000);
    expect(wireOf(client).read - before).toBeGreaterThan(2_000_000);
    expect(client.ownLimit).toBe(false);
  });
});
