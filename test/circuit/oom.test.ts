/** At MaxMemInQueues: who has to go, in which order, how far, and that all is given back. */
import { describe, expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { Channel } from '../../src/channel/channel.ts';
import { Memory } from '../../src/shm/memory-ledger.ts';
import { ClientCircuit } from '../sim/client.ts';
import { audit } from '../sim/ledger.ts';
import { Peer } from '../sim/peer.ts';
import { OPTIONS } from '../sim/relay.ts';
import type { EndCircuit } from '../sim/terminal.ts';
import { filled, ID, Rig, type RigOptions } from './rig.ts';

/** Cells in one chunk of the slab. */
const CHUNK = 256;
const CHUNK_BYTES = CHUNK * 514;

/** A rig whose clients do not read, and whose limit is set when all are there. */
class Scene {
  readonly rig: Rig;
  /** What the last hop speaks on, in the order in which the circuits were made. */
  readonly ends: EndCircuit[] = [];
  /** The clients' side of the same. */
  readonly circuits: ClientCircuit[] = [];
  limit = 0;
  private nextId = ID;

  constructor(options: RigOptions = {}) {
    this.rig = new Rig(options);
  }

  get filled(): number {
    return this.rig.relay.memory.filled();
  }

  /** A client's link on a worker. */
  client(worker: number): Peer {
    const { world, relay } = this.rig;
    const peer = Peer.connect(world, relay, { worker });
    this.rig.settle();
    return peer;
  }

  /** A circuit to the last hop. */
  circuit(peer: Peer): EndCircuit {
    const { rig } = this;
    const circuit = new ClientCircuit(peer, this.nextId++);
    circuit.createFast();
    rig.settle();
    circuit.createdFast(peer.expect(Command.CREATED_FAST, circuit.circId));
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.extended(circuit);
    this.circuits.push(circuit);
    this.ends.push(rig.next.last);
    return rig.next.last;
  }

  /** The relay's end of a client's link. */
  channelOf(peer: Peer): Channel {
    for (const { data } of this.rig.relay.workers) {
      for (const channel of data.channels.bySlot) if (channel?.wire === peer.wire.other) return channel;
    }
    throw new Error('no such link');
  }

  /** The client takes nothing any more; returns how it reads on. */
  block(peer: Peer): () => void {
    const wire = peer.wire.other;
    const { write } = wire;
    wire.write = () => 0;
    const channel = this.channelOf(peer);
    channel.put(buildCell(0, Command.PADDING, filled(0, 0)), 0);
    channel.flush();
    expect(channel.congested).toBe(true);
    return () => {
      wire.write = write;
      channel.drain();
      for (const worker of this.rig.relay.workers) worker.wake();
      this.rig.settle();
    };
  }

  /** Let so much more be filled than is now. */
  allow(bytes: number): void {
    this.rig.settle();
    this.limit = this.filled + bytes;
    for (const { data } of this.rig.relay.workers)
      data.setOptions({ ...OPTIONS, maxMemInQueues: this.limit });
  }

  /** Cells for one circuit, then some time. */
  feed(end: EndCircuit, cells: number): void {
    for (let i = 0; i < cells; i++) end.say(RelayCommand.DATA, 1, filled(1, i));
    this.rig.world.pass(200);
    for (const worker of this.rig.relay.workers) audit(worker);
  }

  /** Which circuits were ended, by number. */
  get ended(): number[] {
    return this.ends.flatMap(({ destroyed }, i) => (destroyed >= 0 ? [i] : []));
  }

  /** Exactly the oldest so many were ended, for their memory, and no more than it took. */
  expectOldestEnded(cellsEach: number): number {
    const { ended } = this;
    expect(ended.length).toBeGreaterThan(0);
    expect(ended).toEqual(ended.map((_, i) => i));
    for (const i of ended) {
      // To a last hop behind another worker the reason comes as what it is there: a circuit that was destroyed.
      expect([DestroyReason.RESOURCELIMIT, DestroyReason.DESTROYED]).toContain(
        this.ends[i]!.destroyed as never,
      );
    }
    // What of the last came behind the end of the oldest is filled, too.
    expect(this.filled).toBeLessThanOrEqual(this.limit * 0.9 + cellsEach * 514);
    expect(this.filled + (cellsEach + 16) * 514).toBeGreaterThan(this.limit * 0.9);
    return ended.length;
  }
}

describe('at the limit', () => {
  test('the oldest queues end first, no more of them than down to the low mark, and are counted', () => {
    const scene = new Scene();
    for (let i = 0; i < 30; i++) scene.circuit(scene.rig.client);
    scene.block(scene.rig.client);
    scene.allow(20 * CHUNK_BYTES);
    for (const end of scene.ends) {
      scene.feed(end, CHUNK);
      if (scene.ended.length > 0) break;
    }
    const ended = scene.expectOldestEnded(CHUNK);
    const { rig } = scene;
    expect(rig.count('circuit_memory_killed')).toBe(ended);
    expect(rig.count('oom_cell_bytes')).toBe(ended * CHUNK * 514);
    expect(rig.count('oom_rounds')).toBe(1);
    // Caches go first, once for all workers.
    expect(rig.relay.workers.map(({ cachesEmptied }) => cachesEmptied).reduce((a, b) => a + b)).toBe(1);
    expect(rig.count('oom_links_closed')).toBe(0);
    expect(rig.count('circuit_queue_limit_killed')).toBe(0);
  });

  test('it happens again and again, always to the oldest', () => {
    const scene = new Scene();
    for (let i = 0; i < 60; i++) scene.circuit(scene.rig.client);
    scene.block(scene.rig.client);
    scene.allow(20 * CHUNK_BYTES);
    for (const end of scene.ends) {
      scene.feed(end, CHUNK);
      expect(scene.ended).toEqual(scene.ended.map((_, i) => i));
      expect(scene.filled).toBeLessThan(scene.limit * (1 + 1 / 32));
    }
    expect(scene.rig.count('oom_rounds')).toBeGreaterThan(3);
    expect(scene.ended.length).toBeGreaterThan(35);
    expect(scene.ended.length).toBeLessThan(50);
  });

  test('a queue that moves on is young, however long its circuit waits', () => {
    const scene = new Scene();
    const reader = scene.client(0);
    const first = scene.circuit(reader);
    for (let i = 0; i < 30; i++) scene.circuit(scene.rig.client);
    scene.block(scene.rig.client);
    let unblock = scene.block(reader);
    scene.allow(20 * CHUNK_BYTES);
    for (const end of scene.ends.slice(1)) {
      // Its cells wait, too, but it reads them before the next come.
      scene.feed(first, 4);
      unblock();
      unblock = scene.block(reader);
      scene.feed(end, CHUNK);
    }
    expect(scene.ended.length).toBeGreaterThan(5);
    expect(first.destroyed).toBe(-1);
  });

  test('circuits of all workers go in one order', () => {
    const scene = new Scene({ workers: 2 });
    const peers = [scene.rig.client, scene.client(1)];
    for (let i = 0; i < 40; i++) scene.circuit(peers[i % 2]!);
    for (const peer of peers) scene.block(peer);
    scene.allow(24 * CHUNK_BYTES);
    for (const end of scene.ends) {
      scene.feed(end, CHUNK);
      expect(scene.ended).toEqual(scene.ended.map((_, i) => i));
      if (scene.ended.length > 0) break;
    }
    expect(scene.expectOldestEnded(CHUNK)).toBeGreaterThan(1);
  });

  test('the oldest go though the worker that holds them is not the one that fills the memory', () => {
    const scene = new Scene({ workers: 2 });
    const other = scene.client(1);
    for (let i = 0; i < 10; i++) scene.circuit(other);
    for (let i = 0; i < 20; i++) scene.circuit(scene.rig.client);
    for (const peer of [other, scene.rig.client]) scene.block(peer);
    scene.allow(24 * CHUNK_BYTES);
    for (const end of scene.ends) {
      scene.feed(end, CHUNK);
      if (scene.ended.length > 0) break;
    }
    scene.expectOldestEnded(CHUNK);
    const bytes = [0, 1].map((worker) => scene.rig.relay.memory.of(worker, Memory.cells));
    expect(bytes[1]).toBeLessThan(10 * CHUNK_BYTES);
  });

  test('with a lower limit after a reload the oldest go at once', () => {
    const scene = new Scene();
    for (let i = 0; i < 20; i++) scene.circuit(scene.rig.client);
    scene.block(scene.rig.client);
    scene.allow(100 * CHUNK_BYTES);
    for (const end of scene.ends) scene.feed(end, CHUNK);
    expect(scene.ended).toEqual([]);
    scene.allow(-8 * CHUNK_BYTES);
    scene.rig.world.pass(1000);
    expect(scene.expectOldestEnded(CHUNK)).toBeGreaterThan(8);
  });
});

describe('in the middle of a turn', () => {
  test('what fills far more than the limit ends the oldest circuit, not the newcomer', () => {
    const scene = new Scene();
    const [old, young] = [scene.circuit(scene.rig.client), scene.circuit(scene.rig.client)];
    scene.block(scene.rig.client);
    scene.allow(6 * CHUNK_BYTES);
    scene.feed(old!, 4 * CHUNK);
    scene.feed(young!, 4 * CHUNK);
    expect(scene.ended).toEqual([0]);
    expect(scene.filled).toBeLessThan(scene.limit);
  });

  test('a circuit that fills it alone ends, and all is given back', () => {
    const scene = new Scene();
    const end = scene.circuit(scene.rig.client);
    const unblock = scene.block(scene.rig.client);
    scene.allow(2 * CHUNK_BYTES);
    scene.feed(end!, 5 * CHUNK);
    expect(scene.ended).toEqual([0]);
    unblock();
    expect(scene.rig.client.cells.at(-1)!.command).toBe(Command.DESTROY);
    scene.rig.expectEmpty();
    expect(scene.rig.plane.parked.heldBytes).toBeLessThanOrEqual(CHUNK_BYTES);
  });
});

describe('what is left', () => {
  test('is moved together, in order, so that the ledger falls; and is read later as it was sent', () => {
    const scene = new Scene();
    const peer = scene.rig.client;
    for (let i = 0; i < 20; i++) scene.circuit(peer);
    const unblock = scene.block(peer);
    scene.allow(20 * CHUNK_BYTES);
    // In turn, so that the cells of all lie in all chunks; the oldest by the first round.
    for (let round = 0; round < CHUNK && scene.ended.length === 0; round += 4) {
      for (const end of scene.ends) {
        for (let i = 0; i < 4; i++) end.say(RelayCommand.DATA, 1, filled(1, round + i));
        scene.rig.world.nowMs += 1;
        scene.rig.settle();
      }
    }
    scene.rig.world.pass(1000);
    audit(scene.rig.relay.workers[0]!);
    const { parked } = scene.rig.plane;
    expect(scene.ended.length).toBeGreaterThan(1);
    expect(parked.spareSlots).toBeLessThan(Math.max(3 * CHUNK, parked.used / 8));
    unblock();
    for (const [i, circuit] of scene.circuits.entries()) {
      if (scene.ended.includes(i)) continue;
      const got = peer.cells.filter(({ circId }) => circId === circuit.circId);
      expect(got.length).toBeGreaterThan(100);
      expect(got.map((cell) => circuit.hear(cell).data[0]!)).toEqual(got.map((_, n) => n & 255));
    }
    expect(parked.used).toBe(0);
  });
});

describe('links that take nothing', () => {
  test('are closed, longest stuck first, when their staging fills a fifth of the limit', () => {
    const scene = new Scene();
    const peers = Array.from({ length: 30 }, () => scene.client(0));
    for (const peer of peers) {
      scene.block(peer);
      scene.rig.world.pass(100);
    }
    scene.rig.world.pass(2000);
    scene.allow(0);
    scene.rig.world.pass(500);
    const gone = peers.map((peer) => peer.gone);
    const closed = gone.filter(Boolean).length;
    expect(scene.rig.count('oom_links_closed')).toBe(closed);
    expect(closed).toBeGreaterThan(10);
    expect(closed).toBeLessThan(30);
    expect(gone).toEqual(gone.map((_, i) => i < closed));
    const { memory } = scene.rig.relay;
    expect(memory.kind(Memory.staging)).toBeLessThanOrEqual(scene.limit / 10);
    audit(scene.rig.relay.workers[0]!);
  });
});

test('a place in the ranking holds any age and any row', () => {
  const { oom } = new Rig().plane;
  oom['rankedMs'] = 1e12;
  const ages = [0, 0.0625, 1500.5, 36 * 3_600_000, 30 * 86_400_000];
  const keys = ages.flatMap((age) => [3, 2_500_000].map((row) => oom['keyOf'](row, 1e12 - age)));
  expect(keys.every(Number.isSafeInteger)).toBe(true);
  expect(keys.map((key) => key % 2 ** 22)).toEqual(ages.flatMap(() => [3, 2_500_000]));
  expect(
    keys
      .filter((_, i) => i % 2 === 0)
      .slice(0, 4)
      .map((key) => 1e12 - oom['sinceOf'](key)),
  ).toEqual(ages.slice(0, 4));
  // The oldest come first.
  expect(keys.toSorted((a, b) => a - b)[0]).toBe(keys[8]!);
});

test('links that ask and do not listen go before any circuit', () => {
  const scene = new Scene();
  const [patient, hoarder] = [scene.client(0), scene.client(0)];
  const end = scene.circuit(patient);
  scene.block(patient);
  scene.feed(end, 600);
  scene.block(hoarder);
  const channel = scene.channelOf(hoarder);
  for (let i = 0; i < 2000; i++) channel.putControl(buildCell(0, Command.PADDING, filled(0, 0)), 0);
  scene.rig.world.pass(1500);
  scene.allow(0);
  scene.rig.world.pass(1000);
  expect([hoarder.gone, patient.gone, end.destroyed]).toEqual([true, false, -1]);
  expect([scene.rig.count('oom_links_closed'), scene.rig.count('circuit_memory_killed')]).toEqual([1, 0]);
  expect(scene.filled).toBeLessThan(scene.limit * 0.9);
});

test('buffers that are kept for later end nothing, and go when memory is scarce', () => {
  const scene = new Scene();
  const end = scene.circuit(scene.client(0));
  const { data } = scene.rig.relay.workers[0]!;
  scene.block(scene.client(0));
  data.countMemory();
  const before = scene.filled;
  const lent = Array.from({ length: 40 }, () => data.staging.take());
  for (const buffer of lent) data.staging.give(buffer);
  data.countMemory();
  const { memory } = scene.rig.relay;
  expect(scene.filled).toBe(before);
  expect(memory.held() - scene.filled).toBeGreaterThanOrEqual(data.staging.idleBytes);
  data.setOptions({ ...OPTIONS, maxMemInQueues: memory.held() - data.staging.idleBytes / 4 });
  scene.rig.world.pass(2000);
  expect([scene.rig.count('oom_rounds'), end.destroyed]).toEqual([0, -1]);
  expect(data.staging.idleBytes).toBeGreaterThan(0);
  // No more than links fill: there is no circuit to end, and what is idle goes.
  data.setOptions({ ...OPTIONS, maxMemInQueues: scene.filled });
  scene.rig.world.pass(2000);
  expect(data.staging.idleBytes).toBe(0);
  audit(scene.rig.relay.workers[0]!);
});
