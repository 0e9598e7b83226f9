/**
 * The daemon's side of knowing itself: at which addresses the network finds us, whether it does, and the circuits of
 * our own that tell.
 *
 * It wires `own-address`, `reachability` and path selection to torrc, to the directory and to the workers. An address
 * that changed is tested anew and published within a minute of our noticing; names are looked up every hour.
 */
import { type Endpoint, isAnyIp, parseIp, printEndpoint, sameIp } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import type { DirectoryAuthority } from '../directory/authority.ts';
import type { DocumentStore } from '../directory/document-store.ts';
import type { DirectoryRequest, PendingExchange } from '../directory/http-exchange.ts';
import type { Network } from '../directory/network.ts';
import { NodeSet } from '../directory/node-set.ts';
import { OriginClient } from '../directory/origin-client.ts';
import { PathChooser } from '../directory/path.ts';
import type { Kin, PathNode } from '../directory/path-node.ts';
import type { AddressChoice } from '../directory/published-address.ts';
import type { Publisher } from '../directory/publisher.ts';
import type { Timing } from '../directory/timing.ts';
import { Tunnels } from '../directory/tunnel-exchange.ts';
import { log } from '../log.ts';
import type { OriginHop, OriginNews } from '../shm/origin-letter.ts';
import { Counter } from '../shm/scoreboard.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { DirectoryRoute, hopToAuthority, routeOptions } from './directory-route.ts';
import { randomUnit } from './directory-side.ts';
import type { KeyKeeper } from './key-keeper.ts';
import { OwnAddress } from './own-address.ts';
import type { AdvertisedOrPort } from './ports.ts';
import { type Family, Reachability } from './reachability.ts';
import type { Supervisor } from './supervisor.ts';

/** The directory as far as this side looks at it. */
export interface DirectoryView {
  readonly authorities: readonly DirectoryAuthority[];
  readonly network: Pick<Network, 'consensus' | 'param'>;
  readonly documents: Pick<DocumentStore, 'microdescriptors' | 'onChange'>;
  readonly publisher: Pick<Publisher, 'markDirty'>;
  readonly timing: Timing;
}

/** What the self side asks of the daemon. */
export interface SelfHost {
  /** The options in force. */
  readonly options: () => RelayOptions;
  readonly ports: () => readonly AdvertisedOrPort[];
  readonly keys: Pick<KeyKeeper, 'identity' | 'describedOnionKeys'>;
  readonly workers: number;
  readonly supervisor: () => Pick<Supervisor, 'scoreboard' | 'postOrigin' | 'isLinked' | 'retireLinks'>;
  readonly observedBytesPerSec: () => number;
  /** Workers need new options. */
  readonly onAddress: () => void;
}

/** HTTP status of a server that has too much to do. */
const BUSY = 503;
const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** So often an authority is asked where it sees us, while we do not know. */
const LEARN_MS = 20 * MINUTE_MS;
const LEARN_TIMEOUT_MS = MINUTE_MS;
/** With less of the network known no circuits are built: they would always take the same ways. */
const KNOWN_SHARE_LEAST = 0.6;

/** What we know of ourselves. One per process. */
export class SelfSide {
  readonly circuits: OriginClient;
  readonly tunnels: Tunnels;
  readonly reachability: Reachability;
  private readonly host: SelfHost;
  private readonly directory: DirectoryView;
  private readonly ownAddress: OwnAddress;
  private readonly route: DirectoryRoute;
  private running = false;
  /** The address as it was looked up last. */
  private seen: { readonly atMs: number; readonly choice: AddressChoice } | null = null;
  private excluded: NodeSet;
  private known: AddressChoice;
  private chooser: PathChooser | null = null;
  private nextLookMs = 0;
  private nextLearnMs = 0;

