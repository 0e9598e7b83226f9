/**
 * The parts of one worker's data plane, put together: links, circuits, rings, and the phases of a turn.
 *
 * Nothing here knows sockets, threads or clocks: `worker/loop` drives it from the event loop, the simulator from a
 * virtual clock over wires in memory. A turn is `work`, a flush, `publishRings`, `workOnHandshakes`, in this order;
 * nothing in it waits. Handshakes come last, when what the turn relayed has left: their answers are flushed with the next
 * turn's cells, or at once when no more wait.
 */

import { isInternalIp } from '../bytes/address.ts';
import { Slab } from '../bytes/slab.ts';
import { CELL_BYTES } from '../cell/cell.ts';
import type { TellAddressSeen } from '../channel/address-seen.ts';
import { BufferPool } from '../channel/buffer-pool.ts';
import { type Channel, STAGING_CELLS } from '../channel/channel.ts';
import { ChannelTable } from '../channel/channel-table.ts';
import { Framer } from '../channel/framer.ts';
import { Links, type LinksConfig } from '../channel/links.ts';
import { LinkPadding } from '../channel/padding.ts';
import { Scheduler } from '../channel/scheduler.ts';
import { Throttle } from '../channel/token-bucket.ts';
import { Upkeep } from '../channel/upkeep.ts';
import { refillRing } from '../circuit/cell-queue.ts';
import { CircuitTable } from '../circuit/circuit-table.ts';
import { Circuits } from '../circuit/circuits.ts';
import { detachWorker } from '../circuit/close.ts';
import { ConfluxHub } from '../circuit/conflux-hub.ts';
import { workOnOnions } from '../circuit/create.ts';
import { Ewma } from '../circuit/ewma.ts';
import { expireExtends } from '../circuit/extend.ts';
import { Fifo } from '../circuit/fifo.ts';
import { OnionQueue } from '../circuit/onion-queue.ts';
import { Oom } from '../circuit/oom.ts';
import type { CircuitKeys, CircuitPlane } from '../circuit/plane.ts';
import type { RandomPool } from '../circuit/random-pool.ts';
import { RelayBatch } from '../circuit/relay-batch.ts';
import { RelayCells } from '../circuit/relay-cell.ts';
import { takeFromRing } from '../circuit/remote-leg.ts';
import { RingPort } from '../circuit/ring-port.ts';
import { DirectoryService } from '../edge/directory-service.ts';
import { directoryFactory } from '../edge/directory-stream.ts';
import { StreamEdge } from '../edge/edge.ts';
import { ExitDesk } from '../edge/exit-desk.ts';
import type { Connect } from '../edge/exit-socket.ts';
import type { NameResolver } from '../edge/resolver.ts';
import { OriginMail } from '../origin/origin-mail.ts';
import { Origins } from '../origin/origins.ts';
import type { AddressTable } from '../shm/address-table.ts';
import { type Bandwidth, WRITE } from '../shm/bandwidth.ts';
import type { DosTable } from '../shm/dos-table.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { Memory, type MemoryLedger } from '../shm/memory-ledger.ts';
import type { OriginNews } from '../shm/origin-letter.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import type { Ring } from '../shm/ring.ts';
import type { Roster } from '../shm/roster.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import type { ShelfBlock } from '../shm/shelf.ts';
import { TimerWheel } from '../time/timer-wheel.ts';
import { CellDispatch } from './cells.ts';
import { HandshakeSlices } from './handshake-slices.ts';

/** Slots taken from one ring in one turn: bounded, so that no peer worker starves the sockets. */
const RING_SLOTS_PER_TURN = 1024;
const TIMER_TICK_MS = 100;
const SWEEP_MS = 1000;
const CIRCUITS_FIRST = 256;
/** Idle buffers that the pools keep. */
const IDLE_STAGING = 64;
const IDLE_CARRIES = 256;

