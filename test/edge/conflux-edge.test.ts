/** Streams over conflux sets, through an exit whose workers each have a leg. */
import { describe, expect, test } from 'bun:test';
import { ConfluxUx } from '../../src/cell/conflux.ts';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin, encodeEnd } from '../../src/cell/stream-message.ts';
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { filled, OUR_HOST } from '../circuit/rig.ts';
import { ExitClient, type ExitLeg } from '../sim/conflux-client.ts';
import type { SimConnection } from '../sim/destinations.ts';
import { Peer } from '../sim/peer.ts';
import { SimRelay } from '../sim/relay.ts';
import { World } from '../sim/world.ts';
import { ACCEPT_ALL } from './exit-rig.ts';

/** Bytes that tell their place. */
const counted = (length: number, seed = 0) =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) ^ (i >> 8));

class Rig {
  readonly world = new World(1);
  readonly relay: SimRelay;
  readonly client: ExitClient;
  private peers = 0;

  constructor(workers = 2) {
    const listed = [1, 2, 3, 4].map((n) => ({
      rsaId: filled(20, n),
      ipv4: { host: Uint8Array.of(198, 51, 100, 10 + n), port: 9001 },
      ipv6: null,
    }));
    this.relay = new SimRelay(this.world, {
      host: OUR_HOST,
      workers,
      relayIndex: new RelayIndex(RelayIndex.create(listed)),
      options: { exit: { ...NO_EXIT, rules: ACCEPT_ALL } },
    });
    this.client = new ExitClient(this.relay, filled(32, 5));
    this.world.settle();
  }

  settle(): void {
    this.world.settle(2_000_000);
  }

  count(name: CounterName): number {
    return this.relay.count(name);
  }

  /** A circuit over a relay of its own, which the consensus lists or not, or straight from the client. */
  open(worker: number, over: 'listed' | 'unlisted' | 'client' = 'listed'): ExitLeg {
    const n = over === 'listed' ? ++this.peers : 99;
    const identity = over === 'client' ? null : { rsaId: filled(20, n), ed25519Id: filled(32, n) };
    const from = { host: Uint8Array.of(198, 51, 100, 10 + n), port: 50_000 };
    const leg = this.client.circuit(Peer.connect(this.world, this.relay, { worker, identity, from }));
    this.settle();
    return leg;
  }

  join(worker: number, over: 'listed' | 'unlisted' | 'client' = 'listed'): ExitLeg {
    const leg = this.open(worker, over);
    leg.link();
    this.settle();
    return leg;
  }

  /** Open a stream over the set and let its destination accept. */
  stream(streamId: number): SimConnection {
    this.client.say(RelayCommand.BEGIN, streamId, encodeBegin('192.0.2.9:80'));
    this.settle();
    const connection = this.relay.destinations.last;
    connection.accept();
    this.settle();
    expect(this.client.streams.get(streamId)!.isOpen).toBe(true);
    return connection;
  }

  expectNothing(): void {
    for (const { data } of this.relay.workers) {
      const { homes, legs, registry, heldBytes } = data.plane.conflux;
      expect([
        homes.size,
        homes.remoteCount,
        homes.localCount,
        legs.tokens,
        registry.size,
        heldBytes,
      ]).toEqual([0, 0, 0, 0, 0, 0]);
      expect(data.edge.table.count).toBe(0);
      expect(data.edge.desk.sockets).toBe(0);
    }
  }
}

