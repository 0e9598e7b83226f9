/**
 * A random network of our relays over faulty wires, by seed: links, circuits, what goes wrong, limits, all drawn.
 *
 * What is looked at, and when:
 * - each cell, when it arrives: it is the next one of its circuit, none lost, doubled or out of place (`traffic`);
 * - after each step, in each worker that the step touched: no queue over its bound, every parked cell in a queue that
 *   somebody serves, every buffer with its owner, heaps in order (`ledger`, auditStep); and in the whole relay that no
 *   party waits for itself (`waits`);
 * - after every 64th step, after each that closed a channel or killed a circuit for want of room, and after each piece
 *   of mischief: every row, chain, index and queue slot by slot, and the memory ledger, counted anew (`ledger`, audit);
 * - when all has come to rest: every circuit is done, or dead at both its ends and for a reason; nobody waits; after
 *   the end of all clients nothing is left of anything.
 * What is freed is spoilt at once, so that a use after that shows (`doubles`).
 */
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { Counter } from '../../src/shm/scoreboard.ts';
import type { Prng } from '../fuzz/prng.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import type { Hop } from './client.ts';
import { audit, auditStep, expectNothingLeft } from './ledger.ts';
import { OriginTraffic } from './origin-traffic.ts';
import { Peer } from './peer.ts';
import { Quiet } from './quiet.ts';
import { SimRelay, type SimWorker } from './relay.ts';
import { Terminal } from './terminal.ts';
import { attend, type Circuit, Client } from './traffic.ts';
import { auditWaits, expectNoWaits } from './waits.ts';
import { drawFaults } from './wire.ts';
import { World } from './world.ts';

const AUDIT_EVERY = 64;
/** After so many steps in which nothing moves the clock goes faster: nothing but time is waited for. */
const SLOW_STEPS = 20;
/** Rare things that move much at once: the books are then counted in full. */
const RARE = [
  Counter.channels_closed,
  Counter.circuit_queue_limit_killed,
  Counter.circuit_memory_killed,
  Counter.leg_worker_died,
] as const;

/** Draw what the relays of a world are limited to: nothing but their queues in half of the worlds. */
function drawOptions(draw: Prng): Partial<WorkerOptions> {
  const options: { -readonly [K in keyof WorkerOptions]?: WorkerOptions[K] } = {
    circQueueCellsMax: 60,
    circQueueCellsMaxOut: 50,
    circuitPriorityHalfLifeMs: draw.pick([1, 20, 1000, 30_000]),
  };
  if (draw.below(4) === 0) {
    const rate = 200_000 + draw.below(800_000);
    options.bandwidthRate = rate;
    options.bandwidthBurst = Math.floor(rate / (1 + draw.below(20)));
    if (draw.below(2) === 0) {
      options.relayBandwidthRate = 200_000;
      options.relayBandwidthBurst = 20_000 + draw.below(100_000);
    }
    if (draw.below(2) === 0) {
      options.perConnBwRate = 150_000;
      options.perConnBwBurst = 4000 + draw.below(50_000);
    }
  }
  if (draw.below(6) === 0) options.maxMemInQueues = 100_000 + draw.below(900_000);
  if (draw.below(4) === 0) {
    options.dos = {
      ...DOS_LIMITS,
      connectionsWatched: true,
      connectionsRefused: true,
      connectionsMax: 1 + draw.below(3),
      circuitsWatched: true,
      circuitsRefused: true,
      circuitConnectionsMin: 1,
      circuitRate: 1,
      circuitBurst: 2 + draw.below(20),
      queueKillsMax: draw.below(3),
    };
  }
  return options;
}

/** The end of a circuit that nobody plays. */
function nowhere(hop: Hop): Terminal {
  return { hop } as Terminal;
}

/** Circuits that what was done to the network may have killed. */
type Excuse = (circuit: Circuit) => boolean;