/** What a data plane is given. */
export interface DataPlaneConfig {
  readonly worker: number;
  readonly workers: number;
  readonly counters: Scoreboard;
  readonly roster: Roster;
  readonly relayIndex: RelayIndex;
  readonly halfOpen: AddressTable;
  readonly bandwidth: Bandwidth;
  readonly memory: MemoryLedger;
  /** Let every other worker take a turn soon. */
  readonly wakeOthers: () => void;
  /** Give up what is only kept to be quicker: at the memory limit, before circuits end. */
  readonly emptyCaches: () => void;
  /** Collect garbage: at once, or beside the work. */
  readonly collectGarbage: (atOnce: boolean) => void;
  readonly dos: DosTable;
  readonly options: WorkerOptions;
  readonly credentials: LinkCredentials;
  readonly keys: CircuitKeys;
  readonly random: RandomPool;
  /** Monotonic milliseconds, read anew at each call. */
  readonly clock: () => number;
  readonly wallSec: () => number;
  /** Start or join the current turn; returns its time. */
  readonly beginBatch: () => number;
  /** Run something after the current call stack. */
  readonly soon: (task: () => void) => void;
  readonly dial: LinksConfig['dial'];
  readonly handshake: LinksConfig['handshake'];
  /** Tell main of circuits that it asked for. */
  readonly tellOrigin: (news: OriginNews) => void;
  readonly tellAddressSeen: TellAddressSeen;
  /** Told of the oldest generation of the shelf that an answer reads from, when it has changed. */
  readonly onShelves: (oldest: number) => void;
  readonly shelf: ShelfBlock;
  /** Connects to the destinations of exit streams. */
  readonly connect: Connect;
  readonly resolver: NameResolver;
}

/** One worker's links and circuits. */
export class DataPlane {
  readonly plane: CircuitPlane;
  readonly links: Links;
  readonly throttle: Throttle;
  readonly circuits: Circuits;
  /** Circuits that we start ourselves, and those among them that main asks for. */
  readonly origins: Origins;
  readonly originMail: OriginMail;
  readonly directory: DirectoryService;
  readonly edge: StreamEdge;
  readonly channels = new ChannelTable();
  readonly staging = new BufferPool(STAGING_CELLS * CELL_BYTES, IDLE_STAGING);
  readonly carries = new BufferPool(CELL_BYTES, IDLE_CARRIES);
  readonly scheduler = new Scheduler();
  readonly wheel: TimerWheel;
  private readonly config: DataPlaneConfig;
  private readonly padding: LinkPadding;
  private readonly upkeep: Upkeep;
  private readonly slices = new HandshakeSlices();
  private nextSweepMs = 0;

  constructor(config: DataPlaneConfig) {
    this.config = config;
    const { counters, random, options, roster } = config;
    this.wheel = new TimerWheel(TIMER_TICK_MS, config.clock());
    this.plane = this.makePlane();
    this.plane.relayCells = new RelayCells(this.plane);
    this.plane.conflux = new ConfluxHub(this.plane, config.workers);
    this.circuits = new Circuits(this.plane);
    this.origins = new Origins(this.plane);
    this.originMail = new OriginMail(this.origins, config.tellOrigin);
    this.plane.origin = this.origins;
    this.throttle = new Throttle(
      {
        bandwidth: config.bandwidth,
        worker: config.worker,
        channels: this.channels,
        counters,
        relayIndex: () => this.plane.relayIndex,
        now: () => this.plane.nowMs,
      },
      options,
    );
    this.padding = new LinkPadding(this.channels, this.wheel, counters, () => random.u32(), options);
    const dispatch = new CellDispatch(this.circuits, this.padding, counters, (channel) =>
      this.links.close(channel),
    );
    this.links = new Links(
      {
        channels: this.channels,
        shared: {
          staging: this.staging,
          parked: this.plane.parked,
          source: this.circuits,
          mayWrite: (channel, bytes) => this.throttle.mayWrite(channel, bytes),
          markDirty: (channel) => this.scheduler.mark(channel),
          onWritten: (channel, bytes) => this.noteWritten(channel, bytes),
          onControlOverflow: (channel) => this.dropUnread(channel),
        },
        carries: this.carries,
        framer: new Framer(dispatch, this.carries),
        sink: this.circuits,
        roster,
        relayIndex: () => this.plane.relayIndex,
        halfOpen: config.halfOpen,
        dos: config.dos,
        counters,
        wheel: this.wheel,
        padding: this.padding,
        throttle: this.throttle,
        random: random.bytes,
        wallSec: config.wallSec,
        beginBatch: config.beginBatch,
        dial: config.dial,
        handshake: config.handshake,
        onAddressSeen: config.tellAddressSeen,
        otherSockets: () => this.edge.desk.sockets + this.directory.connections,
      },
      options,
      config.credentials,
    );
    this.upkeep = new Upkeep(this.channels, roster, counters, options, (channel) =>
      this.links.close(channel),
    );
    this.directory = this.makeDirectory();
    this.edge = this.makeEdge();
    this.plane.edge = this.edge;
    this.openDirectory();
    this.plane.streamMemory = this.edge;
    this.plane.dial = (target, rosterHandle, asker) => this.links.dial(target, rosterHandle, asker);
  }

