/**
 * Which relays our own circuits go through: C tor's rules for a relay that builds circuits of its own.
 *
 * Only running, valid relays whose microdescriptor is there; never ourselves or our kin, never what torrc excludes, no
 * two of one kin. The last hop is chosen first, then the entry, then what lies between. Where no relay has the flags
 * that are wished for, the search is made again without them, as in C tor. Randomness comes in from outside.
 * @source path-spec "Path selection and constraints"; C tor's circuitbuild.c and node_select.c
 */
import type { Consensus } from '../netdoc/consensus.ts';
import { RouterFlag } from '../netdoc/router-table.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import {
  areKin,
  exitsTo,
  hasFlags,
  hopOf,
  type Kin,
  listNodes,
  nodeSpeaks,
  type PathNode,
  type RelayFacts,
} from './path-node.ts';
import { chooseByWeight, type Place, PlaceWeights } from './path-weight.ts';
import type { RandomUnit } from './timing.ts';

/** What bounds every path. */
export interface PathRules {
  /** EnforceDistinctSubnets. */
  readonly distinctSubnets: boolean;
  /** Ourselves, if we are a relay: neither we nor our kin stand in a path. */
  readonly own: Kin | null;
  /** ExcludeNodes. */
  readonly isExcluded: (node: PathNode) => boolean;
}

/** What a circuit to the outside is for. */
export interface ExitWish {
  readonly port: number;
  readonly isIpv6: boolean;
  /** For connections that last: only relays with the Stable flag. */
  readonly stable: boolean;
}

/** Places between the client and whom it wants to reach, that one included. */
const PATH_HOPS = 3;
const USABLE = RouterFlag.Running | RouterFlag.Valid;

/** Chooses paths in one consensus. Make another when consensus or microdescriptors change. */
export class PathChooser {
  /** All relays of the consensus. */
  readonly nodes: readonly PathNode[];
  private readonly rules: PathRules;
  private readonly random: RandomUnit;
  private readonly weights: Readonly<Record<Place, PlaceWeights>>;
  /** What any hop may be: usable, known, not excluded, not of our kin. */
  private readonly candidates: readonly PathNode[];

  /**
   * @param factsOf finds microdescriptors by the digest in the consensus
   * @param weightScale bwweightscale
   */
  constructor(
    consensus: Pick<Consensus, 'routers' | 'bandwidthWeights'>,
    factsOf: (digest: Uint8Array) => RelayFacts | null,
    weightScale: number,
    rules: PathRules,
    random: RandomUnit,
  ) {
    this.rules = rules;
    this.random = random;
    this.nodes = listNodes(consensus, factsOf);
    const { bandwidthWeights } = consensus;
    this.weights = {
      guard: new PlaceWeights('guard', bandwidthWeights, weightScale),
      middle: new PlaceWeights('middle', bandwidthWeights, weightScale),
      exit: new PlaceWeights('exit', bandwidthWeights, weightScale),
      directory: new PlaceWeights('directory', bandwidthWeights, weightScale),
    };
    this.candidates = this.nodes.filter((node) => node.facts !== null && this.mayBeUsed(node));
  }

  private mayBeUsed(node: PathNode): boolean {
    if (!hasFlags(node, USABLE) || this.rules.isExcluded(node)) return false;
    return this.rules.own === null || !this.isKin(node, this.rules.own);
  }

  /** The part of usable relays, by weight as middles, whose microdescriptors are there: 0 to 1. */
  get knownShare(): number {
    let known = 0;
    let total = 0;
    for (const node of this.nodes) {
      if (!hasFlags(node, USABLE)) continue;
      const weight = this.weights.middle.of(node);
      total += weight;
      if (node.facts !== null) known += weight;
    }
    if (total > 0) return known / total;
    const usable = this.nodes.filter((node) => hasFlags(node, USABLE));
    return usable.length === 0 ? 0 : usable.filter(({ facts }) => facts !== null).length / usable.length;
  }

  private isKin(a: Kin, b: Kin): boolean {
    return areKin(a, b, this.rules.distinctSubnets);
  }