  constructor(host: SelfHost, directory: DirectoryView) {
    this.host = host;
    this.directory = directory;
    this.ownAddress = new OwnAddress(authorityHosts(directory.authorities));
    this.excluded = this.readExcluded();
    this.circuits = new OriginClient(host.workers, (worker, order) =>
      host.supervisor().postOrigin(worker, order),
    );
    this.tunnels = new Tunnels(this.circuits, directory.timing);
    this.route = new DirectoryRoute({
      options: () => routeOptions(host.options(), (name) => directory.network.param(name)),
      authorities: directory.authorities,
      chooser: () => this.choices(),
      random: randomUnit,
      nowMs: () => directory.timing.nowMs(),
    });
    this.known = this.address;
    this.reachability = new Reachability({
      nowMs: () => directory.timing.nowMs(),
      client: this.circuits,
      settings: () => this.settings(),
      address: () => this.address,
      reachedCount: (family) => this.reachedCount(family),
      pathTo: (family) => this.pathTo(family),
      isLinked: (rsaId) => host.supervisor().isLinked(rsaId),
      retireLinks: (rsaId) => {
        this.tunnels.closeIdle(rsaId);
        host.supervisor().retireLinks(rsaId);
      },
      onChange: (why) => directory.publisher.markDirty(why),
    });
    directory.documents.onChange((kind) => {
      if (kind !== 'microdesc' && kind !== 'microdescriptors') return;
      this.chooser = null;
      this.reachability.lookAgain();
    });
  }

  /** Look up what names among torrc's Address lines stand for. */
  async resolve(): Promise<void> {
    await this.ownAddress.resolve(this.host.options().addresses);
    this.seen = null;
  }

  /** Begin to test ourselves, unless torrc says to keep to ourselves. */
  start(): void {
    this.running = true;
    this.known = this.address;
    this.reachability.start();
  }

  /** Give up everything under way. */
  stop(): void {
    this.running = false;
    this.reachability.stop();
    this.tunnels.stop();
  }

  /** Where the network shall find us. The host's interfaces are looked at once a second at most. */
  get address(): AddressChoice {
    const nowMs = this.directory.timing.nowMs();
    if (this.seen === null || nowMs - this.seen.atMs >= SECOND_MS) {
      this.seen = { atMs: nowMs, choice: this.ownAddress.choose(this.host.options(), this.host.ports()) };
    }
    return this.seen.choice;
  }

  /** The same, as our descriptor gives it: without an IPv6 address that nobody asked for and nobody reaches. */
  get published(): AddressChoice {
    const { address } = this;
    return this.reachability.omitsIpv6 ? { ...address, ipv6: null, ipv6Origin: null } : address;
  }

  /** RSA identities of the authorities, whose word on our address counts. */
  get authorityIds(): Uint8Array[] {
    return this.directory.authorities.map(({ rsaId }) => rsaId);
  }

  /** All addresses that are ours: what is published, and what ORPorts listen on. */
  get hosts(): Uint8Array[] {
    const hosts = [...this.publishedHosts];
    for (const { host } of this.host.ports()) {
      if (!isAnyIp(host) && !hosts.some((known) => sameIp(known, host))) hosts.push(host);
    }
    return hosts;
  }

  /** Circuits so far that show a family's published address reachable. */
  private reachedCount(family: Family): number {
    const { own_ipv4_reached, own_ipv6_reached } = Counter;
    return this.host.supervisor().scoreboard.total(family === 'ipv4' ? own_ipv4_reached : own_ipv6_reached);
  }

  /** Addresses that workers count circuits to. */
  get publishedHosts(): Uint8Array[] {
    const { ipv4, ipv6 } = this.address;
    return [ipv4, ipv6].flatMap((endpoint) => (endpoint === null ? [] : [endpoint.host]));
  }

  /** Someone at `from` says that he sees us at `host`. */
  suggest(host: Uint8Array, from: Uint8Array): void {
    const before = this.address;
    if (!this.ownAddress.suggest(host, from)) return;
    this.seen = null;
    if (!sameAddress(before, this.address)) this.lookAtAddress();
  }

  /** A directory server's X-Your-Address-Is header; only an authority's counts. */
  takeHeader(text: string, from: Uint8Array): void {
    const host = parseIp(text);
    if (host !== null) this.suggest(host, from);
  }