  private makeEdge(): StreamEdge {
    const { plane } = this;
    const { connect, resolver, bandwidth } = this.config;
    const sockets = () => this.links.sockets;
    const edge = new StreamEdge(
      plane,
      (table) => new ExitDesk(plane, table, { connect, resolver, bandwidth, sockets }),
    );
    edge.directoryMemory = this.directory;
    return edge;
  }

  /** Answer directory requests, or not, as options say. */
  private openDirectory(): void {
    this.edge.directory = this.directory.isOpen ? directoryFactory(this.directory) : null;
  }

  private makeDirectory(): DirectoryService {
    const { config, plane } = this;
    return new DirectoryService(
      {
        wallSec: config.wallSec,
        nowMs: () => plane.nowMs,
        count: (counter, by) => config.counters.add(counter, by),
        ownAddresses: () => plane.options.ownAddresses,
        isBusy: (bytes, host) =>
          (plane.options.countPrivateBandwidth || !isInternalIp(host)) &&
          config.bandwidth.level(WRITE) < bytes,
        onGenerations: config.onShelves,
      },
      config.options.directory,
      config.shelf,
    );
  }

  private makePlane(): CircuitPlane {
    const { config } = this;
    const ports: (RingPort | null)[] = [];
    for (let i = 0; i < config.workers; i++) ports.push(null);
    return {
      worker: config.worker,
      table: new CircuitTable(CIRCUITS_FIRST, config.random.u32()),
      channels: this.channels,
      parked: new Slab(CELL_BYTES),
      ewma: new Ewma(config.clock()),
      batch: new RelayBatch(),
      ports,
      roster: config.roster,
      counters: config.counters,
      dos: config.dos,
      random: config.random,
      onionQueue: new OnionQueue(),
      oom: new Oom(
        config.memory,
        config.wakeOthers,
        () => {
          config.emptyCaches();
          this.directory.dropKept();
        },
        config.collectGarbage,
        config.clock,
        this.staging,
        this.carries,
      ),
      scratch: new Uint8Array(CELL_BYTES),
      waiting: new Map(),
      extendDeadlines: new Fifo(),
      keys: config.keys,
      options: config.options,
      relayIndex: config.relayIndex,
      // Set right after the plane, which all of them hold.
      conflux: null as unknown as ConfluxHub,
      origin: { onCreated: () => {}, onRelayCell: () => true, onCircuitClosed: () => {} },
      edge: { onMessage: () => {}, onData: () => {}, onQueueLow: () => {}, onCircuitClosed: () => {} },
      streamMemory: {
        heldBytes: 0,
        idleBytes: 0,
        directoryBytes: 0,
        heldBytesOf: () => 0,
        heldSinceMs: () => 0,
        dropOf: () => 0,
        dropLast() {},
      },
      relayCells: null as unknown as RelayCells,
      dial: () => null,
      nowMs: config.clock(),
      hibernating: false,
      onExtended: (channelSlot) => this.onExtended(channelSlot),
      onTraffic: (channelSlot) => this.onTraffic(channelSlot),
      closeChannel: (channel) => this.links.close(channel),
      wake: () => {
        config.beginBatch();
      },
    };
  }

  /**
   * The work of a turn but for handshakes: rings in, timers, streams, rings out. What it produced is staged and still to
   * be flushed and published. Returns whether something is left for a turn right after this one.
   */
  work(): boolean {
    const { plane } = this;
    plane.nowMs = this.config.clock();
    plane.ewma.advance(plane.table, plane.nowMs, plane.options.circuitPriorityHalfLifeMs);
    const ringsLeft = this.takeRings();
    const { nowMs } = plane;
    this.wheel.advance(nowMs);
    expireExtends(plane);
    this.origins.turn();
    this.originMail.turn();
    if (nowMs >= this.nextSweepMs) {
      this.nextSweepMs = nowMs + SWEEP_MS;
      this.upkeep.sweep(nowMs);
    }
    for (const port of plane.ports) if (port?.congested) refillRing(plane, port);
    this.throttle.tick(nowMs);
    this.directory.turn();
    const streamsLeft = this.edge.work();
    const memoryLeft = plane.oom.turn(plane);
    return ringsLeft || streamsLeft || memoryLeft;
  }

  /** Whether handshakes wait. */
  get hasHandshakes(): boolean {
    return this.plane.onionQueue.length > 0;
  }

