/**
 * Results as text for people and as JSON for machines.
 *
 * The JSON keeps every run, so that tables and charts can be made from it later.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { OperatorError } from '../fault.ts';
import { COMMIT, VERSION } from '../version.ts';
import { printBound } from './bounds.ts';
import type { NamedRun } from './compare.ts';
import { FIGURES, type FigureName } from './figure.ts';
import type { MemoryResult } from './memory.ts';
import { printPlacement } from './placement.ts';
import type { RowResult } from './run-row.ts';
import { describeShape, type Mode } from './shape.ts';
import type { Spread } from './statistics.ts';
import { type Column, printFigure, printTable } from './table.ts';
import { EXIT_USAGE } from './target.ts';

/** Says what the JSON is, and in which version. */
const FORMAT = 'onionrelay bench 1';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
}

/** Everything that one call measured. */
export interface Report {
  readonly format: typeof FORMAT;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly versions: { readonly onionrelay: string; readonly bun: string; readonly tor: string | null };
  readonly rows: readonly RowResult[];
  /** What memory did while circuits and links came and went, if that was asked. */
  readonly memory?: MemoryResult;
  /** All that was measured is clean and within its bounds. */
  readonly held: boolean;
}

/** What of a run people look at, by the kind of load. */
const SHOWN: Readonly<Record<Mode, readonly FigureName[]>> = {
  flood: ['cpuPerGb', 'rate', 'eachWay', 'cores', 'rss'],
  paced: ['cpuPerGb', 'rate', 'eachWay', 'cores', 'rss'],
  latency: ['p50', 'p99', 'rate', 'cores', 'rss'],
  churn: ['cpuPerCircuit', 'circuitsPerSec', 'p50', 'p99', 'cores', 'rss'],
  idle: ['links', 'rssPerLink', 'cpuPerLink', 'rss'],
  exit: ['cpuPerGb', 'rate', 'eachWay', 'cores', 'rss'],
  directory: ['cpuPerRequest', 'requestsPerSec', 'rate', 'cores', 'rss'],
};

/** The same in the table of many rows. */
const SHOWN_IN_SUITE: Readonly<Record<Mode, readonly FigureName[]>> = {
  flood: ['cpuPerGb', 'rate', 'rss'],
  paced: ['cpuPerGb', 'cores', 'rate'],
  latency: ['p50', 'p99', 'rate'],
  churn: ['cpuPerCircuit', 'circuitsPerSec', 'p50', 'p99'],
  idle: ['rssPerLink', 'cpuPerLink', 'links', 'rss'],
  exit: ['cpuPerGb', 'rate', 'rss'],
  directory: ['cpuPerRequest', 'requestsPerSec', 'rss'],
};

/** Put rows into a report. `tor` is what `tor --version` says; `isWhole` is false when a row that was asked for broke. */
export function makeReport(
  rows: readonly RowResult[],
  tor: string | null,
  nowMs: number,
  memory?: MemoryResult,
  isWhole = true,
): Report {
  return {
    format: FORMAT,
    date: new Date(nowMs).toISOString(),
    machine: readMachine(),
    versions: { onionrelay: `${VERSION} (${COMMIT})`, bun: Bun.version, tor },
    rows,
    ...(memory === undefined ? {} : { memory }),
    held: isWhole && rows.every(({ held }) => held) && memory?.held !== false,
  };
}

function readMachine(): Machine {
  let cpu = 'unknown';
  try {
    cpu = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1] ?? cpu;
  } catch {
    // Figures are as good without the name.
  }
  return { cpu, cores: availableParallelism(), kernel: release() };
}

