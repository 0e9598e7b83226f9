/** A latency probe, driven: a client and a sink on threads of their own, which carry nothing else. */
import type { Hop } from './client.ts';
import { EndPair } from './end-pair.ts';
import type { LinkPlace, LoadCheck, ProbePlan, ProbeReport } from './plan.ts';
import { metered } from './progress.ts';
import { Tally } from './tally.ts';

/** Client and sink of a probe. */
export class ProbePart {
  readonly #plan: ProbePlan;
  readonly #relay: Hop;
  readonly #ends = new EndPair();
  readonly #memory: SharedArrayBuffer;
  readonly #tally: Tally;
  #hop: Hop | null = null;

  constructor(plan: ProbePlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
    this.#memory = Tally.create(plan.circuits);
    this.#tally = new Tally(this.#memory);
  }

  async connect(): Promise<{ links: LinkPlace[]; hopPorts: number[] }> {
    const [hop] = await this.#ends.sink.call('startSink', { tally: this.#memory, hops: 1 });
    this.#hop = hop!;
    const ask = { tally: this.#memory, relay: this.#relay, sink: this.#hop, plan: this.#plan };
    return { links: await this.#ends.client.call('startProber', ask), hopPorts: [this.#hop.port] };
  }

  async prepare(): Promise<void> {
    await this.#ends.client.call('buildProber', { sink: this.#hop! });
  }

  /** Send all probes, or those until `stop`. */
  async run(onProgress: (part: number) => void): Promise<ProbeReport> {
    const { probes, gapMs } = this.#plan;
    await this.#ends.expect('echo');
    try {
      const { measured, floor } = await metered(
        (meter) => this.#ends.client.call('probe', { probes, gapMs, meter }),
        (done) => onProgress(done / probes),
      );
      const added = {
        p50Us: measured.p50Us - floor.p50Us,
        p90Us: measured.p90Us - floor.p90Us,
        p99Us: measured.p99Us - floor.p99Us,
      };
      return { measured, floor, added };
    } finally {
      await this.#ends.expect('messages');
    }
  }

  /** End a run early. */
  async stop(): Promise<void> {
    await this.#ends.client.call('stop', null);
  }

  check(): Promise<LoadCheck> {
    return this.#ends.check(this.#plan.circuits, this.#tally);
  }

  close(): void {
    this.#ends.stop();
  }
}
