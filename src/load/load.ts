/**
 * Drives a load from the thread that measures: which ends run, what they do in which order, and when the measured
 * part begins and ends. No cell passes through here.
 */
import { ChurnPart } from './churn-part.ts';
import type { Hop } from './client.ts';
import { DirectoryPart } from './directory-part.ts';
import { ExitPart } from './exit-part.ts';
import { FloodPart } from './flood-part.ts';
import { IdlePart } from './idle-part.ts';
import type {
  ChurnPlan,
  ChurnReport,
  LatencyPlan,
  LatencyReport,
  LoadCheck,
  LoadMode,
  LoadPlaces,
  LoadPlan,
  LoadReport,
  LoadRun,
  LoadTarget,
  MeasureHooks,
  OpenPlaces,
} from './plan.ts';
import { checkPlan } from './plan-check.ts';
import { ProbePart } from './probe-part.ts';

/** How long a flood runs beside before the probes begin. */
const SETTLE_MS = 500;

class LatencyMode implements LoadMode {
  readonly #probe: ProbePart;
  readonly #beside: FloodPart | null;

  constructor(plan: LatencyPlan, relay: Hop) {
    this.#probe = new ProbePart(plan.probe, relay);
    this.#beside = plan.beside === null ? null : new FloodPart(plan.beside, relay);
  }

  async connect(): Promise<OpenPlaces> {
    const flood = await this.#beside?.connect();
    const probe = await this.#probe.connect();
    return {
      links: flood?.links ?? [],
      probes: probe.links,
      hopPorts: [...(flood?.hopPorts ?? []), ...probe.hopPorts],
    };
  }

  async prepare(choice: readonly number[] | null): Promise<void> {
    await this.#beside?.prepare(choice);
    await this.#probe.prepare();
  }

  async measure(hooks: MeasureHooks): Promise<LatencyReport> {
    if (this.#beside !== null) {
      await this.#beside.beginBeside();
      await Bun.sleep(SETTLE_MS);
    }
    hooks.begin();
    const startMs = performance.now();
    const window = this.#beside?.look();
    const report = await this.#probe.run((part) => hooks.progress?.(part));
    const beside = window === undefined ? null : this.#beside!.since(window);
    const seconds = (performance.now() - startMs) / 1000;
    hooks.end();
    await this.#beside?.endBeside();
    return { mode: 'latency', seconds, ...report, beside };
  }

  async check(): Promise<LoadCheck> {
    const probe = await this.#probe.check();
    return this.#beside === null ? probe : both(await this.#beside.check(), probe);
  }

  close(): void {
    this.#probe.close();
    this.#beside?.close();
  }
}

class ChurnMode implements LoadMode {
  readonly #plan: ChurnPlan;
  readonly #churn: ChurnPart;
  readonly #probe: ProbePart | null;

  constructor(plan: ChurnPlan, relay: Hop) {
    this.#plan = plan;
    this.#churn = new ChurnPart(plan, relay);
    this.#probe = plan.probe === null ? null : new ProbePart(plan.probe, relay);
  }

  async connect(): Promise<OpenPlaces> {
    const churn = await this.#churn.connect();
    const probe = await this.#probe?.connect();
    return {
      links: churn.links,
      probes: probe?.links ?? [],
      hopPorts: [...churn.hopPorts, ...(probe?.hopPorts ?? [])],
    };
  }

  async prepare(choice: readonly number[] | null): Promise<void> {
    await this.#churn.prepare(choice);
    await this.#probe?.prepare();
  }

  async measure(hooks: MeasureHooks): Promise<ChurnReport> {
    hooks.begin();
    const startMs = performance.now();
    const onProgress = (part: number) => hooks.progress?.(part);
    const churning = this.#churn.run(onProgress);
    // A fault of one shows when both are awaited; meanwhile nobody else has to look at it.
    churning.catch(() => {});
    let probing = null;
    if (this.#probe !== null) {
      const endless = this.#plan.circuits === null;
      const probe = this.#probe;
      probing = probe.run(endless ? onProgress : () => {});
      probing.catch(() => {});
      // Whichever of the two has an end in sight ends the other.
      if (endless) await probing.finally(() => this.#churn.stop());
      else await churning.finally(() => probe.stop());
    }
    const [count, probe] = await Promise.all([churning, probing]);
    const seconds = (performance.now() - startMs) / 1000;
    hooks.end();
    return { mode: 'churn', ...count, seconds, perSec: count.done / seconds, probe };
  }

  async check(): Promise<LoadCheck> {
    const churn = await this.#churn.check();
    return this.#probe === null ? churn : both(churn, await this.#probe.check());
  }

  close(): void {
    this.#churn.close();
    this.#probe?.close();
  }
}

function both(a: LoadCheck, b: LoadCheck): LoadCheck {
  return {
    expected: a.expected + b.expected,
    inStep: a.inStep + b.inStep,
    lost: a.lost + b.lost,
    corrupt: a.corrupt + b.corrupt,
    sampled: a.sampled + b.sampled,
    closed: [...a.closed, ...b.closed],
  };
}

function modeOf(plan: LoadPlan, relay: Hop): LoadMode {
  switch (plan.mode) {
    case 'flood':
      return new FloodPart(plan, relay);
    case 'latency':
      return new LatencyMode(plan, relay);
    case 'churn':
      return new ChurnMode(plan, relay);
    case 'idle':
      return new IdlePart(plan, relay);
    case 'exit':
      return new ExitPart(plan, relay);
    case 'directory':
      return new DirectoryPart(plan, relay);
  }
}

/** A load on one relay, from its start to its end. */
export class Load implements LoadRun {
  readonly #mode: LoadMode;
  #places: LoadPlaces | null = null;

  private constructor(mode: LoadMode) {
    this.#mode = mode;
  }

  /** Start the threads; nothing is connected yet. @throws OperatorError when the plan or the target will not do */
  static start(plan: LoadPlan, target: LoadTarget): Load {
    checkPlan(plan, target);
    const { host, port, rsaId, ed25519Id, ntorOnionKey } = target;
    return new Load(modeOf(plan, { host, port, rsaId, ed25519Id, onionKey: ntorOnionKey }));
  }

  /** Open all connections. @throws OperatorError */
  async connect(onProgress: (part: number) => void = () => {}): Promise<LoadPlaces> {
    const startMs = performance.now();
    const opened = await this.#mode.connect(onProgress);
    this.#places = { ...opened, openSec: (performance.now() - startMs) / 1000 };
    return this.#places;
  }

  /** Build the circuits and warm up; connects first if `connect` was not called. @throws OperatorError */
  async prepare(choice?: readonly number[]): Promise<void> {
    if (this.#places === null) await this.connect();
    await this.#mode.prepare(choice ?? null);
  }

  /** Run the measured part. @throws OperatorError when it comes to a standstill */
  measure(hooks: MeasureHooks): Promise<LoadReport> {
    return this.#mode.measure(hooks);
  }

  /** See that nothing was lost or changed and that all circuits are in step. */
  check(): Promise<LoadCheck> {
    return this.#mode.check();
  }

  /** End all threads. */
  close(): void {
    this.#mode.close();
  }
}
