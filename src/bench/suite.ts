/**
 * The rows that the relay is measured by, with their bounds.
 */
import { OperatorError } from '../fault.ts';
import type { Bound } from './bounds.ts';
import type { FigureName } from './figure.ts';
import type { Placement } from './placement.ts';
import { MODE_SHAPES, type Shape, USUAL_SHAPE } from './shape.ts';
import { EXIT_USAGE } from './target.ts';

/** Who is measured in a row. */
export interface Entry {
  readonly name: string;
  readonly kind: 'ours' | 'tor' | 'attached';
  /** Null: as many as the command line says. */
  readonly workers: number | null;
  readonly placement: Placement | null;
}

/** A row. The last of several entries is what the others are compared with. */
export interface Row {
  readonly name: string;
  readonly title: string;
  readonly shape: Shape;
  readonly entries: readonly Entry[];
  readonly bounds: readonly Bound[];
  /** torrc lines of all entries. */
  readonly torrc: readonly string[];
  /** The pace as a share of what the last entry can do at most; measured first. */
  readonly paceShare: number | null;
  /** Runs at most, where more tell nothing new. */
  readonly runsMost: number;
}

export const OURS: Entry = { name: 'ours', kind: 'ours', workers: null, placement: null };
export const C_TOR: Entry = { name: 'C tor', kind: 'tor', workers: null, placement: null };

/** Stands for a pace that is measured first. */
export const UNKNOWN_PACE = 1;

/** What lets a relay be an exit to loopback for circuits of one hop, from whoever authenticates as a relay. */
export const EXIT_TORRC: readonly string[] = [
  'ExitRelay 1',
  'ExitPolicyRejectPrivate 0',
  'ExitPolicy accept 127.0.0.0/8:*',
  'ExitPolicy reject *:*',
  'RefuseUnknownExits 0',
  'DoSStreamCreationEnabled 0',
];

/** What makes a relay a directory cache. */
export const DIRECTORY_TORRC: readonly string[] = ['DirCache 1'];

/** A bound on a ratio of figures of which less is better. */
function ratio(figure: FigureName, limit: number): Bound {
  return { figure, of: 'ratio', limit, side: 'most' };
}

/** A row as it is written down: what differs from a flood of ours beside C tor. */
interface RowSpec extends Partial<Omit<Row, 'shape'>> {
  readonly name: string;
  readonly title: string;
  readonly shape?: Partial<Shape>;
}

function complete(spec: RowSpec): Row {
  const mode = spec.shape?.mode ?? 'flood';
  return {
    entries: [OURS, C_TOR],
    bounds: [],
    torrc: [],
    paceShare: null,
    runsMost: Number.POSITIVE_INFINITY,
    ...spec,
    shape: { ...USUAL_SHAPE, ...MODE_SHAPES[mode], ...spec.shape },
  };
}

function placed(name: string, placement: Placement | null, workers: number): Entry {
  return { name, kind: 'ours', workers, placement };
}

/** A row of an exit with so many streams on so many circuits. */
function exit(name: string, title: string, shape: Partial<Shape>): RowSpec {
  return {
    name: `exit-${name}`,
    title: `exit, ${title}`,
    shape: { mode: 'exit', ...shape },
    bounds: [ratio('cpuPerGb', 0.6)],
    torrc: EXIT_TORRC,
  };
}

