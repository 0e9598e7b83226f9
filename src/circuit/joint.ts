/**
 * What two workers say to each other about circuits that belong together: through the ring, or at once within one.
 *
 * A circuit with a part elsewhere is called by its worker and a token of that worker's, which is not used again for
 * long: what comes late finds nobody. The messages and what their slots hold behind the kind (words 1 to 5, bytes):
 * - JOINT_ASK, to a registry, and JOINT_PASS, from it to a home: token, worker; the terms, which begin with the key.
 * - JOINT_JOINED, from a home: token; the set's last numbers sent and delivered (as 64-bit floats).
 * - JOINT_REFUSED, from a home: token, reason.
 * - RELAY_MESSAGE, to a home: token, 1, 0, command, stream id; the data. To a leg: token, 0; a ready relay body.
 * - JOINT_ROOM, to a home: token, DATA that may have been sent in all, round-trip time in microseconds.
 * - JOINT_GONE, to a home: token, whether DATA was in flight, how much of the home's was sent in all.
 * - JOINT_CLOSE, from a home: token, reason.
 * - JOINT_RELEASE and JOINT_RESTORE, to a registry: asks; the key. JOINT_TOLD: nothing.
 * Messages of two workers keep their order, so what is said of a leg comes behind what it carried. What finds the ring
 * full waits, each sender's bounded by its user.
 * @source the workers' side of proposal 329; DESIGN "Where two circuits meet"
 */

