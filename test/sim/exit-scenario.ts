/**
 * What worlds with one relay of ours as an exit have in common: how they are drawn, stepped, looked at, brought to rest
 * and left. What happens in them is up to `stream-scenario` and `conflux-scenario`.
 */
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { COUNTER_NAMES, type CounterName } from '../../src/shm/counter.ts';
import type { Prng } from '../fuzz/prng.ts';
import type { SimConnection } from './destinations.ts';
import { audit, auditStep, expectNothingLeft } from './ledger.ts';
import type { Peer } from './peer.ts';
import { Quiet } from './quiet.ts';
import { SimRelay, type SimRelayConfig, type SimWorker } from './relay.ts';
import { auditWaits, expectNoWaits } from './waits.ts';
import { drawFaults } from './wire.ts';
import { World } from './world.ts';

const AUDIT_EVERY = 64;
/** Far more than any world needs to come to rest. */
const REST_STEPS = 600_000;
/** Notes of the log that a failure tells. */
const TOLD_NOTES = 30;
/** Cells of a leg that may wait for a link, and messages for a ring. */
export const QUEUE_CELLS = 2500;

export abstract class ExitScenario {
  readonly world: World;
  readonly relay: SimRelay;
  /** Draws what the world is like; what happens in it draws from the world's own. */
  protected readonly draw: Prng;
  protected readonly peers: Peer[] = [];
  /** Clients and destinations hold back what they could take or say. */
  protected holding = true;
  private seen = 0;
  private readonly log: string[] = [];

  constructor(
    seed: number,
    config: (draw: Prng) => Pick<SimRelayConfig, 'workers' | 'ringSlots' | 'relayIndex'>,
  ) {
    this.draw = new World(seed).prng;
    const { draw } = this;
    this.world = new World(seed, drawFaults(draw, 2000 + draw.below(60_000), 100 + draw.below(20_000)));
    this.relay = new SimRelay(this.world, {
      ...config(draw),
      host: Uint8Array.of(198, 51, 100, 1),
      options: { circQueueCellsMax: QUEUE_CELLS, exit: { ...NO_EXIT, rules: [], ipv6Exit: true } },
    });
  }

  /** What goes on until nobody holds anything back any more. */
  protected abstract play(): void;
  /** Let everything go on that somebody held back. */
  protected abstract letGo(): void;
  /** Give a new connection to the stream that it is for; false when nobody asked for it. */
  protected abstract claim(connection: SimConnection): boolean;
  /** See after each step that what has arrived is right. */
  protected abstract check(): void;
  /** See that everything is done that was to be done. */
  protected abstract judge(): void;

  /** Look at more of a worker that did something than its books. */
  protected look(_worker: SimWorker): void {}

  /** What only a peer's fault is counted as. */
  protected abstract readonly faults: readonly CounterName[];

  protected note(text: string): void {
    this.log.push(`step ${this.world.steps}: ${text}`);
  }

  /** Play it to its end. @throws Error when something is wrong */
  run(): void {
    try {
      this.play();
      this.comeToRest();
      expectNoWaits(this.relay);
      this.judge();
      this.leave();
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const { seed, steps } = this.world;
      throw new Error(`seed ${seed}, step ${steps}: ${why}\n${this.log.slice(-TOLD_NOTES).join('\n')}`, {
        cause: error,
      });
    }
  }

  protected step(i: number): void {
    const { world } = this;
    world.step();
    world.nowMs += world.prng.pick([0.01, 0.05, 1]);
    this.claimAll();
    this.check();
    let touched = false;
    for (const worker of this.relay.workers) {
      if (!worker.touched || !worker.alive) continue;
      worker.touched = false;
      touched = true;
      if (i % AUDIT_EVERY === 0) audit(worker);
      else auditStep(worker);
      this.look(worker);
    }
    if (touched) auditWaits(this.relay);
  }

  /** Learn which streams the new connections are for. */
  private claimAll(): void {
    const { connections } = this.relay.destinations;
    for (; this.seen < connections.length; this.seen++) {
      const connection = connections[this.seen]!;
      if (!this.claim(connection)) throw new Error('a connection that nobody asked for');
      connection.capacity = this.holding ? this.world.prng.below(50_000) : Number.POSITIVE_INFINITY;
    }
  }

  /** Nobody holds anything back any more: everything must arrive. */
  private comeToRest(): void {
    const { world } = this;
    this.holding = false;
    const quiet = new Quiet(world, [this.relay]);
    for (let i = 0; i < REST_STEPS && !quiet.isReached(); i++) {
      if (i % 20 === 0) this.letGo();
      this.step(i);
      if (i % 20 === 19) world.nowMs += 40;
    }
  }

  /** All links end: nothing is left of anything. */
  private leave(): void {
    const { world, relay } = this;
    for (const peer of this.peers) peer.wire.reset();
    world.pass(20_000);
    for (const { alive, data } of relay.workers) {
      if (!alive) continue;
      const { desk, table } = data.edge;
      const { homes, legs, registry, heldBytes } = data.plane.conflux;
      const left = [table.count, desk.sockets, desk.incomingBytes, desk.buffers.lent, desk.lingering.length];
      left.push(homes.size, homes.remoteCount, homes.localCount);
      left.push(legs.tokens, registry.size, registry.heldCount, heldBytes);
      if (left.some((count) => count !== 0)) throw new Error(`left: ${left.join(', ')}`);
    }
    expectNothingLeft(relay);
    for (const name of this.faults) {
      if (relay.count(name) !== 0) throw new Error(`an honest client was found at fault: ${name}`);
    }
  }

  /** What happened, to be compared. */
  get told(): readonly number[] {
    const { steps, delivered, nowMs } = this.world;
    return [steps, delivered, nowMs, ...COUNTER_NAMES.map((name) => this.relay.count(name))];
  }
}
