/**
 * Honest traffic at a pace that the relay carries easily: what a flood must not take away.
 *
 * Offered by elapsed time, both ways, on every circuit alike. What the windows or the sockets do not take is not
 * offered again, so that a relay which stands still for long shows as less throughput and not as a burst later.
 */
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { type Hop, type LoadCircuit, LoadClient } from '../../src/load/client.ts';
import type { LoadLink } from '../../src/load/link.ts';
import type { LoadCheck } from '../../src/load/plan.ts';
import { LoadSink } from '../../src/load/sink.ts';
import { Tally } from '../../src/load/tally.ts';
import { makeTestRelay } from '../channel/credentials.ts';

export interface HonestPlan {
  readonly circuits: number;
  readonly connections: number;
  /** Bytes of cells per second, both ways together. */
  readonly bytesPerSec: number;
}

/** How the honest circuits fared. */
export type HonestCheck = Omit<LoadCheck, 'expected'>;

/** Cells of one circuit and direction that may be under way. */
const WINDOW = 400;
const BURST = 4;
const PACE_MS = 10;
/** Time that the generator itself may have slept through and still makes up for. */
const CATCH_UP_MS = 250;
const ARRIVAL_MS = 30_000;
const POLL_MS = 5;

/** Circuits over a relay to a sink of ours, with paced traffic. */
export class HonestLoad {
  readonly #plan: HonestPlan;
  readonly #client: LoadClient;
  readonly #sink: LoadSink;
  readonly #tally: Tally;
  readonly #links: LoadLink[] = [];
  readonly #circuits: LoadCircuit[] = [];
  #timer: ReturnType<typeof setInterval> | null = null;
  #offeredMs = 0;
  #owedCells = 0;

  private constructor(relay: Hop, plan: HonestPlan) {
    const nowSec = Math.floor(Date.now() / 1000);
    const memory = Tally.create(plan.circuits);
    this.#plan = plan;
    this.#tally = new Tally(memory);
    this.#sink = new LoadSink([makeTestRelay(nowSec).credentials], memory);
    this.#client = new LoadClient(relay, makeTestRelay(nowSec).credentials, memory);
  }

  /** Open links and circuits; no traffic yet. */
  static async open(relay: Hop, plan: HonestPlan): Promise<HonestLoad> {
    const load = new HonestLoad(relay, plan);
    for (let i = 0; i < plan.connections; i++) load.#links.push(await load.#client.connect());
    for (let index = 0; index < plan.circuits; index++) {
      const link = load.#links[index % load.#links.length]!;
      const circuit = await load.#client.create(link, index, (0x80000001 + index) >>> 0);
      await load.#client.extend(circuit, load.#sink.hops[0]!);
      load.#client.enlist(circuit);
      load.#circuits.push(circuit);
    }
    return load;
  }

  /** Begin to send. */
  start(): void {
    this.#sink.expect('flood');
    this.#client.expect('flood');
    this.#offeredMs = performance.now();
    this.#owedCells = 0;
    this.#timer ??= setInterval(() => this.#offer(), PACE_MS);
  }

  #offer(): void {
    const nowMs = performance.now();
    const elapsedMs = Math.min(nowMs - this.#offeredMs, CATCH_UP_MS);
    this.#offeredMs = nowMs;
    const { bytesPerSec, circuits } = this.#plan;
    this.#owedCells += ((bytesPerSec / CELL_BYTES / 2 / circuits) * elapsedMs) / 1000;
    const cells = Math.floor(this.#owedCells);
    if (cells === 0) return;
    this.#owedCells -= cells;
    const course = { cells, window: WINDOW, burst: BURST, cellsPerSec: null };
    this.#client.flood(course);
    this.#sink.flood(course);
  }

  /** Cells that have arrived so far, both ways. */
  get arrived(): number {
    return this.#tally.received;
  }

  get sent(): number {
    return this.#tally.sent;
  }

  /** Measure for so long: bytes of cells that arrive per second. */
  async measure(ms: number): Promise<number> {
    const before = this.arrived;
    const startMs = performance.now();
    await Bun.sleep(ms);
    return ((this.arrived - before) * CELL_BYTES * 1000) / (performance.now() - startMs);
  }

  /** Send no more, wait for what is under way, and see that nothing was lost or changed. Traffic may start again. */
  async stop(): Promise<HonestCheck> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    let seen = -1;
    let seenMs = performance.now();
    while (seen < this.sent && performance.now() - seenMs < ARRIVAL_MS) {
      const now = this.arrived;
      if (now !== seen) seenMs = performance.now();
      seen = now;
      await Bun.sleep(POLL_MS);
    }
    this.#sink.expect('messages');
    this.#client.expect('messages');
    let inStep = 0;
    const check = async (circuit: LoadCircuit): Promise<void> => {
      await this.#client.ping(circuit);
      inStep++;
    };
    const alive = this.#circuits.filter((circuit) => circuit.alive);
    await Promise.allSettled(alive.map(check));
    return {
      inStep,
      lost: this.sent - this.arrived,
      corrupt: this.#client.corrupt + this.#sink.corrupt,
      sampled: this.#client.sampled + this.#sink.sampled,
      closed: this.#client.losses,
    };
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const link of this.#links) link.close();
    this.#sink.stop();
  }
}
