/** A whole load around one relay: client and sink on threads of their own, run from here. */
import { CELL_BYTES } from '../../src/cell/cell.ts';
import type { Answer, Ask, EndCalls } from './load-end.ts';
import { sum, Tally } from './tally.ts';
import type { Target } from './target.ts';

export type Direction = 'forward' | 'backward' | 'both';

export interface LoadShape {
  readonly circuits: number;
  readonly connections: number;
  readonly nextHops: number;
  /** Cells of one circuit and direction that may be under way. */
  readonly window: number;
  /** Cells of one circuit in a row. */
  readonly burst: number;
}

const STALL_MS = 20_000;
const POLL_MS = 2;

/** One thread, asked by calls. */
class End {
  readonly #worker = new Worker(new URL('./load-end.ts', import.meta.url).href);
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(fault: Error): void }>();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ('fault' in data) waiting?.reject(new Error(data.fault));
      else waiting?.resolve(data.result);
    };
    this.#worker.addEventListener('error', (event: ErrorEvent) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the load broke: ${event.message}`));
    });
  }

  call<K extends keyof EndCalls>(call: K, ask: Parameters<EndCalls[K]>[0]): Promise<ReturnType<EndCalls[K]>> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve: (result) => resolve(result as ReturnType<EndCalls[K]>), reject });
      const letter: Ask = { id, call, ask };
      this.#worker.postMessage(letter);
    });
  }

  stop(): void {
    this.#worker.terminate();
  }
}

export interface FloodFigures {
  readonly cells: number;
  readonly seconds: number;
  readonly cpuSec: number;
  /** CPU seconds of the relay per 1e9 bytes of cells. */
  readonly cpuPerGb: number;
  readonly bytesPerSec: number;
}

export interface LoadCheck {
  /** Circuits whose keystreams are in step both ways. */
  readonly inStep: number;
  readonly lost: number;
  readonly corrupt: number;
  readonly sampled: number;
  readonly closed: readonly string[];
}

/** Circuits through a relay, ready to be flooded. */
export class Load {
  readonly #shape: LoadShape;
  readonly #target: Target;
  readonly #client = new End();
  readonly #sink = new End();
  readonly #tally: Tally;

  private constructor(target: Target, shape: LoadShape, memory: SharedArrayBuffer) {
    this.#target = target;
    this.#shape = shape;
    this.#tally = new Tally(memory);
  }

  /** Open all connections and circuits. */
  static async open(target: Target, shape: LoadShape): Promise<Load> {
    const tally = Tally.create(shape.circuits);
    const load = new Load(target, shape, tally);
    try {
      const hops = await load.#sink.call('startSink', { tally, hops: shape.nextHops });
      const { connections, circuits } = shape;
      await load.#client.call('startClient', { tally, relay: target.hop, hops, connections, circuits });
    } catch (fault) {
      load.close();
      throw fault;
    }
    return load;
  }

  /** Pump about this many bytes of cells through the relay, and measure it meanwhile. */
  async flood(direction: Direction, bytes: number): Promise<FloodFigures> {
    const { circuits, window, burst } = this.#shape;
    const ways = direction === 'both' ? 2 : 1;
    const cells = Math.max(1, Math.round(bytes / CELL_BYTES / circuits / ways));
    await this.#expect(true);
    const goal = this.#arrived() + cells * circuits * ways;
    const cpuBefore = this.#target.cpuSec();
    const startMs = performance.now();
    const go: Promise<null>[] = [];
    if (direction !== 'forward') go.push(this.#sink.call('flood', { cells, window, burst }));
    if (direction !== 'backward') go.push(this.#client.call('flood', { cells, window, burst }));
    await Promise.all(go);
    await this.#arrival(goal);
    const seconds = (performance.now() - startMs) / 1000;
    const cpuSec = this.#target.cpuSec() - cpuBefore;
    await this.#expect(false);
    const moved = cells * circuits * ways;
    const gigabytes = (moved * CELL_BYTES) / 1e9;
    return {
      cells: moved,
      seconds,
      cpuSec,
      cpuPerGb: cpuSec / gigabytes,
      bytesPerSec: (gigabytes * 1e9) / seconds,
    };
  }

  /** See that nothing was lost and that every circuit's keystreams are in step. */
  async check(): Promise<LoadCheck> {
    const inStep = await this.#client.call('verify', null);
    const reports = [await this.#client.call('report', null), await this.#sink.call('report', null)];
    const { forwardSent, backwardSent } = this.#tally;
    return {
      inStep,
      lost: sum(forwardSent) + sum(backwardSent) - this.#arrived(),
      corrupt: reports.reduce((total, { corrupt }) => total + corrupt, 0),
      sampled: reports.reduce((total, { sampled }) => total + sampled, 0),
      closed: reports.flatMap(({ losses }) => losses),
    };
  }

  close(): void {
    this.#client.stop();
    this.#sink.stop();
  }

  #arrived(): number {
    return sum(this.#tally.forwardReceived) + sum(this.#tally.backwardReceived);
  }

  async #expect(flood: boolean): Promise<void> {
    await Promise.all([this.#sink.call('expect', { flood }), this.#client.call('expect', { flood })]);
  }

  async #arrival(goal: number): Promise<void> {
    let seen = this.#arrived();
    let seenMs = performance.now();
    while (seen < goal) {
      await Bun.sleep(POLL_MS);
      const now = this.#arrived();
      if (now > seen) {
        seen = now;
        seenMs = performance.now();
      } else if (performance.now() - seenMs > STALL_MS) {
        const { losses } = await this.#client.call('report', null);
        throw new Error(
          `${goal - seen} cells never arrived; closed circuits: ${losses.slice(0, 5).join(', ')}`,
        );
      }
    }
  }
}
