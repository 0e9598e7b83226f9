/**
 * The conflux sets that this worker is home to: who joins them, what comes over which leg, and what goes out.
 *
 * A set lives with the worker of its first leg, and so do its streams. Legs of other workers are spoken to by mail: they
 * say how much DATA may have been sent on them in all, and no more is sent. A message that breaks a rule ends the whole
 * set, as whatever leg it came on carries all of them.
 * Who calls: `conflux-hub` with mail and with messages of local legs.
 * @source proposal 329
 */
import { BODY_BYTES } from '../cell/cell.ts';
import { decodeConfluxSwitch } from '../cell/conflux.ts';
import { DestroyReason, EndReason } from '../cell/reason.ts';
import { RelayCommand, writeRelayMessage } from '../cell/relay-message.ts';
import { Malformed, Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { closeCircuit } from './close.ts';
import { ConfluxSet, type LegPort, type SetKeeper, type SetLeg } from './conflux.ts';
import type { ConfluxHub, LegEnd } from './conflux-hub.ts';
import { type CircuitLeg, decodeTerms } from './conflux-legs.ts';
import type { CircuitPlane } from './plane.ts';
import type { Ask } from './registry.ts';
import type { JointSender } from './ring-port.ts';

const WORKERS_MAX = 2 ** 16;
/**
 * What was sent on a leg so long before it ended has arrived, as far as anyone can tell. C tor's exit lets a set go on
 * whose leg ends with less DATA on its way than a SENDME acknowledges, or with none but a CONNECTED, END or XON. If that
 * is lost, its client waits for the number for as long as the set lives: none of the streams goes on, and none ends. A
 * set that ends can be begun anew.
 */
export const ARRIVED_MS = 5000;

/** A set and what its home keeps beside. */
export class HomeSet {
  readonly key: string;
  readonly set: ConfluxSet;
  /** Asks of the registry that were taken. */
  asks = 0;

  constructor(key: string, set: ConfluxSet) {
    this.key = key;
    this.set = set;
  }
}

/** A leg, as its set's home holds it. */
export abstract class HomeLeg implements LegPort {
  readonly home: HomeSet;
  /** What the circuit comes over: OVER_CLIENT, OVER_LISTED. */
  readonly over: number;
  leg: SetLeg | null = null;
  /** When something was sent on it last. */
  sentMs = Number.NEGATIVE_INFINITY;

  constructor(home: HomeSet, over: number) {
    this.home = home;
    this.over = over;
  }

  abstract room(): number;
  abstract send(command: number, streamId: number, data: Uint8Array): boolean;
  abstract sendBodies(bodies: Uint8Array, count: number): boolean;
  abstract close(reason: number): void;
}

/** A leg whose circuit is on this worker. */
class LocalLeg extends HomeLeg {
  readonly row: number;
  private readonly plane: CircuitPlane;
  private readonly end: LegEnd;

  constructor(home: HomeSet, over: number, row: number, plane: CircuitPlane, end: LegEnd) {
    super(home, over);
    this.row = row;
    this.plane = plane;
    this.end = end;
  }

  room(): number {
    return this.end.room(this.row);
  }

  send(command: number, streamId: number, data: Uint8Array): boolean {
    this.sentMs = this.plane.nowMs;
    return this.end.send(this.row, command, streamId, data);
  }

  sendBodies(bodies: Uint8Array, count: number): boolean {
    this.sentMs = this.plane.nowMs;
    return this.end.sendBodies(this.row, bodies, count);
  }

  close(reason: number): void {
    closeCircuit(this.plane, this.row, reason, reason);
  }
}

/** A leg whose circuit is on another worker. */
class RemoteLeg extends HomeLeg implements JointSender {
  readonly worker: number;
  readonly token: number;
  waitingJoints = 0;
  /** DATA sent, and how much may have been sent, counted from the beginning; they wrap. */
  sent = 0;
  limit = 0;
  private readonly homes: ConfluxHomes;

  constructor(home: HomeSet, over: number, worker: number, token: number, homes: ConfluxHomes) {
    super(home, over);
    this.worker = worker;
    this.token = token;
    this.homes = homes;
  }

  room(): number {
    return this.homes.isRingFull(this.worker) ? 0 : Math.max(0, (this.limit - this.sent) | 0);
  }

  send(command: number, streamId: number, data: Uint8Array): boolean {
    return this.homes.sendRemote(this, command, streamId, data);
  }

  sendBodies(bodies: Uint8Array, count: number): boolean {
    return this.homes.sendBodiesRemote(this, bodies, count);
  }

  close(reason: number): void {
    this.homes.closeRemote(this, reason);
  }
}

/** The sets of one worker. */
export class ConfluxHomes {
  private readonly plane: CircuitPlane;
  private readonly hub: ConfluxHub;
  private readonly byKey = new Map<string, HomeSet>();
  private readonly remote = new Map<number, RemoteLeg>();
  private readonly local = new Map<CircuitLeg, LocalLeg>();
  private readonly body = new Uint8Array(BODY_BYTES);
  /** Bytes that wait for their turn, in all sets. */
  heldBytes = 0;

  constructor(plane: CircuitPlane, hub: ConfluxHub) {
    this.plane = plane;
    this.hub = hub;
  }

  get size(): number {
    return this.byKey.size;
  }

  /** Legs of other workers, and of this one. */
  get remoteCount(): number {
    return this.remote.size;
  }

  get localCount(): number {
    return this.local.size;
  }

  get sets(): IterableIterator<HomeSet> {
    return this.byKey.values();
  }

  /** The registry passed an ask on. `circuit` is the asker's leg if it is of this worker and still there. */
  onPass(ask: Ask, circuit: CircuitLeg | null): void {
    const home = this.byKey.get(ask.key) ?? this.create(ask.key);
    home.asks++;
    const isLocal = ask.worker === this.plane.worker;
    const isThere = isLocal ? circuit !== null : this.hub.mail.reaches(ask.worker);
    if (isThere) this.admit(home, ask, circuit);
    if (home.set.legs.length === 0) home.set.close(DestroyReason.FINISHED);
  }

  private create(key: string): HomeSet {
    const keeper: SetKeeper = {
      onSetClosed: () => this.onSetClosed(home),
      onHeld: (bytes) => {
        this.heldBytes += bytes;
      },
      count: (counter) => this.plane.counters.bump(counter),
    };
    const home = new HomeSet(key, new ConfluxSet(keeper));
    this.byKey.set(key, home);
    this.plane.counters.add(Counter.conflux_sets, 1);
    return home;
  }

  private admit(home: HomeSet, ask: Ask, circuit: CircuitLeg | null): void {
    const { plane } = this;
    const { mail } = this.hub;
    const { set } = home;
    const { lastSeqSent, lastSeqRecv, desiredUx, over } = decodeTerms(ask.terms);
    const refusal = set.judge(lastSeqSent, lastSeqRecv, plane.options.confluxLegsMax);
    if (refusal !== null) {
      plane.counters.bump(refusal.counter);
      if (refusal.endsSet) set.close(DestroyReason.PROTOCOL);
      mail.refused(ask.worker, ask.token, DestroyReason.PROTOCOL);
      return;
    }
    // What LINKED says is what the leg begins at.
    const [sent, delivered] = [set.lastSeqSent, set.delivered];
    let leg: HomeLeg;
    if (circuit !== null) {
      const local = new LocalLeg(home, over, circuit.row, plane, this.hub.end);
      this.local.set(circuit, local);
      leg = local;
    } else {
      const remote = new RemoteLeg(home, over, ask.worker, ask.token, this);
      this.remote.set(ask.worker + ask.token * WORKERS_MAX, remote);
      leg = remote;
    }
    leg.leg = set.join(leg, desiredUx);
    mail.joined(ask.worker, ask.token, sent, delivered);
  }

  /** A leg of this worker by its circuit. */
  localOf(circuit: CircuitLeg): HomeLeg | null {
    return this.local.get(circuit) ?? null;
  }

  /** The set of which a circuit is the first leg of this worker. */
  mainSetOf(circuit: CircuitLeg): HomeSet | null {
    const from = this.local.get(circuit) ?? null;
    if (from === null) return null;
    const first = from.home.set.legs.find(({ port }) => port instanceof LocalLeg);
    return first !== undefined && first.port === from ? from.home : null;
  }

  /** A leg of another worker by its token there; what comes late finds none. */
  remoteOf(worker: number, token: number): RemoteLeg | null {
    const leg = this.remote.get(worker + token * WORKERS_MAX) ?? null;
    if (leg === null) this.plane.counters.add(Counter.joint_stale, 1);
    return leg;
  }

  /** A message came on a leg: hand on what is in order now. What breaks a rule ends the set. */
  receive(from: HomeLeg, command: number, streamId: number, data: Uint8Array): void {
    const { plane } = this;
    const { set } = from.home;
    const leg = from.leg;
    if (leg === null || set.closed) return;
    try {
      if (command === RelayCommand.CONFLUX_SWITCH) {
        plane.counters.add(Counter.conflux_switches_received, 1);
        set.onSwitch(leg, decodeConfluxSwitch(data));
        return;
      }
      if (command === RelayCommand.BEGIN_DIR) {
        // It belongs to its circuit and has no number, but what ends the stream does.
        plane.counters.add(Counter.conflux_begin_dir_refused, 1);
        set.send(RelayCommand.END, streamId, Uint8Array.of(EndReason.NOTDIRECTORY));
        return;
      }
      const heldMax = plane.options.confluxHeldBytesMax;
      if (!set.receive(leg, command, streamId, data, plane.nowMs, heldMax)) {
        plane.counters.add(Counter.conflux_reordered, 1);
        if (set.hasLost) this.tear(set);
        return;
      }
      this.hub.streams.onSetMessage(from.home, from, command, streamId, data);
      for (let next = set.next(); next !== null; next = set.next()) {
        this.hub.streams.onSetMessage(
          from.home,
          next.port as HomeLeg,
          next.command,
          next.streamId,
          next.data,
        );
      }
    } catch (error) {
      set.close(this.reasonOf(error));
    }
  }

  /** Count what a message was refused for. Returns the reason to close with. */
  private reasonOf(error: unknown): number {
    if (error instanceof Malformed) {
      this.plane.counters.add(Counter.circuit_relay_malformed, 1);
      return DestroyReason.PROTOCOL;
    }
    if (!(error instanceof Violation)) throw error;
    this.plane.counters.bump(error.counter);
    return error.reason;
  }

  /** A local leg's round-trip time was measured, or its room changed. */
  onLocalRoom(circuit: CircuitLeg): void {
    const from = this.local.get(circuit);
    if (from === undefined || from.leg === null) return;
    from.leg.rttUs = circuit.rttUs;
    this.hub.streams.onSetRoom(from.home);
  }

  onRoom(worker: number, token: number, limit: number, rttUs: number): void {
    const from = this.remoteOf(worker, token);
    if (from === null || from.leg === null) return;
    from.limit = limit;
    from.leg.rttUs = rttUs;
    this.hub.streams.onSetRoom(from.home);
  }

  /** A leg's circuit ended: so does the set, if something was lost with it. */
  leave(from: HomeLeg, inFlight: boolean): void {
    const { set } = from.home;
    if (from instanceof RemoteLeg) this.remote.delete(from.worker + from.token * WORKERS_MAX);
    if (from.leg === null) return;
    const isUnderWay = inFlight || this.plane.nowMs - from.sentMs < ARRIVED_MS;
    if (set.leave(from.leg, isUnderWay) || set.hasLost) {
      this.tear(set);
    } else if (!set.closed) {
      this.hub.streams.onSetRoom(from.home);
    }
  }

  /** End a set that a leg took something of along. */
  private tear(set: ConfluxSet): void {
    // With others left, something was lost that they cannot bring.
    if (set.legs.length > 0) this.plane.counters.add(Counter.conflux_sets_torn, 1);
    set.close(DestroyReason.FINISHED);
  }

  /** A leg's circuit on another worker ended; DATA that was on its way there is lost. */
  onGone(worker: number, token: number, inFlight: boolean, taken: number): void {
    const from = this.remoteOf(worker, token);
    if (from !== null) this.leave(from, inFlight || from.sent !== taken);
  }

  onLocalClosed(circuit: CircuitLeg, inFlight: boolean): void {
    const from = this.local.get(circuit);
    if (from === undefined) return;
    this.local.delete(circuit);
    this.leave(from, inFlight);
  }

  isRingFull(worker: number): boolean {
    return this.plane.ports[worker]?.congested ?? true;
  }

  /** Have a leg elsewhere send a message. */
  sendRemote(to: RemoteLeg, command: number, streamId: number, data: Uint8Array): boolean {
    writeRelayMessage(this.body, 0, command, streamId, data, this.plane.random.bytes);
    if (command === RelayCommand.DATA) to.sent = (to.sent + 1) >>> 0;
    return this.putRemote(to, this.body, 0);
  }

  sendBodiesRemote(to: RemoteLeg, bodies: Uint8Array, count: number): boolean {
    to.sent = (to.sent + count) >>> 0;
    for (let i = 0; i < count; i++) {
      if (!this.putRemote(to, bodies, i * BODY_BYTES)) return false;
    }
    return true;
  }

  private putRemote(to: RemoteLeg, bytes: Uint8Array, at: number): boolean {
    to.sentMs = this.plane.nowMs;
    if (to.waitingJoints >= this.plane.options.circQueueCellsMax) {
      this.plane.counters.add(Counter.joint_queue_full, 1);
      to.home.set.close(DestroyReason.RESOURCELIMIT);
      return false;
    }
    this.hub.mail.toLeg(to.worker, to.token, bytes, at, to);
    return true;
  }

  closeRemote(to: RemoteLeg, reason: number): void {
    this.remote.delete(to.worker + to.token * WORKERS_MAX);
    this.hub.mail.close(to.worker, to.token, reason);
  }

  /** The ring to a worker has room again: so have the legs there. */
  onRingFree(worker: number): void {
    if (this.remote.size === 0) return;
    for (const leg of [...this.remote.values()]) {
      if (leg.worker === worker && !leg.home.set.closed) this.hub.streams.onSetRoom(leg.home);
    }
  }

  /** A worker died: its legs are lost, and what was on its way over them. */
  detach(worker: number): void {
    for (const leg of [...this.remote.values()]) {
      if (leg.worker !== worker) continue;
      this.plane.counters.add(Counter.leg_worker_died, 1);
      this.leave(leg, true);
    }
  }

  private onSetClosed(home: HomeSet): void {
    this.byKey.delete(home.key);
    this.plane.counters.add(Counter.conflux_switches_sent, home.set.switches);
    this.hub.release(home);
    this.hub.streams.onSetClosed(home);
  }

  /** Memory is short: end the set whose oldest message has waited longest. False when nothing waits. */
  endOldest(): boolean {
    if (this.heldBytes === 0) return false;
    let oldest: ConfluxSet | null = null;
    for (const { set } of this.byKey.values()) {
      if (set.heldBytes === 0) continue;
      if (oldest === null || set.waitingSinceMs < oldest.waitingSinceMs) oldest = set;
    }
    if (oldest === null) return false;
    this.plane.counters.add(Counter.conflux_memory_killed, 1);
    oldest.close(DestroyReason.RESOURCELIMIT);
    return true;
  }
}
