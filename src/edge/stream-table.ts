/**
 * Every stream of one worker: DATA that comes for them, and DATA of theirs that goes.
 *
 * A stream that has something to send wakes; its set is then listed and served at the end of the turn: streams of a
 * set in turn, each its share of the cells that the carrier has room for, many cells sealed and encrypted together.
 * Nothing here has a timer: streams that wait for a SENDME, an XON or their circuit's queue are woken by that, those
 * that wait for the rate of an XON are looked at each turn.
 * Invariants: a stream is in the ring of its set exactly while `isReady`; a set with a stream in its ring is listed,
 * or its carrier has no room.
 * @source tor-spec "Relay cells", "Stream-level flow control"; proposal 324
 */
import { BODY_BYTES } from '../cell/cell.ts';
import { DestroyReason, EndReason } from '../cell/reason.ts';
import {
  DATA_AT,
  PADDING_GAP,
  RELAY_DATA_MAX,
  RelayCommand,
  writeDataHead,
  writeRelayMessage,
} from '../cell/relay-message.ts';
import { decodeXon, encodeEnd, encodeXoff, encodeXon } from '../cell/stream-message.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { Malformed, Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { ExitStream } from './exit-stream.ts';
import { STREAM_INCREMENT, STREAM_WINDOW, Stream } from './stream.ts';
import type { StreamEnd } from './stream-end.ts';
import { StreamRate } from './stream-rate.ts';
import type { StreamSet } from './stream-set.ts';
import { SAY_NOTHING, SAY_XOFF, XonXoff } from './xon-xoff.ts';

/** Bodies of DATA that are sealed and encrypted together, and with other messages among them. */
const TOGETHER = 32;
const TOGETHER_MIXED = 64;
/** Cells that one turn packages, so that no circuit keeps the worker from its sockets. */
const CELLS_PER_TURN = 4096;
/** A stream that holds more than this gives its client no SENDME, as in C tor. */
const HELD_FOR_SENDME = 10 * BODY_BYTES;
/** Random bytes that make a cell impossible to guess, and what data leaves room for them. */
const RANDOM_BYTES = 16;
const DATA_WITH_RANDOM = RELAY_DATA_MAX - PADDING_GAP - RANDOM_BYTES;
/** One cell in so many at least has them, in half as many at the earliest: C tor's numbers. */
const RANDOM_EVERY = 100;
/** XON may ask for any rate; above this it is none. */
const RATE_MOST = (2 ** 31 - 1) / 1000;

const NOTHING = new Uint8Array(0);

/** All streams of a worker. */
export class StreamTable {
  /** Streams that there are. */
  count = 0;
  private readonly plane: CircuitPlane;
  private readonly bodies = new Uint8Array(TOGETHER_MIXED * BODY_BYTES);
  /** Bodies that are filled. */
  private filled = 0;
  private sets: StreamSet[] = [];
  private spareSets: StreamSet[] = [];
  private ending: Stream[] = [];
  private throttled: Stream[] = [];
  /** Streams that owe their client a CONNECTED, or did in this turn. */
  private connecting: Stream[] = [];

  constructor(plane: CircuitPlane) {
    this.plane = plane;
  }

  /** Begin a stream. `build` makes its end. */
  add(set: StreamSet, id: number, build: (stream: Stream) => StreamEnd): Stream {
    const stream = new Stream(this, set, id, NO_END, set.usesXon ? new XonXoff() : null);
    set.add(stream);
    this.count++;
    stream.end = build(stream);
    return stream;
  }

  /** A stream has something to pull, or its end is over. */
  wake(stream: Stream): void {
    if (stream.isGone) return;
    if (stream.end.endReason !== 0) {
      this.ending.push(stream);
      this.plane.wake();
      return;
    }
    if (stream.isReady || !stream.isOpen || !stream.maySend) return;
    stream.set.pushReady(stream);
    this.list(stream.set);
  }

  /** What carries a set may have room again. */
  resume(set: StreamSet): void {
    if (set.readyCount > 0) this.list(set);
  }

  private list(set: StreamSet): void {
    if (set.isListed) return;
    set.isListed = true;
    this.sets.push(set);
    this.plane.wake();
  }

