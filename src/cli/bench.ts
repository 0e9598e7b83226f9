/**
 * `onionrelay bench`: loads a relay on loopback and says what it costs, beside C tor if asked.
 *
 * Results go to standard output, what happens meanwhile to standard error. Exit codes: 0, 1 when a bound does not hold
 * or a run is at fault, 2 when nothing could be measured.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ArgsDef } from 'citty';
import { chartOf, printChart } from '../bench/chart.ts';
import { printMemory, watchMemory } from '../bench/memory.ts';
import {
  BENCH_OPTIONS,
  type Call,
  MODE_WORDS,
  type Output,
  parseCall,
  type SetupWish,
} from '../bench/options.ts';
import { Progress } from '../bench/progress.ts';
import {
  makeReport,
  parseReport,
  printJson,
  printRow,
  printRun,
  printSuite,
  type Report,
} from '../bench/report.ts';
import { type RowResult, runRow, type Setup, startEntry } from '../bench/run-row.ts';
import { planOf } from '../bench/shape.ts';
import type { Row } from '../bench/suite.ts';
import { EXIT_USAGE, findTor, killStarted, LOOPBACK } from '../bench/target.ts';
import { OperatorError } from '../fault.ts';
import { Load } from '../load/load.ts';
import { checkPlan } from '../load/plan-check.ts';
import { wallMs } from '../time/clock.ts';
import { ownCommand } from './own-command.ts';

/** Exit code of a bound that does not hold, and of a load that broke. */
const EXIT_NOT_HELD = 1;
const EXIT_INTERRUPTED = 130;
const NO_BYTES = new Uint8Array();

/** The options, for the help. */
export const BENCH_ARGS: ArgsDef = {
  MODE: { type: 'positional', required: false, description: MODE_WORDS.join(', ') },
  ...Object.fromEntries(
    BENCH_OPTIONS.map(({ name, hint, text }) => [
      name,
      { type: 'string' as const, description: text, valueHint: hint ?? '' },
    ]),
  ),
};

/** What stands below the options in the help. */
export const BENCH_EXAMPLES = `EXAMPLES

  onionrelay bench --against tor                  500 circuits both ways, ours beside C tor
  onionrelay bench --against tor --bound 0.45     exit with 1 unless ours takes 0.45 of C tor's CPU at most
  onionrelay bench churn --handshake ntor-v3      CPU per circuit
  onionrelay bench idle --links 5000              memory per idle link
  onionrelay bench latency --rate 80% --against tor
                                                  latency added to a cell while both carry 80 % of C tor's maximum
  onionrelay bench memory                         whether memory comes back after 100,000 circuits and 5,000 links
  onionrelay bench paced --rate 250               how much of a core 250 MB/s take
  onionrelay bench --target 127.0.0.1:9001 --data-directory /var/lib/tor
                                                  a relay that runs; it needs ExtendAllowPrivateAddresses 1
  onionrelay bench exit --against tor             CPU per gigabyte of streams to a destination on loopback
  onionrelay bench directory --against tor        CPU per request for microdescriptors
  onionrelay bench suite --json results.json      every row with its bound
  onionrelay bench suite --only flood             some rows of it
  onionrelay bench chart results.json --chart results.svg

Only relays on loopback are measured. Exit status: 0; 1 when a bound does not hold or a run lost a cell; 2 when nothing
could be measured.
`;

/** Run the subcommand; resolves with the exit code. @throws OperatorError */
export async function bench(words: readonly string[], home: string | null): Promise<number> {
  const call = parseCall(words, home);
  if (call.kind === 'chart') return chart(call.from, call.chart);
  const stop = (): void => {
    killStarted();
    process.exit(EXIT_INTERRUPTED);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  try {
    return await (call.kind === 'memory' ? memory(call) : measure(call));
  } finally {
    killStarted();
  }
}

function chart(from: string, to: string | null): number {
  const report = parseReport(readResults(from), from);
  const svg = printChart(chartOf(report));
  if (to === null) process.stdout.write(svg);
  else keep(to, svg);
  return 0;
}

function readResults(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new OperatorError(reasonOf(error), path, 'check the path', EXIT_USAGE);
  }
}

