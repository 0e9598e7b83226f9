/** A load on an exit, driven: one thread for the client, one for the destination. */
import type { OperatorError } from '../fault.ts';
import { broken, type Hop } from './client.ts';
import { EndThread } from './end-thread.ts';
import {
  type ExitPlan,
  type ExitReport,
  type LoadCheck,
  type LoadMode,
  type MeasureHooks,
  NO_PLACES,
  type OpenPlaces,
} from './plan.ts';
import { untilArrived, untilTrue } from './progress.ts';
import { StreamTally } from './stream-tally.ts';

/** Client and destination of exit streams. */
export class ExitPart implements LoadMode {
  readonly #plan: ExitPlan;
  readonly #relay: Hop;
  readonly #client = new EndThread();
  readonly #server = new EndThread();
  readonly #memory: SharedArrayBuffer;
  readonly #tally: StreamTally;
  #destination = 0;

  constructor(plan: ExitPlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
    this.#memory = StreamTally.create(plan.streams);
    this.#tally = new StreamTally(this.#memory);
  }

  async connect(): Promise<OpenPlaces> {
    const { connections, circuits, streams, congestion } = this.#plan;
    this.#destination = await this.#server.call('startServer', { tally: this.#memory });
    const setup = { relay: this.#relay, connections, circuits, streams, congestion };
    const destination = this.#destination;
    await this.#client.call('startExitClient', { tally: this.#memory, setup: { ...setup, destination } });
    return NO_PLACES;
  }

  /** Open the streams and warm up. @throws OperatorError when the relay does another flow control than asked */
  async prepare(): Promise<void> {
    const { circuits, congestion, streams, warmUpBytes } = this.#plan;
    const controlled = await this.#client.call('buildStreams', null);
    if (controlled !== (congestion ? circuits : 0)) {
      const what = `${controlled} of ${circuits} circuits have congestion control`;
      throw broken(what, `port ${this.#relay.port}`);
    }
    // The destination sends only on streams that have told their number.
    await this.#until(async () => (await this.#server.call('knownStreams', null)) === streams);
    if (warmUpBytes > 0) await this.#pump(warmUpBytes, null);
  }

  measure(hooks: MeasureHooks): Promise<ExitReport> {
    return this.#pump(this.#plan.bytes, hooks);
  }

  /** See that all came whole, end the streams, and see that the exit closes what belongs to them. */
  async check(): Promise<LoadCheck> {
    const { streams } = this.#plan;
    const inStep = await this.#client.call('endStreams', null);
    const left = async (): Promise<number> => await this.#server.call('openLines', null);
    const isClosed = await this.#until(async () => (await left()) === 0).then(
      () => true,
      () => false,
    );
    const ends = [
      await this.#client.call('reportStreams', null),
      await this.#server.call('reportStreams', null),
    ];
    return {
      expected: streams,
      inStep,
      lost: this.#tally.sent - this.#tally.received,
      corrupt: ends.reduce((total, { corrupt }) => total + corrupt, 0),
      sampled: 0,
      closed: [
        ...ends.flatMap(({ losses }) => losses),
        ...(isClosed ? [] : [`the exit left ${await left()} connections open`]),
      ],
    };
  }

  close(): void {
    this.#client.stop();
    this.#server.stop();
  }

  async #pump(bytes: number, hooks: MeasureHooks | null): Promise<ExitReport> {
    const { streams, direction } = this.#plan;
    const ways = direction === 'both' ? 2 : 1;
    const each = Math.max(1, Math.round(bytes / streams / ways));
    const moved = each * streams * ways;
    const goal = this.#tally.received + moved;
    hooks?.begin();
    const startMs = performance.now();
    const going: Promise<null>[] = [];
    if (direction !== 'forward') going.push(this.#server.call('pumpLines', { bytes: each }));
    if (direction !== 'backward') going.push(this.#client.call('pumpStreams', { bytes: each }));
    await Promise.all(going);
    await untilArrived({
      count: () => this.#tally.received,
      goal: () => goal,
      onProgress: (left) => hooks?.progress?.(1 - left / moved),
      fault: (left) => this.#broken(left),
    });
    const seconds = (performance.now() - startMs) / 1000;
    hooks?.end();
    return { mode: 'exit', bytes: moved, seconds, bytesPerSec: seconds === 0 ? 0 : moved / seconds };
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    await untilTrue(condition, () => broken('streams are missing', 'the destination'));
  }

  async #broken(left: number): Promise<OperatorError> {
    const { losses } = await this.#client.call('reportStreams', null);
    const closed = losses.length === 0 ? 'nothing was closed' : losses.slice(0, 5).join(', ');
    return broken(`${left} bytes never arrived; ${closed}`, `port ${this.#relay.port}`);
  }
}
