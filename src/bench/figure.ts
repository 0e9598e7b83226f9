/**
 * The figures that a run yields, by name: what they are called, what they mean, and which way is better.
 */

/** How a figure is shown and judged. */
export interface FigureKind {
  readonly head: string;
  readonly meaning: string;
  /** Whether less of it is better; throughput is the other way round. */
  readonly lessIsBetter: boolean;
}

/** All figures. Those of `added` are what the relay adds to a cell's way, both ways together. */
export const FIGURES = {
  cpuPerGb: {
    head: 'CPU s/GB',
    meaning: 'CPU seconds of the relay per 1e9 bytes of cells (exit: of streams), each counted once',
    lessIsBetter: true,
  },
  cpuPerCircuit: {
    head: 'CPU µs/circuit',
    meaning: 'CPU microseconds of the relay per circuit',
    lessIsBetter: true,
  },
  cpuPerRequest: {
    head: 'CPU µs/request',
    meaning: 'CPU microseconds of the relay per request to its directory',
    lessIsBetter: true,
  },
  requestsPerSec: { head: 'requests/s', meaning: 'requests answered per second', lessIsBetter: false },
  cores: { head: 'cores', meaning: 'CPU seconds of the relay per second', lessIsBetter: true },
  rate: {
    head: 'MB/s',
    meaning: '1e6 bytes of cells (exit, directory: of streams) per second, both directions together',
    lessIsBetter: false,
  },
  eachWay: { head: 'each way', meaning: 'the same in one direction', lessIsBetter: false },
  circuitsPerSec: { head: 'circuits/s', meaning: 'circuits built per second', lessIsBetter: false },
  p50: {
    head: 'p50 µs',
    meaning: 'median of the added latency of a round trip, in microseconds',
    lessIsBetter: true,
  },
  p99: { head: 'p99 µs', meaning: '99th percentile of it', lessIsBetter: true },
  rss: {
    head: 'RSS MB',
    meaning: 'resident memory of the relay in 1e6 bytes, right after the load',
    lessIsBetter: true,
  },
  rssPerLink: { head: 'KiB/link', meaning: 'growth of resident memory per idle link', lessIsBetter: true },
  cpuPerLink: { head: 'CPU µs/link', meaning: 'CPU microseconds to accept a link', lessIsBetter: true },
  links: { head: 'links', meaning: 'links held open', lessIsBetter: false },
} as const satisfies Record<string, FigureKind>;

export type FigureName = keyof typeof FIGURES;

export const FIGURE_NAMES = Object.keys(FIGURES) as readonly FigureName[];

/** The figures of one run; those that its load does not yield are left out. */
export type Figures = Readonly<Partial<Record<FigureName, number>>>;
