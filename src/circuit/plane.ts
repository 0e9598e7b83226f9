/**
 * What the files of `circuit/` share within one worker: the columns, the channels, the rings, the counters, and the
 * hooks that the worker sets once. It holds state and no behaviour.
 */
import type { Slab } from '../bytes/slab.ts';
import type { Channel } from '../channel/channel.ts';
import type { ChannelTable } from '../channel/channel-table.ts';
import type { Curve25519KeyPair } from '../crypto/curve25519.ts';
import type { DosTable } from '../shm/dos-table.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import type { Roster } from '../shm/roster.ts';
import type { Scoreboard } from '../shm/scoreboard.ts';
import type { CircuitTable } from './circuit-table.ts';
import type { ConfluxHub } from './conflux-hub.ts';
import type { Ewma } from './ewma.ts';
import type { Fifo } from './fifo.ts';
import type { OnionQueue } from './onion-queue.ts';
import type { Oom } from './oom.ts';
import type { RandomPool } from './random-pool.ts';
import type { RelayBatch } from './relay-batch.ts';
import type { RelayCells } from './relay-cell.ts';
import type { RingPort } from './ring-port.ts';

/** The keys that CREATE2 is answered with. */
export interface CircuitKeys {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  /** Current, then previous. */
  onionKeys: readonly Curve25519KeyPair[];
  /** Stands in for an unknown onion key, so that timing does not tell. */
  junk: Curve25519KeyPair;
}

/** Where a recognised message goes that the circuit itself does not answer. */
export interface Edge {
  /**
   * Take a recognised message other than DATA; the data is a view.
   * @throws Malformed, Violation: the circuit is closed.
   */
  onMessage(row: number, command: number, streamId: number, data: Uint8Array): void;
  /**
   * Take the DATA of a stream: `length` bytes at `at` of `bytes`, which the callee may look at until it returns.
   * @throws Violation: the circuit is closed.
   */
  onData(row: number, streamId: number, bytes: Uint8Array, at: number, length: number): void;
  /**
   * The queue of a leg for which `lowWatch` was set is down to cellq_low. Called while it is being emptied: nothing may
   * be sent within.
   */
  onQueueLow(leg: number): void;
  /** The circuit is gone. */
  onCircuitClosed(row: number): void;
}

/** Where everything goes that comes for circuits which we started ourselves. */
export interface Origin {
  /**
   * Take the answer to a row's CREATE cell; `at` is the offset of the whole cell.
   * @throws Malformed: the circuit is closed.
   */
  onCreated(row: number, bytes: Uint8Array, at: number): void;
  /** Take a relay cell, which is ours to change; `at` is its offset. Returns whether the circuit lives on. */
  onRelayCell(row: number, bytes: Uint8Array, at: number): boolean;
  /** The circuit is gone, for this reason of DESTROY. */
  onCircuitClosed(row: number, reason: number): void;
}

/** What streams hold, for `oom`. */
export interface StreamMemory {
  /** Bytes of all of them, with buffers kept for later, and the part that is only kept. */
  readonly heldBytes: number;
  readonly idleBytes: number;
  /** Bytes of directory requests and answers, which are none of those. */
  readonly directoryBytes: number;
  /** Bytes that the streams of a circuit hold, and since when the oldest of them waits (plus infinity: none does). */
  heldBytesOf(row: number): number;
  heldSinceMs(row: number): number;
  /** Let go of what the streams of a circuit hold, which is about to be closed. Returns how many bytes that was. */
  dropOf(row: number): number;
  /** Let go of what streams hold that are gone and only pass on their last bytes. */
  dropLast(): void;
}

/** A peer that a circuit wants to reach, and where it said that peer is. */
export interface DialTarget {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array | null;
  readonly host: Uint8Array;
  readonly port: number;
}

/**
 * Opens a channel because a circuit of `asker` (null: one of our own) wants it: set by the worker. Returns it at once,
 * still dialling, or null when it cannot even be tried.
 */
export type Dial = (target: DialTarget, rosterHandle: number, asker: Channel | null) => Channel | null;

export interface CircuitPlane {
  readonly worker: number;
  readonly table: CircuitTable;
  readonly channels: ChannelTable;
  readonly parked: Slab;
  readonly ewma: Ewma;
  /** Relay cells that are found and not served yet; empty between chunks. */
  readonly batch: RelayBatch;
  /** Rings to and from each other worker, by worker number; null for ourselves and for dead workers. */
  readonly ports: (RingPort | null)[];
  readonly roster: Roster;
  readonly counters: Scoreboard;
  readonly dos: DosTable;
  readonly random: RandomPool;
  readonly onionQueue: OnionQueue;
  readonly oom: Oom;
  /** One cell of scratch space, for cells that we make. Never held across a call. */
  readonly scratch: Uint8Array;
  /** Rows that wait for a dial of this worker, by its channel. */
  readonly waiting: Map<Channel, WaitingRow[]>;
  /** Extends in progress, oldest first. */
  readonly extendDeadlines: Fifo<ExtendDeadline>;
  keys: CircuitKeys;
  options: WorkerOptions;
  relayIndex: RelayIndex;
  relayCells: RelayCells;
  edge: Edge;
  streamMemory: StreamMemory;
  origin: Origin;
  conflux: ConfluxHub;
  dial: Dial;
  /** Monotonic milliseconds, read once per batch. */
  nowMs: number;
  /** No new circuits: shutting down. */
  hibernating: boolean;
  /** A circuit of this channel now crosses us. */
  onExtended(channelSlot: number): void;
  /** A RELAY cell of this channel crosses us; told only while padding waits for that. */
  onTraffic(channelSlot: number): void;
  /** Close a link whose memory is needed. Not within a call that uses it. */
  closeChannel(channel: Channel): void;
  /** A control cell or message waits for the end of the batch. */
  wake(): void;
}

export interface WaitingRow {
  readonly row: number;
  readonly generation: number;
  /** The extend that waits: a later one of the same row waits elsewhere. */
  readonly attempt: number;
}

export interface ExtendDeadline {
  readonly row: number;
  readonly generation: number;
  readonly attempt: number;
  readonly atMs: number;
}
