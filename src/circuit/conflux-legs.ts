/**
 * Circuits of this worker as legs of conflux sets: joining, what passes on to the set's home and comes back from it.
 *
 * A LINK becomes an ask to the registry of its nonce; the home answers, and only then LINKED goes out. Until then the
 * client may say nothing of streams. What is a circuit's own stays here: its ciphers, SENDMEs and windows. If the home
 * is another worker, messages of streams cross unordered and are put in order there; what the home wants sent comes as
 * ready bodies, at most as many DATA as the leg said that it has room for: it tells a limit, counted from the
 * beginning, whenever that moved.
 * Invariants: a row has at most one leg; a leg that is pending or remote is found by its token.
 * Who calls: `edge/` with messages and changes of room, `close` when a circuit ends, `conflux-hub` with mail.
 * @source proposal 329; refusals as C tor 0.4.9
 */
import { BODY_BYTES } from '../cell/cell.ts';
import {
  CONFLUX_NONCE_BYTES,
  type ConfluxLink,
  ConfluxUx,
  decodeConfluxLink,
  encodeConfluxLink,
} from '../cell/conflux.ts';
import { DestroyReason } from '../cell/reason.ts';
import { DATA_AT, RelayCommand, relayCommand, relayLength, relayStreamId } from '../cell/relay-message.ts';
import { Malformed, Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { pauseSource } from './cell-queue.ts';
import { NEXT, NO_PORT, OPEN } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { ConfluxHub } from './conflux-hub.ts';
import type { CircuitPlane } from './plane.ts';
import type { JointSender } from './ring-port.ts';

/** Bodies from a home that are sealed together. */
const TOGETHER = 32;
const USEC_PER_MS = 1000;
const NO_HOME = -1;

/** Bits of what a circuit comes over: a link from a client, or one from a relay of the consensus. */
export const OVER_CLIENT = 1;
export const OVER_LISTED = 2;

/** One circuit of this worker in a set, or on its way into one. */
export class CircuitLeg implements JointSender {
  readonly row: number;
  readonly token: number;
  readonly nonce: Uint8Array;
  /** The worker that is home to the set; NO_HOME until it has answered. */
  home = NO_HOME;
  linkedMs = 0;
  /** Round-trip time in microseconds, as last measured; 0 before LINKED_ACK. */
  rttUs = 0;
  waitingJoints = 0;
  /** DATA that a home elsewhere had us send, and what it was told last. */
  taken = 0;
  limitTold = 0;
  rttTold = 0;
  isDirty = false;

  constructor(row: number, token: number, nonce: Uint8Array) {
    this.row = row;
    this.token = token;
    this.nonce = nonce;
  }

  get isLinked(): boolean {
    return this.home !== NO_HOME;
  }
}

/** What is decoded of an ask's terms. */
export interface LinkTerms {
  readonly lastSeqSent: number;
  readonly lastSeqRecv: number;
  readonly desiredUx: number;
  /** What the circuit comes over: OVER_CLIENT, OVER_LISTED. */
  readonly over: number;
}

const TERMS_BYTES = CONFLUX_NONCE_BYTES + 8 + 8 + 2;

/** Put what a home must know of a LINK behind the key. */
export function encodeTerms(link: ConfluxLink, over: number): Uint8Array {
  const terms = new Uint8Array(TERMS_BYTES);
  const view = new DataView(terms.buffer);
  terms.set(link.nonce);
  // Past 2^53 the numbers are wrong in any case, and stay so when rounded.
  view.setFloat64(CONFLUX_NONCE_BYTES, Number(link.lastSeqSent));
  view.setFloat64(CONFLUX_NONCE_BYTES + 8, Number(link.lastSeqRecv));
  terms[CONFLUX_NONCE_BYTES + 16] = link.desiredUx;
  terms[CONFLUX_NONCE_BYTES + 17] = over;
  return terms;
}

/** Read terms. */
export function decodeTerms(terms: Uint8Array): LinkTerms {
  const view = new DataView(terms.buffer, terms.byteOffset);
  return {
    lastSeqSent: view.getFloat64(CONFLUX_NONCE_BYTES),
    lastSeqRecv: view.getFloat64(CONFLUX_NONCE_BYTES + 8),
    desiredUx: terms[CONFLUX_NONCE_BYTES + 16]!,
    over: terms[CONFLUX_NONCE_BYTES + 17]!,
  };
}

/** The legs of one worker. */
export class ConfluxLegs {
  private readonly plane: CircuitPlane;
  private readonly hub: ConfluxHub;
  private readonly byToken = new Map<number, CircuitLeg>();
  private readonly dirty: CircuitLeg[] = [];
  private nextToken: number;
  /** Bodies of one leg that a home sent, to be sealed together. */
  private readonly bodies = new Uint8Array(TOGETHER * BODY_BYTES);
  private gathered = 0;
  private gatheredFor: CircuitLeg | null = null;

  constructor(plane: CircuitPlane, hub: ConfluxHub) {
    this.plane = plane;
    this.hub = hub;
    this.nextToken = plane.random.u32();
  }

  /** The leg that a row is; null when it is none. */
  of(row: number): CircuitLeg | null {
    return this.plane.table.conflux[row] ?? null;
  }

  /** Legs that wait for an answer, or have their home elsewhere. */
  get tokens(): number {
    return this.byToken.size;
  }

  /** A LINK came. @throws Violation, Malformed: the circuit is closed, and with it nothing else */
  onLink(row: number, data: Uint8Array): void {
    const { plane } = this;
    const { table } = plane;
    const { confluxEnabled } = plane.options;
    if (!confluxEnabled) throw refusal('conflux_off_refused', 'conflux is off');
    if (table.ccSendmeInc[row] === 0) throw refusal('conflux_uncontrolled_refused', 'no congestion control');
    this.expectNoFurtherHops(row);
    if (this.of(row) !== null) throw refusal('conflux_twice_refused', 'a circuit links once');
    if (this.hub.end.hasStreams(row))
      throw refusal('conflux_streams_refused', 'a circuit with streams cannot link');
    let link: ConfluxLink;
    try {
      link = decodeConfluxLink(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw refusal('conflux_link_malformed', error.message);
    }
    const leg = new CircuitLeg(row, this.freeToken(), link.nonce.slice());
    table.conflux[row] = leg;
    this.byToken.set(leg.token, leg);
    const terms = encodeTerms(link, this.hub.end.over(row));
    const wanted = { worker: plane.worker, token: leg.token, key: leg.nonce.toHex(), terms };
    if (!this.hub.ask(wanted)) throw refusal('conflux_registry_away', 'the registry is gone for now');
  }

  private freeToken(): number {
    do this.nextToken = (this.nextToken + 1) >>> 0;
    while (this.byToken.has(this.nextToken));
    return this.nextToken;
  }

  /** As C tor: what belongs to a set comes over circuits that end here. */
  expectNoFurtherHops(row: number): void {
    const { table } = this.plane;
    if (table.port[row * 2 + NEXT] === NO_PORT && table.state[row] === OPEN) return;
    throw refusal('conflux_further_hops_refused', 'a leg has no further hops');
  }

  /** The leg of this token that waits for an answer; null when there is none any more. */
  pending(token: number): CircuitLeg | null {
    const leg = this.byToken.get(token) ?? null;
    return leg === null || leg.isLinked ? null : leg;
  }

  /** The home took a leg in: tell the client. */
  onJoined(home: number, token: number, lastSeqSent: number, delivered: number): void {
    const leg = this.byToken.get(token) ?? null;
    if (leg === null || leg.isLinked) {
      // It ended meanwhile.
      if (leg === null && home !== this.plane.worker) this.hub.mail.gone(home, token, false, 0);
      return;
    }
    leg.home = home;
    leg.linkedMs = this.plane.nowMs;
    this.plane.counters.add(Counter.conflux_legs_linked, 1);
    if (home === this.plane.worker) this.byToken.delete(token);
    else this.plane.counters.add(Counter.conflux_legs_remote, 1);
    this.hub.end.send(
      leg.row,
      RelayCommand.CONFLUX_LINKED,
      0,
      encodeConfluxLink({
        nonce: leg.nonce,
        lastSeqSent: BigInt(lastSeqSent),
        lastSeqRecv: BigInt(delivered),
        // As C tor's exits: what comes from one client should come in order.
        desiredUx: ConfluxUx.MIN_LATENCY,
      }),
    );
  }

  /** The home did not take a leg in. */
  onRefused(token: number, reason: number): void {
    const leg = this.byToken.get(token) ?? null;
    if (leg !== null) closeCircuit(this.plane, leg.row, reason, reason);
  }

  /**
   * LINKED_ACK came: the round trip is known. Returns the leg. A second one is C tor's client's affair.
   * @throws Violation
   */
  onLinkedAck(row: number): CircuitLeg {
    const leg = this.of(row);
    if (leg === null || !leg.isLinked) {
      throw refusal('conflux_unexpected_linked_ack', 'LINKED_ACK without LINKED');
    }
    this.expectNoFurtherHops(row);
    leg.rttUs = Math.max(1, Math.round((this.plane.nowMs - leg.linkedMs) * USEC_PER_MS));
    return leg;
  }

  /** Pass a message on to a home on another worker. The reader pauses while the ring is full. @throws Violation */
  passOn(leg: CircuitLeg, command: number, streamId: number, data: Uint8Array): void {
    const { plane } = this;
    if (leg.waitingJoints >= plane.options.circQueueCellsMaxOut) {
      throw new Violation(
        'circuit',
        DestroyReason.RESOURCELIMIT,
        'joint_queue_full',
        'too much waits for a ring',
      );
    }
    if (this.hub.mail.toHome(leg.home, leg.token, command, streamId, data, leg)) return;
    const port = plane.ports[leg.home] ?? null;
    if (port !== null) pauseSource(plane, leg.row * 2 + NEXT, port);
  }

  /** A home elsewhere has us send a body. */
  onFromHome(token: number, bytes: Uint8Array, at: number): void {
    const leg = this.byToken.get(token) ?? null;
    if (leg === null || !leg.isLinked) {
      this.plane.counters.add(Counter.joint_stale, 1);
      return;
    }
    if (relayCommand(bytes, at) !== RelayCommand.DATA) {
      this.settle();
      // The bodies that were gathered may have ended it.
      if (this.byToken.get(token) !== leg) return;
      const length = relayLength(bytes, at);
      const data = bytes.subarray(at + DATA_AT, at + DATA_AT + length);
      this.hub.end.send(leg.row, relayCommand(bytes, at), relayStreamId(bytes, at), data);
      return;
    }
    if (this.gatheredFor !== leg || this.gathered === TOGETHER) this.settle();
    if (this.byToken.get(token) !== leg) return;
    this.gatheredFor = leg;
    this.bodies.set(bytes.subarray(at, at + BODY_BYTES), this.gathered * BODY_BYTES);
    this.gathered++;
  }

  /** Seal and send the bodies that were gathered. */
  settle(): void {
    const leg = this.gatheredFor;
    const count = this.gathered;
    this.gatheredFor = null;
    this.gathered = 0;
    if (leg === null || this.byToken.get(leg.token) !== leg) return;
    leg.taken = (leg.taken + count) >>> 0;
    this.mark(leg);
    this.hub.end.sendBodies(leg.row, this.bodies, count);
  }

  /** A leg with its home elsewhere may have other room, or another round-trip time: to be told at the end of the turn. */
  mark(leg: CircuitLeg): void {
    if (leg.isDirty) return;
    leg.isDirty = true;
    this.dirty.push(leg);
    this.plane.wake();
  }

  /** Tell homes what changed. What cannot be told now, as the ring is full, is told later. */
  publish(): void {
    if (this.dirty.length === 0) return;
    let kept = 0;
    for (const leg of this.dirty) {
      if (this.byToken.get(leg.token) !== leg) continue;
      if (this.plane.ports[leg.home]?.congested) {
        this.dirty[kept++] = leg;
        continue;
      }
      leg.isDirty = false;
      const limit = (leg.taken + this.hub.end.room(leg.row)) >>> 0;
      if (limit === leg.limitTold && leg.rttUs === leg.rttTold) continue;
      leg.limitTold = limit;
      leg.rttTold = leg.rttUs;
      this.hub.mail.room(leg.home, leg.token, limit, leg.rttUs);
    }
    this.dirty.length = kept;
  }

  /** The home wants a circuit of ours closed. */
  onClose(token: number, reason: number): void {
    const leg = this.byToken.get(token) ?? null;
    if (leg === null) return;
    // It knows.
    this.byToken.delete(token);
    closeCircuit(this.plane, leg.row, reason, reason);
  }

  /** A circuit is ending. Returns the leg that it was; its home, if elsewhere, is told. */
  onCircuitClosed(row: number): CircuitLeg | null {
    const leg = this.of(row);
    if (leg === null) return null;
    this.plane.table.conflux[row] = null;
    if (this.byToken.delete(leg.token) && leg.isLinked) {
      this.hub.mail.gone(leg.home, leg.token, this.hub.end.inFlight(row), leg.taken);
    }
    return leg;
  }

  /** A worker died: legs whose home it was end, and those that wait for an answer, which it may have had in hand. */
  detach(worker: number): void {
    const reason = DestroyReason.CHANNEL_CLOSED;
    for (const leg of [...this.byToken.values()]) {
      if (leg.home !== worker && leg.isLinked) continue;
      this.byToken.delete(leg.token);
      this.plane.counters.add(Counter.conflux_home_died, 1);
      closeCircuit(this.plane, leg.row, reason, reason);
    }
  }
}

function refusal(counter: string, why: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, counter, why);
}
