/**
 * One run: a load is put around a relay, and the relay is looked at right before and right after the measured part.
 */
import {
  blemish,
  type LoadCheck,
  type LoadPlan,
  type LoadReport,
  type LoadRun,
  type LoadTarget,
} from '../load/plan.ts';
import type { Figures } from './figure.ts';
import { choosePlaces, type Placement, type PlacementReport, reportPlacement } from './placement.ts';
import type { ProcessReading } from './proc.ts';
import type { Target } from './target.ts';

/** Makes a load; the load's own threads are behind it. */
export type LoadMaker = (target: LoadTarget, plan: LoadPlan) => LoadRun;

/** What one run is of. */
export interface RunOrder {
  readonly plan: LoadPlan;
  /** How a placed load lies; null leaves it to the kernel. */
  readonly placement: Placement | null;
}

/** What one run yielded. */
export interface RunResult {
  readonly figures: Figures;
  readonly report: LoadReport;
  readonly check: LoadCheck;
  /** Why the run counts for nothing; null when all is well. */
  readonly fault: string | null;
  /** The relay before the load came, and around the measured part. */
  readonly before: ProcessReading;
  readonly begin: ProcessReading;
  readonly end: ProcessReading;
  readonly placement: PlacementReport | null;
}

/** A load that falls further behind its pace than this is another load. */
const PACE_KEPT = 0.9;

/** More links than this are not asked for one by one. */
const ASKED_LINKS_MAX = 300;

/** A load that stands around a relay, ready to be measured. */
export interface StandingLoad {
  readonly load: LoadRun;
  readonly before: ProcessReading;
  readonly placement: PlacementReport | null;
}

/** Put a load around a relay. @throws Error when it cannot be set up; then nothing of it is left */
export async function openLoad(target: Target, order: RunOrder, makeLoad: LoadMaker): Promise<StandingLoad> {
  const { plan } = order;
  const before = target.read();
  const load = makeLoad(target.load, plan);
  try {
    const places = await load.connect();
    let choice: number[] | undefined;
    if (order.placement !== null && plan.mode === 'flood' && target.links !== null) {
      choice = choosePlaces(places.links, await target.links(), plan.links.connections);
    }
    await load.prepare(choice);
    let placement: PlacementReport | null = null;
    if (plan.mode === 'flood' && target.links !== null && plan.links.connections <= ASKED_LINKS_MAX) {
      const kept = choice ?? [...Array(plan.links.connections).keys()];
      const clients = kept.map((i) => places.links[i]!.port);
      const hops = places.hopPorts.slice(0, plan.route.nextHops);
      placement = reportPlacement(await target.links(), clients, hops, plan.route, plan.circuits);
    }
    return { load, before, placement };
  } catch (error) {
    load.close();
    throw error;
  }
}

/** Measure a load that stands, and end it. @throws Error when the load breaks */
export async function measureLoad(
  target: Target,
  plan: LoadPlan,
  { load, before, placement }: StandingLoad,
  onProgress: (part: number) => void,
): Promise<RunResult> {
  try {
    let begin = before;
    let end = before;
    const report = await load.measure({
      begin: () => {
        begin = target.read();
      },
      end: () => {
        end = target.read();
      },
      progress: onProgress,
    });
    const check = await load.check();
    return {
      figures: figuresOf(plan, report, before, begin, end),
      report,
      check,
      fault: blemish(plan.mode, check) ?? shortfall(plan, report),
      before,
      begin,
      end,
      placement,
    };
  } finally {
    load.close();
  }
}

/** Why a report that lost nothing still counts for nothing. */
function shortfall(plan: LoadPlan, report: LoadReport): string | null {
  const paced = plan.mode === 'latency' ? plan.beside : plan.mode === 'flood' ? plan : null;
  const flood = report.mode === 'latency' ? report.beside : report.mode === 'flood' ? report : null;
  if (paced !== null && paced.bytesPerSec !== null && flood !== null) {
    const [kept, wanted] = [flood.bytesPerSec / 1e6, paced.bytesPerSec / 1e6];
    if (kept < wanted * PACE_KEPT) return `only ${kept.toFixed(0)} of ${wanted.toFixed(0)} MB/s were carried`;
  }
  if (report.mode === 'idle' && report.held < report.asked) {
    const why = Object.entries(report.reasons).map(([reason, count]) => `${count} times ${reason}`);
    return `${report.asked - report.held} of ${report.asked} links are not open (${why.join(', ') || 'no reason given'})`;
  }
  if (report.mode === 'churn' && report.done === 0) return 'not one circuit was built';
  return null;
}

/** Work out a run's figures from what the load and /proc say. */
export function figuresOf(
  plan: LoadPlan,
  report: LoadReport,
  before: ProcessReading,
  begin: ProcessReading,
  end: ProcessReading,
): Figures {
  const cpuSec = end.cpuSec - begin.cpuSec;
  const always = { rss: end.rssBytes / 1e6, cores: cpuSec / report.seconds };
  switch (report.mode) {
    case 'flood':
    case 'exit':
      return { ...always, cpuPerGb: (cpuSec * 1e9) / report.bytes, ...rates(plan, report.bytesPerSec) };
    case 'directory': {
      const work = { cpuPerRequest: (cpuSec * 1e6) / report.done, requestsPerSec: report.perSec };
      return { ...always, ...(report.done > 0 ? work : {}), rate: report.bytes / 1e6 / report.seconds };
    }
    case 'latency': {
      const flood = plan.mode === 'latency' ? plan.beside : null;
      const rate = report.beside === null || flood === null ? {} : rates(flood, report.beside.bytesPerSec);
      return { ...always, ...rate, p50: report.added.p50Us, p99: report.added.p99Us };
    }
    case 'churn': {
      const probe =
        report.probe === null ? {} : { p50: report.probe.added.p50Us, p99: report.probe.added.p99Us };
      const work = { cpuPerCircuit: (cpuSec * 1e6) / report.done, circuitsPerSec: report.perSec };
      return { ...always, ...(report.done > 0 ? work : {}), ...probe };
    }
    case 'idle': {
      if (report.held === 0) return { ...always, links: 0 };
      const grown = end.rssBytes - before.rssBytes;
      return {
        ...always,
        links: report.held,
        rssPerLink: grown / 1024 / report.held,
        cpuPerLink: ((begin.cpuSec - before.cpuSec) * 1e6) / report.held,
      };
    }
  }
}

function rates(plan: LoadPlan, bytesPerSec: number): Figures {
  const isBoth = (plan.mode === 'flood' || plan.mode === 'exit') && plan.direction === 'both';
  const ways = isBoth ? 2 : 1;
  return { rate: bytesPerSec / 1e6, eachWay: bytesPerSec / 1e6 / ways };
}
