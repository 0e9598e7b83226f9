/**
 * Every message between main and the workers.
 *
 * Letters are control mail: options, keys, listening sockets, births and deaths of workers. Cells never travel so.
 * Letters are structured-cloned; SharedArrayBuffers in them are shared. A letter that needs an answer carries a
 * generation, and the answer is an `ack` with the same number.
 */
import type { Endpoint } from '../bytes/address.ts';
import type { AddressRule } from '../bytes/address-rule.ts';
import type { LogRecord } from '../log.ts';
import type { DosLimits } from './dos-table.ts';
import type { ExitParams } from './exit-params.ts';
import type { FlowParams } from './flow-params.ts';
import type { LinkCredentials } from './link-credentials.ts';
import type { OriginNews, OriginOrder } from './origin-letter.ts';
import type { ShelfBlock } from './shelf.ts';

/** The onion keys a worker answers CREATE2 with: 32-byte secrets and publics. */
export interface OnionKeysLetter {
  readonly generation: number;
  readonly current: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array };
  readonly previous: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array } | null;
}

/** What of torrc concerns directory requests. */
export interface DirectoryOptions {
  /** We keep directory documents and answer from them. */
  readonly isCache: boolean;
  readonly isBridge: boolean;
  /** HTML that stands at the root of the DirPort; null when there is none. */
  readonly frontPage: Uint8Array | null;
  /** Who may connect to the DirPort: DirPolicy. */
  readonly policy: readonly AddressRule[];
}

/** What of torrc and of the consensus a worker acts on. Frozen; swapped whole, between batches. */
export interface WorkerOptions {
  readonly generation: number;
  /** 0 debug, 1 info, 2 notice, 3 warn, 4 err: the lowest severity anyone listens to. */
  readonly logThreshold: number;
  readonly safeLogging: '0' | '1' | 'relay';
  /** Say at warn, not info, how peers broke the protocol. */
  readonly protocolWarnings: boolean;
  readonly extendAllowPrivateAddresses: boolean;
  readonly allowNonearlyExtend: boolean;
  readonly testingTorNetwork: boolean;
  /** Source addresses for dials; null leaves it to the kernel. */
  readonly bindIpv4: string | null;
  readonly bindIpv6: string | null;
  /** Addresses that NETINFO states and that an EXTEND to ourselves would name. */
  readonly ownAddresses: readonly Uint8Array[];
  /** Those of them that our descriptor gives. */
  readonly publishedHosts: readonly Uint8Array[];
  /** RSA identities of the directory authorities, whose word on our address counts. */
  readonly authorityIds: readonly Uint8Array[];
  readonly ipv6Extends: boolean;
  readonly maxOnionQueueDelayMs: number;
  readonly onionQueueCutoffMs: number;
  readonly circQueueCellsMax: number;
  /** In so long a circuit's past cells come to count half, where circuits compete for a link. */
  readonly circuitPriorityHalfLifeMs: number;
  /** The same for the queue away from the client. */
  readonly circQueueCellsMaxOut: number;
  /** What a client's address may do. */
  readonly dos: DosLimits;
  /** Circuits that one relay, and one client, may make on one of their links. */
  readonly circuitsPerRelayMax: number;
  readonly circuitsPerClientMax: number;
  /** Circuits of one worker, legs of other workers' circuits included. */
  readonly circuitsMax: number;
  /** Bytes that what waits may fill, in all workers. */
  readonly maxMemInQueues: number;
  /** Cells per SENDME that we offer to who asks for congestion control; 0 when the consensus does without. */
  readonly ccSendmeInc: number;
  readonly flow: FlowParams;
  /** Circuits may join to conflux sets, of so many legs and with so many bytes that wait for their turn. */
  readonly confluxEnabled: boolean;
  readonly confluxLegsMax: number;
  readonly confluxHeldBytesMax: number;
  /** Netflow padding, in ms; pad relays too? */
  readonly paddingEnabled: boolean;
  readonly padRelays: boolean;
  /** Pad a link as soon as a circuit crosses it, not only once traffic does (nf_pad_before_usage). */
  readonly padBeforeUsage: boolean;
  readonly paddingLowMs: number;
  readonly paddingHighMs: number;
  /** Idle canonical links between relays live a quarter more or less than this; all others up to half more. */
  readonly idleRelayTimeoutMs: number;
  readonly idleClientTimeoutMs: number;
  readonly halfOpenPerAddressMax: number;
  readonly halfOpenMax: number;
  /** Links that one worker may have, open or not. */
  readonly linksMax: number;
  /** Dials under way that one link may have asked for: any peer's, and a listed relay's. */
  readonly dialsPerLinkMax: number;
  readonly dialsPerRelayMax: number;
  readonly handshakeTimeoutMs: number;
  /** After so long without a write, an open link gets a padding cell; after ten times that, a stuck one is closed. */
  readonly keepaliveMs: number;
  readonly extendTimeoutMs: number;
  /** Limits of the process in bytes per second and bytes; a relayed rate of 0 is none of its own. */
  readonly bandwidthRate: number;
  readonly bandwidthBurst: number;
  readonly relayBandwidthRate: number;
  readonly relayBandwidthBurst: number;
  /** Limits of each link whose peer is no relay of the consensus. */
  readonly perConnBwRate: number;
  readonly perConnBwBurst: number;
  /** The limits hold for peers with private addresses, too. */
  readonly countPrivateBandwidth: boolean;
  readonly directory: DirectoryOptions;
  /** Connections for others. */
  readonly exit: ExitParams;
}