  /** Tell the client that its stream is connected. */
  connected(stream: Stream, data: Uint8Array): void {
    if (stream.isGone) return;
    stream.isOpen = true;
    if (!stream.set.carrier.send(RelayCommand.CONNECTED, stream.id, data)) return;
    // What came before CONNECTED is acknowledged now.
    this.acknowledge(stream);
    if (!stream.isGone) this.wake(stream);
  }

  /** Tell the client that its new stream is connected: before its first DATA, or at the end of the turn. */
  connectedSoon(stream: Stream): void {
    if (!stream.set.carrier.mixes) {
      this.connected(stream, NOTHING);
      return;
    }
    stream.isOpen = true;
    stream.owesConnected = true;
    this.connecting.push(stream);
    this.plane.wake();
    this.wake(stream);
  }

  /** Send a message of a stream, behind a CONNECTED that it owes. False when the circuit died of it. */
  private say(stream: Stream, command: number, data: Uint8Array): boolean {
    const { carrier } = stream.set;
    if (stream.owesConnected) {
      stream.owesConnected = false;
      if (!carrier.send(RelayCommand.CONNECTED, stream.id, NOTHING)) return false;
    }
    return carrier.send(command, stream.id, data);
  }

  private payConnected(): void {
    if (this.connecting.length === 0) return;
    const list = this.connecting;
    this.connecting = [];
    for (const stream of list) {
      if (!stream.owesConnected || stream.isGone) continue;
      stream.owesConnected = false;
      stream.set.carrier.send(RelayCommand.CONNECTED, stream.id, NOTHING);
    }
  }

  /** End a stream from here, with this END. */
  finish(stream: Stream, end: Uint8Array): void {
    if (stream.isGone) return;
    this.forget(stream);
    this.say(stream, RelayCommand.END, end);
  }

  /** End a stream with a message that is no END. */
  answer(stream: Stream, command: number, data: Uint8Array): void {
    if (stream.isGone) return;
    this.forget(stream);
    this.say(stream, command, data);
  }

  private forget(stream: Stream): void {
    stream.isGone = true;
    stream.set.remove(stream);
    this.count--;
    stream.end.close();
  }

  /** What carries a set is gone. */
  dropSet(set: StreamSet): void {
    for (const stream of set.takeAll()) {
      stream.isGone = true;
      this.count--;
      stream.end.close();
    }
  }

