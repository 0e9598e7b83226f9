/**
 * One worker: its links, its circuits, its rings, and the order of things within a turn of its event loop.
 *
 * A turn begins with the first event (socket data, doorbell, timer) and ends once, by `setImmediate`: rings are
 * emptied, onion handshakes get their slice of time, timers run, dirty channels are flushed, rings are published.
 * Nothing in a turn waits. What is left over arms the next turn; else the doorbell is armed and the worker sleeps.
 */
import { randomBytes } from 'node:crypto';
import { Slab } from '../bytes/slab.ts';
import { CELL_BYTES } from '../cell/cell.ts';
import { BufferPool } from '../channel/buffer-pool.ts';
import { type Channel, type ChannelShared, STAGING_CELLS } from '../channel/channel.ts';
import { ChannelTable } from '../channel/channel-table.ts';
import { Framer } from '../channel/framer.ts';
import { Links } from '../channel/links.ts';
import { LinkPadding } from '../channel/padding.ts';
import { Scheduler } from '../channel/scheduler.ts';
import { type Listening, listenOn } from '../channel/tls.ts';
import { refillRing } from '../circuit/cell-queue.ts';
import { CircuitTable } from '../circuit/circuit-table.ts';
import { Circuits } from '../circuit/circuits.ts';
import { detachWorker } from '../circuit/close.ts';
import { workOnOnions } from '../circuit/create.ts';
import { expireExtends } from '../circuit/extend.ts';
import { Fifo } from '../circuit/fifo.ts';
import { OnionQueue } from '../circuit/onion-queue.ts';
import type { CircuitKeys, CircuitPlane } from '../circuit/plane.ts';
import { RandomPool } from '../circuit/random-pool.ts';
import { takeFromRing } from '../circuit/remote-leg.ts';
import { RingPort } from '../circuit/ring-port.ts';
import { curve25519FromSecret, generateCurve25519 } from '../crypto/curve25519.ts';
import { RefusingEdge } from '../edge/edge.ts';
import { dupFd, isFault } from '../libc.ts';
import { log } from '../log.ts';
import { AddressTable } from '../shm/address-table.ts';
import { Doorbell } from '../shm/doorbell.ts';
import type {
  LentListener,
  LetterToWorker,
  OnionKeysLetter,
  RelayIndexBlock,
  RingPair,
  WorkerOptions,
} from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { RelayIndex } from '../shm/relay-index.ts';
import { Ring } from '../shm/ring.ts';
import { Roster } from '../shm/roster.ts';
import { Counter, Scoreboard } from '../shm/scoreboard.ts';
import { BatchClock, monotonicMs, wallSec } from '../time/clock.ts';
import { TimerWheel } from '../time/timer-wheel.ts';
import { CellDispatch } from './cells.ts';

export type StartLetter = Extract<LetterToWorker, { kind: 'start' }>;

/** Slots taken from one ring in one turn: bounded, so that no peer worker starves the sockets. */
const RING_SLOTS_PER_TURN = 1024;
/** Handshake time per turn. */
const ONION_BUDGET_MS = 2;
const TIMER_TICK_MS = 100;
const SWEEP_MS = 1000;
/** How long a flush may be put off to merge batches. */
const FLUSH_DELAY_MS = 1;
const CIRCUITS_FIRST = 256;

/** The data plane of one worker. */
export class Loop {
  readonly worker: number;
  readonly plane: CircuitPlane;
  readonly links: Links;
  readonly channels = new ChannelTable();
  readonly counters: Scoreboard;
  readonly circuits: Circuits;
  private readonly scheduler = new Scheduler();
  private readonly clock = new BatchClock();
  private readonly wheel: TimerWheel;
  private readonly bells: Doorbell[] = [];
  private readonly padding: LinkPadding;
  private readonly listening: { fd: number; endpoint: LentListener['endpoint']; listener: Listening }[] = [];
  private armed = false;
  private flushTimer: ReturnType<typeof setTimeout> | null = null;
  private ticker: ReturnType<typeof setInterval> | null = null;
  private nextSweepMs = 0;
  private onionsLeft = false;
  private readonly endBatch = (): void => this.onEndOfBatch();
  private readonly flushLater = (): void => {
    this.flushTimer = null;
    this.scheduler.flush(this.clock.read());
    this.publishRings();
  };
  private readonly onWake = (): void => {
    this.beginBatch();
  };

