/**
 * The shape of a load in an operator's words, and the plan that the load's threads get for it.
 *
 * Pure.
 */
import type {
  ChurnHandshake,
  Direction,
  DirectoryRequest,
  FloodPlan,
  LinkPlan,
  LoadPlan,
  ProbePlan,
} from '../load/plan.ts';
import { type Placement, placedRoute, SPARE } from './placement.ts';

export type Mode = 'flood' | 'paced' | 'latency' | 'churn' | 'idle' | 'exit' | 'directory';

/** A load. What a mode has no use for is ignored. */
export interface Shape {
  readonly mode: Mode;
  /** Standing circuits of flood, paced and latency. */
  readonly circuits: number;
  readonly connections: number;
  readonly nextHops: number;
  readonly direction: Direction;
  /** Bytes of cells of the measured part, and before it. */
  readonly bytes: number;
  readonly warmUpBytes: number;
  /** Cells of one circuit and direction that may be under way; null: by the number of circuits. */
  readonly window: number | null;
  readonly burst: number;
  /** Both directions together. Null: as fast as it goes; for latency: the relay is idle. */
  readonly bytesPerSec: number | null;
  /** Latency probes; for churn: 0 for none beside it. */
  readonly probes: number;
  readonly gapMs: number;
  /** Circuits that churn, and before the measured part. */
  readonly churned: number;
  readonly warmUpChurned: number;
  readonly hops: 1 | 2;
  readonly handshake: ChurnHandshake;
  readonly inFlight: number;
  /** Links that idle, and for how long. */
  readonly links: number;
  readonly addresses: number;
  readonly opening: number;
  readonly holdMs: number;
  /** Streams through an exit or to a directory; whether an exit's circuits have congestion control. */
  readonly streams: number;
  readonly congestion: boolean;
  /** Requests to a directory, before the measured part and in it, and relays of the network that it knows. */
  readonly warmUpRequests: number;
  readonly requests: number;
  readonly relays: number;
}

/** What a load is unless told otherwise. */
export const USUAL_SHAPE: Shape = {
  mode: 'flood',
  circuits: 500,
  connections: 4,
  nextHops: 1,
  direction: 'both',
  bytes: 1e9,
  warmUpBytes: 0.2e9,
  window: null,
  burst: 1,
  bytesPerSec: null,
  probes: 2000,
  gapMs: 4,
  churned: 60_000,
  warmUpChurned: 20_000,
  hops: 1,
  handshake: 'ntor',
  inFlight: 64,
  links: 5000,
  addresses: 50,
  opening: 32,
  holdMs: 10_000,
  streams: 16,
  congestion: true,
  warmUpRequests: 20_000,
  requests: 60_000,
  relays: 2000,
};

/** What differs by mode from `USUAL_SHAPE`. */
export const MODE_SHAPES: Readonly<Record<Mode, Partial<Shape>>> = {
  flood: {},
  // Bursts as short as C tor's own writes at this pace; so many circuits that most links share several.
  paced: { circuits: 500, connections: 100, nextHops: 100, bytesPerSec: 60e6, burst: 4 },
  latency: {},
  churn: { probes: 0 },
  idle: {},
  // Ends that seal and check every cell take their time.
  exit: { circuits: 4, connections: 2, bytes: 0.5e9, warmUpBytes: 0.1e9 },
  directory: { circuits: 20, connections: 2, streams: 500 },
};

const PROBE_CIRCUITS = 4;
/** Cells of all circuits together that may be under way. */
const WINDOW_CELLS = 20_000;
const WINDOW_LEAST = 16;
/** Below this, no relay's limit of a circuit's queue is reached. */
const WINDOW_MOST = 500;

function linksOf({ connections }: Shape, spare: number): LinkPlan {
  return { connections, ports: null, spare };
}

function probeOf({ probes, gapMs }: Shape): ProbePlan {
  return { circuits: PROBE_CIRCUITS, ports: null, probes, gapMs };
}

