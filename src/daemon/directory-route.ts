/**
 * How a directory request travels: to an authority's DirPort in the clear, or through a circuit to a relay's directory.
 *
 * As C tor has it: a relay that is itself a cache, or that must know all relays as an exit does, asks authorities at
 * their DirPorts; so does whoever uploads. Any other relay asks caches, over one hop of a circuit, as those have no
 * DirPort any more; a bridge never asks in the clear. Who failed is passed over for a while.
 * @source C tor's dirclient_modes.c, directory_command_should_use_begindir and we_want_to_fetch_flavor
 */
import { encodeHex } from '../bytes/base.ts';
import type { DirectoryAuthority } from '../directory/authority.ts';
import type { DirectoryRequest } from '../directory/http-exchange.ts';
import type { PathChooser } from '../directory/path.ts';
import { hopOf } from '../directory/path-node.ts';
import type { RandomUnit } from '../directory/timing.ts';
import type { ParamName } from '../netdoc/consensus-params.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { refusesUnknown } from './exit-side.ts';

/** What torrc makes of us. */
export interface RouteOptions {
  /** We serve directory documents. */
  readonly isCache: boolean;
  /** We exit for relays alone, and have to know every one that may come. */
  readonly knowsRelays: boolean;
  readonly isBridge: boolean;
  /** FetchDirInfoEarly: ask where documents are made. */
  readonly fetchesEarly: boolean;
}

/** Read them; `param` gives parameters of the consensus. */
export function routeOptions(
  { cache, exit, bridgeRelay, values }: Pick<RelayOptions, 'cache' | 'exit' | 'bridgeRelay' | 'values'>,
  param: (name: ParamName) => number,
): RouteOptions {
  return {
    isCache: cache.isCache,
    knowsRelays: exit.isExit && refusesUnknown(exit, param),
    isBridge: bridgeRelay,
    fetchesEarly: values['FetchDirInfoEarly']?.[0] === '1',
  };
}

/** Whether the ns consensus is fetched beside the microdesc one: by caches, for whoever asks, and as C tor has it. */
export function wantsNs(
  options: Pick<RelayOptions, 'cache' | 'exit' | 'bridgeRelay' | 'values'>,
  param: (name: ParamName) => number,
): boolean {
  const { isCache, knowsRelays } = routeOptions(options, param);
  return isCache || knowsRelays || options.cache.descriptors;
}

export interface RouteConfig {
  readonly options: () => RouteOptions;
  readonly authorities: readonly DirectoryAuthority[];
  /** Choices in the present consensus, however little of it is known; null without one. */
  readonly chooser: () => PathChooser | null;
  readonly random: RandomUnit;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** Whoever failed is not asked again for so long. */
const SHUN_MS = 60 * 60_000;

/** Chooses ways. One per process. */
export class DirectoryRoute {
  private readonly config: RouteConfig;
  /** Until when, by fingerprint. */
  private readonly shunned = new Map<string, number>();

  constructor(config: RouteConfig) {
    this.config = config;
  }

  /** The hops of the circuit that a request goes through; null: straight to its endpoint. */
  hops({ method }: Pick<DirectoryRequest, 'method'>): OriginHop[] | null {
    const { isCache, knowsRelays, isBridge, fetchesEarly } = this.config.options();
    if (method !== 'GET') return null;
    if (!isBridge && (isCache || knowsRelays || fetchesEarly)) return null;
    const nowMs = this.config.nowMs();
    for (const [fingerprint, untilMs] of this.shunned) if (untilMs <= nowMs) this.shunned.delete(fingerprint);
    const chooser = this.config.chooser();
    const node = chooser?.directory(({ fingerprint }) => this.shunned.has(fingerprint)) ?? null;
    if (node !== null) return [hopOf(node)];
    // All have failed: they get another chance.
    this.shunned.clear();
    return isBridge ? this.toAuthority() : null;
  }

  /** Before there is a consensus only the authorities are known, and of them no onion key. */
  private toAuthority(): OriginHop[] | null {
    const askable = this.config.authorities.filter(({ orPort }) => orPort !== 0);
    const authority = askable[Math.floor(this.config.random() * askable.length)];
    return authority === undefined ? null : [hopToAuthority(authority)];
  }

  /** The directory at the end of these hops did not answer, or is too busy to. */
  shun(hops: readonly OriginHop[]): void {
    const { rsaId } = hops[hops.length - 1]!;
    this.shunned.set(encodeHex(rsaId).toUpperCase(), this.config.nowMs() + SHUN_MS);
  }
}

/** An authority as the only hop of a circuit, as its line has it. */
export function hopToAuthority({ rsaId, dir, orPort, ipv6 }: DirectoryAuthority): OriginHop {
  return {
    rsaId,
    ed25519Id: null,
    onionKey: null,
    ipv4: { host: dir.host, port: orPort },
    ipv6,
    ntorV3: false,
    congestionControl: false,
  };
}