  constructor(letter: StartLetter) {
    this.worker = letter.worker;
    const { shared, options } = letter;
    this.counters = new Scoreboard(shared.scoreboard, letter.worker);
    const roster = new Roster(shared.roster, letter.worker);
    const random = new RandomPool();
    this.wheel = new TimerWheel(TIMER_TICK_MS, this.clock.nowMs);
    for (let i = 0; i < letter.workers; i++) this.bells.push(new Doorbell(shared.doorbells, i));
    const staging = new BufferPool(STAGING_CELLS * CELL_BYTES, 64);
    const carries = new BufferPool(CELL_BYTES, 256);
    const parked = new Slab(CELL_BYTES);
    this.plane = this.makePlane(letter, roster, random, parked);
    this.circuits = new Circuits(this.plane);
    this.padding = new LinkPadding(this.channels, this.wheel, this.counters, () => random.u32(), options);
    const channelShared: ChannelShared = {
      staging,
      parked,
      source: this.circuits,
      markDirty: (channel) => this.scheduler.mark(channel),
      onWritten: (channel, bytes) => this.noteWritten(channel, bytes),
      onControlOverflow: (channel) => this.dropUnread(channel),
    };
    const dispatch = new CellDispatch(this.circuits, this.padding, this.counters, (channel) =>
      this.links.close(channel),
    );
    this.links = new Links(
      {
        channels: this.channels,
        shared: channelShared,
        carries,
        framer: new Framer(dispatch, carries),
        sink: this.circuits,
        roster,
        halfOpen: new AddressTable(shared.halfOpen, letter.worker),
        counters: this.counters,
        wheel: this.wheel,
        padding: this.padding,
        random: random.bytes,
        wallSec,
        beginBatch: () => this.beginBatch(),
      },
      options,
      letter.credentials,
    );
    this.plane.edge = new RefusingEdge(this.plane);
    this.plane.dial = (target, rosterHandle) => this.links.dial(target, rosterHandle)?.slot ?? -1;
    for (const pair of letter.rings) this.attach(pair);
    this.takeListeners(letter.listeners, letter.credentials);
    this.ticker = setInterval(this.onWake, TIMER_TICK_MS);
    this.beginBatch();
  }

  private makePlane(letter: StartLetter, roster: Roster, random: RandomPool, parked: Slab): CircuitPlane {
    const ports: (RingPort | null)[] = [];
    for (let i = 0; i < letter.workers; i++) ports.push(null);
    return {
      worker: letter.worker,
      table: new CircuitTable(CIRCUITS_FIRST, randomBytes(4).readInt32LE(0)),
      channels: this.channels,
      parked,
      ports,
      roster,
      counters: this.counters,
      random,
      onionQueue: new OnionQueue(),
      scratch: new Uint8Array(CELL_BYTES),
      waiting: new Map(),
      extendDeadlines: new Fifo(),
      keys: circuitKeys(letter.credentials, letter.onionKeys),
      options: letter.options,
      relayIndex: new RelayIndex(letter.relayIndex),
      // Set right after the plane, which both of them hold.
      edge: { onMessage: () => {}, onCircuitClosed: () => {} },
      dial: () => -1,
      nowMs: this.clock.nowMs,
      hibernating: false,
      onExtended: (channelSlot) => this.onExtended(channelSlot),
      wake: () => {
        this.beginBatch();
      },
    };
  }

  /** Start or join the current turn. Returns its time. */
  beginBatch(): number {
    if (!this.armed) {
      this.armed = true;
      this.plane.nowMs = this.clock.read();
      setImmediate(this.endBatch);
    }
    return this.plane.nowMs;
  }

  private onEndOfBatch(): void {
    this.counters.add(Counter.loop_turns, 1);
    const { plane } = this;
    plane.nowMs = this.clock.read();
    const ringsLeft = this.takeRings();
    this.onionsLeft = workOnOnions(plane, ONION_BUDGET_MS, monotonicMs);
    const nowMs = this.clock.read();
    plane.nowMs = nowMs;
    this.wheel.advance(nowMs);
    expireExtends(plane);
    if (nowMs >= this.nextSweepMs) {
      this.nextSweepMs = nowMs + SWEEP_MS;
      this.links.sweep(nowMs);
    }
    const wantSpace = this.refillRings();
    this.flush(nowMs);
    this.publishRings();
    this.armed = false;
    if (ringsLeft || this.onionsLeft) {
      this.beginBatch();
      return;
    }
    this.sleep(wantSpace);
  }

  private flush(nowMs: number): void {
    if (this.scheduler.dirtyCount === 0) return;
    if (this.scheduler.shouldWait(nowMs)) {
      if (this.flushTimer === null) this.flushTimer = setTimeout(this.flushLater, FLUSH_DELAY_MS);
      return;
    }
    this.scheduler.flush(nowMs);
  }

  private takeRings(): boolean {
    let left = false;
    for (const port of this.plane.ports) {
      if (port !== null && takeFromRing(this.plane, port, RING_SLOTS_PER_TURN) === RING_SLOTS_PER_TURN)
        left = true;
    }
    return left;
  }

  /** Returns whether a ring is still full. */
  private refillRings(): boolean {
    let full = false;
    for (const port of this.plane.ports) {
      if (port === null || !port.congested) continue;
      refillRing(this.plane, port);
      if (port.congested) full = true;
    }
    return full;
  }

