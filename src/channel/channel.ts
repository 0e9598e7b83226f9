/**
 * @hot
 * A link to a peer once its socket exists: dialling, shaking hands, open, closed.
 *
 * Cells go out through one staging buffer per channel, borrowed while it holds something, and leave in one write per
 * batch (`scheduler`). While the socket refuses bytes the channel is *congested*: cells of circuits then wait in
 * their circuits' own queues, control cells in a bounded queue here. Invariant: a channel that is not congested has
 * nothing queued anywhere, so a cell that is put into staging never overtakes one of the same circuit.
 * Who calls: `channel/tls` (or the simulator) with bytes and events, `circuit/` with cells to send.
 */
import { NO_SLOT, type Slab } from '../bytes/slab.ts';
import { CELL_BYTES, copyCell, copyCells, joinCell, setCircId } from '../cell/cell.ts';
import { type ActiveLegs, NO_LEGS } from './active-legs.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Wire } from './wire.ts';

/** Life of a channel. */
export const DIALLING = 0;
export const HANDSHAKING = 1;
export const OPEN = 2;
export const CLOSED = 3;

/** Why reading is paused; the channel reads only when no bit is set. */
export const PAUSED_BY_RING = 1;
export const PAUSED_BY_BANDWIDTH = 2;

/** What a channel waits for before it may read, or write, on. */
export const NOT_HELD = 0;
/** Its turn in the line for the buckets of the process. */
export const HELD_IN_LINE = 1;
/** Its own bucket. */
export const HELD_BY_OWN = 2;

/** Room for cells in one staging buffer: 127 of them, just under 64 KiB. */
export const STAGING_CELLS = 127;
/** Staged bytes that are written at once, without waiting for the end of the batch. */
export const FLUSH_BYTES = 63 * CELL_BYTES;
/** Control cells that may wait on a channel whose peer does not read. Past it the channel is closed. */
export const CONTROL_QUEUE_CELLS_MAX = 4096;

/** Takes cells in: implemented by `circuit/`, set once when the worker is put together. */
export interface CellSink {
  /**
   * Take one circuit cell of an open channel. `bytes` are the receiver's until `onChunkEnd`.
   * `command` is one of the fixed-length circuit commands.
   */
  onCell(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void;
  /** No cell of this buffer comes any more: those of them that are still to be looked at must be, now. */
  onChunkEnd(): void;
  /** The channel finished its handshake. */
  onChannelOpen(channel: Channel): void;
  /** The channel is gone, or never came up. Called exactly once for each channel. */
  onChannelClosed(channel: Channel): void;
}

/** Gives queued cells out: implemented by `circuit/`, asked when a congested socket drained. */
export interface CellSource {
  /** Move queued cells into the channel with `put` until none is left or the channel is congested again. */
  refill(channel: Channel): void;
}

/** What every channel of a worker shares. */
export interface ChannelShared {
  readonly staging: BufferPool;
  readonly parked: Slab;
  source: CellSource;
  /** How many of so many bytes may be written now. If not all, the channel is told to drain later. */
  mayWrite(channel: Channel, bytes: number): number;
  /** The channel has staged bytes that must be flushed at the end of this batch. */
  markDirty(channel: Channel): void;
  /** Bytes were handed to the socket. */
  onWritten(channel: Channel, bytes: number): void;
  /** The peer does not read its control cells: close the channel. */
  onControlOverflow(channel: Channel): void;
}

/** One link. Fields are grouped by who owns them. */
export class Channel implements ActiveLegs {
  readonly slot: number;
  readonly generation: number;
  readonly shared: ChannelShared;
  state: number;

  // The link, set by channel/tls and the handshake.
  wire: Wire | null = null;
  /** We dialled: our circuit ids have the top bit set. */
  readonly initiated: boolean;
  linkProtocol = 0;
  /** The peer's identities; null until authenticated, and for ever when the peer is a client. */
  peerRsaId: Uint8Array | null = null;
  peerEd25519Id: Uint8Array | null = null;
  /** Where the peer is: 4 or 16 bytes, and the port of its end. */
  peerHost: Uint8Array;
  peerPort: number;
  isClient = true;
  /** At which address of ours a relay that dialled us says that it sees us; null when it says none, or we dialled. */
  ourAddressSeen: Uint8Array | null = null;
  canonical = false;
  /** Superseded: carries its circuits on, takes no new ones. */
  bad = false;
  rosterHandle = -1;
  /** Entries of the DoS table that count this link; -1: none. */
  dosHost = -1;
  dosNet64 = -1;
  dosNet48 = -1;
  openedMs = 0;
  pausedBy = 0;

