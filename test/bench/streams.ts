/**
 * Benchmark: 100,000 short streams through one of ours as exit, ended in every way there is. Memory must not grow from
 * the first quarter of them to the last, and no stream, socket, circuit or timer may be left.
 *
 *   bun test/bench/streams.ts [--streams N] [--warm-up N] [--bound MB] [--workers N]
 *
 * Streams of the warm-up come before and do not count: meanwhile heap, buffers and compiled code find their size. Garbage
 * that waits comes and goes: beside the medians of quarters stand their lowest values, under which nothing is garbage,
 * and the slope of a straight line through all samples.
 *
 * Exit status 1 when a bound does not hold. The relay is a child process; clients and destinations are this one.
 */
import { parseArgs } from 'node:util';
import { vitalsAfter, vitalsBefore } from './soak-run.ts';
import { CHURNED_EXIT, StreamChurn } from './stream-churn.ts';
import { startTarget, type Target } from './target.ts';
import { readVitals, slope, type Vitals } from './vitals.ts';

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '100000' },
    'warm-up': { type: 'string', default: '50000' },
    bound: { type: 'string', default: '10' },
    workers: { type: 'string', default: '2' },
  },
});

const ROUND_STREAMS = 2500;
const SAMPLE_MS = 500;
const QUARTERS = 4;

interface Sample {
  /** Share of the streams that are done. */
  readonly share: number;
  readonly vitals: Vitals;
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

/** Let so many streams go, round by round. */
async function run(churn: StreamChurn, streams: number): Promise<void> {
  for (let left = streams; left > 0; left -= ROUND_STREAMS) await churn.round(Math.min(left, ROUND_STREAMS));
}

/** The same, and look at the relay meanwhile. */
async function watched(target: Target, churn: StreamChurn, streams: number): Promise<Sample[]> {
  const doneBefore = churn.done;
  const samples: Sample[] = [];
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const vitals = await readVitals(target);
      samples.push({ share: (churn.done - doneBefore) / streams, vitals });
      await Bun.sleep(SAMPLE_MS);
    }
  })();
  try {
    await run(churn, streams);
  } finally {
    isOver = true;
    await watching;
  }
  return samples;
}

/** Print one quarter's medians. Returns its RSS, bytes. */
function tellQuarter(quarter: number, samples: readonly Sample[]): number {
  const some = samples.filter(
    ({ share }) => Math.min(QUARTERS - 1, Math.floor(share * QUARTERS)) === quarter,
  );
  const of = (pick: (vitals: Vitals) => number): number => median(some.map(({ vitals }) => pick(vitals)));
  const rss = of(({ rssBytes }) => rssBytes);
  process.stdout.write(
    `quarter ${quarter + 1}: RSS ${mb(rss)} MB, at least ${mb(Math.min(...some.map(({ vitals }) => vitals.rssBytes)))} (${mb(of(({ anonBytes }) => anonBytes))} without the program's pages), ` +
      `files ${of(({ files }) => files)}, streams ${of((vitals) => vitals.streams)}, ` +
      `circuits ${of(({ circuits }) => circuits)}, timers ${of(({ timers }) => timers)} (medians of ${some.length})\n`,
  );
  return rss;
}

async function main(): Promise<number> {
  const target = await startTarget({ kind: 'ours', workers: Number(values.workers), torrc: CHURNED_EXIT });
  const churn = await StreamChurn.start(target.hop);
  try {
    const idle = await vitalsBefore(target);
    await run(churn, Number(values['warm-up']));
    process.stdout.write(`after ${churn.done} streams: RSS ${mb(target.rssBytes())} MB\n`);
    const cpuBefore = target.cpuSec();
    const startMs = performance.now();
    const samples = await watched(target, churn, Number(values.streams));
    const seconds = (performance.now() - startMs) / 1000;
    const cpuSec = target.cpuSec() - cpuBefore;
    const rss = Array.from({ length: QUARTERS }, (_, quarter) => tellQuarter(quarter, samples));
    const { end, left } = await vitalsAfter(target, idle);
    const grown = (rss[QUARTERS - 1]! - rss[0]!) / 1e6;
    const rise = slope(samples.map(({ share, vitals }) => ({ x: share, y: vitals.rssBytes })));
    process.stdout.write(
      `${churn.done} streams, ${churn.accepted} connections, ${seconds.toFixed(0)} s, ${cpuSec.toFixed(1)} CPU s\n` +
        `RSS ${mb(idle.rssBytes)} MB idle before, ${mb(end.rssBytes)} MB after; ` +
        `last quarter over first: ${grown.toFixed(1)} MB (bound ${values.bound}); ` +
        `a straight line rises by ${mb(rise)} MB over all streams\n` +
        `before -> after: files ${idle.files} -> ${end.files}, streams ${idle.streams} -> ${end.streams}, ` +
        `circuits ${idle.circuits} -> ${end.circuits}, timers ${idle.timers} -> ${end.timers}\n`,
    );
    for (const fault of [...churn.faults, ...left]) process.stdout.write(`wrong: ${fault}\n`);
    const held = grown <= Number(values.bound) && left.length === 0 && churn.faults.length === 0;
    process.stdout.write(held ? 'held\n' : 'not held\n');
    return held ? 0 : 1;
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-3000)}\n`);
    throw fault;
  } finally {
    churn.stop();
    await target.stop();
  }
}

process.exit(await main());
