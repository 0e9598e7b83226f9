/**
 * A conflux set at the exit end: several circuits of one client that carry the same streams.
 *
 * Messages of streams are numbered over all legs. Each side sends on one leg at a time; when it goes over to another,
 * a SWITCH there says by how much the number of that leg lags behind. What comes too early waits, each leg's in a line
 * of its own, which is in order already; so the next message is the head of some line. The set decides which leg sends
 * and when all of them have to go; it owns no circuit, no clock and no ring: a `LegPort` does, here or on another
 * worker.
 * Invariants: `delivered` grows by one per message handed on; a message that waits has a greater number; `current` is
 * a leg, and no leg has sent further than it.
 * As in C tor 0.4.9, whose cfx_send_pct and cfx_drain_pct never come into play: it keeps its count of cells to send
 * before the next switch at 0, so every message may switch.
 * @source proposal 329
 */
import { ConfluxUx, encodeConfluxSwitch } from '../cell/conflux.ts';
import { DestroyReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { assert, Violation } from '../fault.ts';
import { Fifo } from './fifo.ts';

/** The leg with the least round-trip time sends, and no other: what comes is in order. */
export const MIN_RTT = 0;
/** Of the legs with room the one with the least round-trip time sends: all windows are used, and the reader reorders. */
export const LOW_RTT = 1;

/** How to send for what the other side asked for, as C tor chooses. */
export function confluxAlgorithm(desiredUx: number): number {
  const wantsAll = desiredUx === ConfluxUx.NO_OPINION || desiredUx === ConfluxUx.HIGH_THROUGHPUT;
  return wantsAll ? LOW_RTT : MIN_RTT;
}

/** Whether a relay command is numbered and may go on any leg; all others belong to the circuit that they come on. */
export function isMultiplexed(command: number): boolean {
  switch (command) {
    case RelayCommand.BEGIN:
    case RelayCommand.DATA:
    case RelayCommand.END:
    case RelayCommand.CONNECTED:
    case RelayCommand.RESOLVE:
    case RelayCommand.RESOLVED:
    case RelayCommand.XOFF:
    case RelayCommand.XON:
      return true;
    default:
      return false;
  }
}

/** Numbers past this are as good as none: each SWITCH adds up to 2^32. */
const SEQ_MAX = Number.MAX_SAFE_INTEGER - 2 ** 33;
/** A SWITCH cannot say more. */
const RELATIVE_SEQ_MAX = 2 ** 32 - 1;
/** What a waiting message fills besides its data. */
export const WAITING_BYTES = 96;

/** A leg as its set sees it, wherever its circuit lives. */
export interface LegPort {
  /** DATA messages that may be sent on it now. */
  room(): number;
  /** Send a relay message. False when the leg died of it. */
  send(command: number, streamId: number, data: Uint8Array): boolean;
  /** Send `count` ready bodies of DATA, one behind the other. False when the leg died of it. */
  sendBodies(bodies: Uint8Array, count: number): boolean;
  /** End its circuit; it does not tell the set. */
  close(reason: number): void;
}

/** A message that came before those that it follows. */
export interface WaitingMessage {
  readonly seq: number;
  readonly command: number;
  readonly streamId: number;
  readonly data: Uint8Array;
  /** The port of the leg that it came on, which may be gone. */
  readonly port: LegPort;
  readonly sinceMs: number;
}

/** One circuit of a set. */
export class SetLeg {
  readonly port: LegPort;
  /** Numbers of the last messages that came and went on this leg. */
  lastSeqRecv: number;
  lastSeqSent: number;
  /** Round-trip time in microseconds; 0 while it is not known, and nothing is sent by choice. */
  rttUs = 0;
  readonly waiting = new Fifo<WaitingMessage>();

  constructor(port: LegPort, lastSeqRecv: number, lastSeqSent: number) {
    this.port = port;
    this.lastSeqRecv = lastSeqRecv;
    this.lastSeqSent = lastSeqSent;
  }
}

/** Why a leg may not join, and what that costs. */
export interface LinkRefusal {
  readonly counter: string;
  /** The whole set has to close. */
  readonly endsSet: boolean;
}

/** What a set tells whoever holds it. */
export interface SetKeeper {
  /** The set ended, and so did its legs, for this reason. */
  onSetClosed(set: ConfluxSet): void;
  /** So many bytes more wait for their turn, or fewer. */
  onHeld(bytes: number): void;
  /** A refusal to count that nothing is thrown for. */
  count(counter: string): void;
}

/** The legs of one nonce, and the order of what passes over them. */
export class ConfluxSet {
  readonly legs: SetLeg[] = [];
  /** The number of the last message handed on. */
  delivered = 0;
  /** Bytes of what waits for its turn. */
  heldBytes = 0;
  closed = false;
  /** SWITCH messages sent. */
  switches = 0;
  private algorithm = LOW_RTT;
  private current: SetLeg | null = null;
  /** Lines of legs that are gone, with messages that still count. */
  private orphans: SetLeg[] = [];
  private readonly keeper: SetKeeper;

  constructor(keeper: SetKeeper) {
    this.keeper = keeper;
  }

  /** The last number sent on any leg. */
  get lastSeqSent(): number {
    let most = 0;
    for (const leg of this.legs) if (leg.lastSeqSent > most) most = leg.lastSeqSent;
    return most;
  }

  /** Whether a leg may join whose LINK states these numbers: what the client sent last, and got last. */
  judge(theirSent: number, theirRecv: number, legsMax: number): LinkRefusal | null {
    if (this.legs.length >= legsMax) return { counter: 'conflux_too_many_legs', endsSet: false };
    // It sent what never came, on a leg that is gone.
    if (theirSent > this.delivered) return { counter: 'conflux_data_loss', endsSet: true };
    if (theirRecv > this.lastSeqSent) return { counter: 'conflux_bad_sequence', endsSet: false };
    return null;
  }

  /**
   * Take a leg that `judge` lets in. The last one's wish counts. Its numbers begin at what our LINKED states, as that is
   * where the client begins.
   */
  join(port: LegPort, desiredUx: number): SetLeg {
    const leg = new SetLeg(port, this.delivered, this.lastSeqSent);
    this.legs.push(leg);
    this.algorithm = confluxAlgorithm(desiredUx);
    return leg;
  }

  /**
   * A SWITCH came on a leg: its next message has a number further on.
   * @throws Violation
   */
  onSwitch(leg: SetLeg, relativeSeq: number): void {
    leg.lastSeqRecv += relativeSeq;
    if (leg.lastSeqRecv > SEQ_MAX) {
      throw new Violation('circuit', DestroyReason.PROTOCOL, 'conflux_bad_sequence', 'sequence ran over');
    }
  }

  /**
   * Number a multiplexed message that came on a leg. Returns whether it is the next one, to be handed on at once, and
   * after it whatever `next` gives; if not, a copy waits.
   * @param heldMax bytes that may wait
   * @throws Violation
   */
  receive(
    leg: SetLeg,
    command: number,
    streamId: number,
    data: Uint8Array,
    nowMs: number,
    heldMax: number,
  ): boolean {
    const seq = ++leg.lastSeqRecv;
    if (seq === this.delivered + 1) {
      this.delivered = seq;
      return true;
    }
    if (seq <= this.delivered) throw wentBack();
    if (this.heldBytes >= heldMax) {
      throw new Violation(
        'circuit',
        DestroyReason.RESOURCELIMIT,
        'conflux_queue_full',
        'too much is out of order',
      );
    }
    leg.waiting.push({ seq, command, streamId, data: data.slice(), port: leg.port, sinceMs: nowMs });
    this.hold(WAITING_BYTES + data.length);
    return false;
  }

  private hold(bytes: number): void {
    this.heldBytes += bytes;
    this.keeper.onHeld(bytes);
  }

  /** The next message in order if it waits here, else null. @throws Violation when one number came twice */
  next(): WaitingMessage | null {
    if (this.heldBytes === 0 || this.closed) return null;
    const due = this.delivered + 1;
    const line = this.lineOf(due, this.legs) ?? this.lineOf(due, this.orphans);
    if (line === null) return null;
    const message = line.waiting.pop()!;
    this.hold(-WAITING_BYTES - message.data.length);
    this.delivered = due;
    if (line.waiting.length === 0) this.orphans = this.orphans.filter((one) => one !== line);
    return message;
  }

  private lineOf(due: number, lines: readonly SetLeg[]): SetLeg | null {
    for (const line of lines) {
      const head = line.waiting.peek();
      if (head === null) continue;
      if (head.seq === due) return line;
      if (head.seq < due) throw wentBack();
    }
    return null;
  }

  /** Since when something waits for its turn; plus infinity when nothing does. */
  get waitingSinceMs(): number {
    let since = Number.POSITIVE_INFINITY;
    for (const lines of [this.legs, this.orphans]) {
      for (const { waiting } of lines) since = Math.min(since, waiting.peek()?.sinceMs ?? since);
    }
    return since;
  }

  /** What is no DATA gets its own number, and may go over another leg. */
  readonly mixes = false;

  /** DATA messages that may be sent now: as many as the leg has room for that would send next. */
  room(): number {
    const leg = this.nextToSend();
    return leg === null ? 0 : leg.port.room();
  }

  /** Send a message of a stream. False when the set died of it. */
  send(command: number, streamId: number, data: Uint8Array): boolean {
    assert(isMultiplexed(command), 'a set sends nothing that belongs to one circuit');
    const leg = this.legToSend(command === RelayCommand.DATA);
    if (leg === null) return false;
    // Before it is sent: it may end this leg, and how far it had come decides about the set.
    leg.lastSeqSent++;
    return leg.port.send(command, streamId, data) && !this.closed;
  }

  /** Send `count` ready bodies of DATA, at most `room()`. False when the set died of it. */
  sendBodies(bodies: Uint8Array, count: number): boolean {
    const leg = this.legToSend(true);
    if (leg === null) return false;
    leg.lastSeqSent += count;
    return leg.port.sendBodies(bodies, count) && !this.closed;
  }

  /** The leg that takes a message now, after a SWITCH if it is another one than before; null when the set has died. */
  private legToSend(isData: boolean): SetLeg | null {
    if (this.closed) return null;
    const chosen = this.nextToSend();
    const before = this.current;
    assert(before !== null, 'a set that lives has a leg');
    // What needs no window goes on where we are, so that it stays in order.
    if (chosen === null) {
      assert(!isData, 'DATA is sent only where there is room');
      return before;
    }
    if (chosen === before) return chosen;
    const relativeSeq = before.lastSeqSent - chosen.lastSeqSent;
    if (relativeSeq < 0 || relativeSeq >= RELATIVE_SEQ_MAX) {
      this.keeper.count('conflux_bad_sequence');
      this.close(DestroyReason.PROTOCOL);
      return null;
    }
    this.current = chosen;
    this.switches++;
    chosen.lastSeqSent = before.lastSeqSent;
    const isAlive = chosen.port.send(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(relativeSeq));
    return isAlive && !this.closed ? chosen : null;
  }

  /** The leg that would send next by choice; null when none has room, or its round-trip time is not known. */
  private nextToSend(): SetLeg | null {
    if (this.closed || this.legs.length === 0) return null;
    if (this.current === null) this.current = this.first();
    let least: SetLeg | null = null;
    for (const leg of this.legs) {
      if (leg.rttUs === 0 || (least !== null && leg.rttUs >= least.rttUs)) continue;
      if (this.algorithm === LOW_RTT && leg.port.room() <= 0) continue;
      least = leg;
    }
    return least !== null && least.port.room() > 0 ? least : null;
  }

  /** Where to begin: the quickest leg that has answered, else the first. */
  private first(): SetLeg {
    let first = this.legs[0]!;
    for (const leg of this.legs) {
      if (leg.rttUs > 0 && (first.rttUs === 0 || leg.rttUs < first.rttUs)) first = leg;
    }
    return first;
  }

  /**
   * A leg is gone. Returns whether the set has to go with it, as what was under way on that leg is lost; then the
   * caller closes it.
   * @param isUnderWay what was sent on it may not have arrived
   */
  leave(leg: SetLeg, isUnderWay: boolean): boolean {
    const at = this.legs.indexOf(leg);
    if (at < 0 || this.closed) return false;
    this.legs.splice(at, 1);
    if (leg.waiting.length > 0) this.orphans.push(leg);
    if (this.legs.length === 0 || isUnderWay || leg === this.current) return true;
    let mostRecv = 0;
    for (const other of this.legs) mostRecv = Math.max(mostRecv, other.lastSeqRecv);
    return this.lastSeqSent < leg.lastSeqSent || mostRecv < leg.lastSeqRecv;
  }

  /**
   * Whether the next message in order can come no more: all legs are past its number, so it went with one that is gone.
   * C tor does not look, and goes on to wait.
   */
  get hasLost(): boolean {
    return this.legs.length > 0 && this.legs.every(({ lastSeqRecv }) => lastSeqRecv > this.delivered);
  }

  /** End all legs and forget what waits. */
  close(reason: number): void {
    if (this.closed) return;
    this.closed = true;
    const legs = this.legs.splice(0);
    this.orphans = [];
    this.current = null;
    this.hold(-this.heldBytes);
    for (const leg of legs) leg.port.close(reason);
    this.keeper.onSetClosed(this);
  }
}

function wentBack(): Violation {
  return new Violation(
    'circuit',
    DestroyReason.INTERNAL,
    'conflux_sequence_back',
    'a sequence number came twice',
  );
}
