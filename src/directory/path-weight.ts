/**
 * How likely a relay is chosen for a place in a path: its consensus weight, times what the consensus' bandwidth-weights
 * say of relays of its kind in that place.
 * @source dir-spec "Computing bandwidth weights"; path-spec "Path weighting"; C tor's node_select.c
 */
import { RouterFlag } from '../netdoc/router-table.ts';
import { hasFlags, isExit, type PathNode } from './path-node.ts';
import type { RandomUnit } from './timing.ts';

/** Places in a path, and asking for directory documents. */
export type Place = 'guard' | 'middle' | 'exit' | 'directory';

/** Names of the weights of guards, middles, exits and both-in-one in a place; and by which V2Dir relays are scaled. */
interface Names {
  readonly g: string;
  readonly m: string;
  readonly e: string | null;
  readonly d: string;
  readonly scalesDirs: boolean;
}

const NAMES: Readonly<Record<Place, Names>> = {
  // A guard that only exits is none.
  guard: { g: 'Wgg', m: 'Wgm', e: null, d: 'Wgd', scalesDirs: true },
  middle: { g: 'Wmg', m: 'Wmm', e: 'Wme', d: 'Wmd', scalesDirs: true },
  exit: { g: 'Weg', m: 'Wem', e: 'Wee', d: 'Wed', scalesDirs: true },
  directory: { g: 'Wbg', m: 'Wbm', e: 'Wbe', d: 'Wbd', scalesDirs: false },
};

/** Weights of one place. Without all of them in the consensus each relay counts by its bandwidth alone. */
export class PlaceWeights {
  private readonly g: number;
  private readonly m: number;
  private readonly e: number;
  private readonly d: number;
  private readonly gb: number;
  private readonly mb: number;
  private readonly eb: number;
  private readonly db: number;

  /** @param weights of the consensus; `scale`: bwweightscale */
  constructor(place: Place, weights: ReadonlyMap<string, number>, scale: number) {
    const { g, m, e, d, scalesDirs } = NAMES[place];
    const values: number[] = [];
    for (const name of [g, m, e, d]) values.push(name === null ? 0 : (weights.get(name) ?? -1));
    for (const name of ['Wgb', 'Wmb', 'Web', 'Wdb'])
      values.push(scalesDirs ? (weights.get(name) ?? -1) : scale);
    const known = values.every((value) => value >= 0);
    const scaled = values.map((value) => (known ? value / scale : 1));
    this.g = scaled[0]!;
    this.m = scaled[1]!;
    this.e = scaled[2]!;
    this.d = scaled[3]!;
    this.gb = scaled[4]!;
    this.mb = scaled[5]!;
    this.eb = scaled[6]!;
    this.db = scaled[7]!;
  }

  /** The weight of a relay; 0: never chosen while others have some. */
  of(node: PathNode): number {
    const isDir = hasFlags(node, RouterFlag.V2Dir);
    const exits = isExit(node);
    if (hasFlags(node, RouterFlag.Guard)) {
      if (exits) return node.bandwidth * this.d * (isDir ? this.db : 1);
      return node.bandwidth * this.g * (isDir ? this.gb : 1);
    }
    if (exits) return node.bandwidth * this.e * (isDir ? this.eb : 1);
    return node.bandwidth * this.m * (isDir ? this.mb : 1);
  }
}

/** Choose one of several by weight; any of them when none has weight; null of none. */
export function chooseByWeight(
  nodes: readonly PathNode[],
  weights: PlaceWeights,
  random: RandomUnit,
): PathNode | null {
  if (nodes.length === 0) return null;
  let total = 0;
  for (const node of nodes) total += weights.of(node);
  if (total <= 0) return nodes[Math.floor(random() * nodes.length)]!;
  let left = random() * total;
  let last = nodes[0]!;
  for (const node of nodes) {
    const weight = weights.of(node);
    if (weight <= 0) continue;
    last = node;
    left -= weight;
    if (left < 0) return node;
  }
  return last;
}