const SPECS: readonly RowSpec[] = [
  {
    name: 'flood-500',
    title: '500 circuits, 4 connections, 1 next hop',
    bounds: [ratio('cpuPerGb', 0.45)],
  },
  {
    name: 'flood-500-20',
    title: '500 circuits, 4 connections, 20 next hops',
    shape: { nextHops: 20 },
    bounds: [ratio('cpuPerGb', 0.55)],
  },
  {
    name: 'flood-64',
    title: '64 circuits, 4 connections',
    shape: { circuits: 64 },
    bounds: [ratio('cpuPerGb', 0.5)],
  },
  {
    name: 'flood-8',
    title: '8 circuits, 4 connections',
    shape: { circuits: 8 },
    bounds: [ratio('cpuPerGb', 0.6)],
  },
  {
    name: 'flood-1',
    title: '1 circuit',
    shape: { circuits: 1, connections: 1 },
    bounds: [ratio('cpuPerGb', 0.75)],
  },
  {
    name: 'paced-60',
    title: '100 in, 100 out, 60 MB/s',
    shape: { mode: 'paced' },
    bounds: [ratio('cpuPerGb', 0.6)],
  },
  {
    name: 'churn-ntor',
    title: 'ntor handshakes',
    shape: { mode: 'churn' },
    bounds: [ratio('cpuPerCircuit', 0.8)],
  },
  {
    name: 'churn-ntor-v3',
    title: 'ntor-v3 handshakes',
    shape: { mode: 'churn', handshake: 'ntor-v3' },
    bounds: [ratio('cpuPerCircuit', 0.8)],
  },
  {
    name: 'churn-latency',
    title: 'latency while the onion queue is full',
    shape: { mode: 'churn', probes: 2000, inFlight: 8000, connections: 8, warmUpChurned: 8000 },
    bounds: [ratio('p99', 1)],
    // A short queue fills with fewer circuits under way.
    torrc: ['MaxOnionQueueDelay 250 msec'],
  },
  {
    name: 'idle-5000',
    title: '5,000 idle links',
    shape: { mode: 'idle' },
    bounds: [ratio('rssPerLink', 0.6)],
  },
  {
    name: 'idle-15000',
    title: '15,000 idle links held',
    shape: { mode: 'idle', links: 15_000, addresses: 150 },
    entries: [OURS],
    bounds: [{ figure: 'links', of: 'figure', limit: 15_000, side: 'least' }],
    runsMost: 1,
  },
  {
    name: 'latency-idle',
    title: 'latency, idle relay',
    shape: { mode: 'latency' },
    bounds: [ratio('p50', 1), ratio('p99', 1)],
  },
  {
    name: 'latency-80',
    title: 'latency at 80 % of C tor’s maximum',
    shape: { mode: 'latency', bytesPerSec: UNKNOWN_PACE },
    bounds: [ratio('p50', 1), ratio('p99', 1)],
    paceShare: 0.8,
  },
  {
    name: 'scaling',
    title: 'two workers beside one',
    shape: { nextHops: 2 },
    entries: [
      placed('2 workers, all local', 'local', 2),
      placed('2 workers, half local', 'half', 2),
      placed('2 workers, all remote', 'remote', 2),
      placed('1 worker', null, 1),
    ],
    bounds: [ratio('cpuPerGb', 1.15)],
  },
  {
    name: 'gotor-250',
    title: '250 MB/s up plus down (GoTor)',
    shape: {
      mode: 'paced',
      circuits: 500,
      connections: 4,
      nextHops: 1,
      bytesPerSec: 250e6,
      bytes: 2e9,
    },
  },
  exit('1', '1 stream, both ways', { streams: 1, circuits: 1, connections: 1 }),
  exit('16', '16 streams on 4 circuits, both ways', {}),
  exit('16-forward', '16 streams, to the destination', { direction: 'forward' }),
  exit('16-backward', '16 streams, from the destination', { direction: 'backward' }),
  exit('200', '200 streams on 20 circuits, both ways', { streams: 200, circuits: 20, connections: 4 }),
  {
    name: 'directory',
    title: 'requests for microdescriptors',
    shape: { mode: 'directory' },
    bounds: [ratio('cpuPerRequest', 0.5)],
    torrc: DIRECTORY_TORRC,
  },
  exit('windows', '16 streams, windows instead of congestion control', { congestion: false }),
];

/** All rows, in the order in which they are run. */
export const ROWS: readonly Row[] = SPECS.map(complete);

/** The rows that a name stands for: the one that is called so, else those whose names begin with it. */
function named(name: string): readonly Row[] {
  const exact = ROWS.filter((each) => each.name === name);
  return exact.length > 0 ? exact : ROWS.filter((each) => each.name.startsWith(`${name}-`));
}

/** Pick rows by name, or all when none is named. @throws OperatorError */
export function pickRows(names: readonly string[]): readonly Row[] {
  const wanted = new Set<Row>();
  for (const name of names) {
    const found = named(name);
    if (found.length === 0) {
      const known = ROWS.map((each) => each.name).join(', ');
      throw new OperatorError(`there is no row "${name}"`, '--only', `write one of ${known}`, EXIT_USAGE);
    }
    for (const each of found) wanted.add(each);
  }
  return names.length === 0 ? ROWS : ROWS.filter((each) => wanted.has(each));
}