export class Scenario {
  readonly world: World;
  readonly relays: SimRelay[] = [];
  readonly terminals: Terminal[] = [];
  readonly clients: Client[] = [];
  readonly circuits: Circuit[] = [];
  /** Circuits that relays start themselves. */
  readonly own: OriginTraffic;
  readonly excuses: Excuse[] = [];
  private readonly greedy = new Set<Circuit>();
  /** Those that lead nowhere: given up in the end, if they are not over by then. */
  private readonly doomed = new Set<Circuit>();
  private readonly log: string[] = [];

  constructor(seed: number) {
    const draw = new World(seed).prng;
    this.world = new World(seed, drawFaults(draw, 600 + draw.below(8000), 1 + draw.below(4000)));
    const { world } = this;
    const { prng } = world;
    const options = drawOptions(draw);
    for (let i = 0; i < 2; i++) {
      const host = Uint8Array.of(198, 51, 100, 1 + i);
      const workers = 2 + prng.below(2);
      this.relays.push(new SimRelay(world, { host, workers, ringSlots: draw.pick([4, 8, 8, 16]), options }));
    }
    for (let i = 0; i < 2; i++) {
      this.terminals.push(new Terminal(world, Uint8Array.of(198, 51, 100, 101 + i)));
      attend(this.terminals[i]!);
    }
    this.own = new OriginTraffic(world);
    for (let i = 0; i < 2 + prng.below(4); i++) this.clients.push(new Client(world, prng.pick(this.relays)));
  }

  /** What happened, and how long it took. */
  get told(): readonly string[] {
    const { steps, delivered, nowMs } = this.world;
    return [...this.log, `${steps} steps, ${delivered} chunks, ${nowMs} ms`];
  }

  private note(text: string): void {
    this.log.push(`step ${this.world.steps}: ${text}`);
  }

  /** Where a circuit ends; now and then a place where nobody answers, or somebody else does. */
  private pickEnd(): Terminal {
    const { prng } = this.world;
    const terminal = prng.pick(this.terminals);
    // An open channel to whom it names would be taken, wherever that is said to be: so it names nobody.
    const nobody = { ...terminal.hop, rsaId: prng.bytes(20), ed25519Id: prng.bytes(32) };
    switch (prng.below(24)) {
      case 0:
        return nowhere({ ...nobody, host: Uint8Array.of(198, 51, 100, 200), port: 1 });
      case 1:
        return nowhere({ ...nobody, host: Uint8Array.of(198, 51, 100, 200) });
      case 2:
        return nowhere(nobody);
      case 3:
        return nowhere({ ...terminal.hop, ed25519Id: prng.bytes(32) });
      default:
        return terminal;
    }
  }

  /** Let a relay start a circuit of its own. */
  private buildOwn(): void {
    const { prng } = this.world;
    const relay = prng.pick(this.relays);
    const other = this.relays.find((one) => one !== relay)!;
    this.note(this.own.start(relay, prng.below(2) === 0 ? other : null));
  }

  private build(): void {
    const { prng } = this.world;
    if (prng.below(4) === 0) this.buildOwn();
    const client = prng.pick(this.clients);
    const other = this.relays.find((relay) => relay !== client.relay)!;
    const through = prng.float() < 0.5 ? [client.relay, other] : [client.relay];
    const terminal = this.pickEnd();
    // A greedy one says more than a queue may hold.
    const isGreedy = prng.below(8) === 0;
    const most = isGreedy ? 150 : 40;
    const limits = () => ({ cells: prng.below(most), window: 1 + prng.below(most) });
    const circuit = client.build(`circuit ${this.circuits.length}`, through, terminal, limits(), limits());
    this.circuits.push(circuit);
    if (isGreedy) this.greedy.add(circuit);
    if (!this.terminals.includes(terminal)) this.doomed.add(circuit);
    this.note(
      `${circuit.name}${isGreedy ? ', greedy,' : ''} over ${through.length} to ${this.terminals.indexOf(terminal)}`,
    );
  }