/** What a worker found out about the nameservers of one configuration. */
export interface DnsReport {
  readonly generation: number;
  /** Addresses that they give for names that do not exist. */
  readonly hijackedHosts: readonly Uint8Array[];
  /** They give them for names that certainly exist, too: there is no use in asking. */
  readonly useless: boolean;
}

/** A listening socket lent to a worker. The worker owns `fd` from then on. */
export interface LentListener {
  readonly fd: number;
  readonly endpoint: Endpoint;
  readonly kind: PortKind;
}

/** What is spoken on a port: links, or HTTP. */
export type PortKind = 'or' | 'directory';

/** Shared memory that all threads of the process see. */
export interface SharedBlocks {
  readonly roster: SharedArrayBuffer;
  readonly scoreboard: SharedArrayBuffer;
  readonly doorbells: SharedArrayBuffer;
  readonly halfOpen: SharedArrayBuffer;
  readonly bandwidth: SharedArrayBuffer;
  readonly memory: SharedArrayBuffer;
  readonly dos: SharedArrayBuffer;
  readonly dns: SharedArrayBuffer;
}

/** A block of `shm/relay-index`. */
export type RelayIndexBlock = SharedArrayBuffer;

/** The pair of rings between a worker and one other. */
export interface RingPair {
  readonly worker: number;
  readonly outgoing: SharedArrayBuffer;
  readonly incoming: SharedArrayBuffer;
}

/** From main to a worker. */
export type LetterToWorker =
  | {
      readonly kind: 'start';
      readonly worker: number;
      readonly workers: number;
      readonly shared: SharedBlocks;
      readonly rings: readonly RingPair[];
      readonly options: WorkerOptions;
      readonly credentials: LinkCredentials;
      readonly onionKeys: OnionKeysLetter;
      readonly listeners: readonly LentListener[];
      /** Dial as a client: do not say who we are. */
      readonly isClient?: boolean;
      readonly relayIndex: RelayIndexBlock;
      readonly shelf: ShelfBlock;
    }
  /** Answer directory requests from this generation. */
  | { readonly kind: 'shelf'; readonly generation: number; readonly shelf: ShelfBlock }
  | { readonly kind: 'relay-index'; readonly generation: number; readonly relayIndex: RelayIndexBlock }
  | { readonly kind: 'options'; readonly options: WorkerOptions }
  /** About a circuit of our own; not acknowledged: `origin` letters answer. */
  | { readonly kind: 'origin'; readonly order: OriginOrder }
  | { readonly kind: 'credentials'; readonly generation: number; readonly credentials: LinkCredentials }
  | { readonly kind: 'onion-keys'; readonly generation: number; readonly onionKeys: OnionKeysLetter }
  /** A worker died: destroy the legs to it, forget its rings, acknowledge. */
  | { readonly kind: 'detach'; readonly generation: number; readonly worker: number }
  /** Its successor starts: use these rings, and count our half-open links again. */
  | { readonly kind: 'attach'; readonly generation: number; readonly rings: RingPair }
  /** Shutting down: take no new connections and circuits, carry the rest on. */
  | { readonly kind: 'close-listeners'; readonly generation: number }
  | { readonly kind: 'stop'; readonly generation: number }
  /** Write what you know of your state to the log (USR1). */
  | { readonly kind: 'dump'; readonly generation: number }
  /** Write to the log which loopback links you hold: for benchmarks and tests only. */
  | { readonly kind: 'links'; readonly generation: number };

/** From a worker to main. */
export type LetterToMain =
  | { readonly kind: 'ready'; readonly worker: number }
  | { readonly kind: 'log'; readonly worker: number; readonly record: LogRecord }
  /** The oldest generation of the shelf that an answer of this worker still reads from. */
  | { readonly kind: 'shelf-in-use'; readonly worker: number; readonly oldest: number }
  | {
      readonly kind: 'ack';
      readonly worker: number;
      readonly of: LetterToWorker['kind'];
      readonly generation: number;
    }
  /** Of a circuit that main asked for. */
  | { readonly kind: 'origin'; readonly worker: number; readonly news: OriginNews }
  | { readonly kind: 'dns'; readonly worker: number; readonly report: DnsReport }
  /** An authority at `peerHost` sees us at `host`. */
  | {
      readonly kind: 'address-seen';
      readonly worker: number;
      readonly host: Uint8Array;
      readonly peerHost: Uint8Array;
    }
  | { readonly kind: 'bug'; readonly worker: number; readonly text: string };
