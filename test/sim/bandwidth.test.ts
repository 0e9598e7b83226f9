/**
 * A limited relay of two workers, with circuits within each and across both, by the virtual clock: the rate is kept,
 * no circuit starves, no cell is lost, and links that wait for bandwidth still open, close and end.
 */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { Bandwidth } from '../../src/shm/bandwidth.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { audit } from './ledger.ts';
import { OPTIONS, SimRelay } from './relay.ts';
import { Terminal } from './terminal.ts';
import { attend, type Circuit, Client, type FlowLimits } from './traffic.ts';
import { type Faults, GOOD } from './wire.ts';
import { World } from './world.ts';

setDefaultTimeout(120_000);

const STEP_MS = 5;
const SEEDS = 25;
const NOTHING: FlowLimits = { cells: 0, window: 0 };
const ENDLESS: FlowLimits = { cells: 1_000_000, window: 400 };
const FAULTY: Faults = {
  capacityBytes: 40_000,
  chunkBytes: 30_000,
  shortWrites: 0.2,
  lateData: 0.05,
  brokenWrites: 0.3,
  idleDrains: 0.001,
};

class Stage {
  readonly world: World;
  readonly relay: SimRelay;
  readonly circuits: Circuit[] = [];
  readonly clients: Client[] = [];
  private readonly terminals: Terminal[] = [];
  private talking = true;

  constructor(seed: number, faults: Faults, options: Partial<WorkerOptions>) {
    this.world = new World(seed, faults);
    const host = Uint8Array.of(198, 51, 100, 1);
    this.relay = new SimRelay(this.world, { host, workers: 2, options });
    for (let i = 0; i < 2; i++) {
      this.terminals.push(new Terminal(this.world, Uint8Array.of(198, 51, 100, 101 + i)));
      attend(this.terminals[i]!);
    }
  }

  client(worker: number): Client {
    this.relay.pinned = worker;
    const client = new Client(this.world, this.relay);
    this.relay.pinned = null;
    this.clients.push(client);
    return client;
  }

  build(client: Client, terminal: number, forward: FlowLimits, backward: FlowLimits): Circuit {
    const name = `circuit ${this.circuits.length}`;
    const circuit = client.build(name, [this.relay], this.terminals[terminal]!, forward, backward);
    this.circuits.push(circuit);
    return circuit;
  }

  /** Let so much virtual time pass; every circuit says what it may. */
  run(ms: number): void {
    const end = this.world.nowMs + ms;
    while (this.world.nowMs < end) {
      if (this.talking) for (const circuit of this.circuits) sayAll(circuit);
      this.world.settle();
      this.world.nowMs += STEP_MS;
      for (const worker of this.relay.workers) audit(worker);
    }
  }

  /** Say no more, and wait until all is heard. */
  quiet(): void {
    this.talking = false;
    for (let i = 0; i < 100 && this.circuits.some((one) => !isHeard(one)); i++) this.run(200);
  }

  /** Bytes of cells that the peers of the relay have got. */
  get heard(): number {
    return this.circuits.reduce((sum, one) => sum + heardBy(one), 0) * CELL_BYTES;
  }
}

function sayAll(circuit: Circuit): void {
  while (circuit.sayForward());
  while (circuit.sayBackward());
}

function heardBy({ forward, backward }: Circuit): number {
  return forward.heard + backward.heard;
}

function isHeard({ forward, backward }: Circuit): boolean {
  return forward.heard === forward.said && backward.heard === backward.said;
}

function limit(rate: number): Partial<WorkerOptions> {
  return { bandwidthRate: rate, bandwidthBurst: rate };
}

