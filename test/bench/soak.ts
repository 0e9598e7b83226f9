/**
 * Benchmark: mixed load on our relay for half an hour. Memory must not grow (a linear fit over the last two thirds),
 * nor may handles and timers once the load is over, and no cell may get lost.
 *
 *   bun test/bench/soak.ts [--minutes N] [--megabytes-per-sec N] [--csv FILE] [--bound MB-PER-MINUTE] [--workers N]
 *
 * Exit status 1 when a bound does not hold. The relay is a child process, the load this one.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type SoakFigures, type SoakSample, soak } from './soak-run.ts';
import { startTarget } from './target.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    'megabytes-per-sec': { type: 'string', default: '5' },
    csv: { type: 'string', default: 'soak.csv' },
    bound: { type: 'string', default: '0.1' },
    workers: { type: 'string', default: '2' },
  },
});

const COLUMNS: readonly (keyof Omit<SoakSample, 'counters'>)[] = [
  'seconds',
  'rssBytes',
  'anonBytes',
  'files',
  'threads',
  'channels',
  'halfOpen',
  'circuits',
  'cellsWaiting',
  'handshakesWaiting',
  'timers',
];
const COUNTED = [
  'circuits_created',
  'circuits_closed',
  'channels_opened',
  'channels_closed',
  'cells_relayed',
  'links_accepted',
] as const;

function row(sample: SoakSample): string {
  return `${[
    ...COLUMNS.map((name) => Math.round(sample[name])),
    ...COUNTED.map((name) => sample.counters.get(name) ?? 0),
  ].join(',')}\n`;
}

function print(figures: SoakFigures): void {
  const { idle, end, report } = figures;
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  process.stdout.write(
    `RSS grew by ${figures.rssPerMinute.toFixed(3)} MB a minute over the last two thirds (bound ${values.bound}; ` +
      `${figures.anonPerMinute.toFixed(3)} without the program's pages); ` +
      `${mb(idle.rssBytes)} MB idle before, ${mb(figures.rssMaxBytes)} MB at most, ${mb(end.rssBytes)} MB after\n` +
      `before -> after: files ${idle.files} -> ${end.files}, threads ${idle.threads} -> ${end.threads}, ` +
      `channels ${idle.channels} -> ${end.channels}, circuits ${idle.circuits} -> ${end.circuits}, ` +
      `cells waiting ${idle.cellsWaiting} -> ${end.cellsWaiting}, timers ${idle.timers} -> ${end.timers}\n` +
      `${report.circuits} circuits and ${report.links} links churned, ${report.resets} resets, ` +
      `${report.slowCells} cells to slow readers, ${figures.end.counters.get('cells_relayed')} cells relayed, ` +
      `${figures.cpuSec.toFixed(1)} CPU s\n`,
  );
  for (const fault of [...report.faults, ...figures.leftovers]) process.stdout.write(`wrong: ${fault}\n`);
}

async function main(): Promise<number> {
  const target = await startTarget({
    kind: 'ours',
    workers: Number(values.workers),
    torrc: ['DisableDebuggerAttachment 0'],
  });
  try {
    writeFileSync(values.csv, `${[...COLUMNS, ...COUNTED].join(',')}\n`);
    const figures = await soak(
      target,
      {
        bytesPerSec: Number(values['megabytes-per-sec']) * 1e6,
        circuitsPerSec: 40,
        linksPerSec: 8,
        resetsPerSec: 8,
        slowReaders: 2,
      },
      { seconds: Number(values.minutes) * 60, sampleMs: 5000 },
      (sample) => appendFileSync(values.csv, row(sample)),
    );
    print(figures);
    const held =
      figures.rssPerMinute <= Number(values.bound) &&
      figures.leftovers.length === 0 &&
      figures.report.faults.length === 0;
    process.stdout.write(held ? 'held\n' : 'not held\n');
    return held ? 0 : 1;
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-3000)}\n`);
    throw fault;
  } finally {
    await target.stop();
  }
}

process.exit(await main());
