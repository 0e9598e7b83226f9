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

/** A bound on a ratio of figures of which less is better. */
function ratio(figure: FigureName, limit: number): Bound {
  return { figure, of: 'ratio', limit, side: 'most' };
}

function row(name: string, title: string, shape: Partial<Shape>, rest: Partial<Row>): Row {
  const mode = shape.mode ?? 'flood';
  return {
    name,
    title,
    shape: { ...USUAL_SHAPE, ...MODE_SHAPES[mode], ...shape },
    entries: [OURS, C_TOR],
    bounds: [],
    torrc: [],
    paceShare: null,
    runsMost: Number.POSITIVE_INFINITY,
    ...rest,
  };
}

function placed(name: string, placement: Placement | null, workers: number): Entry {
  return { name, kind: 'ours', workers, placement };
}

/** All rows, in the order in which they are run. */
export const ROWS: readonly Row[] = [
  row('flood-500', '500 circuits, 4 connections, 1 next hop', {}, { bounds: [ratio('cpuPerGb', 0.45)] }),
  row(
    'flood-500-20',
    '500 circuits, 4 connections, 20 next hops',
    { nextHops: 20 },
    { bounds: [ratio('cpuPerGb', 0.55)] },
  ),
  row('flood-64', '64 circuits, 4 connections', { circuits: 64 }, { bounds: [ratio('cpuPerGb', 0.5)] }),
  row('flood-8', '8 circuits, 4 connections', { circuits: 8 }, { bounds: [ratio('cpuPerGb', 0.6)] }),
  row('flood-1', '1 circuit', { circuits: 1, connections: 1 }, { bounds: [ratio('cpuPerGb', 0.75)] }),
  row('paced-60', '100 in, 100 out, 60 MB/s', { mode: 'paced' }, { bounds: [ratio('cpuPerGb', 0.6)] }),
  row('churn-ntor', 'ntor handshakes', { mode: 'churn' }, { bounds: [ratio('cpuPerCircuit', 0.8)] }),
  row(
    'churn-ntor-v3',
    'ntor-v3 handshakes',
    { mode: 'churn', handshake: 'ntor-v3' },
    { bounds: [ratio('cpuPerCircuit', 0.8)] },
  ),
  row(
    'churn-latency',
    'latency while the onion queue is full',
    { mode: 'churn', probes: 2000, inFlight: 8000, connections: 8, warmUpChurned: 8000 },
    // A short queue fills with fewer circuits under way.
    { bounds: [ratio('p99', 1)], torrc: ['MaxOnionQueueDelay 250 msec'] },
  ),
  row('idle-5000', '5,000 idle links', { mode: 'idle' }, { bounds: [ratio('rssPerLink', 0.6)] }),
  row(
    'idle-15000',
    '15,000 idle links held',
    { mode: 'idle', links: 15_000, addresses: 150 },
    {
      entries: [OURS],
      bounds: [{ figure: 'links', of: 'figure', limit: 15_000, side: 'least' }],
      runsMost: 1,
    },
  ),
  row(
    'latency-idle',
    'latency, idle relay',
    { mode: 'latency' },
    { bounds: [ratio('p50', 1), ratio('p99', 1)] },
  ),
  row(
    'latency-80',
    'latency at 80 % of C tor’s maximum',
    { mode: 'latency', bytesPerSec: UNKNOWN_PACE },
    { bounds: [ratio('p50', 1), ratio('p99', 1)], paceShare: 0.8 },
  ),
  row(
    'scaling',
    'two workers beside one, 500 circuits, 2 next hops',
    { nextHops: 2 },
    {
      entries: [
        placed('2 workers, all local', 'local', 2),
        placed('2 workers, half local', 'half', 2),
        placed('2 workers, all remote', 'remote', 2),
        placed('1 worker', null, 1),
      ],
      bounds: [ratio('cpuPerGb', 1.15)],
    },
  ),
  row(
    'gotor-250',
    '250 MB/s up plus down, as GoTor’s record',
    { mode: 'paced', circuits: 500, connections: 4, nextHops: 1, bytesPerSec: 250e6, bytes: 2e9 },
    {},
  ),
];

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