  take(news: OriginNews): void {
    this.circuits.take(news);
  }

  /** Once a second. */
  tick(): void {
    if (!this.running) return;
    this.reachability.tick();
    const nowMs = this.directory.timing.nowMs();
    if (nowMs < this.nextLookMs) return;
    this.nextLookMs = nowMs + MINUTE_MS;
    this.lookAtAddress();
    this.learnAddress(nowMs);
    this.reachability.noteBandwidth(this.host.observedBytesPerSec());
  }

  /** Notice that our address is another one now: everything that goes by it starts anew. */
  private lookAtAddress(): void {
    const before = this.known;
    const now = this.address;
    if (sameAddress(before, now)) return;
    this.known = now;
    for (const family of ['ipv4', 'ipv6'] as const) tellChange(family, before, now);
    this.chooser = null;
    this.host.onAddress();
    this.reachability.reset();
    this.directory.publisher.markDirty('IP address changed');
  }

  /** While we do not know our address: a link to an authority, whose NETINFO tells where it sees us. */
  private learnAddress(nowMs: number): void {
    if (this.known.problem === null || nowMs < this.nextLearnMs) return;
    const { authorities } = this.directory;
    const askable = authorities.filter(({ orPort }) => orPort !== 0);
    const authority = askable[Math.floor(randomUnit() * askable.length)];
    if (authority === undefined) return;
    this.nextLearnMs = nowMs + LEARN_MS;
    log.info('general', `Asking authority ${authority.nickname} at which address it sees us.`);
    const circuit = this.circuits.open([hopToAuthority(authority)], LEARN_TIMEOUT_MS, {
      onOpen: () => circuit?.close(),
      onClosed: () => log.info('general', `Authority ${authority.nickname} cannot be asked for our address.`),
    });
  }

  private settings() {
    const options = this.host.options();
    const { network } = this.directory;
    const { assumeReachable, assumeReachableIpv6 } = options;
    const anyway = network.param('assume-reachable') === 1;
    return {
      assume: { ipv4: assumeReachable, ipv6: assumeReachable || assumeReachableIpv6 },
      publishAnyway: { ipv4: anyway, ipv6: anyway || network.param('assume-reachable-ipv6') === 1 },
      publishes: options.publishServerDescriptor === 'v3',
      testing: options.testingTorNetwork,
      bandwidthRate: options.bandwidthRate,
    };
  }

  /** Send a directory request through a circuit, if that is its way; null: it goes straight to its endpoint. */
  tunnel(request: DirectoryRequest): PendingExchange | null {
    const hops = this.route.hops(request);
    if (hops === null) return null;
    const { rsaId } = hops[hops.length - 1]!;
    log.info('dir', `Asking the directory of ${encodeHex(rsaId)} through a circuit for ${request.path}`);
    const pending = this.tunnels.exchange({ ...request, hops });
    const reply = pending.reply.then(
      (answer) => {
        if (answer.status === BUSY) this.route.shun(hops);
        // Whose clock is right, and where we are, authorities alone tell.
        const { date: _date, 'x-your-address-is': _address, ...headers } = answer.headers;
        return { ...answer, headers };
      },
      (error: Error) => {
        this.route.shun(hops);
        throw error;
      },
    );
    return { reply, abort: () => pending.abort() };
  }

  /** Paths in the present consensus; null while there is none or too little of it is known. */
  paths(): PathChooser | null {
    const choices = this.choices();
    return choices === null || choices.knownShare < KNOWN_SHARE_LEAST ? null : choices;
  }

  private choices(): PathChooser | null {
    const consensus = this.directory.network.consensus('microdesc');
    if (consensus === null) return null;
    if (this.chooser === null) {
      const { microdescriptors } = this.directory.documents;
      const { values, testingTorNetwork } = this.host.options();
      this.chooser = new PathChooser(
        consensus,
        (digest) => microdescriptors.get(digest),
        this.directory.network.param('bwweightscale'),
        {
          distinctSubnets: (values['EnforceDistinctSubnets']?.[0] ?? (testingTorNetwork ? '0' : '1')) !== '0',
          own: this.kin(),
          isExcluded: (node) => this.excluded.has(node),
        },
        randomUnit,
      );
    }
    return this.chooser;
  }

