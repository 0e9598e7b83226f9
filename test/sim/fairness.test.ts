/**
 * Nothing waits for a queue, so nobody can wait for each other: the two deadlocks that multi-core relays are known for,
 * with queues as small as they get, and many orders of events for each.
 */
import { describe, expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { audit } from './ledger.ts';
import { SimRelay, type SimWorker } from './relay.ts';
import { Terminal } from './terminal.ts';
import { attend, type Circuit, Client } from './traffic.ts';
import type { Faults } from './wire.ts';
import { World } from './world.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 12);
/** Sockets that hold four cells, and cells that come in pieces. */
const NARROW: Faults = {
  capacityBytes: 4 * 514,
  chunkBytes: 1500,
  shortWrites: 0.3,
  lateData: 0.1,
  brokenWrites: 0.3,
  idleDrains: 0.01,
};
const QUEUE_MAX = 64;
const FLOOD = { cells: 400, window: 48 };
const ENDLESS = { cells: 1_000_000, window: 1_000_000 };

class Stage {
  readonly world: World;
  readonly relays: SimRelay[] = [];
  readonly circuits: Circuit[] = [];
  private talking = false;
  /** Says a cell only now and then, so that its queue fills while the others are busy. */
  slow: Circuit | null = null;

  constructor(seed: number, relays: number) {
    this.world = new World(seed, NARROW);
    for (let i = 0; i < relays; i++) {
      this.relays.push(
        new SimRelay(this.world, {
          host: Uint8Array.of(198, 51, 100, 1 + i),
          workers: 2,
          ringSlots: 8,
          options: { circQueueCellsMax: QUEUE_MAX },
        }),
      );
    }
  }

  terminal(n: number): Terminal {
    const terminal = new Terminal(this.world, Uint8Array.of(198, 51, 100, 100 + n));
    attend(terminal);
    return terminal;
  }

  client(relay: number, worker: number): Client {
    const { relays, world } = this;
    // Every connection to this relay until the next client goes to that worker.
    relays[relay]!.pinned = worker;
    const client = new Client(world, relays[relay]!);
    relays[relay]!.pinned = null;
    return client;
  }

  /** Step while the circuits say what they may, until `done` or nothing moves for long. */
  play(done: () => boolean, stepsMax = 400_000): void {
    const { world, circuits } = this;
    for (let i = 0; i < stepsMax && !done(); i++) {
      for (const circuit of circuits) {
        if (!this.talking || (circuit === this.slow && i % 100 !== 0)) continue;
        circuit.sayForward();
        circuit.sayBackward();
      }
      world.nowMs += 0.05;
      world.step();
      if (i % 256 === 0) for (const relay of this.relays) for (const worker of relay.workers) audit(worker);
    }
    if (!done()) {
      const told = circuits.map((c) => `${c.name} ${c.phase} ${c.forward.heard} ${c.backward.heard}`);
      throw new Error(`seed ${world.seed}: stands still:\n${told.join('\n')}`);
    }
  }

  /** Wait, in silence, until all circuits are open. */
  opened(): void {
    this.talking = false;
    this.play(() => this.circuits.every(({ phase, end }) => phase === 'open' && end !== null));
    this.talking = true;
  }
}

describe('one relay, both rings full', () => {
  test('circuits from worker 0 to 1 and from 1 to 0 all finish', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const stage = new Stage(seed, 1);
      const [right, left] = [stage.terminal(1), stage.terminal(2)];
      const [zero, one] = [stage.client(0, 0), stage.client(0, 1)];
      // The first circuit to a terminal decides which worker has the channel; then the others cross.
      const first = [
        one.build('first right', [stage.relays[0]!], right, { cells: 1, window: 1 }, { cells: 0, window: 0 }),
        zero.build('first left', [stage.relays[0]!], left, { cells: 1, window: 1 }, { cells: 0, window: 0 }),
      ];
      stage.circuits.push(...first);
      stage.opened();
      for (let i = 0; i < 3; i++) {
        stage.circuits.push(zero.build(`right ${i}`, [stage.relays[0]!], right, FLOOD, FLOOD));
        stage.circuits.push(one.build(`left ${i}`, [stage.relays[0]!], left, FLOOD, FLOOD));
      }
      stage.opened();
      // Both workers stand still until the rings both ways are full and cells wait for both.
      const { workers } = stage.relays[0]!;
      const stood = workers.map((worker) => {
        const { ready } = worker;
        worker.ready = () => false;
        return () => {
          worker.ready = ready;
        };
      });
      const isFull = (worker: SimWorker, other: number) =>
        worker.data.plane.ports[other]!.congested && worker.data.plane.parked.used > 0;
      stage.play(() => isFull(workers[0]!, 1) && isFull(workers[1]!, 0));
      for (const go of stood) go();
      stage.play(() => stage.circuits.every((circuit) => circuit.isDone));
      expect(stage.relays[0]!.count('circuit_queue_limit_killed')).toBe(0);
    }
  }, 600_000);
});