  /** A path that ends at a relay of our choice that lets connections to a port out. Null when there is none. */
  toExit(wish: ExitWish): PathNode[] | null {
    const wanted = RouterFlag.Fast | (wish.stable ? RouterFlag.Stable : 0);
    const exits = this.candidates.filter(
      (node) => !hasFlags(node, RouterFlag.BadExit) && exitsTo(node, wish.port, wish.isIpv6),
    );
    const exit = this.pick('exit', exits, wanted, []);
    return exit === null ? null : this.lead(exit, wanted, PATH_HOPS - 1);
  }

  /** A path inside the network, whose last hop is as good as any. Null when there is none. */
  inside(stable: boolean): PathNode[] | null {
    const wanted = RouterFlag.Fast | (stable ? RouterFlag.Stable : 0);
    const last = this.pick('middle', this.candidates, wanted, []);
    return last === null ? null : this.lead(last, wanted, PATH_HOPS - 1);
  }

  private lead(last: PathNode, wanted: number, hops: number): PathNode[] | null {
    const before = this.before(last, wanted, hops, () => true);
    return before === null ? null : [...before, last];
  }

  /**
   * The hops that lead to a relay which is given: for testing ourselves, or to reach a relay that does not know us.
   * @param mayExtend whether a relay may be the hop right before the last one
   * @param prefer which relays are taken for the hop with this number, if there are any of them
   */
  before(
    last: Kin,
    wanted: number,
    hops: number,
    mayExtend: (node: PathNode) => boolean,
    prefer: (node: PathNode, place: number) => boolean = () => true,
  ): PathNode[] | null {
    const path: PathNode[] = [];
    for (let i = 0; i < hops; i++) {
      const place: Place = i === 0 ? 'guard' : 'middle';
      const pool = i === hops - 1 ? this.candidates.filter(mayExtend) : this.candidates;
      const flags = i === 0 ? wanted | RouterFlag.Guard : wanted;
      const node = this.pick(place, pool, flags, [last, ...path], (one) => prefer(one, i));
      if (node === null) return null;
      path.push(node);
    }
    return path;
  }

  /**
   * The hops of a circuit that ends at ourselves and reaches us over one address family.
   *
   * A relay that has a link with us uses that one, whatever address we are said to have, and so shows nothing. So the
   * last but one is a relay without a link if there is any, and the first one a relay with one, to make no new links.
   */
  toOurselves(
    own: Kin & { readonly hop: OriginHop },
    isLinked: (node: PathNode) => boolean,
  ): OriginHop[] | null {
    // A relay that extends over IPv6 says so, and has IPv6 itself.
    const needsIpv6 = own.hop.ipv4 === null;
    const mayExtend = (node: PathNode): boolean =>
      !needsIpv6 || (node.ipv6Port !== 0 && nodeSpeaks(node, 'Relay', 3));
    const prefer = (node: PathNode, place: number): boolean => isLinked(node) === (place === 0);
    const path = this.before(own, RouterFlag.Fast, PATH_HOPS - 1, mayExtend, prefer);
    return path === null ? null : [...path.map(hopOf), own.hop];
  }

  /**
   * A relay that serves directory documents, by weight; authorities only when no other is left.
   * @param isShunned who failed lately
   */
  directory(isShunned: (node: PathNode) => boolean): PathNode | null {
    const { own } = this.rules;
    const servers = this.nodes.filter(
      (node) =>
        hasFlags(node, USABLE | RouterFlag.V2Dir) &&
        node.fingerprint !== own?.fingerprint &&
        !this.rules.isExcluded(node) &&
        !isShunned(node),
    );
    const others = servers.filter((node) => !hasFlags(node, RouterFlag.Authority));
    return chooseByWeight(others.length > 0 ? others : servers, this.weights.directory, this.random);
  }

  /** Pick a relay with these flags, or without them if there is none, that is no kin of those chosen before. */
  private pick(
    place: Place,
    pool: readonly PathNode[],
    flags: number,
    chosen: readonly Kin[],
    prefer: (node: PathNode) => boolean = () => true,
  ): PathNode | null {
    const kinless = pool.filter((node) => !chosen.some((other) => this.isKin(node, other)));
    const preferred = kinless.filter(prefer);
    const free = preferred.length > 0 ? preferred : kinless;
    const flagged = free.filter((node) => hasFlags(node, flags));
    return chooseByWeight(flagged.length > 0 ? flagged : free, this.weights[place], this.random);
  }
}
