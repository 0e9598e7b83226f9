/**
 * Who goes first on a link that takes less than it is given, on a virtual clock: the circuit that has sent least of
 * late, with "late" as long as the half-life says.
 */
import { expect, test } from 'bun:test';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { ClientCircuit } from './client.ts';
import { audit } from './ledger.ts';
import { Peer } from './peer.ts';
import { SimRelay } from './relay.ts';
import { type EndCircuit, Terminal } from './terminal.ts';
import { GOOD } from './wire.ts';
import { World } from './world.ts';

const OUR_HOST = Uint8Array.of(198, 51, 100, 1);
const NEXT_HOST = Uint8Array.of(198, 51, 100, 2);
const HALF_LIFE_MS = 2000;
const SOCKET_CELLS = 16;

/** Circuits of one client through one relay, whose link to the client holds few cells. */
class Stage {
  readonly world = new World(1, {
    ...GOOD,
    capacityBytes: SOCKET_CELLS * CELL_BYTES,
    chunkBytes: 4 * CELL_BYTES,
  });
  readonly relay: SimRelay;
  readonly client: Peer;
  readonly ends: EndCircuit[] = [];
  /** Circuits in the order in which cells of theirs came to the client. */
  arrived: number[] = [];

  /** @param workers with two, the link to the client is of one and that to the next hop of the other */
  constructor(circuits: number, { workers = 1, halfLifeMs = HALF_LIFE_MS } = {}) {
    const { world } = this;
    const options = { circuitPriorityHalfLifeMs: halfLifeMs };
    this.relay = new SimRelay(world, { host: OUR_HOST, workers, ringSlots: 8, options });
    const next = new Terminal(world, NEXT_HOST);
    this.client = Peer.connect(world, this.relay, { worker: 0 });
    if (workers > 1) this.open(Peer.connect(world, this.relay, { worker: 1 }), 0x80000001, next);
    for (let i = 0; i < circuits; i++) {
      this.open(this.client, 0x80000001 + i, next);
      this.ends.push(next.last);
    }
    this.client.onCell = ({ circId }) => this.arrived.push(circId - 0x80000001);
  }

  private open(peer: Peer, circId: number, next: Terminal): void {
    const circuit = new ClientCircuit(peer, circId);
    circuit.createFast();
    this.world.settle();
    circuit.createdFast(peer.expect(Command.CREATED_FAST, circId));
    circuit.extend(next.hop);
    this.world.settle();
    circuit.finish(circuit.hear(peer.take()).data);
  }

  /** Cells that wait in queues of circuits. */
  get waiting(): number {
    let cells = 0;
    for (const { data } of this.relay.workers) cells += data.plane.parked.used;
    return cells;
  }

  say(circuit: number, cells: number): void {
    for (let i = 0; i < cells; i++) this.ends[circuit]!.say(RelayCommand.DATA, 1, Uint8Array.of(i));
    this.world.settle();
  }

  /** The client reads no more, and circuit 0 fills what lies between its queue and the client. */
  block(): void {
    this.client.wire.stalled = true;
    for (let i = 0; i < 1000 && this.waiting === 0; i++) this.say(0, 1);
    expect(this.waiting).toBeGreaterThan(0);
  }

  /** The client reads on. Returns whose cells came then, in order. */
  unblock(): number[] {
    for (const worker of this.relay.workers) audit(worker);
    this.arrived = [];
    this.client.wire.stalled = false;
    this.world.settle();
    return this.arrived;
  }
}

for (const workers of [1, 2]) {
  const where = workers === 1 ? 'in one worker' : 'across two';

  test(`a quiet circuit’s cell goes before all waiting cells of busy ones: ${where}`, () => {
    const stage = new Stage(21, { workers });
    const quiet = 20;
    // It was the busiest, ten half-lives ago.
    stage.say(quiet, 200);
    stage.world.pass(10 * HALF_LIFE_MS);
    for (let circuit = 1; circuit < quiet; circuit++) stage.say(circuit, 30);
    stage.block();
    for (let circuit = 1; circuit < quiet; circuit++) stage.say(circuit, 30);
    const { waiting } = stage;
    expect(waiting).toBeGreaterThan(30 * 18);
    stage.say(quiet, 1);
    expect(stage.waiting).toBe(waiting + 1);
    const came = stage.unblock();
    // Those before it were staged, or in the socket, or in a ring: out of the order's reach.
    expect(came.length - 1 - came.indexOf(quiet)).toBe(waiting);
  });

  test(`circuits that want the same get the same: ${where}`, () => {
    const stage = new Stage(8, { workers });
    stage.client.wire.stalled = true;
    for (let round = 0; round < 10; round++) {
      for (let circuit = 0; circuit < 8; circuit++) stage.say(circuit, 10);
    }
    const waiting = stage.waiting;
    expect(waiting).toBeGreaterThan(400);
    const came = stage.unblock();
    // What had left the queues before came in the order in which it was said; from then on all are made equal.
    const counts = new Array<number>(8).fill(0);
    const unequal = came.length - waiting;
    for (const [i, circuit] of came.entries()) {
      counts[circuit]!++;
      if (i < unequal + 100 || i >= came.length - 100) continue;
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(3);
    }
    expect(counts).toEqual(new Array<number>(8).fill(100));
  });
}

/**
 * Circuit 1 sends 64 cells, then nothing for a while; then circuit 2 sends 8. Whose cell goes first when both wait?
 */
function firstAfter(quietMs: number, halfLifeMs: number): number {
  const stage = new Stage(3, { halfLifeMs });
  stage.say(1, 64);
  stage.world.pass(quietMs);
  stage.say(2, 8);
  stage.block();
  const gone = stage.arrived.length;
  expect(gone).toBe(72);
  stage.say(2, 1);
  stage.say(1, 1);
  return stage.unblock().find((circuit) => circuit !== 0)!;
}

test('a circuit that goes quiet is let off half of what it sent with each half-life', () => {
  // 64 cells are 8 after three half-lives.
  for (const halfLifeMs of [500, 2000, 30_000]) {
    expect(firstAfter(2.6 * halfLifeMs, halfLifeMs)).toBe(2);
    expect(firstAfter(3.4 * halfLifeMs, halfLifeMs)).toBe(1);
  }
});

test('the half-life is the option’s', () => {
  expect(firstAfter(7000, 2000)).toBe(1);
  expect(firstAfter(7000, 4000)).toBe(2);
});