function keep(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new OperatorError(reasonOf(error), path, 'check the path', EXIT_USAGE);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Fill in what only the process knows. @throws OperatorError when C tor is needed and not installed */
function setupOf(wish: SetupWish, needsTor: boolean): Setup {
  const { executable, tor, ...rest } = wish;
  return {
    ...rest,
    ours: executable === null ? ownCommand().map((word) => resolve(word)) : [resolve(executable)],
    tor: needsTor ? findTor(tor) : null,
    makeLoad: (target, plan) => Load.start(plan, target),
  };
}

/** See that a row's loads can be made, before anything is started. @throws OperatorError */
function checkRow({ shape, entries }: Row): void {
  const nobody = { host: LOOPBACK, port: 1, rsaId: NO_BYTES, ed25519Id: NO_BYTES, ntorOnionKey: NO_BYTES };
  for (const { placement } of entries) {
    try {
      checkPlan(planOf(shape, placement), nobody);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      throw new OperatorError(error.what, `bench: ${error.where}`, error.hint, EXIT_USAGE);
    }
  }
}

async function measure({
  suite,
  rows,
  setup: wish,
  output,
}: Extract<Call, { kind: 'measure' }>): Promise<number> {
  for (const row of rows) checkRow(row);
  const setup = setupOf(
    wish,
    rows.some(({ entries }) => entries.some(({ kind }) => kind === 'tor')),
  );
  const progress = new Progress({
    write: (text) => void process.stderr.write(text),
    isTTY: process.stderr.isTTY,
  });
  const note = (text: string) => {
    progress.clear();
    process.stderr.write(`${text}\n`);
  };
  const torVersion = setup.tor === null ? null : versionOf(setup.tor);
  const results: RowResult[] = [];
  let broken = false;
  for (const row of rows) {
    if (suite) note(`${row.name}: ${row.title}`);
    try {
      const result = await runRow(row, setup, {
        onRun: (_, run) => note(`  ${printRun(row.shape.mode, run)}`),
        onNote: (text) => note(`  ${text}`),
        onProgress: (text) => progress.tell(`  ${text}`),
      });
      results.push(result);
    } catch (error) {
      // Another row would fail in the same way.
      if (error instanceof OperatorError && error.exitCode === EXIT_USAGE) throw error;
      broken = true;
      note(`onionrelay: bench: ${row.name}: ${reasonOf(error)}`);
    }
    // Kept after each row: a long run that is broken off has told what it knows.
    if (suite && output.jsonFile !== null)
      keep(output.jsonFile, printJson(makeReport(results, torVersion, wallMs(), undefined, !broken)));
  }
  progress.clear();
  const report = makeReport(results, torVersion, wallMs(), undefined, !broken);
  tell(report, suite, output);
  return report.held ? 0 : EXIT_NOT_HELD;
}

async function memory({
  entry,
  wish,
  setup: given,
  output,
}: Extract<Call, { kind: 'memory' }>): Promise<number> {
  const setup = setupOf(given, entry.kind === 'tor');
  const target = await startEntry(entry, [], setup);
  try {
    const result = await watchMemory(target, wish, setup.makeLoad, (tenth, { rssBytes }) => {
      process.stderr.write(`  ${entry.name}: ${tenth * 10} % done, RSS ${(rssBytes / 1e6).toFixed(1)} MB\n`);
    });
    const report = makeReport([], setup.tor === null ? null : versionOf(setup.tor), wallMs(), result);
    process.stdout.write(output.json ? printJson(report) : printMemory(result));
    if (output.jsonFile !== null) keep(output.jsonFile, printJson(report));
    return result.held ? 0 : EXIT_NOT_HELD;
  } catch (error) {
    process.stderr.write(`onionrelay: bench: ${reasonOf(error)}\n${target.logTail()}`);
    return EXIT_NOT_HELD;
  } finally {
    await target.stop();
  }
}

function tell(report: Report, suite: boolean, output: Output): void {
  if (output.json) process.stdout.write(printJson(report));
  else if (suite) process.stdout.write(printSuite(report));
  else for (const row of report.rows) process.stdout.write(printRow(row));
  if (output.jsonFile !== null) keep(output.jsonFile, printJson(report));
  if (output.chart !== null) keep(output.chart, printChart(chartOf(report)));
}

/** The first line of `tor --version`. */
function versionOf(tor: string): string {
  const { stdout } = Bun.spawnSync([tor, '--version'], { stderr: 'ignore' });
  return stdout.toString().split('\n', 1)[0]!.replace(/\.$/, '');
}
