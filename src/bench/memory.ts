/**
 * Whether memory comes back: circuits made and destroyed, links opened and closed, and the relay's memory after each
 * tenth of them. At the end it must stand where it stood after the first tenth, within 10 % or 10 MB.
 */
import { blemish, type LoadPlan } from '../load/plan.ts';
import { type LoadMaker, measureLoad, openLoad, type StandingLoad } from './measure.ts';
import type { ProcessReading } from './proc.ts';
import { planOf, USUAL_SHAPE } from './shape.ts';
import { printTable } from './table.ts';
import type { Target } from './target.ts';

export interface MemoryWish {
  readonly circuits: number;
  readonly links: number;
}

export interface MemoryResult {
  readonly circuits: number;
  readonly links: number;
  /** The relay before the load, then after each tenth. */
  readonly readings: readonly ProcessReading[];
  /** Where its memory may stand at the end, bytes. */
  readonly allowedBytes: number;
  readonly cpuSec: number;
  readonly refused: number;
  readonly faults: readonly string[];
  readonly held: boolean;
}

const TENTHS = 10;
/** One circuit in so many is extended to a second hop. */
const EXTEND_EVERY = 10;
const LINKS_OPENING = 8;
/** For the relay to finish what it was doing before it is looked at. */
const PAUSE_MS = 300;
/** How long memory may take to come back: collectors give back what is free when a thread rests. */
const SETTLE_MS = 15_000;

/** How far memory may stand above where it stood after the first tenth, given in bytes. */
export function allowedBytes(firstTenth: number): number {
  return firstTenth + Math.max(firstTenth / 10, 10e6);
}

/** The loads of one tenth: circuits of one hop, of two, and links. Shares of at least one. */
export function tenthPlans({ circuits, links }: MemoryWish): {
  near: LoadPlan;
  far: LoadPlan;
  links: LoadPlan;
} {
  const far = Math.max(1, Math.round(circuits / TENTHS / EXTEND_EVERY));
  const near = Math.max(1, Math.round(circuits / TENTHS) - far);
  const usual = { ...USUAL_SHAPE, probes: 0, warmUpChurned: 0, inFlight: 32 };
  const opened = Math.max(1, Math.round(links / TENTHS));
  return {
    near: planOf({ ...usual, mode: 'churn', churned: near }, null),
    far: planOf({ ...usual, mode: 'churn', churned: far, hops: 2 }, null),
    links: planOf(
      {
        ...usual,
        mode: 'idle',
        links: opened,
        addresses: Math.ceil(opened / 100),
        opening: LINKS_OPENING,
        holdMs: 0,
      },
      null,
    ),
  };
}

/** Churn a relay and watch its memory. `onTenth` hears of each reading. @throws Error when a load breaks */
export async function watchMemory(
  target: Target,
  wish: MemoryWish,
  makeLoad: LoadMaker,
  onTenth: (tenth: number, reading: ProcessReading) => void,
): Promise<MemoryResult> {
  const plans = tenthPlans(wish);
  const open = (plan: LoadPlan) => openLoad(target, { plan, placement: null }, makeLoad);
  const faults: string[] = [];
  const readings = [target.read()];
  onTenth(0, readings[0]!);
  const standing: StandingLoad[] = [];
  let refused = 0;
  try {
    for (const plan of [plans.near, plans.far]) standing.push(await open(plan));
    for (let tenth = 1; tenth <= TENTHS; tenth++) {
      const churns = standing.map(async ({ load }) => {
        const report = await load.measure({ begin: () => {}, end: () => {} });
        if (report.mode === 'churn') refused += report.refused;
      });
      const links = open(plans.links).then((load) => measureLoad(target, plans.links, load, () => {}));
      const [{ fault }] = await Promise.all([links, ...churns]);
      if (fault !== null) faults.push(`links of tenth ${tenth}: ${fault}`);
      await Bun.sleep(PAUSE_MS);
      readings.push(target.read());
      onTenth(tenth, readings[tenth]!);
    }
    for (const { load } of standing) {
      const fault = blemish('churn', await load.check());
      if (fault !== null) faults.push(fault);
    }
  } finally {
    for (const { load } of standing) load.close();
  }
  const most = allowedBytes(readings[1]!.rssBytes);
  const last = await settled(target, readings[TENTHS]!, most);
  readings[TENTHS] = last;
  return {
    ...wish,
    readings,
    allowedBytes: most,
    cpuSec: last.cpuSec - readings[0]!.cpuSec,
    refused,
    faults,
    held: faults.length === 0 && refused === 0 && last.rssBytes <= most,
  };
}

async function settled(target: Target, first: ProcessReading, most: number): Promise<ProcessReading> {
  let reading = first;
  for (let waitedMs = 0; reading.rssBytes > most && waitedMs < SETTLE_MS; waitedMs += PAUSE_MS) {
    await Bun.sleep(PAUSE_MS);
    reading = target.read();
  }
  return reading;
}

/** Print what came of it. */
export function printMemory({ readings, allowedBytes: most, ...result }: MemoryResult): string {
  const columns = ['done', 'RSS MB', 'threads', 'files', 'CPU s'].map((head) => ({ head, right: true }));
  const rows = readings.map(({ rssBytes, threads, fds, cpuSec }, tenth) => [
    `${tenth * 10} %`,
    (rssBytes / 1e6).toFixed(1),
    String(threads),
    fds === null ? '-' : String(fds),
    (cpuSec - readings[0]!.cpuSec).toFixed(2),
  ]);
  const last = readings.at(-1)!.rssBytes;
  const said = [
    ...result.faults,
    ...(result.refused > 0 ? [`${result.refused} circuits refused`] : []),
    `${(last / 1e6).toFixed(1)} MB at the end, ${(most / 1e6).toFixed(1)} MB allowed: ${result.held ? 'held' : 'NOT HELD'}`,
  ];
  return `${result.circuits} circuits and ${result.links} links come and go\n${printTable(columns, rows)}${said.join('\n')}\n`;
}
