/**
 * Random networks of our relays over faulty wires, by seed. Every run prints nothing unless it fails; then it names its
 * seed, and `SIM_SEED=n bun test test/sim` repeats it. `SIM_SEEDS=n` runs more of them.
 */
import { describe, test } from 'bun:test';
import { audit, expectNothingLeft } from './ledger.ts';
import { SimRelay } from './relay.ts';
import { Terminal } from './terminal.ts';
import { attend, type Circuit, Client } from './traffic.ts';
import { World } from './world.ts';

const SEEDS_DEFAULT = 300;
const AUDIT_EVERY = 64;
/** So many steps in which no byte arrives anywhere are rest. */
const QUIET_STEPS = 300;
const NO_TIMEOUT_MS = 24 * 3600 * 1000;

/** Circuits that what was done to the network may have killed. */
type Excuse = (circuit: Circuit) => boolean;

class Scenario {
  readonly world: World;
  readonly relays: SimRelay[] = [];
  readonly terminals: Terminal[] = [];
  readonly clients: Client[] = [];
  readonly circuits: Circuit[] = [];
  readonly excuses: Excuse[] = [];
  private readonly log: string[] = [];

  constructor(seed: number) {
    const draw = new World(seed).prng;
    this.world = new World(seed, {
      capacityBytes: 600 + draw.below(8000),
      chunkBytes: 1 + draw.below(4000),
      shortWrites: draw.below(3) * 0.3,
      lateData: draw.below(2) * 0.2,
      idleDrains: draw.below(2) * 0.02,
    });
    const { world } = this;
    const { prng } = world;
    for (let i = 0; i < 2; i++) {
      const host = Uint8Array.of(198, 51, 100, 1 + i);
      const workers = 2 + prng.below(2);
      this.relays.push(
        new SimRelay(world, { host, workers, ringSlots: 8, options: { circQueueCellsMax: 60 } }),
      );
    }
    for (let i = 0; i < 2; i++) {
      this.terminals.push(new Terminal(world, Uint8Array.of(198, 51, 100, 101 + i)));
      attend(this.terminals[i]!);
    }
    for (let i = 0; i < 2 + prng.below(3); i++) this.clients.push(new Client(world, prng.pick(this.relays)));
  }

  private note(text: string): void {
    this.log.push(`step ${this.world.steps}: ${text}`);
  }

  private build(): void {
    const { prng } = this.world;
    const client = prng.pick(this.clients);
    const other = this.relays.find((relay) => relay !== client.relay)!;
    const through = prng.float() < 0.5 ? [client.relay, other] : [client.relay];
    const terminal = prng.pick(this.terminals);
    const limits = () => ({ cells: prng.below(40), window: 1 + prng.below(40) });
    const circuit = client.build(`circuit ${this.circuits.length}`, through, terminal, limits(), limits());
    this.circuits.push(circuit);
    this.note(`${circuit.name} over ${through.length} to ${this.terminals.indexOf(terminal)}`);
  }

  /** Let both ends of every circuit say something now and then. */
  private talk(): void {
    const { prng } = this.world;
    const circuit = prng.pick(this.circuits);
    if (prng.below(12) === 0 && circuit.truncate()) this.note(`truncate ${circuit.name}`);
    for (let i = 0; i < 6; i++) {
      circuit.sayForward();
      circuit.sayBackward();
    }
  }

  /** Break something, and say whom it may have hurt. */
  private mischief(): void {
    const { world } = this;
    const { prng } = world;
    switch (prng.below(6)) {
      case 0: {
        const circuit = prng.pick(this.circuits);
        this.note(`abandon ${circuit.name}`);
        circuit.abandon();
        return;
      }
      case 1: {
        const client = prng.pick(this.clients);
        this.note(`reset a client with ${client.circuits.length} circuits`);
        client.peer.wire.reset();
        this.excuses.push((circuit) => circuit.client === client);
        return;
      }
      case 2: {
        const terminal = prng.pick(this.terminals);
        if (terminal.peers.length === 0) return;
        this.note('reset a link to a terminal');
        prng.pick(terminal.peers).wire.reset();
        this.excuses.push((circuit) => circuit.terminal === terminal);
        return;
      }
      case 3: {
        const circuit = prng.pick(this.circuits);
        if (circuit.end === null || circuit.end.peer.gone) return;
        this.note(`the terminal destroys ${circuit.name}`);
        circuit.end.peer.send(circuit.end.circId, 4, Uint8Array.of(5));
        circuit.end.destroyed = 0;
        this.excuses.push((one) => one === circuit);
        return;
      }
      case 4: {
        const wire = prng.pick([...world.ends, prng.pick(this.clients).peer.wire]);
        this.note('stall a reader for a while');
        wire.stalled = true;
        this.stalled.push(wire);
        return;
      }
      default: {
        const relay = prng.pick(this.relays);
        if (relay.workerCount < 2 || relay.workers.some(({ alive }) => !alive)) return;
        const worker = prng.below(relay.workerCount);
        this.note(`kill worker ${worker} of relay ${this.relays.indexOf(relay)}`);
        relay.kill(worker);
        this.excuses.push((circuit) => circuit.through.includes(relay));
      }
    }
  }

