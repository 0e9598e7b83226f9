/** What a running relay of ours says of itself (USR1) and what /proc says of it: for watching it over time. */
import { readdirSync, readFileSync } from 'node:fs';

/** A process to look at. */
export interface Watched {
  readonly pid: number;
  /** Everything that it logged, from notice upwards. */
  log(): string;
}

/** Sums over all workers, at one moment. */
export interface Vitals {
  readonly rssBytes: number;
  /** The part of it that is no file: without the program's own pages, which the kernel brings in as they are used. */
  readonly anonBytes: number;
  readonly files: number;
  readonly threads: number;
  readonly channels: number;
  readonly halfOpen: number;
  readonly circuits: number;
  readonly cellsWaiting: number;
  readonly handshakesWaiting: number;
  readonly timers: number;
  /** Streams, of exits and directories. */
  readonly streams: number;
  /** Counters that are not 0. */
  readonly counters: ReadonlyMap<string, number>;
}

const DEADLINE_MS = 60_000;
const POLL_MS = 20;
const STATE =
  /Worker \d+: (\d+) channels \((\d+) half open\), (\d+) circuits, (\d+) cells waiting, (\d+) handshakes waiting, .*?(\d+) timers, (\d+) streams/g;

/** Read them now. Not twice at once for one process. @throws Error when it does not answer */
export async function readVitals(watched: Watched): Promise<Vitals> {
  const from = watched.log().length;
  process.kill(watched.pid, 'SIGUSR1');
  const endMs = performance.now() + DEADLINE_MS;
  let counted: RegExpExecArray | null = null;
  let said = '';
  while (counted === null) {
    if (performance.now() > endMs) throw new Error(`no answer to USR1:\n${said.slice(-2000)}`);
    await Bun.sleep(POLL_MS);
    said = watched.log().slice(from);
    counted = /(?:Counters: (.*)|All counters are 0)\.\n/.exec(said);
  }
  const counters = new Map<string, number>();
  for (const entry of counted[1]?.split(', ') ?? []) {
    const [name, count] = entry.split(' ');
    counters.set(name!, Number(count));
  }
  const sums = [0, 0, 0, 0, 0, 0, 0];
  for (const match of said.matchAll(STATE)) {
    for (let i = 0; i < sums.length; i++) sums[i]! += Number(match[i + 1]);
  }
  const [channels, halfOpen, circuits, cellsWaiting, handshakesWaiting, timers, streams] = sums as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const status = readFileSync(`/proc/${watched.pid}/status`, 'utf8');
  return {
    rssBytes: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024,
    anonBytes: Number(/RssAnon:\s+(\d+)/.exec(status)![1]) * 1024,
    files: readdirSync(`/proc/${watched.pid}/fd`).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)![1]),
    channels,
    halfOpen,
    circuits,
    cellsWaiting,
    handshakesWaiting,
    timers,
    streams,
    counters,
  };
}

/** Fit a straight line by least squares. Returns its slope: `y` per `x`. */
export function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const n = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / n;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / n;
  let over = 0;
  let under = 0;
  for (const { x, y } of points) {
    over += (x - meanX) * (y - meanY);
    under += (x - meanX) ** 2;
  }
  return under === 0 ? 0 : over / under;
}