/** Print a report for machines. */
export function printJson(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** Read a report that was kept. @throws OperatorError when it is none */
export function parseReport(text: string, where: string): Report {
  let report: Partial<Report> | null = null;
  try {
    report = JSON.parse(text);
  } catch {
    // Said below.
  }
  if (report?.format === FORMAT && Array.isArray(report.rows)) return report as Report;
  throw new OperatorError(
    'holds no results of this program',
    where,
    'make it with bench --json FILE',
    EXIT_USAGE,
  );
}

/** Print one run in a line, for whoever waits. */
export function printRun(mode: Mode, { contender, run, figures, fault }: NamedRun): string {
  const parts = SHOWN[mode]
    .filter((name) => figures[name] !== undefined)
    .map((name) => `${printFigure(figures[name]!)} ${FIGURES[name].head}`);
  return `${contender}, run ${run}: ${parts.join(', ')}${fault === null ? '' : `; ${fault}`}`;
}

function withSpread(spread: Spread | undefined): string {
  if (spread === undefined) return '-';
  if (spread.values.length < 2) return printFigure(spread.median);
  return `${printFigure(spread.median)} (${printFigure(spread.low)}-${printFigure(spread.high)})`;
}

/** Print a row by itself: every run, medians, ratios, verdicts, placement. */
export function printRow(row: RowResult): string {
  const { mode } = row.shape;
  const shown = SHOWN[mode].filter((name) => row.runs.some(({ figures }) => figures[name] !== undefined));
  const columns: Column[] = [
    { head: '' },
    ...shown.map((name) => ({ head: FIGURES[name].head, right: true })),
    { head: '' },
  ];
  const lines: string[][] = row.runs.map((run) => [
    `${run.contender} ${run.run}`,
    ...shown.map((name) => printFigure(run.figures[name] ?? null)),
    run.fault ?? goodWords(run),
  ]);
  for (const { contender, figures } of row.summaries) {
    lines.push([
      `${contender} median`,
      ...shown.map((name) => printFigure(figures[name]?.median ?? null)),
      '',
    ]);
  }
  for (const { contender, beside, figures } of row.ratios) {
    lines.push([`${contender} / ${beside}`, ...shown.map((name) => printFigure(figures[name] ?? null)), '']);
  }
  const placed = placementLines(row).map((line) => `${line}\n`);
  return `${describeShape(row.shape)}\n${printTable(columns, lines)}${placed.join('')}${verdictLines(row)}`;
}

/** What shows that a run is good. */
function goodWords({ report, check }: NamedRun): string {
  if (report.mode === 'directory') return `${check.inStep} answered, ${check.sampled} compared`;
  if (report.mode === 'exit') return `${check.inStep} of ${check.expected} streams whole`;
  if (report.mode !== 'churn') {
    return `${check.inStep} of ${check.expected} ${report.mode === 'idle' ? 'answer' : 'in step'}`;
  }
  return `${report.done} built, ${report.refused} refused, keys of ${report.verified} compared`;
}

function placementLines({ runs }: RowResult): string[] {
  return runs.flatMap(({ contender, run, placement }) =>
    placement === null || placement.workers.length < 2
      ? []
      : [`${contender}, run ${run}: ${printPlacement(placement)}`],
  );
}

function verdictLines({ verdicts }: RowResult): string {
  return verdicts
    .map(
      ({ contender, bound, measured, held }) =>
        `${contender}: ${FIGURES[bound.figure].head} ${printFigure(measured)}, bound ${printBound(bound)}: ${held ? 'held' : 'NOT HELD'}\n`,
    )
    .join('');
}

/** Print the table of all rows, with bounds and verdicts. */
export function printSuite(report: Report): string {
  const columns: Column[] = [
    { head: 'load' },
    { head: 'figure' },
    { head: 'ours', right: true },
    { head: 'beside', right: true },
    { head: 'ratio', right: true },
    { head: 'bound', right: true },
    { head: 'verdict' },
  ];
  const { machine, versions, rows } = report;
  const notes = rows.flatMap((row) => [
    `${row.name}: ${describeShape(row.shape)}`,
    ...row.runs.flatMap(({ contender, run, fault }) =>
      fault === null ? [] : [`  ${contender}, run ${run}: ${fault}`],
    ),
    ...(row.entries.some(({ placement }) => placement !== null)
      ? placementLines(row).map((line) => `  ${line}`)
      : []),
  ]);
  return [
    `onionrelay ${versions.onionrelay}, Bun ${versions.bun}, ${versions.tor ?? 'no C tor'}`,
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; medians, lowest and highest of the runs`,
    '',
    printTable(columns, rows.flatMap(suiteLines)),
    ...notes,
    report.held ? 'All bounds hold.' : 'Not all bounds hold.',
    '',
  ].join('\n');
}

/** A line per bound, then one for each other figure that people look at. */
function suiteLines(row: RowResult): string[][] {
  const beside = row.summaries.length > 1 ? row.summaries.at(-1)! : null;
  const judged = beside === null ? row.summaries : row.summaries.slice(0, -1);
  const lines: string[][] = [];
  for (const [i, { contender, figures }] of judged.entries()) {
    const verdicts = row.verdicts.filter((verdict) => verdict.contender === contender);
    const bound = new Set(verdicts.map((verdict) => verdict.bound.figure));
    const others = SHOWN_IN_SUITE[row.shape.mode].filter(
      (name) => !bound.has(name) && figures[name] !== undefined,
    );
    const load = (first: boolean) =>
      first ? (judged.length > 1 ? `${row.name}, ${contender}` : row.name) : '';
    for (const verdict of verdicts) {
      lines.push([
        load(verdict === verdicts[0]),
        ...figureCells(verdict.bound.figure, figures, beside?.figures ?? {}, row.ratios[i]?.figures ?? {}),
        printBound(verdict.bound),
        !row.clean ? 'a run at fault' : verdict.held ? 'held' : 'NOT HELD',
      ]);
    }
    for (const [n, name] of others.entries()) {
      const cells = figureCells(name, figures, beside?.figures ?? {}, row.ratios[i]?.figures ?? {});
      lines.push([load(verdicts.length === 0 && n === 0), ...cells, '', '']);
    }
  }
  return lines;
}

function figureCells(
  name: FigureName,
  ours: Partial<Record<FigureName, Spread>>,
  beside: Partial<Record<FigureName, Spread>>,
  ratios: Partial<Record<FigureName, number>>,
): string[] {
  const ratio = ratios[name];
  return [
    FIGURES[name].head,
    withSpread(ours[name]),
    withSpread(beside[name]),
    ratio === undefined ? '' : ratio.toFixed(2),
  ];
}