  private publishRings(): void {
    for (const port of this.plane.ports) {
      if (port === null || !port.unpublished) continue;
      port.unpublished = false;
      port.outgoing.publish();
    }
  }

  /** Nothing left to do: ask to be woken, and look once more at what may have come meanwhile. */
  private sleep(wantSpace: boolean): void {
    const bell = this.bells[this.worker]!;
    bell.arm(this.onWake);
    let awake = false;
    for (const port of this.plane.ports) {
      if (port === null) continue;
      if (port.incoming.hasWork()) awake = true;
      if (wantSpace && port.congested && port.outgoing.wantSpace(false)) awake = true;
    }
    if (awake) {
      bell.disarm();
      this.beginBatch();
    }
  }

  private noteWritten(channel: Channel, bytes: number): void {
    channel.lastWriteMs = this.plane.nowMs;
    this.counters.add(Counter.bytes_written, bytes);
    if (channel.peerHost.length === 16) this.counters.add(Counter.bytes_written_ipv6, bytes);
  }

  private dropUnread(channel: Channel): void {
    this.counters.add(Counter.channel_control_queue_overflow, 1);
    // Not at once: the caller is in the middle of using it.
    queueMicrotask(() => this.links.close(channel));
  }

  private onExtended(channelSlot: number): void {
    const channel = this.channels.bySlot[channelSlot] ?? null;
    if (channel !== null) this.padding.onUsed(channel, this.plane.nowMs);
  }

  /** Take the lent listening sockets. Each is duplicated per generation of credentials, the lent fd stays ours. */
  private takeListeners(listeners: readonly LentListener[], credentials: LinkCredentials): void {
    for (const { fd, endpoint } of listeners) {
      this.listening.push({ fd, endpoint, listener: this.listen(fd, credentials) });
    }
  }

  private listen(fd: number, credentials: LinkCredentials): Listening {
    const copy = dupFd(fd);
    if (isFault(copy)) throw new Error(`could not duplicate a listening socket: ${copy.text}`);
    return listenOn(copy, credentials, this.links);
  }

  /** A new link key: later connections get it, those already accepted go on with theirs. */
  setCredentials(credentials: LinkCredentials): void {
    this.links.credentials = credentials;
    for (const entry of this.listening) {
      const fresh = this.listen(entry.fd, credentials);
      entry.listener.stop();
      entry.listener = fresh;
    }
  }

  setOnionKeys(onionKeys: OnionKeysLetter): void {
    this.plane.keys.onionKeys = onionKeyPairs(onionKeys);
  }

  setRelayIndex(block: RelayIndexBlock): void {
    this.plane.relayIndex = new RelayIndex(block);
  }

  setOptions(options: WorkerOptions): void {
    this.plane.options = options;
    this.links.options = options;
    this.padding.options = options;
  }

  /** A worker died: its legs are destroyed, its rings forgotten. */
  detach(worker: number): void {
    detachWorker(this.plane, worker);
    this.beginBatch();
  }

  /** Use these rings from now on. */
  attach(pair: RingPair): void {
    const own = this.bells[this.worker]!;
    const other = this.bells[pair.worker]!;
    const outgoing = new Ring(pair.outgoing, other, own);
    const incoming = new Ring(pair.incoming, own, other);
    this.plane.ports[pair.worker] = new RingPort(pair.worker, outgoing, incoming);
    this.beginBatch();
  }

  /** Accept no more connections and circuits. */
  closeListeners(): void {
    for (const { listener } of this.listening) listener.stop();
    this.listening.length = 0;
    this.plane.hibernating = true;
  }

  /** Close everything and let the thread end. */
  stop(): void {
    this.closeListeners();
    this.links.closeAll();
    if (this.ticker !== null) clearInterval(this.ticker);
    if (this.flushTimer !== null) clearTimeout(this.flushTimer);
    this.bells[this.worker]!.close();
  }

  /** Say what this worker holds (USR1). */
  dump(): void {
    const { table, parked, onionQueue } = this.plane;
    log.notice(
      'general',
      `Worker ${this.worker}: ${this.channels.count} channels (${this.links.halfOpen} half open), ` +
        `${table.count} circuits, ${parked.used} cells waiting, ${onionQueue.length} handshakes waiting, ` +
        `${this.wheel.size} timers.`,
    );
  }
}

function onionKeyPairs(letter: OnionKeysLetter) {
  const pairs = [curve25519FromSecret(letter.current.secretKey)];
  if (letter.previous !== null) pairs.push(curve25519FromSecret(letter.previous.secretKey));
  return pairs;
}

function circuitKeys(credentials: LinkCredentials, onionKeys: OnionKeysLetter): CircuitKeys {
  return {
    rsaId: credentials.rsaId,
    ed25519Id: credentials.ed25519Id,
    onionKeys: onionKeyPairs(onionKeys),
    junk: generateCurve25519(),
  };
}