describe.each([
  ['one worker', 0, 0],
  ['two workers', 0, 1],
] as const)('a set over %s', (_name, first, second) => {
  test('opens streams where it is at home, and downloads over both legs', () => {
    const rig = new Rig();
    rig.join(first);
    rig.join(second);
    const connection = rig.stream(7);
    const bytes = counted(1_000_000);
    connection.say(bytes);
    rig.settle();
    expect(Uint8Array.from(rig.client.streams.get(7)!.received)).toEqual(bytes);
    for (const heard of rig.client.heard) expect(heard).toBeGreaterThan(100);
    if (second !== first) expect(rig.count('joint_messages')).toBeGreaterThan(100);
    else expect(rig.count('joint_messages')).toBe(0);
    expect(rig.count('streams_begun')).toBe(1);
    rig.client.say(RelayCommand.END, 7, encodeEnd(EndReason.DONE));
    rig.settle();
    expect(connection.ended).toBe(true);
    for (const leg of rig.client.legs) leg.destroy();
    rig.settle();
    rig.expectNothing();
  });

  test('uploads over both legs', () => {
    const rig = new Rig();
    rig.join(first);
    rig.join(second);
    const connection = rig.stream(7);
    const bytes = counted(400_000);
    rig.client.upload(7, bytes);
    rig.settle();
    expect(rig.client.waits).toBe(0);
    expect(Uint8Array.from(connection.received)).toEqual(bytes);
    expect(rig.count('conflux_switches_received')).toBeGreaterThan(0);
    for (const { leg } of rig.client.legs) expect(leg!.lastSeqSent).toBeGreaterThan(0);
  });

  test('carries sixteen streams at once', () => {
    const rig = new Rig();
    rig.join(first);
    rig.join(second);
    const connections = Array.from({ length: 16 }, (_, i) => rig.stream(100 + i));
    for (const [i, connection] of connections.entries()) {
      connection.say(counted(30_000, i));
      rig.client.upload(100 + i, counted(20_000, 50 + i));
    }
    rig.settle();
    for (const [i, connection] of connections.entries()) {
      expect(Uint8Array.from(rig.client.streams.get(100 + i)!.received)).toEqual(counted(30_000, i));
      expect(Uint8Array.from(connection.received)).toEqual(counted(20_000, 50 + i));
      connection.finish();
    }
    rig.settle();
    for (const { end } of rig.client.streams.values()) expect(end).toEqual(encodeEnd(EndReason.DONE));
  });

  test('for latency downloads over one leg only', () => {
    const rig = new Rig();
    rig.client.ux = ConfluxUx.MIN_LATENCY;
    rig.join(first);
    rig.join(second);
    rig.stream(7).say(counted(300_000));
    rig.settle();
    expect(rig.client.streams.get(7)!.received.length).toBe(300_000);
  });

  test('ends with a leg that is in use, and its streams with it', () => {
    const rig = new Rig();
    rig.join(first);
    const other = rig.join(second);
    const connection = rig.stream(7);
    connection.say(counted(2_000_000));
    other.isMute = true;
    while (other.heard < 40) rig.world.step();
    other.destroy();
    rig.settle();
    expect(connection.ended).toBe(true);
    expect(rig.client.legs[0]!.destroyed).toBe(DestroyReason.FINISHED);
    expect(rig.count('conflux_sets_torn')).toBe(1);
    rig.expectNothing();
  });

  test('does without a leg that was not in use', () => {
    const rig = new Rig();
    rig.join(first);
    const other = rig.join(second);
    other.destroy();
    rig.client.set.leave(other.leg!, false);
    rig.settle();
    const connection = rig.stream(7);
    connection.say(counted(200_000));
    rig.settle();
    expect(rig.client.streams.get(7)!.received.length).toBe(200_000);
  });
});

describe('who may exit over a set', () => {
  test.each([
    ['unlisted', EndReason.MISC, 'stream_unknown_hop_refused'],
    ['client', EndReason.TORPROTOCOL, 'stream_first_hop_refused'],
  ] as const)('depends on the leg that a BEGIN comes over: %s', (over, reason, counter) => {
    for (const worker of [0, 1]) {
      const rig = new Rig();
      rig.join(0);
      rig.join(worker, over);
      // The next message goes over the second.
      rig.client.set.legs[0]!.port.room = () => 0;
      rig.client.say(RelayCommand.BEGIN, 7, encodeBegin('192.0.2.9:80'));
      rig.settle();
      expect(rig.client.streams.get(7)!.end).toEqual(encodeEnd(reason));
      expect(rig.count(counter)).toBe(1);
    }
  });

  test('a circuit with a stream cannot join', () => {
    const rig = new Rig();
    const leg = rig.open(0);
    rig.client.streams.set(3, { received: [], isOpen: false, end: null });
    leg.circuit.say(RelayCommand.BEGIN, 3, encodeBegin('192.0.2.9:80'));
    rig.settle();
    leg.link();
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('conflux_streams_refused')).toBe(1);
    expect(rig.relay.destinations.last.accept()).toBe(false);
    rig.expectNothing();
  });
});

test('a destination that takes nothing makes the client stop, over a set', () => {
  const rig = new Rig();
  rig.join(0);
  rig.join(1);
  const connection = rig.stream(7);
  connection.capacity = 0;
  const bytes = counted(600_000);
  rig.client.upload(7, bytes.subarray(0, 400_000));
  rig.world.pass(20);
  rig.client.upload(7, bytes.subarray(400_000));
  rig.world.pass(20);
  expect(rig.count('stream_xoff_sent')).toBe(1);
  connection.drain(Number.POSITIVE_INFINITY);
  rig.settle();
  expect(Uint8Array.from(connection.received)).toEqual(bytes);
});

test('a worker that dies takes sets with a leg there along, and their streams', () => {
  const rig = new Rig(3);
  rig.join(0);
  rig.join(1);
  const connection = rig.stream(7);
  rig.relay.kill(1);
  rig.settle();
  expect(connection.ended).toBe(true);
  expect(rig.client.legs[0]!.destroyed).toBe(DestroyReason.FINISHED);
});

describe('memory', () => {
  test('that the streams and the order of a set hold is found at its first circuit, and let go with it', () => {
    const rig = new Rig();
    const first = rig.join(0);
    rig.join(0);
    const connection = rig.stream(7);
    connection.capacity = 0;
    rig.client.upload(7, counted(30_000));
    rig.settle();
    const { plane, edge } = rig.relay.workers[0]!.data;
    const { table } = plane;
    const rows = [0, 1, 2, 3].filter((row) => table.conflux[row] !== null);
    expect(rows.length).toBe(2);
    expect(rows.map((row) => edge.heldBytesOf(row) > 0)).toEqual([true, false]);
    expect(edge.heldSinceMs(rows[0]!)).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(edge.heldSinceMs(rows[1]!)).toBe(Number.POSITIVE_INFINITY);
    expect(edge.dropOf(rows[0]!)).toBeGreaterThan(20_000);
    plane.wake();
    rig.settle();
    expect(first.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    rig.expectNothing();
  });
});