import { BODY_BYTES } from '../cell/cell.ts';
import { CONFLUX_NONCE_BYTES } from '../cell/conflux.ts';
import { SLOT_HEADER_BYTES, SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import type { CircuitPlane } from './plane.ts';
import type { Ask } from './registry.ts';
import type { JointSender, RingPort } from './ring-port.ts';

const NOTHING = new Uint8Array(0);
/** In the second word of a RELAY_MESSAGE: whom it is for. */
const TO_HOME = 1;
const TO_LEG = 0;

/** Takes what other workers, or this one itself, say. */
export interface JointParty {
  onAsk(ask: Ask): void;
  onPass(ask: Ask): void;
  onJoined(home: number, token: number, lastSeqSent: number, delivered: number): void;
  onRefused(home: number, token: number, reason: number): void;
  /** The data is a view into the ring. */
  onFromLeg(worker: number, token: number, command: number, streamId: number, data: Uint8Array): void;
  /** A relay body of 509 bytes at `at`, which may be changed. */
  onFromHome(home: number, token: number, bytes: Uint8Array, at: number): void;
  onLegRoom(worker: number, token: number, limit: number, rttUs: number): void;
  onGone(worker: number, token: number, inFlight: boolean, taken: number): void;
  onClose(home: number, token: number, reason: number): void;
  onRelease(home: number, key: string, asks: number): void;
  onRestore(home: number, key: string, asks: number): void;
  onTold(worker: number): void;
}

/** Those whose messages nobody counts. */
const nobody: JointSender = { waitingJoints: 0 };

/** Sends and takes joint messages. One per worker. */
export class JointMail {
  private readonly plane: CircuitPlane;
  private readonly party: JointParty;
  private readonly numbers = new Float64Array(2);
  private readonly numberBytes = new Uint8Array(this.numbers.buffer);

  constructor(plane: CircuitPlane, party: JointParty) {
    this.plane = plane;
    this.party = party;
  }

  /** Whether a worker can be told anything. */
  reaches(worker: number): boolean {
    return worker === this.plane.worker || (this.plane.ports[worker] ?? null) !== null;
  }

  ask(registry: number, ask: Ask): void {
    if (registry === this.plane.worker) this.party.onAsk(ask);
    else this.put(registry, SlotKind.JOINT_ASK, ask.token, ask.worker, 0, 0, 0, ask.terms);
  }

  pass(home: number, ask: Ask): void {
    if (home === this.plane.worker) this.party.onPass(ask);
    else this.put(home, SlotKind.JOINT_PASS, ask.token, ask.worker, 0, 0, 0, ask.terms);
  }

  joined(worker: number, token: number, lastSeqSent: number, delivered: number): void {
    if (worker === this.plane.worker) {
      this.party.onJoined(worker, token, lastSeqSent, delivered);
      return;
    }
    this.numbers[0] = lastSeqSent;
    this.numbers[1] = delivered;
    this.put(worker, SlotKind.JOINT_JOINED, token, 0, 0, 0, 0, this.numberBytes);
  }

  refused(worker: number, token: number, reason: number): void {
    if (worker === this.plane.worker) this.party.onRefused(worker, token, reason);
    else this.put(worker, SlotKind.JOINT_REFUSED, token, reason, 0, 0, 0, NOTHING);
  }

  /** Pass a message of a leg on to its home, on another worker. False when it waits for room in the ring. */
  toHome(
    home: number,
    token: number,
    command: number,
    streamId: number,
    data: Uint8Array,
    sender: JointSender,
  ): boolean {
    const port = this.plane.ports[home] ?? null;
    if (port === null) return true;
    const kind = SlotKind.RELAY_MESSAGE;
    this.plane.counters.add(Counter.joint_messages, 1);
    return this.kept(port.putJoint(kind, token, TO_HOME, 0, command, streamId, data, 0, data.length, sender));
  }

  /** Have a leg on another worker send the relay body at `at` of `bytes`. False when it waits for room. */
  toLeg(worker: number, token: number, bytes: Uint8Array, at: number, sender: JointSender): boolean {
    const port = this.plane.ports[worker] ?? null;
    if (port === null) return true;
    const kind = SlotKind.RELAY_MESSAGE;
    this.plane.counters.add(Counter.joint_messages, 1);
    return this.kept(port.putJoint(kind, token, TO_LEG, 0, 0, 0, bytes, at, BODY_BYTES, sender));
  }

  room(home: number, token: number, limit: number, rttUs: number): void {
    this.put(home, SlotKind.JOINT_ROOM, token, limit, rttUs, 0, 0, NOTHING);
  }

  gone(home: number, token: number, inFlight: boolean, taken: number): void {
    this.put(home, SlotKind.JOINT_GONE, token, inFlight ? 1 : 0, taken, 0, 0, NOTHING);
  }

  close(worker: number, token: number, reason: number): void {
    this.put(worker, SlotKind.JOINT_CLOSE, token, reason, 0, 0, 0, NOTHING);
  }

  release(registry: number, key: string, asks: number): void {
    if (registry === this.plane.worker) this.party.onRelease(registry, key, asks);
    else this.put(registry, SlotKind.JOINT_RELEASE, asks, 0, 0, 0, 0, Uint8Array.fromHex(key));
  }

  restore(registry: number, key: string, asks: number): void {
    this.put(registry, SlotKind.JOINT_RESTORE, asks, 0, 0, 0, 0, Uint8Array.fromHex(key));
  }

  told(worker: number): void {
    this.put(worker, SlotKind.JOINT_TOLD, 0, 0, 0, 0, 0, NOTHING);
  }

  /** Say something that nothing bounds but the number of circuits. What is for a dead worker is dropped. */
  private put(
    worker: number,
    kind: number,
    word1: number,
    word2: number,
    word3: number,
    word4: number,
    word5: number,
    bytes: Uint8Array,
  ): void {
    const port = this.plane.ports[worker] ?? null;
    if (port === null) return;
    this.kept(port.putJoint(kind, word1, word2, word3, word4, word5, bytes, 0, bytes.length, nobody));
  }

  private kept(isPut: boolean): boolean {
    if (!isPut) this.plane.counters.add(Counter.ring_full, 1);
    this.plane.wake();
    return isPut;
  }

  /** Take a joint message out of the ring from another worker. */
  take(port: RingPort, offset: number): void {
    const { party } = this;
    const words = port.incoming.u32;
    const bytes = port.incoming.u8;
    const w = offset >> 2;
    const at = offset + SLOT_HEADER_BYTES;
    const from = port.worker;
    const token = words[w + 1]!;
    const word2 = words[w + 2]!;
    const end = at + words[w + 6]!;
    switch (words[w]!) {
      case SlotKind.RELAY_MESSAGE:
        if (word2 === TO_LEG) party.onFromHome(from, token, bytes, at);
        else party.onFromLeg(from, token, words[w + 4]!, words[w + 5]!, bytes.subarray(at, end));
        return;
      case SlotKind.JOINT_ASK:
        party.onAsk(askOf(token, word2, bytes.slice(at, end)));
        return;
      case SlotKind.JOINT_PASS:
        party.onPass(askOf(token, word2, bytes.slice(at, end)));
        return;
      case SlotKind.JOINT_JOINED:
        this.numberBytes.set(bytes.subarray(at, end));
        party.onJoined(from, token, this.numbers[0]!, this.numbers[1]!);
        return;
      case SlotKind.JOINT_REFUSED:
        party.onRefused(from, token, word2);
        return;
      case SlotKind.JOINT_ROOM:
        party.onLegRoom(from, token, word2, words[w + 3]!);
        return;
      case SlotKind.JOINT_GONE:
        party.onGone(from, token, word2 === 1, words[w + 3]!);
        return;
      case SlotKind.JOINT_CLOSE:
        party.onClose(from, token, word2);
        return;
      case SlotKind.JOINT_RELEASE:
        party.onRelease(from, bytes.subarray(at, end).toHex(), token);
        return;
      case SlotKind.JOINT_RESTORE:
        party.onRestore(from, bytes.subarray(at, end).toHex(), token);
        return;
      default:
        party.onTold(from);
    }
  }
}

/** An ask; its terms begin with the key. */
export function askOf(token: number, worker: number, terms: Uint8Array): Ask {
  return { token, worker, key: terms.subarray(0, CONFLUX_NONCE_BYTES).toHex(), terms };
}
