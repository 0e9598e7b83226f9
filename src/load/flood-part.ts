/** A flood, driven: one thread for the client, one for the sink. */
import { CELL_BYTES } from '../cell/cell.ts';
import type { OperatorError } from '../fault.ts';
import { broken, type Hop } from './client.ts';
import { EndPair } from './end-pair.ts';
import type { FloodCourse } from './flood.ts';
import type { FloodPlan, FloodReport, LoadCheck, LoadMode, MeasureHooks, OpenPlaces } from './plan.ts';
import { untilArrived, untilTrue } from './progress.ts';
import { Tally } from './tally.ts';

/** Choose the first of the links. */
export function firstLinks(connections: number): number[] {
  return Array.from({ length: connections }, (_, index) => index);
}

/** What a flood that ran beside something else did in a window of time. */
interface Window {
  readonly sinceMs: number;
  readonly arrived: number;
}

/** Client and sink of a flood. */
export class FloodPart implements LoadMode {
  readonly #plan: FloodPlan;
  readonly #relay: Hop;
  readonly #ends = new EndPair();
  readonly #memory: SharedArrayBuffer;
  readonly #tally: Tally;
  #hops: readonly Hop[] = [];

  constructor(plan: FloodPlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
    // One row more, for circuits that only make the relay dial.
    this.#memory = Tally.create(plan.circuits + 1);
    this.#tally = new Tally(this.#memory);
  }

  async connect(): Promise<OpenPlaces> {
    const { links, route } = this.#plan;
    this.#hops = await this.#ends.sink.call('startSink', { tally: this.#memory, hops: route.nextHops });
    const places = await this.#ends.client.call('startClient', {
      tally: this.#memory,
      relay: this.#relay,
      links,
    });
    return { links: places, probes: [], hopPorts: this.#hops.map(({ port }) => port) };
  }

  /** Build the circuits and warm up. */
  async prepare(choice: readonly number[] | null): Promise<void> {
    const { circuits, links, route, warmUpBytes } = this.#plan;
    await this.#ends.client.call('build', {
      choice: choice ?? firstLinks(links.connections),
      circuits,
      hops: this.#hops,
      routes: route.routes,
      dialers: route.dialers,
    });
    // A circuit that only made the relay dial must be gone before the sink sends on what it knows.
    await untilTrue(
      async () => (await this.#ends.sink.call('known', null)) === circuits,
      () => broken('circuits are missing at the sink', 'the load'),
    );
    if (warmUpBytes > 0) await this.#pump(warmUpBytes, null);
  }

  measure(hooks: MeasureHooks): Promise<FloodReport> {
    return this.#pump(this.#plan.bytes, hooks);
  }

  /** Flood until `endBeside`. */
  async beginBeside(): Promise<void> {
    await this.#ends.expect('flood');
    await this.#start(null);
  }

  /** Look at the clock and at what has arrived. */
  look(): Window {
    return { sinceMs: performance.now(), arrived: this.#tally.received };
  }

  /** What arrived since. */
  since(window: Window): FloodReport {
    return reportOf(this.#tally.received - window.arrived, (performance.now() - window.sinceMs) / 1000);
  }

  async endBeside(): Promise<void> {
    await Promise.all([this.#ends.client.call('halt', null), this.#ends.sink.call('halt', null)]);
    await this.#arrival(
      () => this.#tally.sent,
      () => {},
    );
    await this.#ends.expect('messages');
  }

  check(): Promise<LoadCheck> {
    return this.#ends.check(this.#plan.circuits, this.#tally);
  }

  close(): void {
    this.#ends.stop();
  }

  async #pump(bytes: number, hooks: MeasureHooks | null): Promise<FloodReport> {
    const { circuits } = this.#plan;
    const ways = this.#ways();
    const cells = Math.max(1, Math.round(bytes / CELL_BYTES / circuits / ways));
    const moved = cells * circuits * ways;
    await this.#ends.expect('flood');
    const goal = this.#tally.received + moved;
    hooks?.begin();
    const startMs = performance.now();
    await this.#start(cells);
    await this.#arrival(
      () => goal,
      (left) => hooks?.progress?.(1 - left / moved),
    );
    const seconds = (performance.now() - startMs) / 1000;
    hooks?.end();
    await this.#ends.expect('messages');
    return reportOf(moved, seconds);
  }

  #ways(): number {
    return this.#plan.direction === 'both' ? 2 : 1;
  }

  async #start(cells: number | null): Promise<void> {
    const { window, burst, bytesPerSec, direction } = this.#plan;
    const cellsPerSec = bytesPerSec === null ? null : bytesPerSec / CELL_BYTES / this.#ways();
    const course: FloodCourse = { cells, window, burst, cellsPerSec };
    const going: Promise<null>[] = [];
    if (direction !== 'forward') going.push(this.#ends.sink.call('flood', course));
    if (direction !== 'backward') going.push(this.#ends.client.call('flood', course));
    await Promise.all(going);
  }

  async #arrival(goal: () => number, onProgress: (left: number) => void): Promise<void> {
    await untilArrived({
      count: () => this.#tally.received,
      goal,
      onProgress,
      fault: (left) => this.#broken(left),
    });
  }

  async #broken(left: number): Promise<OperatorError> {
    const { losses } = await this.#ends.client.call('report', null);
    const closed = losses.length === 0 ? 'no circuit was closed' : losses.slice(0, 5).join(', ');
    return broken(`${left} cells never arrived; ${closed}`, `port ${this.#relay.port}`);
  }
}

function reportOf(cells: number, seconds: number): FloodReport {
  const bytes = cells * CELL_BYTES;
  return { mode: 'flood', cells, bytes, seconds, bytesPerSec: seconds === 0 ? 0 : bytes / seconds };
}
