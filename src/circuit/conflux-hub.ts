/**
 * Conflux on one worker: its circuits as legs, the sets that it is home to, and its share of the registry.
 *
 * The three are separate and speak by mail, which goes through a ring or, within this worker, at once. So a set is the
 * same thing wherever its legs live.
 * Who calls: `edge/` with messages of circuits, `remote-leg` with slots of rings, `close`, `worker/data-plane`.
 * @source proposal 329
 */
import { DestroyReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { Violation } from '../fault.ts';
import { isMultiplexed } from './conflux.ts';
import { ConfluxHomes, type HomeLeg, type HomeSet } from './conflux-homes.ts';
import { ConfluxLegs } from './conflux-legs.ts';
import { JointMail, type JointParty } from './joint.ts';
import type { CircuitPlane } from './plane.ts';
import { type Ask, Registry } from './registry.ts';
import type { RingPort } from './ring-port.ts';

/** What a circuit does for the streams that it carries, alone or as a leg: SENDMEs, windows, sealing. By row. */
export interface LegEnd {
  /** DATA that may be sent on it now. */
  room(row: number): number;
  /** Send a relay message on it. False when it died of that. */
  send(row: number, command: number, streamId: number, data: Uint8Array): boolean;
  /** Send `count` ready bodies of DATA. False when it died of that. */
  sendBodies(row: number, bodies: Uint8Array, count: number): boolean;
  /** A SENDME or more of DATA is not acknowledged. */
  inFlight(row: number): boolean;
  hasStreams(row: number): boolean;
  /** What it comes over: OVER_CLIENT, OVER_LISTED. */
  over(row: number): number;
}

/** The streams of sets. */
export interface SetStreams {
  /** A message is next in order. @throws Malformed, Violation: the set ends */
  onSetMessage(home: HomeSet, from: HomeLeg, command: number, streamId: number, data: Uint8Array): void;
  /** More may be sent than before. */
  onSetRoom(home: HomeSet): void;
  onSetClosed(home: HomeSet): void;
}

/** Before `connect`: circuits that carry nothing. */
const NO_END: LegEnd = {
  room: () => 0,
  send: () => false,
  sendBodies: () => false,
  inFlight: () => false,
  hasStreams: () => false,
  over: () => 0,
};
const NO_STREAMS: SetStreams = { onSetMessage() {}, onSetRoom() {}, onSetClosed() {} };

/** Conflux on one worker. */
export class ConfluxHub implements JointParty {
  readonly mail: JointMail;
  readonly legs: ConfluxLegs;
  readonly homes: ConfluxHomes;
  readonly registry: Registry;
  private readonly plane: CircuitPlane;
  private readonly workers: number;
  /** Set once, by whoever has streams. */
  end: LegEnd = NO_END;
  streams: SetStreams = NO_STREAMS;

  constructor(plane: CircuitPlane, workers: number) {
    this.plane = plane;
    this.workers = workers;
    this.mail = new JointMail(plane, this);
    this.registry = new Registry({ pass: (home, ask) => this.mail.pass(home, ask) });
    this.legs = new ConfluxLegs(plane, this);
    this.homes = new ConfluxHomes(plane, this);
  }

  /** The worker that keeps the registry of a key. */
  registryOf(key: string): number {
    return this.plane.roster.hash(Uint8Array.fromHex(key)) % this.workers;
  }

  /** Take an ask to its registry. False when that is out of reach. */
  ask(ask: Ask): boolean {
    const registry = this.registryOf(ask.key);
    if (!this.mail.reaches(registry)) return false;
    this.mail.ask(registry, ask);
    return true;
  }

  /** A set of ours ended: its registry may forget it. */
  release(home: HomeSet): void {
    this.mail.release(this.registryOf(home.key), home.key, home.asks);
  }

  /** Whether a circuit is a leg, or on its way to become one. */
  isLeg(row: number): boolean {
    return this.legs.of(row) !== null;
  }

  /**
   * Take a recognised message if it is about conflux, or of a stream on a leg. Returns false when it is neither.
   * @throws Violation, Malformed: the circuit is closed
   */
  take(row: number, command: number, streamId: number, data: Uint8Array): boolean {
    switch (command) {
      case RelayCommand.CONFLUX_LINK:
        this.legs.onLink(row, data);
        return true;
      case RelayCommand.CONFLUX_LINKED:
        throw violation('conflux_unexpected_linked', 'LINKED from a client');
      case RelayCommand.CONFLUX_LINKED_ACK:
        this.onLinkedAck(row);
        return true;
      case RelayCommand.CONFLUX_SWITCH:
        if (!this.isLeg(row))
          throw violation('conflux_unexpected_switch', 'SWITCH on a circuit that is no leg');
        break;
      case RelayCommand.BEGIN_DIR:
        break;
      default:
        if (!isMultiplexed(command)) return false;
    }
    const leg = this.legs.of(row);
    if (leg === null) return false;
    if (!leg.isLinked) throw violation('conflux_early_message', 'a message before LINKED');
    this.legs.expectNoFurtherHops(row);
    if (leg.home !== this.plane.worker) {
      this.legs.passOn(leg, command, streamId, data);
      return true;
    }
    const from = this.homes.localOf(leg);
    if (from !== null) this.homes.receive(from, command, streamId, data);
    return true;
  }

  private onLinkedAck(row: number): void {
    const leg = this.legs.onLinkedAck(row);
    this.tell(row, leg.rttUs);
  }

  /** A circuit's room or round-trip time may have changed. Returns false when it is no leg. */
  onRoom(row: number, rttUs: number): boolean {
    const leg = this.legs.of(row);
    if (leg === null) return false;
    // Before LINKED_ACK the leg sends nothing by choice, whatever was measured.
    this.tell(row, leg.rttUs === 0 || rttUs === 0 ? leg.rttUs : rttUs);
    return true;
  }

  private tell(row: number, rttUs: number): void {
    const leg = this.legs.of(row)!;
    leg.rttUs = rttUs;
    if (!leg.isLinked) return;
    if (leg.home === this.plane.worker) this.homes.onLocalRoom(leg);
    else this.legs.mark(leg);
  }

  /** A circuit is ending; its windows are still there to be asked. */
  onCircuitClosed(row: number): void {
    const inFlight = this.isLeg(row) && this.end.inFlight(row);
    const leg = this.legs.onCircuitClosed(row);
    if (leg !== null) this.homes.onLocalClosed(leg, inFlight);
  }

  /** Take a joint's slot out of the ring from another worker. */
  takeSlot(port: RingPort, offset: number): void {
    this.mail.take(port, offset);
  }

  /** All slots of a ring were taken for now. */
  settle(): void {
    this.legs.settle();
  }

  /** The end of a turn: tell other workers what room there is. */
  publish(): void {
    this.legs.publish();
  }

  /** The ring to another worker, which was full, has room again. */
  onRingFree(worker: number): void {
    this.homes.onRingFree(worker);
  }

  /** Rings to another worker are in use from now on: tell it what it keeps the registry of. */
  attach(worker: number): void {
    this.registry.expect(worker);
    for (const home of this.homes.sets) {
      if (this.registryOf(home.key) === worker) this.mail.restore(worker, home.key, home.asks);
    }
    this.mail.told(worker);
  }

  /** A worker died; its rings are forgotten already. */
  detach(worker: number): void {
    this.registry.forget(worker);
    this.legs.detach(worker);
    this.homes.detach(worker);
  }

  /** The set whose memory is counted as this circuit's: of the set's circuits here, the first. Null for all others. */
  mainSetOf(row: number): HomeSet | null {
    const leg = this.legs.of(row);
    return leg === null || leg.home !== this.plane.worker ? null : this.homes.mainSetOf(leg);
  }

  /** Memory is short: end the set whose oldest message has waited longest. False when nothing waits. */
  endOldest(): boolean {
    return this.homes.endOldest();
  }

  /** Bytes that messages fill which wait for their turn or for a ring. */
  get heldBytes(): number {
    let bytes = this.homes.heldBytes;
    for (const port of this.plane.ports) if (port !== null) bytes += port.jointBytes;
    return bytes;
  }

  onAsk(ask: Ask): void {
    this.registry.take(ask);
  }

  onPass(ask: Ask): void {
    const isOurs = ask.worker === this.plane.worker;
    this.homes.onPass(ask, isOurs ? this.legs.pending(ask.token) : null);
  }

  onJoined(home: number, token: number, lastSeqSent: number, delivered: number): void {
    this.legs.onJoined(home, token, lastSeqSent, delivered);
  }

  onRefused(_home: number, token: number, reason: number): void {
    this.legs.onRefused(token, reason);
  }

  onFromLeg(worker: number, token: number, command: number, streamId: number, data: Uint8Array): void {
    const from = this.homes.remoteOf(worker, token);
    if (from !== null) this.homes.receive(from, command, streamId, data);
  }

  onFromHome(_home: number, token: number, bytes: Uint8Array, at: number): void {
    this.legs.onFromHome(token, bytes, at);
  }

  onLegRoom(worker: number, token: number, limit: number, rttUs: number): void {
    this.homes.onRoom(worker, token, limit, rttUs);
  }

  onGone(worker: number, token: number, inFlight: boolean, taken: number): void {
    this.homes.onGone(worker, token, inFlight, taken);
  }

  onClose(_home: number, token: number, reason: number): void {
    this.legs.settle();
    this.legs.onClose(token, reason);
  }

  onRelease(home: number, key: string, asks: number): void {
    this.registry.release(home, key, asks);
  }

  onRestore(home: number, key: string, asks: number): void {
    this.registry.restore(home, key, asks);
  }

  onTold(worker: number): void {
    this.registry.onTold(worker);
  }
}

function violation(counter: string, why: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, counter, why);
}
