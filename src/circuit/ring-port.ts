/**
 * @hot
 * The rings to and from one other worker, and what waits for room in the outgoing one.
 *
 * While the outgoing ring is full the port is *congested*: cells wait in their legs' queues, as with a channel, and
 * the channels whose cells came here are paused. Control messages that found no room are *owed* and go first. Words
 * of a slot: KIND, row, generation, attempt, then three more by kind.
 * - CELL: to (row, generation); payload is the cell.
 * - CELLS: to (row, generation); word 4 the count; payload, over as many slots as it needs, are RELAY cells.
 * - BODIES: the same, but for the bodies alone, as a cipher takes them.
 * - OPEN_LEG: from (row, generation, attempt); words 4 and 5 the roster handle, low part first, 6 length of the CREATE2
 *   body. OPEN_LEG_FAST: the same, for the body of a CREATE_FAST.
 * - LEG_READY: to (row, generation, attempt); word 4 our row, 5 its generation.
 * - LEG_DESTROY: to (row, generation, attempt); word 4 the reason.
 * - LEG_QUEUE_FULL: to (row, generation, attempt), before the LEG_DESTROY: the queue away from the client was full.
 * The attempt number tells what belongs to this extend from what belongs to one that was truncated.
 * What joints say to each other (`joint` knows the words) keeps its own order, behind control messages that are owed.
 */
