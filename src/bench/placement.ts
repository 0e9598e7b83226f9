/**
 * Where connections lie in a relay of two workers, and how many circuits therefore cross from one to the other.
 *
 * The kernel picks the worker that accepts a connection by its ports, so the load opens more connections than it
 * needs, the relay is asked which worker has which, and half are taken from worker 0 and half from worker 1. A worker
 * that is the first to extend to a next hop dials it, so each of two next hops is dialled by one of them.
 */
import { OperatorError } from '../fault.ts';
import type { LinkPlace, RoutePlan } from '../load/plan.ts';
import { EXIT_USAGE, type WorkerLinks } from './target.ts';

/** How many circuits have their next hop on another worker than their client: none, half, all. */
export type Placement = 'local' | 'half' | 'remote';

export const PLACEMENTS: readonly Placement[] = ['local', 'half', 'remote'];

/** Connections to open beside those that are kept: all 16 of 4 and 12 on one worker happens once in 30,000 times. */
export const SPARE = 12;

/** What a run of ours was found to be placed like. */
export interface PlacementReport {
  /** Per worker: the ports of the client's connections, and of the next hops that it dialled. */
  readonly workers: readonly {
    readonly worker: number;
    readonly clients: number[];
    readonly nextHops: number[];
  }[];
  /** Share of circuits whose cells cross a ring, 0 to 1. */
  readonly crossing: number;
}

/** The routes of a placement, for connections of which the first half lies on worker 0. */
export function placedRoute(placement: Placement, connections: number): RoutePlan {
  const half = connections >> 1;
  const routes = Array.from({ length: connections }, (_, i) => {
    const own = i < half ? 0 : 1;
    if (placement === 'half') return [0, 1];
    return [placement === 'local' ? own : 1 - own];
  });
  return { nextHops: 2, routes, dialers: [0, half] };
}

/**
 * Choose connections, half of them on worker 0 and half on worker 1.
 *
 * @returns indices into `places`
 * @throws OperatorError when the kernel put too few on one of them
 */
export function choosePlaces(
  places: readonly LinkPlace[],
  links: readonly WorkerLinks[],
  connections: number,
): number[] {
  const half = connections >> 1;
  const on = (worker: number): number[] => {
    const from = links.find((each) => each.worker === worker)?.from ?? new Set<number>();
    return [...places.keys()]
      .filter((i) => from.has(places[i]!.port))
      .slice(0, worker === 0 ? half : connections - half);
  };
  const chosen = [...on(0), ...on(1)];
  if (chosen.length === connections) return chosen;
  throw new OperatorError(
    `the kernel put only ${chosen.length} of ${connections} connections where they are needed`,
    'bench',
    'run it again; placement needs a relay with two workers',
    EXIT_USAGE,
  );
}

/** Say where a run's connections lie. `clients` are the ports of its connections in order; null: nothing is known. */
export function reportPlacement(
  links: readonly WorkerLinks[],
  clients: readonly number[],
  nextHops: readonly number[],
  route: RoutePlan,
  circuits: number,
): PlacementReport | null {
  const holderOf = (port: number, side: 'from' | 'to') =>
    links.find((each) => each[side].has(port))?.worker ?? -1;
  const clientWorkers = clients.map((port) => holderOf(port, 'from'));
  const hopWorkers = nextHops.map((port) => holderOf(port, 'to'));
  if (clientWorkers.includes(-1) || clients.length === 0) return null;
  let crossing = 0;
  for (let i = 0; i < circuits; i++) {
    const connection = i % clients.length;
    const turn = Math.floor(i / clients.length);
    const path = route.routes?.[connection];
    const hop = path === undefined ? (connection + turn) % nextHops.length : path[turn % path.length]!;
    if (clientWorkers[connection] !== hopWorkers[hop]) crossing++;
  }
  return {
    workers: links.map(({ worker }) => ({
      worker,
      clients: clients.filter((_, i) => clientWorkers[i] === worker),
      nextHops: nextHops.filter((_, i) => hopWorkers[i] === worker),
    })),
    crossing: crossing / circuits,
  };
}

/** Print a placement in one line. Many ports are only counted. */
export function printPlacement({ workers, crossing }: PlacementReport): string {
  const some = (ports: readonly number[]) =>
    ports.length > 8 ? `${ports.length}` : ports.join(' ') || 'none';
  const each = workers.map(
    ({ worker, clients, nextHops }) =>
      `worker ${worker}: clients ${some(clients)}, next hops ${some(nextHops)}`,
  );
  return `${each.join('; ')}; ${Math.round(crossing * 100)} % of circuits cross workers`;
}