  private readonly stalled: { stalled: boolean }[] = [];

  private auditAll(): void {
    for (const relay of this.relays) for (const worker of relay.workers) if (worker.alive) audit(worker);
  }

  /** Step, audit now and then; false when nothing could happen. */
  private step(): boolean {
    const { world } = this;
    world.nowMs += world.prng.float() * 0.2;
    const moved = world.step();
    if (world.steps % AUDIT_EVERY === 0) this.auditAll();
    return moved;
  }

  private play(): void {
    const { world } = this;
    const { prng } = world;
    const mischiefs = prng.below(4);
    for (let i = 0; i < 2 + prng.below(6); i++) this.build();
    const steps = 300 + prng.below(1200);
    for (let i = 0; i < steps; i++) {
      this.step();
      if (prng.below(4) === 0) this.talk();
      if (prng.below(steps) < mischiefs) this.mischief();
      if (prng.below(steps) < 2) this.build();
      if (this.stalled.length > 0 && prng.below(200) === 0) this.stalled.pop()!.stalled = false;
    }
    for (const end of this.stalled.splice(0)) end.stalled = false;
  }

  /** Step until nothing arrives anywhere any more. */
  private rest(): void {
    const { world } = this;
    let delivered = -1;
    for (let quiet = 0; quiet < QUIET_STEPS; quiet++) {
      for (const circuit of this.circuits) {
        circuit.sayForward();
        circuit.sayBackward();
      }
      if (!this.step()) world.nowMs += 10;
      if (world.delivered !== delivered) quiet = 0;
      delivered = world.delivered;
    }
  }

  /** With no more mischief, everything that lives gets done; then nothing happens any more. */
  private finish(): void {
    this.rest();
    this.auditAll();
    for (const circuit of this.circuits) {
      if (circuit.isDone || circuit.abandoned) continue;
      if (this.excuses.some((excuse) => excuse(circuit))) continue;
      const { name, phase, forward, backward, destroyed } = circuit;
      throw new Error(
        `${name} is ${phase}, destroyed ${destroyed}, forward ${forward.heard}/${forward.said}/${forward.limits.cells}, ` +
          `backward ${backward.heard}/${backward.said}/${backward.limits.cells}`,
      );
    }
  }

  private close(): void {
    const { world } = this;
    for (const client of this.clients) client.peer.wire.reset();
    this.rest();
    for (const relay of this.relays) {
      for (const { alive, data } of relay.workers) {
        if (alive && data.plane.table.count > 0) throw new Error('circuits outlive their clients');
      }
    }
    for (const relay of this.relays) {
      for (const worker of relay.workers) if (worker.alive) worker.data.links.closeAll();
    }
    world.pass(61_000);
    for (const relay of this.relays) expectNothingLeft(relay);
  }

  run(): void {
    try {
      this.play();
      this.finish();
      this.close();
    } catch (error) {
      const told = this.log.slice(-30).join('\n');
      throw new Error(`seed ${this.world.seed}: ${error instanceof Error ? error.stack : error}\n${told}`);
    }
  }
}

describe('random networks', () => {
  const chosen = process.env['SIM_SEED'];
  const first = chosen === undefined ? 1 : Number(chosen);
  const count = chosen === undefined ? Number(process.env['SIM_SEEDS'] ?? SEEDS_DEFAULT) : 1;
  test(
    `${count} seeds from ${first}`,
    () => {
      for (let seed = first; seed < first + count; seed++) new Scenario(seed).run();
    },
    NO_TIMEOUT_MS,
  );
});