import { BODY_BYTES, CELL_BYTES, copyCell, joinCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { type ActiveLegs, NO_LEGS } from '../channel/active-legs.ts';
import { type Ring, SLOT_HEADER_BYTES, SLOT_STRIDE, SlotKind } from '../shm/ring.ts';
import { Fifo } from './fifo.ts';

/** A roster handle is longer than one word. */
export const WORD = 0x100000000;
const NOTHING = new Uint8Array(0);
/**
 * With so much owed no leg more is opened. Each leg that is open may add its own few messages still; so what is owed
 * is bounded, as legs are.
 */
export const OWED_MAX = 4096;

/** What an owed message fills besides its body. */
export const OWED_BYTES = 128;

/** Slots that so many cells, or bodies alone, fill together. */
export function spanOf(kind: number, count: number): number {
  const each = kind === SlotKind.CELLS ? CELL_BYTES : BODY_BYTES;
  return Math.ceil((SLOT_HEADER_BYTES + count * each) / SLOT_STRIDE);
}

/** A control message that found no room; `body` is the CREATE cell's of an OPEN_LEG. */
interface Owed {
  readonly kind: number;
  readonly row: number;
  readonly generation: number;
  readonly attempt: number;
  readonly word4: number;
  readonly word5: number;
  readonly body: Uint8Array | null;
}

/** Who has joint messages waiting here, and how many: what bounds each one's. */
export interface JointSender {
  waitingJoints: number;
}

/** A joint message that found no room. */
interface WaitingJoint {
  readonly kind: number;
  readonly words: readonly [number, number, number, number, number];
  readonly body: Uint8Array;
  readonly sender: JointSender;
}

/** One worker's side of the rings to another. */
export class RingPort implements ActiveLegs {
  readonly worker: number;
  readonly outgoing: Ring;
  readonly incoming: Ring;
  congested = false;
  activeLegs = NO_LEGS;
  activeCount = 0;
  /** Slots of channels that are paused until the outgoing ring has room. */
  readonly pausedChannels: number[] = [];
  /** Something was put since the last publish. */
  unpublished = false;
  /** Bytes that owed messages fill. */
  owedBytes = 0;
  /** Bytes that waiting joint messages fill. */
  jointBytes = 0;
  private readonly owed = new Fifo<Owed>();
  private readonly joints = new Fifo<WaitingJoint>();

  constructor(worker: number, outgoing: Ring, incoming: Ring) {
    this.worker = worker;
    this.outgoing = outgoing;
    this.incoming = incoming;
  }

  /** Control messages that wait for room. */
  get owedCount(): number {
    return this.owed.length;
  }

  /** Joint messages that wait for room. */
  get jointCount(): number {
    return this.joints.length;
  }

  /** Copy a cell to the other worker's row. False when the ring is full. */
  putCell(row: number, generation: number, attempt: number, bytes: Uint8Array, at: number): boolean {
    const offset = this.slotOfCell(row, generation, attempt);
    if (offset < 0) return false;
    copyCell(bytes, at, this.outgoing.u8, offset);
    this.outgoing.commit();
    return true;
  }

  /** Put a cell together for the other worker's row, whose body is at `at` of `body`. False when the ring is full. */
  putBody(
    row: number,
    generation: number,
    attempt: number,
    command: number,
    body: Uint8Array,
    at: number,
  ): boolean {
    const offset = this.slotOfCell(row, generation, attempt);
    if (offset < 0) return false;
    joinCell(0, command, body, at, this.outgoing.u8, offset);
    this.outgoing.commit();
    return true;
  }

  /**
   * Make room for `count` RELAY cells, or their bodies (CELLS, BODIES), to be filled at once and then committed with
   * `commitSpan`. Returns where the first goes, or -1 when there is no room for all in a row: single cells may still
   * find some.
   */
  spanFor(kind: number, row: number, generation: number, attempt: number, count: number): number {
    const ring = this.outgoing;
    const offset = ring.reserveSpan(spanOf(kind, count));
    if (offset < 0) return -1;
    const words = ring.u32;
    const w = offset >> 2;
    words[w] = kind;
    words[w + 1] = row;
    words[w + 2] = generation;
    words[w + 3] = attempt;
    words[w + 4] = count;
    this.unpublished = true;
    return offset + SLOT_HEADER_BYTES;
  }

  /** What `spanFor` made room for is in its place. */
  commitSpan(kind: number, count: number): void {
    this.outgoing.commit(spanOf(kind, count));
  }

  /**
   * Put RELAY cells together for the other worker's row, whose bodies stand one behind the other from `at`. False when
   * there is no room for all in a row.
   */
  putCells(
    row: number,
    generation: number,
    attempt: number,
    bodies: Uint8Array,
    at: number,
    count: number,
  ): boolean {
    const to = this.spanFor(SlotKind.CELLS, row, generation, attempt, count);
    if (to < 0) return false;
    const { u8 } = this.outgoing;
    for (let i = 0; i < count; i++) {
      joinCell(0, Command.RELAY, bodies, at + i * BODY_BYTES, u8, to + i * CELL_BYTES);
    }
    this.commitSpan(SlotKind.CELLS, count);
    return true;
  }

  /** Reserve a slot for a cell and write its header. Returns where the cell goes, or -1 when the ring is full. */
  private slotOfCell(row: number, generation: number, attempt: number): number {
    const ring = this.outgoing;
    const offset = ring.reserve(false);
    if (offset < 0) return -1;
    const words = ring.u32;
    const w = offset >> 2;
    words[w] = SlotKind.CELL;
    words[w + 1] = row;
    words[w + 2] = generation;
    words[w + 3] = attempt;
    this.unpublished = true;
    return offset + SLOT_HEADER_BYTES;
  }

  /** Ask the other worker to open a leg, now or as soon as there is room. `create` is kept until then. */
  putOpenLeg(
    row: number,
    generation: number,
    attempt: number,
    rosterHandle: number,
    create: Uint8Array,
    isFast: boolean,
  ): void {
    const low = rosterHandle % WORD;
    const high = Math.floor(rosterHandle / WORD);
    const kind = isFast ? SlotKind.OPEN_LEG_FAST : SlotKind.OPEN_LEG;
    this.put(kind, row, generation, attempt, low, high, create);
  }

  /** Send a small control message, now or as soon as there is room. Never lost, never out of order. */
  putControl(
    kind: number,
    row: number,
    generation: number,
    attempt: number,
    word4: number,
    word5: number,
  ): void {
    this.put(kind, row, generation, attempt, word4, word5, null);
  }

  /** Send what is owed. True when nothing is left. */
  payOwed(): boolean {
    for (let next = this.owed.peek(); next !== null; next = this.owed.peek()) {
      const { kind, row, generation, attempt, word4, word5, body } = next;
      if (!this.tryControl(kind, row, generation, attempt, word4, word5, body)) return false;
      this.owed.pop();
      this.owedBytes -= OWED_BYTES + (body === null ? 0 : body.length);
    }
    return true;
  }

  private put(
    kind: number,
    row: number,
    generation: number,
    attempt: number,
    word4: number,
    word5: number,
    body: Uint8Array | null,
  ): void {
    const waits = this.owed.length > 0;
    if (!waits && this.tryControl(kind, row, generation, attempt, word4, word5, body)) return;
    this.owed.push({ kind, row, generation, attempt, word4, word5, body });
    this.owedBytes += OWED_BYTES + (body === null ? 0 : body.length);
    this.congested = true;
  }

  private tryControl(
    kind: number,
    row: number,
    generation: number,
    attempt: number,
    word4: number,
    word5: number,
    body: Uint8Array | null,
  ): boolean {
    if (body === null) return this.tryPut(kind, row, generation, attempt, word4, word5, NOTHING, 0, 0);
    return this.tryPut(kind, row, generation, attempt, word4, word5, body, 0, body.length);
  }

  /** Fill a slot: kind, five words, the length of what follows, `length` bytes from `at`. False when the ring is full. */
  private tryPut(
    kind: number,
    word1: number,
    word2: number,
    word3: number,
    word4: number,
    word5: number,
    bytes: Uint8Array,
    at: number,
    length: number,
  ): boolean {
    const ring = this.outgoing;
    const offset = ring.reserve(kind !== SlotKind.RELAY_MESSAGE);
    if (offset < 0) return false;
    const words = ring.u32;
    const w = offset >> 2;
    words[w] = kind;
    words[w + 1] = word1;
    words[w + 2] = word2;
    words[w + 3] = word3;
    words[w + 4] = word4;
    words[w + 5] = word5;
    words[w + 6] = length;
    if (length > 0) ring.u8.set(bytes.subarray(at, at + length), offset + SLOT_HEADER_BYTES);
    ring.commit();
    this.unpublished = true;
    return true;
  }

  /**
   * Send a joint message with `length` bytes of `bytes` from `at`, now or as soon as there is room. Never lost, never
   * out of order with other joint messages. False when it waits.
   */
  putJoint(
    kind: number,
    word1: number,
    word2: number,
    word3: number,
    word4: number,
    word5: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    sender: JointSender,
  ): boolean {
    const waits = this.joints.length > 0;
    if (!waits && this.tryPut(kind, word1, word2, word3, word4, word5, bytes, at, length)) return true;
    const body = bytes.slice(at, at + length);
    this.joints.push(createWaiting(kind, word1, word2, word3, word4, word5, body, sender));
    this.jointBytes += OWED_BYTES + length;
    sender.waitingJoints++;
    this.congested = true;
    return false;
  }

  /** Send the joint messages that wait. True when none is left. */
  payJoints(): boolean {
    for (let next = this.joints.peek(); next !== null; next = this.joints.peek()) {
      const { kind, words, body, sender } = next;
      const [word1, word2, word3, word4, word5] = words;
      if (!this.tryPut(kind, word1, word2, word3, word4, word5, body, 0, body.length)) return false;
      this.joints.pop();
      this.jointBytes -= OWED_BYTES + body.length;
      sender.waitingJoints--;
    }
    return true;
  }
}

function createWaiting(
  kind: number,
  word1: number,
  word2: number,
  word3: number,
  word4: number,
  word5: number,
  body: Uint8Array,
  sender: JointSender,
): WaitingJoint {
  return { kind, words: [word1, word2, word3, word4, word5], body, sender };
}
