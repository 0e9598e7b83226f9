/**
 * The client's side of a latency probe: one cell at a time to the sink and back, by turns through the relay and on a
 * connection straight to the sink. The straight one shows what the prober, the sink and the machine cost by
 * themselves under the same conditions: the floor.
 */
import { buildCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { type Hop, type LoadCircuit, LoadClient } from './client.ts';
import { Histogram } from './histogram.ts';
import { FLOOD_BODY } from './keystream.ts';
import type { LoadLink } from './link.ts';
import type { LatencyFigures, LinkPlace, ProbePlan } from './plan.ts';
import { Tally } from './tally.ts';

/** What is longer under way than this is lost. */
const LOST_MS = 10_000;
/** Of xorshift32; any number but 0. Pauses vary, but the same way in each run. */
const SEED = 0x9e3779b9;
const CIRC_ID_BASE = 0x80000001;

export interface ProbeTimes {
  readonly measured: LatencyFigures;
  readonly floor: LatencyFigures;
}

/** One thread's probes. */
export class Prober {
  readonly client: LoadClient;
  readonly circuits: LoadCircuit[] = [];
  readonly #direct: LoadClient;
  #directCircuit: LoadCircuit | null = null;
  readonly #links: LoadLink[] = [];
  readonly #cell = buildCell(0, Command.RELAY, FLOOD_BODY);
  #backNs = 0;
  #resolve: (back: boolean) => void = () => {};
  #random = SEED;
  #stopped = false;

  constructor(relay: Hop, sink: Hop, credentials: LinkCredentials, tally: SharedArrayBuffer) {
    this.client = new LoadClient(relay, credentials, tally);
    // What the sink sends straight back is not encrypted: this client's own comparing of cells means nothing.
    this.#direct = new LoadClient(sink, credentials, Tally.create(1));
    const back = () => {
      this.#backNs = Bun.nanoseconds();
      this.#resolve(true);
    };
    this.client.onEcho = back;
    this.#direct.onEcho = back;
  }

  /** Open the connections. */
  async connect(plan: ProbePlan): Promise<LinkPlace[]> {
    for (let i = 0; i < plan.circuits; i++) {
      this.#links.push(await this.client.connect('127.0.0.1', plan.ports?.[i] ?? 0));
    }
    return this.#links.map(({ localPort }) => ({ address: '127.0.0.1', port: localPort }));
  }

  /** Build the circuits, and the one straight to the sink. */
  async build(sink: Hop): Promise<void> {
    for (const [index, link] of this.#links.entries()) {
      this.circuits.push(await this.client.lay(link, index, CIRC_ID_BASE + index, sink));
    }
    this.#directCircuit = await this.#direct.create(await this.#direct.connect(), 0, CIRC_ID_BASE);
  }

  expect(echo: boolean): void {
    this.client.expect(echo ? 'echo' : 'messages');
    this.#direct.expect(echo ? 'echo' : 'messages');
  }

  /** Send this many probes, or fewer if stopped. `onProbe` hears of each. */
  async run(probes: number, gapMs: number, onProbe: () => void): Promise<ProbeTimes> {
    const measured = new Histogram();
    const floor = new Histogram();
    this.#stopped = false;
    for (let i = 0; i < probes && !this.#stopped; i++) {
      await Bun.sleep(this.#pauseMs(gapMs));
      await this.#roundTrip(this.client, this.circuits[i % this.circuits.length]!, measured);
      await Bun.sleep(this.#pauseMs(gapMs));
      await this.#roundTrip(this.#direct, this.#directCircuit!, floor);
      onProbe();
    }
    return { measured: measured.figures(), floor: floor.figures() };
  }

  /** End the run after the probe that is under way. */
  stop(): void {
    this.#stopped = true;
  }

  async #roundTrip(client: LoadClient, circuit: LoadCircuit, times: Histogram): Promise<void> {
    // One that was given up may still come; it must not be taken for the next.
    if (!client.settled(circuit) || !circuit.alive) {
      times.lose();
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const answer = new Promise<boolean>((resolve) => {
      this.#resolve = resolve;
      timer = setTimeout(resolve, LOST_MS, false);
    });
    const sentNs = Bun.nanoseconds();
    client.probe(circuit, this.#cell);
    const back = await answer;
    clearTimeout(timer);
    if (back) times.add((this.#backNs - sentNs) / 1000);
    else times.lose();
  }

  /** Half to one and a half times the mean, so that probes do not march in step with anybody's timer. */
  #pauseMs(meanMs: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return meanMs / 2 + (meanMs * (x >>> 0)) / 0x100000000;
  }
}
