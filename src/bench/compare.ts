/**
 * Contenders under the same load, in alternating runs, so that whatever else the machine does hits all of them alike.
 */
import { OperatorError } from '../fault.ts';
import type { LoadPlan } from '../load/plan.ts';
import { FIGURE_NAMES, type FigureName } from './figure.ts';
import { type LoadMaker, measureLoad, openLoad, type RunResult } from './measure.ts';
import type { Placement } from './placement.ts';
import { type Spread, spreadOf } from './statistics.ts';
import { EXIT_USAGE, type Target } from './target.ts';

/** How often a load is set up before it is given up. What breaks while it is measured is not tried again. */
const ATTEMPTS = 2;

/** One that is measured. */
export interface Contender {
  /** Shown in tables; unique within a comparison. */
  readonly name: string;
  readonly placement: Placement | null;
  /** Start the relay, or attach to it. */
  start(): Promise<Target>;
}

/** A run with its place in the row. */
export interface NamedRun extends RunResult {
  readonly contender: string;
  readonly run: number;
}

/** A contender's runs in brief. */
export interface Summary {
  readonly contender: string;
  readonly figures: Readonly<Partial<Record<FigureName, Spread>>>;
}

export interface Comparison {
  readonly runs: readonly NamedRun[];
  /** In the order of the contenders. */
  readonly summaries: readonly Summary[];
  /** Whether no run was at fault. */
  readonly clean: boolean;
}

export interface CompareOrder {
  readonly contenders: readonly Contender[];
  /** The load of a contender. */
  readonly planFor: (contender: Contender) => LoadPlan;
  readonly runs: number;
  readonly makeLoad: LoadMaker;
  /** Hears of every run when it is through. */
  readonly onRun: (run: NamedRun) => void;
  /** Hears that a load could not be set up and is tried once more. */
  readonly onRetry: (text: string) => void;
  /** Hears where things stand. */
  readonly onProgress: (text: string) => void;
}

/** Run every contender in turn, as often as asked. @throws Error when a load breaks: it names relay and log */
export async function compare(order: CompareOrder): Promise<Comparison> {
  const runs: NamedRun[] = [];
  for (let run = 1; run <= order.runs; run++) {
    for (const contender of order.contenders) {
      const where = `${contender.name}, run ${run} of ${order.runs}`;
      order.onProgress(`${where}: starting`);
      const result = await runOne(order, contender, (part) =>
        order.onProgress(`${where}: ${Math.floor(part * 100)} %`),
      );
      const named = { contender: contender.name, run, ...result };
      runs.push(named);
      order.onRun(named);
    }
  }
  return {
    runs,
    summaries: order.contenders.map(({ name }) => summarise(name, runs)),
    clean: runs.every(({ fault }) => fault === null),
  };
}

async function runOne(
  order: CompareOrder,
  contender: Contender,
  onProgress: (part: number) => void,
): Promise<RunResult> {
  const runOrder = { plan: order.planFor(contender), placement: contender.placement };
  for (let attempt = 1; ; attempt++) {
    const target = await contender.start();
    try {
      const standing = await openLoad(target, runOrder, order.makeLoad).catch((error: unknown) => {
        if (attempt === ATTEMPTS || isUsage(error)) throw error;
        order.onRetry(`${contender.name}: the load could not be set up, once more: ${reasonOf(error)}`);
        return null;
      });
      if (standing !== null) return await measureLoad(target, runOrder.plan, standing, onProgress);
    } catch (error) {
      const log = target.logTail();
      if (log === '' || isUsage(error)) throw error;
      throw new Error(`${reasonOf(error)}\nThe log of ${contender.name} ends:\n${log}`);
    } finally {
      await target.stop();
    }
  }
}

function isUsage(error: unknown): boolean {
  return error instanceof OperatorError && error.exitCode === EXIT_USAGE;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Take a contender's runs together. Runs at fault are left out as long as there are others. */
export function summarise(contender: string, runs: readonly NamedRun[]): Summary {
  const mine = runs.filter((run) => run.contender === contender);
  const good = mine.filter(({ fault }) => fault === null);
  const figures: Partial<Record<FigureName, Spread>> = {};
  for (const name of FIGURE_NAMES) {
    const spread = spreadOf((good.length > 0 ? good : mine).map((run) => run.figures[name] ?? null));
    if (spread !== null) figures[name] = spread;
  }
  return { contender, figures };
}