function floodOf(shape: Shape, placement: Placement | null): FloodPlan {
  const { circuits, nextHops } = shape;
  const usual = Math.min(WINDOW_MOST, Math.max(WINDOW_LEAST, Math.round(WINDOW_CELLS / circuits)));
  return {
    mode: 'flood',
    direction: shape.direction,
    circuits,
    links: linksOf(shape, placement === null ? 0 : SPARE),
    route:
      placement === null
        ? { nextHops, routes: null, dialers: null }
        : placedRoute(placement, shape.connections),
    window: shape.window ?? usual,
    burst: shape.burst,
    bytes: shape.bytes,
    warmUpBytes: shape.warmUpBytes,
    bytesPerSec: shape.bytesPerSec,
  };
}

/**
 * Make the plan of a shape. A placement is for floods only; it brings two next hops. `asked`: what a directory is asked
 * for.
 */
export function planOf(
  shape: Shape,
  placement: Placement | null,
  asked: readonly DirectoryRequest[] = [],
): LoadPlan {
  switch (shape.mode) {
    case 'flood':
    case 'paced':
      return floodOf(shape, placement);
    case 'latency':
      return {
        mode: 'latency',
        probe: probeOf(shape),
        beside: shape.bytesPerSec === null ? null : floodOf(shape, null),
      };
    case 'churn':
      return {
        mode: 'churn',
        links: linksOf(shape, 0),
        hops: shape.hops,
        handshake: shape.handshake,
        nextHops: shape.nextHops,
        circuits: shape.probes > 0 ? null : shape.churned,
        warmUpCircuits: shape.warmUpChurned,
        inFlight: shape.inFlight,
        probe: shape.probes > 0 ? probeOf(shape) : null,
      };
    case 'idle':
      return {
        mode: 'idle',
        links: shape.links,
        addresses: shape.addresses,
        opening: shape.opening,
        holdMs: shape.holdMs,
      };
    case 'directory': {
      const { connections, circuits, streams, requests: total, warmUpRequests: warmUpTotal } = shape;
      return { mode: 'directory', connections, circuits, streams, total, warmUpTotal, requests: asked };
    }
    case 'exit': {
      const { direction, connections, circuits, streams, congestion, bytes, warmUpBytes } = shape;
      return { mode: 'exit', direction, connections, circuits, streams, congestion, bytes, warmUpBytes };
    }
  }
}

/** Say in one line what a load is. */
export function describeShape(shape: Shape): string {
  const { circuits, connections, nextHops, direction, bytesPerSec } = shape;
  const ways = direction === 'both' ? 'both ways' : direction;
  const paced = bytesPerSec === null ? '' : `, ${(bytesPerSec / 1e6).toFixed(0)} MB/s`;
  const flood = `${count(circuits, 'circuit')}, ${count(connections, 'connection')}, ${count(nextHops, 'next hop')}, ${ways}${paced}`;
  switch (shape.mode) {
    case 'flood':
    case 'paced':
      return `${flood}, ${shape.bytes / 1e9} GB a run`;
    case 'latency': {
      const beside = bytesPerSec === null ? 'an idle relay' : `a relay with ${flood}`;
      return `${shape.probes} cells one by one through ${beside}`;
    }
    case 'churn': {
      const many = shape.probes > 0 ? 'circuits' : `${shape.churned} circuits`;
      const probe = shape.probes > 0 ? `, ${shape.probes} latency probes beside` : '';
      return `${many} of ${count(shape.hops, 'hop')} made and destroyed, ${shape.handshake}, ${shape.inFlight} at once${probe}`;
    }
    case 'idle':
      return `${shape.links} links held for ${shape.holdMs / 1000} s`;
    case 'directory': {
      const carriers = `${count(circuits, 'circuit')}, ${count(connections, 'connection')}`;
      const network = `a network of ${count(shape.relays, 'relay')}`;
      return `${shape.requests} requests for microdescriptors of ${network}, ${count(shape.streams, 'stream')} at once on ${carriers}`;
    }
    case 'exit': {
      const flow = shape.congestion ? 'congestion control' : 'windows';
      const carriers = `${count(circuits, 'circuit')} with ${flow}, ${count(connections, 'connection')}`;
      return `exit: ${count(shape.streams, 'stream')} on ${carriers}, ${ways}, ${shape.bytes / 1e9} GB a run`;
    }
  }
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
