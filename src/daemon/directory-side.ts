/**
 * The daemon's side of the directory: the network as we know it, what is fetched for it, and what we publish.
 *
 * It wires `directory/` to torrc and to the rest of the daemon. Made before the onion keys, which go by the
 * consensus's parameters; started when the workers are up.
 */
import { randomBytes } from 'node:crypto';
import { type DirectoryAuthority, parseDirAuthority, publicAuthorities } from '../directory/authority.ts';
import { DirectoryCache } from '../directory/cache.ts';
import { DocumentStore } from '../directory/document-store.ts';
import { Fetcher, type FetchWishes } from '../directory/fetcher.ts';
import {
  type DirectoryReply,
  type DirectoryRequest,
  type Exchange,
  makeHttpExchange,
  type PendingExchange,
} from '../directory/http-exchange.ts';
import { Network } from '../directory/network.ts';
import type { AddressChoice } from '../directory/published-address.ts';
import { type BuiltDescriptor, Publisher } from '../directory/publisher.ts';
import { systemTiming } from '../directory/timing.ts';
import { WireTraffic } from '../directory/wire-traffic.ts';
import { log } from '../log.ts';
import type { RelayIndexBlock } from '../shm/letter.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { PROTOCOLS } from '../version.ts';
import { wantsNs } from './directory-route.ts';
import { RelayIndexKeeper } from './relay-index-keeper.ts';

/** What the directory side asks of the daemon. */
export interface DirectoryHost {
  /** The options in force. */
  readonly options: () => RelayOptions;
  /** As the descriptor gives it. */
  readonly address: () => AddressChoice;
  /** Why nothing may be published yet; null: nothing is in the way. */
  readonly waitsFor: () => string | null;
  /** Send a request through a circuit, if that is its way; null: it goes straight to its endpoint. */
  readonly tunnel: (request: DirectoryRequest) => PendingExchange | null;
  /** The server at `from` says that it sees us at this address. */
  readonly onAddressSeen: (text: string, from: Uint8Array) => void;
  readonly describe: (publishedSec: number) => BuiltDescriptor;
  readonly observedBytesPerSec: () => number;
  readonly uptimeSec: () => number;
  /** What workers look relays up in: at the start, and when there is another. */
  readonly onRelayIndex: (index: RelayIndexBlock) => void;
}

/** Uniform in [0, 1), from the system's randomness. */
export function randomUnit(): number {
  return randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
}

/** Directory documents in and out. One per process. */
export class DirectorySide {
  readonly network: Network;
  readonly publisher: Publisher;
  /** All documents that we hold. */
  readonly documents: DocumentStore;
  /** Bytes that our own directory connections moved. */
  readonly traffic = new WireTraffic();
  private readonly host: DirectoryHost;
  private readonly fetcher: Fetcher;
  private isStopped = false;
  private readonly relayIndex: RelayIndexKeeper;
  readonly authorities: readonly DirectoryAuthority[];
  readonly timing = systemTiming();

  /**
   * Load what is cached.
   * @throws OperatorError on a DirAuthority line that does not read
   */
  constructor(host: DirectoryHost, ownRsaId: Uint8Array) {
    this.host = host;
    const { timing } = this;
    const options = host.options();
    const authorities = authoritiesOf(options);
    this.authorities = authorities;
    const network = new Network({ authorities, ownRsaId, ownProtocols: PROTOCOLS, timing });
    this.network = network;
    const cache = new DirectoryCache(options.cacheDirectory);
    cache.load(network);
    this.documents = new DocumentStore({ network, timing, directory: options.cacheDirectory });
    this.relayIndex = new RelayIndexKeeper({
      network,
      documents: this.documents,
      authorities,
      timing,
      publish: (index) => host.onRelayIndex(index),
    });
    const shared = { authorities, network, exchange: this.exchange(), timing, random: randomUnit };
    this.publisher = new Publisher({
      ...shared,
      settings: () => this.settings(),
      buildDescriptor: (_reason, publishedSec) => host.describe(publishedSec),
      observedBytesPerSec: host.observedBytesPerSec,
      uptimeSec: host.uptimeSec,
    });
    this.fetcher = new Fetcher({
      ...shared,
      cache,
      documents: this.documents,
      wishes: () => this.wishes(),
      testing: options.testingTorNetwork,
      stallSec: options.testing.dirConnectionMaxStallSec,
      consensusDelaySec: options.testing.serverConsensusDownloadInitialDelaySec,
      certificateDelaySec: options.testing.serverDownloadInitialDelaySec,
    });
  }

  private wishes(): FetchWishes {
    const options = this.host.options();
    return { ...options.cache, ns: wantsNs(options, (name) => this.network.param(name)) };
  }

  private settings() {
    const options = this.host.options();
    return {
      // A bridge must never be given to the authorities of the public network.
      publish: options.publishServerDescriptor === 'v3',
      waitsFor: this.host.waitsFor(),
      testing: options.testingTorNetwork,
      address: this.host.address(),
    };
  }

  /** Directory connections leave from OutboundBindAddress, as it is when they begin. */
  private exchange(): Exchange {
    return (request) => {
      const tunnelled = this.host.tunnel(request);
      if (tunnelled !== null) return tunnelled;
      const { ipv4 } = this.host.options().outboundBindAddress.any;
      const local = ipv4 === null ? null : ipv4.join('.');
      const pending = makeHttpExchange(this.timing, local, this.traffic)(request);
      const tell = ({ headers }: DirectoryReply): void => {
        const seen = headers['x-your-address-is'];
        if (seen !== undefined) this.host.onAddressSeen(seen, request.endpoint.host);
      };
      pending.reply.then(tell, () => {});
      return pending;
    };
  }

  /** Begin to fetch and publish, unless torrc says to keep to ourselves. Returns whether we did. */
  start(): boolean {
    const { network, host } = this;
    network.onConsensus(() => this.publisher.check());
    this.relayIndex.start();
    const options = host.options();
    // A local relay that nobody configured talks to no one.
    const isLocal = options.orPorts.every(({ where }) => where === 'default');
    if (options.disableNetwork || (options.dirAuthorities.length === 0 && isLocal)) {
      if (options.disableNetwork) {
        log.notice('net', 'DisableNetwork is 1: no port is open, and nothing is fetched or published.');
      }
      this.documents.noteLoaded();
      return false;
    }
    this.publisher.start();
    // Nothing is fetched that lies on disk.
    void this.documents.loadInPieces().then(() => {
      if (!this.isStopped) this.fetcher.start();
    });
    return true;
  }

  /** Publish no more; go on knowing the network. */
  leave(): void {
    this.publisher.stop();
  }

  /** Give up everything under way. */
  stop(): void {
    this.isStopped = true;
    this.fetcher.stop();
    this.publisher.stop();
    this.relayIndex.stop();
  }

  /** How long onion keys live. */
  onionParams(): { rotationDays: number; graceDays: number } {
    return {
      rotationDays: this.network.param('onion-key-rotation-days'),
      graceDays: this.network.param('onion-key-grace-period-days'),
    };
  }
}

function authoritiesOf({ dirAuthorities }: RelayOptions): DirectoryAuthority[] {
  if (dirAuthorities.length === 0) return publicAuthorities();
  return dirAuthorities.map(({ text, where }) => {
    const { authority, warnings } = parseDirAuthority(text, where);
    for (const warning of warnings) log.warn('config', warning);
    return authority;
  });
}
