/** A latency probe, driven: a client and a sink on threads of their own, which carry nothing else. */
import type { Hop } from './client.ts';
import { EndThread } from './end-thread.ts';
import type { LinkPlace, LoadCheck, ProbePlan, ProbeReport } from './plan.ts';
import { metered } from './progress.ts';
import { sum, Tally } from './tally.ts';

/** Client and sink of a probe. */
export class ProbePart {
  readonly #plan: ProbePlan;
  readonly #relay: Hop;
  readonly #client = new EndThread();
  readonly #sink = new EndThread();
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
    const [hop] = await this.#sink.call('startSink', { tally: this.#memory, hops: 1 });
    this.#hop = hop!;
    const ask = { tally: this.#memory, relay: this.#relay, sink: this.#hop, plan: this.#plan };
    return { links: await this.#client.call('startProber', ask), hopPorts: [this.#hop.port] };
  }

  async prepare(): Promise<void> {
    await this.#client.call('buildProber', { sink: this.#hop! });
  }

  /** Send all probes, or those until `stop`. */
  async run(onProgress: (part: number) => void): Promise<ProbeReport> {
    const { probes, gapMs } = this.#plan;
    await this.#expect('echo');
    try {
      const { measured, floor } = await metered(
        (meter) => this.#client.call('probe', { probes, gapMs, meter }),
        (done) => onProgress(done / probes),
      );
      const added = {
        p50Us: measured.p50Us - floor.p50Us,
        p90Us: measured.p90Us - floor.p90Us,
        p99Us: measured.p99Us - floor.p99Us,
      };
      return { measured, floor, added };
    } finally {
      await this.#expect('messages');
    }
  }

  /** End a run early. */
  async stop(): Promise<void> {
    await this.#client.call('stop', null);
  }

  async check(): Promise<LoadCheck> {
    const inStep = await this.#client.call('verify', null);
    const reports = [await this.#client.call('report', null), await this.#sink.call('report', null)];
    const { forwardSent, forwardReceived, backwardSent, backwardReceived } = this.#tally;
    return {
      expected: this.#plan.circuits,
      inStep,
      lost: sum(forwardSent) + sum(backwardSent) - sum(forwardReceived) - sum(backwardReceived),
      corrupt: reports.reduce((total, { corrupt }) => total + corrupt, 0),
      sampled: reports.reduce((total, { sampled }) => total + sampled, 0),
      closed: reports.flatMap(({ losses }) => losses),
    };
  }

  close(): void {
    this.#client.stop();
    this.#sink.stop();
  }

  async #expect(traffic: 'echo' | 'messages'): Promise<void> {
    await Promise.all([this.#sink.call('expect', { traffic }), this.#client.call('expect', { traffic })]);
  }
}
