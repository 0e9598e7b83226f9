/**
 * A row from its entries to its verdicts: relays are started, loaded in turn and judged.
 */
import { Bug } from '../fault.ts';
import { wallSec } from '../time/clock.ts';
import { type AttachWish, attachTarget } from './attach.ts';
import { type Bound, judge, type Verdict } from './bounds.ts';
import { type Comparison, type Contender, compare, type NamedRun, type Summary } from './compare.ts';
import { makeRequests } from './directory-mix.ts';
import { FIGURE_NAMES, type FigureName } from './figure.ts';
import { type LoadMaker, measureLoad, openLoad } from './measure.ts';
import { makePaperNetwork, type PaperNetwork } from './paper-network.ts';
import { planOf, type Shape } from './shape.ts';
import { ratioOf } from './statistics.ts';
import type { Entry, Row } from './suite.ts';
import { startTarget, type Target } from './target.ts';

/** What is the same for all rows of a call. */
export interface Setup {
  /** The words that start our relay, and the path of C tor. */
  readonly ours: readonly string[];
  readonly tor: string | null;
  readonly attach: AttachWish | null;
  readonly workers: number;
  readonly torrc: readonly string[];
  readonly cores: string | null;
  readonly runs: number;
  readonly makeLoad: LoadMaker;
}

/** Hears of a row while it runs. */
export interface Ear {
  onRun(row: Row, run: NamedRun): void;
  /** Something to be kept on the screen. */
  onNote(text: string): void;
  onProgress(text: string): void;
}

/** A verdict on one entry. */
export interface NamedVerdict extends Verdict {
  readonly contender: string;
}

/** One entry's figures over those of the last entry. */
export interface Ratios {
  readonly contender: string;
  readonly beside: string;
  readonly figures: Readonly<Partial<Record<FigureName, number>>>;
}

export interface RowResult {
  readonly name: string;
  readonly title: string;
  /** With the pace that was kept. */
  readonly shape: Shape;
  readonly entries: readonly Entry[];
  readonly torrc: readonly string[];
  readonly runs: readonly NamedRun[];
  readonly summaries: readonly Summary[];
  readonly ratios: readonly Ratios[];
  readonly verdicts: readonly NamedVerdict[];
  /** No run was at fault. */
  readonly clean: boolean;
  /** Clean, and every bound holds. */
  readonly held: boolean;
}

/** How much is pumped to find out what a relay can do at most. */
const CEILING_BYTES = 1e9;

/** Start the relay of an entry, or attach to it. `torrc`: lines beside those of the setup. @throws OperatorError */
export function startEntry(
  entry: Entry,
  torrc: readonly string[],
  setup: Setup,
  network: PaperNetwork | null = null,
): Promise<Target> {
  if (entry.kind === 'attached') {
    if (setup.attach === null) throw new Bug('an attached entry has a relay to attach to');
    return attachTarget(setup.attach);
  }
  const command = entry.kind === 'ours' ? setup.ours : setup.tor === null ? null : [setup.tor];
  if (command === null) throw new Bug('an entry of C tor has a C tor');
  return startTarget({
    kind: entry.kind,
    command,
    workers: entry.workers ?? setup.workers,
    torrc: [...torrc, ...setup.torrc],
    cores: setup.cores,
    network,
  });
}

/** Run a row. @throws Error when a load breaks, OperatorError when a relay does not start */
export async function runRow(row: Row, setup: Setup, ear: Ear): Promise<RowResult> {
  const tell = (text: string) => ear.onProgress(`${row.name}: ${text}`);
  const shape = await paced(row, setup, tell);
  const network = shape.mode === 'directory' ? makePaperNetwork(shape.relays, wallSec()) : null;
  const asked = network === null ? [] : makeRequests(network.microdescriptors);
  const contenders = row.entries.map(
    (entry): Contender => ({
      name: entry.name,
      placement: entry.placement,
      start: () => startEntry(entry, row.torrc, setup, network),
    }),
  );
  const comparison = await compare({
    contenders,
    planFor: ({ placement }) => planOf(shape, placement, asked),
    runs: Math.min(setup.runs, row.runsMost),
    makeLoad: setup.makeLoad,
    onRun: (run) => ear.onRun(row, run),
    onRetry: (text) => ear.onNote(`${row.name}: ${text}`),
    onProgress: tell,
  });
  return judgeRow(row, shape, comparison);
}

/** The shape with its pace: a share of what the last entry does at most, where the row says so. */
async function paced(row: Row, setup: Setup, tell: (text: string) => void): Promise<Shape> {
  const { shape, paceShare } = row;
  if (paceShare === null) return shape;
  const entry = row.entries.at(-1)!;
  const target = await startEntry(entry, row.torrc, setup);
  try {
    const flood: Shape = {
      ...shape,
      mode: 'flood',
      bytesPerSec: null,
      bytes: Math.min(shape.bytes, CEILING_BYTES),
    };
    const order = { plan: planOf(flood, null), placement: null };
    const standing = await openLoad(target, order, setup.makeLoad);
    const { report } = await measureLoad(target, order.plan, standing, (part) =>
      tell(`what ${entry.name} can do at most: ${Math.floor(part * 100)} %`),
    );
    const most = report.mode === 'flood' ? report.bytesPerSec : 0;
    return { ...shape, bytesPerSec: most * paceShare };
  } finally {
    await target.stop();
  }
}

/** Work out ratios and verdicts. The last entry is what the others are compared with; alone, it is judged itself. */
export function judgeRow(row: Row, shape: Shape, { runs, summaries, clean }: Comparison): RowResult {
  const last = summaries.at(-1)!;
  const judged = summaries.length > 1 ? summaries.slice(0, -1) : summaries;
  const beside = summaries.length > 1 ? last : null;
  const verdicts = judged.flatMap(({ contender, figures }) =>
    row.bounds.map((bound: Bound) => ({ contender, ...judge(bound, figures, beside?.figures ?? null) })),
  );
  return {
    name: row.name,
    title: row.title,
    shape,
    entries: row.entries,
    torrc: row.torrc,
    runs,
    summaries,
    ratios: beside === null ? [] : judged.map((each) => ratiosOf(each, beside)),
    verdicts,
    clean,
    held: clean && verdicts.every(({ held }) => held),
  };
}

function ratiosOf(mine: Summary, beside: Summary): Ratios {
  const figures: Partial<Record<FigureName, number>> = {};
  for (const name of FIGURE_NAMES) {
    const ratio = ratioOf(mine.figures[name] ?? null, beside.figures[name] ?? null);
    if (ratio !== null) figures[name] = ratio;
  }
  return { contender: mine.contender, beside: beside.contender, figures };
}