  // The framer's.
  carry: Uint8Array<ArrayBuffer> | null = null;
  carryBytes = 0;
  skipBytes = 0;

  // The scheduler's.
  dirty = false;
  congested = false;
  private stage: Uint8Array<ArrayBuffer> | null = null;
  private stagedFrom = 0;
  private stagedTo = 0;
  private controlHead = NO_SLOT;
  private controlTail = NO_SLOT;
  controlCells = 0;
  private overflowed = false;

  // The bandwidth limits' (`token-bucket`): whether they apply, what the channel waits for and where in line.
  limited = false;
  readHeld = NOT_HELD;
  writeHeld = NOT_HELD;
  readPlace = 0;
  writePlace = 0;
  /** How much it may write when it is its turn. */
  writeTurn = 0;
  /** Bytes that came in one go the last time. */
  lastChunkBytes = 0;
  /** It has buckets of its own: bytes that it may read and write, refilled when they are looked at. */
  ownLimit = false;
  ownRead = 0;
  ownWrite = 0;
  ownRefillMs = 0;

  // The circuit plane's: the chain of legs on this channel and those with queued cells.
  firstLeg = -1;
  legCount = 0;
  /** Those of them whose circuits the peer made. */
  createdCount = 0;
  /** Dials under way that circuits of this channel asked for. */
  askedDials = 0;
  activeLegs = NO_LEGS;
  activeCount = 0;
  /** When the last circuit left; for idle expiry. */
  idleSinceMs = 0;
  /** 0 to 1: where in the range of idle times this link's is. */
  idleSpread = 0;

  // Padding's.
  lastReadMs = 0;
  lastWriteMs = 0;
  paddingDueMs = 0;
  paddingLowMs = -1;
  paddingHighMs = -1;
  paddingOn = false;
  /** A circuit was extended across us: only then is there anything that padding could hide. */
  carriedCircuit = false;
  /** RELAY cells crossed us. Noted only while the consensus makes padding wait for them. */
  carriedTraffic = false;

  constructor(
    slot: number,
    generation: number,
    shared: ChannelShared,
    initiated: boolean,
    peerHost: Uint8Array,
    peerPort: number,
  ) {
    this.slot = slot;
    this.generation = generation;
    this.shared = shared;
    this.initiated = initiated;
    this.state = initiated ? DIALLING : HANDSHAKING;
    this.peerHost = peerHost;
    this.peerPort = peerPort;
  }

  /** Bytes staged and not yet taken by the socket. */
  get stagedBytes(): number {
    return this.stagedTo - this.stagedFrom;
  }

  /** Copy one cell into staging. Only on an open channel that is not congested. */
  put(bytes: Uint8Array, at: number): void {
    copyCell(bytes, at, this.stageOfCell(), this.stagedTo);
    this.onStaged();
  }

  /** Put a cell together in staging, whose body is at `at` of `body`. Only on an open channel that is not congested. */
  putBody(circId: number, command: number, body: Uint8Array, at: number): void {
    joinCell(circId, command, body, at, this.stageOfCell(), this.stagedTo);
    this.onStaged();
  }

  /**
   * Copy up to 64 cells into staging that stand one behind the other, and give them this circuit id. Only on an open
   * channel that is not congested: it has room for as many.
   */
  putCells(circId: number, bytes: Uint8Array, at: number, count: number): void {
    const stage = this.stageOfCell();
    const from = this.stagedTo;
    copyCells(bytes, at, stage, from, count);
    for (let i = 0; i < count; i++) setCircId(stage, from + i * CELL_BYTES, circId);
    this.stagedTo = from + (count - 1) * CELL_BYTES;
    this.onStaged();
  }

  private stageOfCell(): Uint8Array {
    if (this.stage === null) {
      this.stage = this.shared.staging.take();
      this.stagedFrom = 0;
      this.stagedTo = 0;
    }
    return this.stage;
  }

  private onStaged(): void {
    this.stagedTo += CELL_BYTES;
    if (this.stagedTo >= FLUSH_BYTES) this.flush();
    else if (!this.dirty) {
      this.dirty = true;
      this.shared.markDirty(this);
    }
  }

  /** Stage bytes that are no cell: the tail of our handshake that the socket had not taken when the channel opened. */
  stageRaw(bytes: Uint8Array): void {
    if (this.stage === null) this.stage = this.shared.staging.take();
    this.stage.set(bytes, 0);
    this.stagedFrom = 0;
    this.stagedTo = bytes.length;
    this.congested = true;
  }

