/**
 * @hot
 * Every circuit of one worker, as columns indexed by row, and the way from (channel, circuit id) to a row's leg.
 *
 * A row has two legs: `row * 2 + PREV` towards the client and `row * 2 + NEXT` away from it. A leg ends at a channel
 * of this worker (port = channel slot, id = circuit id), at another worker's row (port = ringPort(worker), id = row,
 * peerGeneration = its generation), or nowhere yet (port = NO_PORT). The owner's row holds the relay crypto; a
 * transit row only joins a ring to a channel; an origin row, that of a circuit which we started ourselves, has no PREV
 * leg ever. A handle is (row, generation): generations never repeat for a row until 2^32 circuits have used it.
 * Invariants: a leg is among its port's active ones exactly while it has queued cells; a leg with a channel port is in
 * that channel's chain and in the index.
 */
import type { LegPriority } from '../channel/active-legs.ts';
import type { RelayLayer } from '../crypto/layer/layer.ts';
import type { CircuitLeg } from './conflux-legs.ts';

export const PREV = 0;
export const NEXT = 1;

export const NO_PORT = -1;
export const NO_LEG = -1;

/** Kinds of row. */
export const FREE = 0;
export const OWNED = 1;
export const TRANSIT = 2;
export const ORIGIN = 3;

/** States of a row. */
export const CREATING = 1;
export const OPEN = 2;
/** The next hop has been asked for and has not answered. */
export const EXTENDING = 3;

/** The port number of the ring to a worker. */
export function ringPort(worker: number): number {
  return -2 - worker;
}

/** The worker behind a ring port. */
export function portWorker(port: number): number {
  return -2 - port;
}

/** Columns and index. One per worker. */
export class CircuitTable implements LegPriority {
  kind: Uint8Array;
  state: Uint8Array;
  generation: Uint32Array;
  /** RELAY_EARLY cells seen going forward. */
  relayEarly: Uint8Array;
  /** Numbers the extends and truncates of a row, so that what comes late of an earlier one is told apart. */
  attempt: Uint32Array;
  createdMs: Float64Array;
  layer: (RelayLayer | null)[];
  /** Cells per SENDME, as congestion control was negotiated; 0 without it. */
  ccSendmeInc: Uint8Array;
  /** What a circuit is as a leg of a conflux set; null when it is none. */
  conflux: (CircuitLeg | null)[];
  /** Body of the CREATE cell that waits for the next channel; `setPendingCreate` writes it. */
  pendingCreate: (Uint8Array | null)[];
  /** Bytes of all of them. */
  pendingBytes = 0;
  /** 1 where the next hop is asked by CREATE_FAST instead of CREATE2. */
  fast: Uint8Array;
  /** Deadline of the extend in progress. */
  deadlineMs: Float64Array;

  port: Int32Array;
  id: Uint32Array;
  peerGeneration: Uint32Array;
  /** For a leg to a ring: 1 once the far row is known. */
  ringReady: Uint8Array;
  queueHead: Int32Array;
  queueTail: Int32Array;
  queueCells: Int32Array;
  /** 1 while the edge wants to know when the leg's queue is down to cellq_low. */
  lowWatch: Uint8Array;
  /** Decayed count of the cells sent on a leg, in units of `circuit/ewma`. */
  sent: Float64Array;
  turn: Float64Array;
  heapAt: Int32Array;
  /** First and last of a leg's cells in `relay-batch`; the first is -1 while there is none. */
  batchFirst: Int32Array;
  batchLast: Int32Array;
  chainNext: Int32Array;
  chainPrev: Int32Array;

  /** Rows in use. */
  count = 0;
  capacity: number;
  private freeRow: Int32Array;
  private freeCount: number;