  /** torrc has changed: paths are chosen by what it says now. */
  onOptions(): void {
    this.chooser = null;
    this.seen = null;
    this.nextLookMs = 0;
    this.excluded = this.readExcluded();
  }

  private readExcluded(): NodeSet {
    const set = new NodeSet(this.host.options().values['ExcludeNodes']?.join(',') ?? '');
    if (set.unknown.length > 0) {
      log.warn(
        'config',
        `ExcludeNodes: ${set.unknown.join(', ')} cannot be looked up and excludes nobody: name relays by fingerprint, ` +
          'nickname or address; there is no list of countries.',
      );
    }
    return set;
  }

  private kin(): Kin {
    const { nickname, values } = this.host.options();
    const { ipv4, ipv6 } = this.address;
    return {
      fingerprint: encodeHex(this.host.keys.identity.rsaId).toUpperCase(),
      nickname,
      ipv4: ipv4?.host ?? null,
      ipv6: ipv6?.host ?? null,
      family: (values['MyFamily'] ?? []).flatMap((line) => line.split(/[,\s]+/)).map(asMember),
      familyIds: [],
    };
  }

  private readonly isLinked = ({ rsaId }: PathNode): boolean => this.host.supervisor().isLinked(rsaId);

  private pathTo(family: Family): OriginHop[] | null {
    const endpoint = this.address[family];
    if (endpoint === null) return null;
    const { identity, describedOnionKeys } = this.host.keys;
    const hop: OriginHop = {
      rsaId: identity.rsaId,
      ed25519Id: identity.ed25519Id,
      onionKey: describedOnionKeys.current.publicKey,
      ipv4: family === 'ipv4' ? endpoint : null,
      ipv6: family === 'ipv6' ? endpoint : null,
      ntorV3: true,
      congestionControl: false,
    };
    const { isLinked } = this;
    return this.paths()?.toOurselves({ ...this.kin(), hop }, isLinked) ?? null;
  }
}

/** A member of MyFamily as family lines name it. */
function asMember(word: string): string {
  return /^[0-9a-fA-F]{40}$/.test(word) ? `$${word}` : word;
}

function authorityHosts(authorities: readonly DirectoryAuthority[]): Uint8Array[] {
  return authorities.flatMap(({ dir, ipv6 }) => (ipv6 === null ? [dir.host] : [dir.host, ipv6.host]));
}

function sameEndpoint(a: Endpoint | null, b: Endpoint | null): boolean {
  if (a === null || b === null) return a === b;
  return a.port === b.port && sameIp(a.host, b.host);
}

function sameAddress(a: AddressChoice, b: AddressChoice): boolean {
  return sameEndpoint(a.ipv4, b.ipv4) && sameEndpoint(a.ipv6, b.ipv6);
}

function tellChange(family: Family, before: AddressChoice, now: AddressChoice): void {
  const [was, is] = [before[family], now[family]];
  if (sameEndpoint(was, is)) return;
  if (is === null) {
    log.notice('net', `Our address ${printEndpoint(was!)} is gone: no other one is known.`);
  } else if (was === null) {
    log.notice('net', `Our address is ${printEndpoint(is)}, known from the ${originOf(family, now)}.`);
  } else {
    log.notice(
      'net',
      `Your IP address seems to have changed from ${printEndpoint(was)} to ${printEndpoint(is)} (known from the ` +
        `${originOf(family, now)}). Updating.`,
    );
  }
}

function originOf(family: Family, { ipv4Origin, ipv6Origin }: AddressChoice): string {
  const origin = family === 'ipv4' ? ipv4Origin : ipv6Origin;
  return origin === 'torrc' ? 'configuration' : `${origin}`;
}