  /** Send a cell that belongs to no queue (DESTROY, PADDING): before queued cells, bounded while congested. */
  putControl(bytes: Uint8Array, at: number): void {
    if (this.state !== OPEN) return;
    if (!this.congested) {
      this.put(bytes, at);
      return;
    }
    if (this.controlCells >= CONTROL_QUEUE_CELLS_MAX) {
      // Said once: the channel is closed a little later.
      if (!this.overflowed) this.shared.onControlOverflow(this);
      this.overflowed = true;
      return;
    }
    const slab = this.shared.parked;
    const slot = slab.alloc();
    copyCell(bytes, at, slab.bufferOf(slot), slab.offsetOf(slot));
    if (this.controlTail === NO_SLOT) this.controlHead = slot;
    else slab.next[this.controlTail] = slot;
    this.controlTail = slot;
    this.controlCells++;
  }

  /**
   * Offer what is staged to the socket, as far as the bandwidth limits let it. Sets `congested` when it did not take
   * all, or may not.
   */
  flush(): void {
    const staged = this.stagedTo - this.stagedFrom;
    if (staged === 0 || this.wire === null || this.state !== OPEN) return;
    this.offer(this.limited ? this.shared.mayWrite(this, staged) : staged);
  }

  /** Write what is staged, whatever the limits say, unless the socket refused: the channel is about to close. */
  flushLast(): void {
    if (this.congested && this.writeHeld === NOT_HELD) return;
    if (this.wire === null || this.state !== OPEN) return;
    this.congested = false;
    const staged = this.stagedTo - this.stagedFrom;
    if (staged > 0) this.offer(staged);
  }

  private offer(length: number): void {
    const stage = this.stage;
    if (stage === null || this.wire === null) return;
    const staged = this.stagedTo - this.stagedFrom;
    const taken = length > 0 ? this.wire.write(stage, this.stagedFrom, length) : 0;
    if (taken > 0) this.shared.onWritten(this, taken);
    // The write may have closed the channel, and with it returned the buffer.
    if (this.stage !== stage) return;
    if (taken >= staged) {
      this.stage = null;
      this.stagedFrom = 0;
      this.stagedTo = 0;
      this.shared.staging.give(stage);
    } else {
      if (taken > 0) this.stagedFrom += taken;
      this.congested = true;
    }
  }

  /** The socket, or the limit, can take bytes again: send what waits, control cells first. Idempotent. */
  drain(): void {
    if (this.state !== OPEN) return;
    if (!this.congested || this.writeHeld !== NOT_HELD) return;
    this.congested = false;
    this.flush();
    const slab = this.shared.parked;
    while (!this.congested && this.controlHead !== NO_SLOT) {
      const slot = this.controlHead;
      this.controlHead = slab.next[slot]!;
      if (this.controlHead === NO_SLOT) this.controlTail = NO_SLOT;
      this.controlCells--;
      this.put(slab.bufferOf(slot), slab.offsetOf(slot));
      slab.free(slot);
    }
    if (!this.congested) this.shared.source.refill(this);
  }

  /** Pause or resume reading for one reason. */
  setPaused(reason: number, paused: boolean): void {
    const before = this.pausedBy;
    this.pausedBy = paused ? before | reason : before & ~reason;
    if (this.wire === null || before === this.pausedBy) return;
    if (before === 0) this.wire.pause();
    else if (this.pausedBy === 0) this.wire.resume();
  }

  /** Move waiting control cells to earlier chunks of the slab where there is room. */
  compactControl(): void {
    const slab = this.shared.parked;
    let before = NO_SLOT;
    for (let slot = this.controlHead; slot !== NO_SLOT; slot = slab.next[before]!) {
      const to = slab.relocate(slot);
      if (before === NO_SLOT) this.controlHead = to;
      else slab.next[before] = to;
      before = to;
    }
    this.controlTail = before;
  }

  /** Give back every buffer and parked cell. The owner of the channel calls this once, when it is closed. */
  release(carries: BufferPool): void {
    this.state = CLOSED;
    this.wire = null;
    if (this.stage !== null) this.shared.staging.give(this.stage);
    this.stage = null;
    this.stagedFrom = 0;
    this.stagedTo = 0;
    if (this.carry !== null) carries.give(this.carry);
    this.carry = null;
    this.carryBytes = 0;
    const slab = this.shared.parked;
    while (this.controlHead !== NO_SLOT) {
      const slot = this.controlHead;
      this.controlHead = slab.next[slot]!;
      slab.free(slot);
    }
    this.controlTail = NO_SLOT;
    this.controlCells = 0;
    this.congested = false;
  }
}