  /**
   * Work on handshakes for a slice of time; `turnMs` is when the turn began. Their answers are staged. Returns whether
   * more wait.
   */
  workOnHandshakes(turnMs: number): boolean {
    const { plane, slices } = this;
    const { clock, counters, worker } = this.config;
    // Streams that end here wait as circuits do that are passed on.
    const cells =
      counters.of(worker, Counter.cells_relayed) +
      counters.of(worker, Counter.cells_ring_received) +
      counters.of(worker, Counter.stream_cells_sent) +
      counters.of(worker, Counter.exit_bytes_written);
    const nowMs = clock();
    slices.look(cells, nowMs);
    const left = workOnOnions(plane, slices.budgetMs(nowMs - turnMs, nowMs), clock);
    plane.nowMs = clock();
    return left;
  }

  /** Tell the ledger what this worker holds: at the end of a turn. */
  countMemory(): void {
    const { plane } = this;
    const { memory } = this.config;
    plane.oom.settle(plane);
    memory.set(Memory.staging, this.staging.heldBytes);
    memory.set(Memory.carries, this.carries.heldBytes);
    memory.set(Memory.handshakes, this.links.halfOpenBytes);
    memory.set(Memory.onions, plane.onionQueue.heldBytes);
    let rings = 0;
    let extendsBytes = plane.table.pendingBytes;
    for (const port of plane.ports) {
      if (port === null) continue;
      rings += port.outgoing.u8.length;
      extendsBytes += port.owedBytes;
    }
    memory.set(Memory.extends, extendsBytes);
    memory.set(Memory.rings, rings);
  }

  private takeRings(): boolean {
    let left = false;
    for (const port of this.plane.ports) {
      if (port !== null && takeFromRing(this.plane, port, RING_SLOTS_PER_TURN) >= RING_SLOTS_PER_TURN) {
        left = true;
      }
    }
    return left;
  }

  /** Show the other workers what was put into the rings to them, and what we hold. */
  publishRings(): void {
    this.plane.conflux.publish();
    for (const port of this.plane.ports) {
      if (port === null || !port.unpublished) continue;
      port.unpublished = false;
      port.outgoing.publish();
    }
    this.countMemory();
  }

  /** Whether a ring brought something since, or one that was full has room again; else its writer's bell will ring. */
  hasRingWork(): boolean {
    let work = false;
    for (const port of this.plane.ports) {
      if (port === null) continue;
      if (port.incoming.hasWork()) work = true;
      if (port.congested && port.outgoing.wantSpace(false)) work = true;
    }
    return work;
  }

  /** Use these rings to and from another worker from now on. */
  attach(worker: number, outgoing: Ring, incoming: Ring): void {
    this.plane.ports[worker] = new RingPort(worker, outgoing, incoming);
    this.plane.conflux.attach(worker);
  }

  /** A worker died: its legs are destroyed, its rings forgotten. */
  detach(worker: number): void {
    detachWorker(this.plane, worker);
  }

  setOptions(options: WorkerOptions): void {
    this.plane.options = options;
    this.links.options = options;
    this.padding.options = options;
    this.throttle.update(options);
    this.upkeep.options = options;
    this.directory.setOptions(options.directory);
    this.openDirectory();
    this.edge.onOptions();
  }

  /** What is known of the consensus from now on. */
  setRelayIndex(relayIndex: RelayIndex): void {
    this.plane.relayIndex = relayIndex;
    this.throttle.update(this.plane.options);
  }

  private noteWritten(channel: Channel, bytes: number): void {
    const { counters } = this.config;
    channel.lastWriteMs = this.plane.nowMs;
    counters.add(Counter.bytes_written, bytes);
    this.throttle.onWritten(channel, bytes);
    if (channel.peerHost.length === 16) counters.add(Counter.bytes_written_ipv6, bytes);
  }

  private dropUnread(channel: Channel): void {
    this.config.counters.add(Counter.channel_control_queue_overflow, 1);
    // Not at once: the caller is in the middle of using it.
    this.config.soon(() => {
      this.config.beginBatch();
      this.links.close(channel);
    });
  }

  private onTraffic(channelSlot: number): void {
    const channel = this.channels.bySlot[channelSlot] ?? null;
    if (channel === null || channel.carriedTraffic) return;
    channel.carriedTraffic = true;
    this.padding.onUsed(channel, this.plane.nowMs);
  }

  private onExtended(channelSlot: number): void {
    const channel = this.channels.bySlot[channelSlot] ?? null;
    if (channel !== null) this.padding.onUsed(channel, this.plane.nowMs);
  }
}