describe('a relay with two workers under one limit', () => {
  test.each([
    ['good sockets', GOOD, 500_000],
    ['bad sockets', FAULTY, 500_000],
    ['a limit of its own for relayed traffic', GOOD, 400_000],
  ] as const)('keeps its rate over %s, starves nobody and loses nothing', (name, faults, rate) => {
    const options = name.startsWith('a limit')
      ? { ...limit(2_000_000), relayBandwidthRate: rate, relayBandwidthBurst: rate }
      : limit(rate);
    const stage = new Stage(3, faults, options);
    for (let i = 0; i < 6; i++) {
      const client = stage.client(i & 1);
      stage.build(client, (i >> 1) & 1, ENDLESS, i % 3 === 0 ? ENDLESS : NOTHING);
    }
    stage.run(5000);
    const before = stage.heard;
    const each = stage.circuits.map(heardBy);
    stage.run(10_000);
    expect(Math.abs((stage.heard - before) / (rate * 10) - 1)).toBeLessThan(0.05);
    const shares = stage.circuits.map((one, i) => heardBy(one) - each[i]!);
    expect(Math.min(...shares)).toBeGreaterThan(Math.max(...shares) / 8);
    stage.quiet();
    expect(stage.circuits.map((one) => [one.phase, isHeard(one)])).toEqual(
      stage.circuits.map(() => ['open', true]),
    );
    expect(stage.relay.count('bandwidth_read_limit_hit') > 0).toBe(!name.startsWith('a limit'));
  });

  test('links that wait for bandwidth open, carry new circuits and close', () => {
    const stage = new Stage(4, GOOD, limit(200_000));
    const busy = [stage.client(0), stage.client(1)];
    for (const client of busy) stage.build(client, 0, ENDLESS, ENDLESS);
    stage.run(3000);
    const late = stage.build(stage.client(1), 1, { cells: 5, window: 5 }, { cells: 5, window: 5 });
    stage.run(6000);
    expect(late.isDone).toBe(true);
    // One side goes away in the middle of it; the other goes on.
    busy[0]!.peer.wire.close();
    stage.run(3000);
    expect(busy[0]!.peer.gone).toBe(true);
    const before = stage.circuits[1]!.forward.heard;
    stage.run(3000);
    expect(stage.circuits[1]!.forward.heard).toBeGreaterThan(before);
    for (const client of stage.clients) client.peer.wire.close();
    stage.circuits.length = 0;
    stage.run(20_000);
    for (const worker of stage.relay.workers) expect(worker.data.throttle.isWaiting).toBe(false);
    for (const worker of stage.relay.workers) audit(worker);
  });

  test('whatever the limits, sockets and resets: circuits that live hear all', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { prng } = new World(seed);
      const rate = 80_000 + prng.below(400_000);
      const stage = new Stage(
        seed,
        {
          capacityBytes: 600 + prng.below(60_000),
          chunkBytes: 1 + prng.below(30_000),
          shortWrites: prng.below(3) * 0.3,
          lateData: prng.below(2) * 0.1,
          brokenWrites: prng.below(2) * 0.5,
          idleDrains: prng.below(2) * 0.002,
        },
        {
          ...limit(rate),
          relayBandwidthRate: prng.below(2) * (rate >> 1),
          relayBandwidthBurst: rate >> 1,
          perConnBwRate: prng.below(2) === 0 ? 2 ** 30 : 50_000,
          perConnBwBurst: prng.below(2) === 0 ? 2 ** 30 : 20_000,
        },
      );
      const flow = () => ({ cells: 20 + prng.below(150), window: 1 + prng.below(60) });
      for (let i = 0; i < 6; i++) stage.build(stage.client(prng.below(2)), prng.below(2), flow(), flow());
      stage.run(prng.below(2000));
      stage.clients[0]!.peer.wire.reset();
      stage.circuits.shift();
      const isDone = () => stage.circuits.every((circuit) => circuit.isDone);
      for (let i = 0; i < 60 && !isDone(); i++) stage.run(500);
      expect([seed, ...stage.circuits.map((one) => one.isDone)]).toEqual([
        seed,
        ...stage.circuits.map(() => true),
      ]);
      stage.run(3000);
      for (const worker of stage.relay.workers) expect(worker.data.throttle.isWaiting).toBe(false);
    }
  });

  test('a new limit holds at once', () => {
    const stage = new Stage(5, GOOD, limit(300_000));
    for (let i = 0; i < 4; i++) stage.build(stage.client(i & 1), i >> 1, ENDLESS, NOTHING);
    stage.run(3000);
    new Bandwidth(stage.relay.bandwidthBlock).setLimits({ ...OPTIONS, ...limit(900_000) });
    stage.run(2000);
    let before = stage.heard;
    stage.run(5000);
    expect(Math.abs((stage.heard - before) / 4_500_000 - 1)).toBeLessThan(0.05);
    new Bandwidth(stage.relay.bandwidthBlock).setLimits({ ...OPTIONS, ...limit(150_000) });
    stage.run(3000);
    before = stage.heard;
    stage.run(5000);
    expect(Math.abs((stage.heard - before) / 750_000 - 1)).toBeLessThan(0.05);
  });
});