  /** Let both ends of every circuit say something now and then. */
  private talk(): void {
    const { prng } = this.world;
    const circuit = prng.pick(this.circuits);
    if (prng.below(12) === 0 && circuit.truncate()) this.note(`truncate ${circuit.name}`);
    this.own.talk();
    for (let i = 0; i < 6; i++) {
      circuit.sayForward();
      circuit.sayBackward();
    }
  }

  /** Break something, and say whom it may have hurt. */
  private mischief(): void {
    const { world } = this;
    const { prng } = world;
    switch (prng.below(11)) {
      case 0: {
        if (this.own.plays.length > 0) this.own.close();
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
      // Those who do not read are the most common trouble.
      case 4:
      case 7:
      case 8: {
        const wire = prng.pick([...world.ends, prng.pick(this.clients).peer.wire]);
        this.note('stall a reader for a while');
        wire.stalled = true;
        this.stalled.push(wire);
        return;
      }
      case 6: {
        const relay = prng.pick(this.relays);
        this.note(`relay ${this.relays.indexOf(relay)} gets other options`);
        relay.reload(drawOptions(prng));
        return;
      }
      case 5: {
        const relay = prng.pick(this.relays);
        const worker = prng.pick(relay.workers);
        this.note(`worker ${worker.worker} of relay ${this.relays.indexOf(relay)} stands still for a while`);
        worker.stalled = true;
        this.stalled.push(worker);
        return;
      }
      case 9: {
        this.crowd(prng.pick(this.relays), prng.below(30));
        return;
      }
      default: {
        const relay = prng.pick(this.relays);
        if (relay.workerCount < 2 || relay.workers.some(({ alive }) => !alive)) return;
        // One that others already wait for, if there is one.
        const standing = relay.workers.findIndex(({ stalled }) => stalled);
        const worker = standing >= 0 ? standing : prng.below(relay.workerCount);
        this.note(`kill worker ${worker} of relay ${this.relays.indexOf(relay)}`);
        relay.kill(worker);
        // Behind the news of its death.
        if (prng.below(2) === 0) relay.replace(worker);
        this.excuses.push((circuit) => circuit.through.includes(relay));
      }
    }
  }

  /** More connect at once than a worker accepts in one turn, and stay; some of them say nothing. */
  private crowd(relay: SimRelay, count: number): void {
    const { world, visitors } = this;
    const { prng } = world;
    this.note(`${count} connect to relay ${this.relays.indexOf(relay)} at once`);
    const worker = prng.below(relay.workerCount);
    for (let i = 0; i < count; i++) {
      const from = { host: Uint8Array.of(203, 0, 113, 200 + prng.below(50)), port: 50_000 + i };
      visitors.push(Peer.connect(world, relay, { worker, from, mute: prng.below(3) === 0 }));
    }
  }

  private readonly visitors: Peer[] = [];
  private readonly stalled: { stalled: boolean }[] = [];

  private readonly rare = new Map<SimWorker, number>();

  /** Whether a worker had something rare happen to it since it was asked last. */
  private hadRare({ worker, relay }: SimWorker, key: SimWorker): boolean {
    let count = 0;
    for (const counter of RARE) count += relay.counted(worker, counter);
    const before = this.rare.get(key) ?? 0;
    this.rare.set(key, count);
    return count !== before;
  }

  private auditAll(): void {
    for (const relay of this.relays) {
      for (const worker of relay.workers) if (worker.alive) audit(worker);
      auditWaits(relay);
    }
  }

  private auditTouched(): void {
    for (const relay of this.relays) {
      let touched = false;
      for (const worker of relay.workers) {
        if (!worker.touched) continue;
        worker.touched = false;
        touched = true;
        if (!worker.alive) continue;
        if (this.hadRare(worker, worker)) audit(worker);
        else auditStep(worker);
      }
      if (touched) auditWaits(relay);
    }
  }

  /** Step, and hold the books against each other; false when nothing could happen. */
  private step(): boolean {
    const { world } = this;
    world.nowMs += world.prng.float() * 0.2;
    const moved = world.step();
    if (world.steps % AUDIT_EVERY === 0) this.auditAll();
    else this.auditTouched();
    return moved;
  }

  private play(): void {
    const { world } = this;
    const { prng } = world;
    const mischiefs = prng.below(8);
    for (let i = 0; i < 3 + prng.below(10); i++) this.build();
    const steps = 400 + prng.below(2000);
    for (let i = 0; i < steps; i++) {
      this.step();
      if (prng.below(3) === 0) this.talk();
      if (prng.below(steps) < mischiefs) {
        this.mischief();
        this.auditAll();
      }
      if (prng.below(steps) < 2) this.build();
      if (this.stalled.length > 0 && prng.below(400) === 0) this.stalled.pop()!.stalled = false;
    }
    for (const end of this.stalled.splice(0)) end.stalled = false;
    for (const circuit of this.doomed) circuit.abandon();
  }

  /** Step until nothing moves any more. */
  private rest(): void {
    const { world } = this;
    const quiet = new Quiet(world, this.relays);
    do {
      for (const circuit of this.circuits) {
        circuit.sayForward();
        circuit.sayBackward();
      }
      this.own.talk();
      if (!this.step()) world.nowMs += 10;
      else if (quiet.steps > SLOW_STEPS) world.nowMs += 2;
    } while (!quiet.isReached());
  }

  /** What limits may have done to a circuit. */
  private isLimited(circuit: Circuit): boolean {
    return circuit.through.some(
      (relay) =>
        relay.count('circuit_memory_killed') + relay.count('oom_links_closed') > 0 ||
        relay.count('dos_circuit_refused') > 0 ||
        (relay.count('dos_link_refused_concurrent') > 0 && circuit.client.peer.gone) ||
        (this.greedy.has(circuit) && relay.count('circuit_queue_limit_killed') > 0),
    );
  }

  /** With no more mischief, everything that lives gets done; then nothing happens any more. */
  private finish(): void {
    this.rest();
    this.auditAll();
    for (const relay of this.relays) expectNoWaits(relay);
    this.own.expectSettled();
    for (const circuit of this.circuits) {
      if (circuit.isDone) continue;
      const { name, phase, forward, backward, destroyed, client, end } = circuit;
      const excused =
        circuit.abandoned ||
        this.doomed.has(circuit) ||
        this.excuses.some((excuse) => excuse(circuit)) ||
        this.isLimited(circuit);
      const isOver =
        (phase === 'dead' || client.peer.gone) && (end === null || end.destroyed >= 0 || end.peer.gone);
      if (excused && isOver) continue;
      throw new Error(
        `${name} is ${phase}, destroyed ${destroyed} (at its end ${end?.destroyed}), ` +
          `forward ${forward.heard}/${forward.said}/${forward.limits.cells}, ` +
          `backward ${backward.heard}/${backward.said}/${backward.limits.cells}`,
      );
    }
  }

  private close(): void {
    const { world } = this;
    for (const client of this.clients) client.peer.wire.reset();
    for (const { wire } of this.visitors) wire.reset();
    this.own.closeAll();
    this.rest();
    this.own.expectNoOrphans();
    for (const relay of this.relays) {
      for (const { alive, data } of relay.workers) {
        if (alive && data.plane.table.count > 0) throw new Error('circuits outlive their clients');
      }
    }
    for (const { circuits } of this.terminals) {
      const orphan = circuits.find(({ destroyed, peer }) => destroyed < 0 && !peer.gone);
      if (orphan !== undefined)
        throw new Error(`no one told a terminal that circuit ${orphan.circId} is over`);
    }
    for (const relay of this.relays) {
      for (const worker of relay.workers) if (worker.alive) worker.data.links.closeAll();
    }
    world.pass(61_000, 1000);
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
