/** One soak: load for a time, looked at every few seconds, and what is left when it is over. */
import { SoakLoad, type SoakPlan, type SoakReport } from './soak-load.ts';
import type { Target } from './target.ts';
import { readVitals, slope, type Vitals } from './vitals.ts';

export interface SoakSample extends Vitals {
  /** Since the load began. */
  readonly seconds: number;
}

export interface SoakFigures {
  /** Before the load, and long enough after it. */
  readonly idle: Vitals;
  readonly end: Vitals;
  readonly samples: readonly SoakSample[];
  readonly rssMaxBytes: number;
  /** Fitted over the last two thirds: MB. */
  readonly rssPerMinute: number;
  readonly anonPerMinute: number;
  readonly cpuSec: number;
  readonly report: SoakReport;
  /** What did not come back to where it was before the load. */
  readonly leftovers: readonly string[];
}

/** What of the time counts for the fit: before, buffers and compiled code find their size. */
const FIT_SHARE = 2 / 3;
const LEAVE_MS = 60_000;
/** Descriptors that an idle relay may have more than another: a log or state file being written. */
const FILES_SLACK = 2;
/** Threads that the runtime starts and keeps when it finds use for them. */
const THREADS_SLACK = 4;

/** Read the vitals of a relay that nobody loads yet. */
export async function vitalsBefore(target: Target): Promise<Vitals> {
  let idle = await readVitals(target);
  // Whoever asked whether it listens yet may still be about to leave.
  for (const endMs = performance.now() + LEAVE_MS; idle.channels > 0 && performance.now() < endMs; ) {
    await Bun.sleep(500);
    idle = await readVitals(target);
  }
  return idle;
}

/** Wait until a load is gone from a relay. Returns its vitals then, and what did not come back to where it was. */
export async function vitalsAfter(target: Target, idle: Vitals): Promise<{ end: Vitals; left: string[] }> {
  const endMs = performance.now() + LEAVE_MS;
  let end = await readVitals(target);
  let left = leftovers(idle, end);
  while (left.length > 0 && performance.now() < endMs) {
    await Bun.sleep(1000);
    end = await readVitals(target);
    left = leftovers(idle, end);
  }
  return { end, left };
}

/** Load a relay and watch it. `onSample` hears of each look. */
export async function soak(
  target: Target,
  plan: SoakPlan,
  { seconds, sampleMs }: { readonly seconds: number; readonly sampleMs: number },
  onSample: (sample: SoakSample) => void = () => {},
): Promise<SoakFigures> {
  const idle = await vitalsBefore(target);
  const cpuBefore = target.cpuSec();
  const load = await SoakLoad.start(target.hop, plan);
  const startMs = performance.now();
  const samples: SoakSample[] = [];
  const since = (): number => (performance.now() - startMs) / 1000;
  while (since() < seconds) {
    await Bun.sleep(sampleMs);
    const sample = { seconds: since(), ...(await readVitals(target)) };
    samples.push(sample);
    onSample(sample);
  }
  const report = await load.stop();
  const cpuSec = target.cpuSec() - cpuBefore;
  const { end, left } = await vitalsAfter(target, idle);
  const counted = samples.filter((sample) => sample.seconds >= seconds * (1 - FIT_SHARE));
  const perMinute = (bytesOf: (sample: SoakSample) => number): number =>
    slope(counted.map((sample) => ({ x: sample.seconds / 60, y: bytesOf(sample) / 1e6 })));
  return {
    idle,
    end,
    samples,
    rssMaxBytes: Math.max(...samples.map(({ rssBytes }) => rssBytes)),
    rssPerMinute: perMinute(({ rssBytes }) => rssBytes),
    anonPerMinute: perMinute(({ anonBytes }) => anonBytes),
    cpuSec,
    report,
    leftovers: left,
  };
}

function leftovers(idle: Vitals, end: Vitals): string[] {
  const more: string[] = [];
  const bound = (name: keyof Omit<Vitals, 'counters'>, slack: number): void => {
    if (end[name] > idle[name] + slack) more.push(`${name} ${idle[name]} before, ${end[name]} after`);
  };
  bound('files', FILES_SLACK);
  bound('threads', THREADS_SLACK);
  for (const name of [
    'channels',
    'halfOpen',
    'circuits',
    'cellsWaiting',
    'handshakesWaiting',
    'streams',
  ] as const) {
    bound(name, 0);
  }
  bound('timers', 0);
  const created = end.counters.get('circuits_created') ?? 0;
  const closed = end.counters.get('circuits_closed') ?? 0;
  if (closed < created) more.push(`${created} circuits created, ${closed} closed`);
  return more;
}