  /** DATA of a stream. @throws Violation when its window is exceeded */
  onData(set: StreamSet, streamId: number, bytes: Uint8Array, at: number, length: number): void {
    const stream = set.find(streamId);
    if (stream === null) {
      // Late for a stream that was ended here: no fault of anyone's.
      this.plane.counters.add(Counter.stream_unknown_dropped, 1);
      return;
    }
    const { xonXoff } = stream;
    if (xonXoff === null && --stream.deliverWindow < 0) {
      this.finish(stream, encodeEnd(EndReason.TORPROTOCOL));
      throw violation('stream_window_exceeded', 'DATA beyond the window of its stream');
    }
    const { end } = stream;
    if (end instanceof ExitStream) end.takeAt(bytes, at, length);
    else if (length > 0) end.take(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length));
    if (xonXoff === null) {
      if (stream.deliverWindow <= STREAM_WINDOW - STREAM_INCREMENT) this.acknowledge(stream);
      return;
    }
    const { heldBytes } = end;
    const { flow } = this.plane.options;
    if (xonXoff.onTaken(heldBytes, this.plane.nowMs, flow) === SAY_XOFF) {
      this.plane.counters.add(Counter.stream_xoff_sent, 1);
      this.say(stream, RelayCommand.XOFF, encodeXoff());
    }
  }

  /** Give the client SENDMEs for what the end holds no longer. */
  private acknowledge(stream: Stream): void {
    if (stream.xonXoff !== null || !stream.isOpen) return;
    while (
      stream.deliverWindow <= STREAM_WINDOW - STREAM_INCREMENT &&
      stream.end.heldBytes <= HELD_FOR_SENDME
    ) {
      stream.deliverWindow += STREAM_INCREMENT;
      if (!this.say(stream, RelayCommand.SENDME, NOTHING)) return;
    }
  }

  /** A stream's end passed bytes on. */
  onDrained(stream: Stream, bytes: number): void {
    if (stream.isGone || !stream.isOpen) return;
    const { xonXoff } = stream;
    if (xonXoff === null) {
      this.acknowledge(stream);
      return;
    }
    const { plane } = this;
    const verdict = xonXoff.onDrained(bytes, stream.end.heldBytes, plane.nowMs, plane.options.flow);
    if (verdict === SAY_NOTHING) return;
    plane.counters.add(Counter.stream_xon_sent, 1);
    this.say(stream, RelayCommand.XON, encodeXon(xonXoff.rate));
  }

  /** The client ended a stream. */
  onEnd(set: StreamSet, streamId: number): void {
    const stream = set.find(streamId);
    if (stream === null) this.plane.counters.add(Counter.stream_unknown_dropped, 1);
    else this.forget(stream);
  }

  /** A stream SENDME. @throws Violation when the window was full, or there are none with congestion control */
  onSendme(set: StreamSet, streamId: number): void {
    const stream = this.findOpen(set, streamId);
    if (stream === null) return;
    if (stream.xonXoff !== null || stream.packageWindow + STREAM_INCREMENT > STREAM_WINDOW) {
      throw violation('stream_unexpected_sendme', 'unexpected SENDME for a stream');
    }
    stream.packageWindow += STREAM_INCREMENT;
    this.wake(stream);
  }

  /** The client wants no more of a stream for now. One too many, or one without congestion control, is dropped. */
  onXoff(set: StreamSet, streamId: number): void {
    const stream = this.findOpen(set, streamId);
    if (stream === null) return;
    if (stream.xonXoff === null || stream.isStopped) {
      this.plane.counters.add(Counter.stream_xoff_unexpected, 1);
      return;
    }
    stream.isStopped = true;
  }

  /** The client takes more of a stream again, at a rate perhaps. */
  onXon(set: StreamSet, streamId: number, data: Uint8Array): void {
    const stream = this.findOpen(set, streamId);
    if (stream === null) return;
    const rate = stream.xonXoff === null ? -1 : rateOf(data);
    if (rate < 0) {
      this.plane.counters.add(Counter.stream_xon_unexpected, 1);
      return;
    }
    if (rate === 0 || rate > RATE_MOST) stream.rate = null;
    else if (stream.rate === null) stream.rate = new StreamRate(rate, this.plane.nowMs);
    else stream.rate.adjust(rate);
    stream.isStopped = false;
    this.wake(stream);
  }

  private findOpen(set: StreamSet, streamId: number): Stream | null {
    const stream = set.find(streamId);
    if (stream?.isOpen) return stream;
    this.plane.counters.add(Counter.stream_unknown_dropped, 1);
    return null;
  }

  /** The part of a turn: send what streams have. Returns whether more is left for a turn right after. */
  work(): boolean {
    this.endStreams();
    if (this.throttled.length > 0) this.retryThrottled();
    let budget = CELLS_PER_TURN;
    const list = this.sets;
    this.sets = this.spareSets;
    this.spareSets = list;
    for (let i = 0; i < list.length; i++) {
      const set = list[i]!;
      set.isListed = false;
      if (budget > 0) budget -= this.serve(set, budget);
      // Out of budget: the next turn goes on.
      if (set.readyCount > 0 && budget <= 0) this.list(set);
    }
    list.length = 0;
    this.endStreams();
    this.payConnected();
    return this.sets.length > 0;
  }

  private endStreams(): void {
    if (this.ending.length === 0) return;
    const list = this.ending;
    this.ending = [];
    for (const stream of list) {
      const { endReason } = stream.end;
      if (endReason !== 0) this.finish(stream, encodeEnd(endReason));
    }
  }

  private retryThrottled(): void {
    const list = this.throttled;
    this.throttled = [];
    for (const stream of list) {
      stream.isThrottled = false;
      this.wake(stream);
    }
  }

  /** Send cells of a set, at most `budget`. Returns how many. */
  private serve(set: StreamSet, budget: number): number {
    let sent = 0;
    while (sent < budget) {
      const room = Math.min(set.carrier.room(), budget - sent, TOGETHER);
      if (room === 0) break;
      this.fill(set, room);
      if (this.filled === 0) break;
      sent += this.filled;
      if (!set.carrier.sendBodies(this.bodies, this.filled)) break;
    }
    return sent;
  }

  /** Fill bodies with what ready streams have, in turn: at most `room` of DATA, and what stands before and behind it. */
  private fill(set: StreamSet, room: number): void {
    const { mixes } = set.carrier;
    let left = room;
    this.filled = 0;
    // One stream's CONNECTED and END have room behind any number of DATA.
    while (left > 0 && this.filled + left + 2 <= TOGETHER_MIXED) {
      const share = Math.ceil(left / Math.max(1, set.readyCount));
      const stream = set.shiftReady();
      if (stream === null) break;
      if (stream.isGone) continue;
      if (stream.owesConnected) this.fillMessage(stream, RelayCommand.CONNECTED, NOTHING);
      let cells = 0;
      while (cells < share && stream.maySend && this.fillOne(set, stream)) cells++;
      left -= cells;
      const { endReason } = stream.end;
      // One that had its full share may have more.
      if (cells === share && stream.maySend && endReason === 0) set.pushReady(stream);
      if (endReason === 0) continue;
      if (mixes) {
        this.forget(stream);
        this.fillMessage(stream, RelayCommand.END, encodeEnd(endReason));
      } else this.ending.push(stream);
    }
  }

  /** Fill the next body with a message that is no DATA. */
  private fillMessage(stream: Stream, command: number, data: Uint8Array): void {
    const { bodies, plane } = this;
    stream.owesConnected = false;
    writeRelayMessage(bodies, this.filled++ * BODY_BYTES, command, stream.id, data, plane.random.bytes);
  }

  /** Fill the next body with data of a stream. False when it has none now. */
  private fillOne(set: StreamSet, stream: Stream): boolean {
    const { bodies, plane } = this;
    const at = this.filled * BODY_BYTES;
    const { rate } = stream;
    if (rate !== null && rate.room(plane.nowMs) <= 0) {
      stream.isThrottled = true;
      this.throttled.push(stream);
      return false;
    }
    const most = set.cellsToRandom === 0 && !set.hasRandom ? DATA_WITH_RANDOM : RELAY_DATA_MAX;
    const length = stream.end.pull(bodies, at + DATA_AT, most);
    if (length === 0) return false;
    writeDataHead(bodies, at, stream.id, length);
    const end = at + DATA_AT + length;
    if (length < RELAY_DATA_MAX) this.pad(end, at + BODY_BYTES);
    this.countRandom(set, length);
    if (rate !== null) rate.spend(length);
    if (stream.xonXoff === null) stream.packageWindow--;
    this.filled++;
    return true;
  }

  /** Zeros, then random bytes, behind the data. */
  private pad(from: number, to: number): void {
    const { bodies } = this;
    const random = Math.min(to, from + PADDING_GAP);
    bodies.fill(0, from, random);
    if (random < to) bodies.set(this.plane.random.bytes(to - random), random);
  }

  /** Some cell in each stretch must hold random bytes, or a client could acknowledge cells that it never got. */
  private countRandom(set: StreamSet, length: number): void {
    if (length <= DATA_WITH_RANDOM) set.hasRandom = true;
    if (set.cellsToRandom === 0) {
      set.hasRandom = false;
      set.cellsToRandom = RANDOM_EVERY / 2 + (this.plane.random.u32() % (RANDOM_EVERY / 2));
    }
    set.cellsToRandom--;
  }
}

/** The rate of an XON; -1 when it is malformed. */
function rateOf(data: Uint8Array): number {
  try {
    return decodeXon(data);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return -1;
  }
}

function violation(counter: string, why: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, counter, why);
}

/** Stands in until a stream's own end is made. */
const NO_END: StreamEnd = {
  take() {},
  pull: () => 0,
  endReason: 0,
  heldBytes: 0,
  storedBytes: 0,
  waitsSinceMs: Number.POSITIVE_INFINITY,
  close() {},
};