describe('two relays, circuits both ways', () => {
  /** Eight circuits over two relays, four each way, with clients and ends of their own. */
  function build(stage: Stage): void {
    const [a, b] = [stage.relays[0]!, stage.relays[1]!];
    const ends = [stage.terminal(1), stage.terminal(2)];
    for (let i = 0; i < 8; i++) {
      const [from, to] = i < 4 ? [a, b] : [b, a];
      const client = stage.client(i < 4 ? 0 : 1, i % 2);
      stage.circuits.push(client.build(`circuit ${i}`, [from, to], ends[i % 2]!, FLOOD, FLOOD));
    }
  }

  /** The victim dies at its bound; each other circuit moves on meanwhile and finishes after. */
  function expectOthersMove(stage: Stage, victim: Circuit, isKilled: () => boolean): void {
    const others = stage.circuits.filter((circuit) => circuit !== victim);
    stage.slow = victim;
    const before = others.map(({ forward, backward }) => forward.heard + backward.heard);
    stage.play(isKilled);
    for (const [i, { forward, backward, name }] of others.entries()) {
      const done = forward.isDone && backward.isDone;
      expect(done || forward.heard + backward.heard > before[i]!, `seed ${stage.world.seed} ${name}`).toBe(
        true,
      );
    }
    expect(
      stage.relays.map((relay) => relay.count('circuit_queue_limit_killed')).reduce((x, y) => x + y),
    ).toBe(1);
    stage.play(() => others.every((circuit) => circuit.isDone));
  }

  test('a client that never reads loses its own circuit with RESOURCELIMIT, and nobody else anything', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const stage = new Stage(seed, 2);
      build(stage);
      const reader = stage.client(0, 0);
      const end = stage.terminal(3);
      const victim = reader.build('victim', stage.relays, end, { cells: 0, window: 0 }, ENDLESS);
      stage.circuits.push(victim);
      stage.opened();
      reader.peer.wire.stalled = true;
      expectOthersMove(stage, victim, () => victim.end!.destroyed >= 0);
      expect(victim.end!.destroyed).toBe(DestroyReason.DESTROYED);
      expect(stage.relays[0]!.count('circuit_queue_limit_killed')).toBe(1);
      reader.peer.wire.stalled = false;
      stage.play(() => victim.phase === 'dead');
      expect(victim.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    }
  }, 600_000);

  test('a last hop that never reads costs the circuits to it, and nobody else anything', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const stage = new Stage(seed, 2);
      build(stage);
      const writer = stage.client(1, 1);
      const end = stage.terminal(3);
      const victim = writer.build('victim', [stage.relays[1]!, stage.relays[0]!], end, ENDLESS, {
        cells: 0,
        window: 0,
      });
      stage.circuits.push(victim);
      stage.opened();
      for (const peer of end.peers) peer.wire.stalled = true;
      expectOthersMove(stage, victim, () => victim.phase === 'dead');
      expect(victim.destroyed).toBe(DestroyReason.DESTROYED);
      for (const peer of end.peers) peer.wire.stalled = false;
      stage.play(() => victim.end!.destroyed >= 0);
      expect(victim.end!.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    }
  }, 600_000);
});
