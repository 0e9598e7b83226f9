/** A load on a directory, driven: one thread for the client. */
import { broken, type Hop } from './client.ts';
import { EndThread } from './end-thread.ts';
import type { FetchCount } from './fetch-client.ts';
import {
  type DirectoryPlan,
  type DirectoryReport,
  type LoadCheck,
  type LoadMode,
  type MeasureHooks,
  NO_PLACES,
  type OpenPlaces,
} from './plan.ts';
import { metered, untilTrue } from './progress.ts';

/** How often the relay is asked whether it has all documents. */
const POLL_MS = 100;

/** The client of a directory. */
export class DirectoryPart implements LoadMode {
  readonly #plan: DirectoryPlan;
  readonly #relay: Hop;
  readonly #client = new EndThread();
  #expected = 0;

  constructor(plan: DirectoryPlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
  }

  async connect(): Promise<OpenPlaces> {
    const { connections, circuits, streams, requests } = this.#plan;
    const setup = { relay: this.#relay, connections, circuits, streams, requests };
    await this.#client.call('startFetcher', { setup });
    return NO_PLACES;
  }

  /** Wait until the relay has all documents, and warm up. */
  async prepare(): Promise<void> {
    await untilTrue(
      () => this.#client.call('readyFetcher', null),
      () => broken('the relay does not have the documents', `port ${this.#relay.port}`),
      POLL_MS,
    );
    if (this.#plan.warmUpTotal > 0) await this.#fetch(this.#plan.warmUpTotal, () => {});
  }

  async measure(hooks: MeasureHooks): Promise<DirectoryReport> {
    hooks.begin();
    const startMs = performance.now();
    const { done, bytes } = await this.#fetch(this.#plan.total, (part) => hooks.progress?.(part));
    const seconds = (performance.now() - startMs) / 1000;
    hooks.end();
    return { mode: 'directory', done, bytes, seconds, perSec: done / seconds };
  }

  /** Every request must have been answered, and what was compared be right. */
  async check(): Promise<LoadCheck> {
    const { corrupt, compared, done, losses } = await this.#client.call('reportFetcher', null);
    const lost = this.#expected - done - corrupt;
    return { expected: this.#expected, inStep: done, lost, corrupt, sampled: compared, closed: losses };
  }

  close(): void {
    this.#client.stop();
  }

  async #fetch(total: number, onProgress: (part: number) => void): Promise<FetchCount> {
    this.#expected += total;
    return await metered(
      (meter) => this.#client.call('fetch', { total, meter }),
      (done) => onProgress(done / total),
      (done) => broken(`${total - done} answers never came`, `port ${this.#relay.port}`),
    );
  }
}