  private index: Int32Array;
  private indexMask: number;
  private readonly seed: number;

  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.seed = seed | 0;
    this.kind = new Uint8Array(capacity);
    this.state = new Uint8Array(capacity);
    this.generation = new Uint32Array(capacity);
    this.relayEarly = new Uint8Array(capacity);
    this.fast = new Uint8Array(capacity);
    this.attempt = new Uint32Array(capacity);
    this.createdMs = new Float64Array(capacity);
    this.deadlineMs = new Float64Array(capacity);
    this.ccSendmeInc = new Uint8Array(capacity);
    this.layer = new Array<RelayLayer | null>(capacity).fill(null);
    this.conflux = new Array<CircuitLeg | null>(capacity).fill(null);
    this.pendingCreate = new Array<Uint8Array | null>(capacity).fill(null);
    const legs = capacity * 2;
    this.port = new Int32Array(legs).fill(NO_PORT);
    this.id = new Uint32Array(legs);
    this.peerGeneration = new Uint32Array(legs);
    this.ringReady = new Uint8Array(legs);
    this.queueHead = new Int32Array(legs).fill(-1);
    this.queueTail = new Int32Array(legs).fill(-1);
    this.queueCells = new Int32Array(legs);
    this.lowWatch = new Uint8Array(legs);
    this.sent = new Float64Array(legs);
    this.turn = new Float64Array(legs);
    this.heapAt = new Int32Array(legs).fill(-1);
    this.batchFirst = new Int32Array(legs).fill(-1);
    this.batchLast = new Int32Array(legs);
    this.chainNext = new Int32Array(legs).fill(-1);
    this.chainPrev = new Int32Array(legs).fill(-1);
    this.freeRow = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this.freeRow[i] = capacity - 1 - i;
    this.freeCount = capacity;
    let size = 16;
    while (size < capacity * 4) size *= 2;
    this.index = new Int32Array(size).fill(NO_LEG);
    this.indexMask = size - 1;
  }

  /** Take a row; its legs end nowhere. */
  alloc(kind: number, state: number, nowMs: number): number {
    if (this.freeCount === 0) this.grow();
    const row = this.freeRow[--this.freeCount]!;
    this.kind[row] = kind;
    this.state[row] = state;
    this.relayEarly[row] = 0;
    this.fast[row] = 0;
    this.attempt[row] = 0;
    this.createdMs[row] = nowMs;
    this.deadlineMs[row] = 0;
    this.ccSendmeInc[row] = 0;
    this.sent[row * 2] = 0;
    this.sent[row * 2 + 1] = 0;
    this.count++;
    return row;
  }

  /** Give a row back. Its legs must be unbound and its queues empty. */
  release(row: number): void {
    this.kind[row] = FREE;
    this.state[row] = 0;
    this.layer[row] = null;
    this.setPendingCreate(row, null);
    this.generation[row] = (this.generation[row]! + 1) >>> 0;
    this.batchFirst[row * 2] = -1;
    this.batchFirst[row * 2 + 1] = -1;
    this.lowWatch[row * 2] = 0;
    this.lowWatch[row * 2 + 1] = 0;
    this.freeRow[this.freeCount++] = row;
    this.count--;
  }

  /** Let a CREATE body wait for a row's next channel, or no longer. */
  setPendingCreate(row: number, body: Uint8Array | null): void {
    const before = this.pendingCreate[row]!;
    if (before !== null) this.pendingBytes -= before.length;
    if (body !== null) this.pendingBytes += body.length;
    this.pendingCreate[row] = body;
  }

  /** Whether a handle still names a live circuit. */
  isLive(row: number, generation: number): boolean {
    return row < this.capacity && this.kind[row] !== FREE && this.generation[row] === generation;
  }

  private slotOf(port: number, id: number): number {
    let h = Math.imul(port ^ this.seed, 0x9e3779b1) ^ Math.imul(id | 0, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return (h ^ (h >>> 13)) & this.indexMask;
  }

  /** Find the leg with this circuit id on this channel, or NO_LEG. */
  find(port: number, id: number): number {
    const index = this.index;
    const mask = this.indexMask;
    let at = this.slotOf(port, id);
    for (;;) {
      const leg = index[at]!;
      if (leg === NO_LEG) return NO_LEG;
      if (this.id[leg] === id && this.port[leg] === port) return leg;
      at = (at + 1) & mask;
    }
  }

  /** Give a leg its channel and circuit id. The id must be unused there. */
  bindChannel(leg: number, port: number, id: number): void {
    this.port[leg] = port;
    this.id[leg] = id;
    let at = this.slotOf(port, id);
    while (this.index[at] !== NO_LEG) at = (at + 1) & this.indexMask;
    this.index[at] = leg;
  }

  /** Take a leg's channel away again. */
  unbindChannel(leg: number): void {
    const index = this.index;
    const mask = this.indexMask;
    let at = this.slotOf(this.port[leg]!, this.id[leg]!);
    while (index[at] !== leg) at = (at + 1) & mask;
    // Close the gap, so that no probe stops before an entry that was displaced past it.
    let hole = at;
    let look = at;
    for (;;) {
      look = (look + 1) & mask;
      const other = index[look]!;
      if (other === NO_LEG) break;
      const home = this.slotOf(this.port[other]!, this.id[other]!);
      if (((look - home) & mask) >= ((look - hole) & mask)) {
        index[hole] = other;
        hole = look;
      }
    }
    index[hole] = NO_LEG;
    this.port[leg] = NO_PORT;
  }

  private grow(): void {
    const before = this.capacity;
    const after = before * 2;
    this.kind = grown(this.kind, new Uint8Array(after));
    this.state = grown(this.state, new Uint8Array(after));
    this.generation = grown(this.generation, new Uint32Array(after));
    this.relayEarly = grown(this.relayEarly, new Uint8Array(after));
    this.fast = grown(this.fast, new Uint8Array(after));
    this.attempt = grown(this.attempt, new Uint32Array(after));
    this.createdMs = grown(this.createdMs, new Float64Array(after));
    this.deadlineMs = grown(this.deadlineMs, new Float64Array(after));
    this.ccSendmeInc = grown(this.ccSendmeInc, new Uint8Array(after));
    for (let i = before; i < after; i++) {
      this.layer.push(null);
      this.conflux.push(null);
      this.pendingCreate.push(null);
    }
    const legs = after * 2;
    this.port = grown(this.port, new Int32Array(legs).fill(NO_PORT));
    this.id = grown(this.id, new Uint32Array(legs));
    this.peerGeneration = grown(this.peerGeneration, new Uint32Array(legs));
    this.ringReady = grown(this.ringReady, new Uint8Array(legs));
    this.queueHead = grown(this.queueHead, new Int32Array(legs).fill(-1));
    this.queueTail = grown(this.queueTail, new Int32Array(legs).fill(-1));
    this.queueCells = grown(this.queueCells, new Int32Array(legs));
    this.lowWatch = grown(this.lowWatch, new Uint8Array(legs));
    this.sent = grown(this.sent, new Float64Array(legs));
    this.turn = grown(this.turn, new Float64Array(legs));
    this.heapAt = grown(this.heapAt, new Int32Array(legs).fill(-1));
    this.batchFirst = grown(this.batchFirst, new Int32Array(legs).fill(-1));
    this.batchLast = grown(this.batchLast, new Int32Array(legs));
    this.chainNext = grown(this.chainNext, new Int32Array(legs).fill(-1));
    this.chainPrev = grown(this.chainPrev, new Int32Array(legs).fill(-1));
    const free = new Int32Array(after);
    for (let i = 0; i < before; i++) free[i] = after - 1 - i;
    this.freeRow = free;
    this.freeCount = before;
    this.capacity = after;
    this.growIndex();
  }

  private growIndex(): void {
    let size = this.index.length;
    while (size < this.capacity * 4) size *= 2;
    const old = this.index;
    this.index = new Int32Array(size).fill(NO_LEG);
    this.indexMask = size - 1;
    for (let i = 0; i < old.length; i++) {
      const leg = old[i]!;
      if (leg === NO_LEG) continue;
      let at = this.slotOf(this.port[leg]!, this.id[leg]!);
      while (this.index[at] !== NO_LEG) at = (at + 1) & this.indexMask;
      this.index[at] = leg;
    }
  }
}

function grown<T extends Uint8Array | Int32Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
