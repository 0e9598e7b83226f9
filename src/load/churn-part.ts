/** A churn of circuits, driven: one thread for the client, one for the sink. */
import type { ChurnCount } from './churner.ts';
import type { Hop } from './client.ts';
import { EndPair } from './end-pair.ts';
import { firstLinks } from './flood-part.ts';
import type { ChurnPlan, LinkPlace, LoadCheck } from './plan.ts';
import { metered } from './progress.ts';
import { Tally } from './tally.ts';

/** Client and sink of a churn. */
export class ChurnPart {
  readonly #plan: ChurnPlan;
  readonly #relay: Hop;
  readonly #ends = new EndPair();

  constructor(plan: ChurnPlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
  }

  async connect(): Promise<{ links: LinkPlace[]; hopPorts: number[] }> {
    const { hops, handshake, links } = this.#plan;
    const nextHops = await this.#ends.sink.call('startSink', {
      tally: Tally.create(1),
      hops: hops === 1 ? 0 : this.#plan.nextHops,
    });
    const setup = { relay: this.#relay, hops, handshake, nextHops };
    const places = await this.#ends.client.call('startChurner', { setup, links });
    return { links: places, hopPorts: nextHops.map(({ port }) => port) };
  }

  async prepare(choice: readonly number[] | null): Promise<void> {
    const { links, warmUpCircuits } = this.#plan;
    await this.#ends.client.call('choose', { choice: choice ?? firstLinks(links.connections) });
    if (warmUpCircuits > 0) await this.#churn(warmUpCircuits, () => {});
  }

  /** Make the plan's circuits, or those until `stop`. */
  run(onProgress: (part: number) => void): Promise<ChurnCount> {
    return this.#churn(this.#plan.circuits, onProgress);
  }

  async stop(): Promise<void> {
    await this.#ends.client.call('stop', null);
  }

  /** A churn leaves no circuits behind, so that nothing can be out of step. */
  async check(): Promise<LoadCheck> {
    const { corrupt, losses } = await this.#ends.client.call('report', null);
    return { expected: 0, inStep: 0, lost: 0, corrupt, sampled: 0, closed: losses };
  }

  close(): void {
    this.#ends.stop();
  }

  #churn(circuits: number | null, onProgress: (part: number) => void): Promise<ChurnCount> {
    const { inFlight } = this.#plan;
    return metered(
      (meter) => this.#ends.client.call('churn', { circuits, inFlight, meter }),
      (done) => {
        if (circuits !== null) onProgress(done / circuits);
      },
    );
  }
}
