/**
 * A circuit that we start: built hop by hop along a path that was chosen elsewhere, then a carrier of streams.
 *
 * The first hop is asked by CREATE2 (or CREATE_FAST), each further one by EXTEND2 in a RELAY_EARLY cell. What does not
 * answer by the deadline, answers wrongly, or breaks the protocol ends the circuit; so do TRUNCATED and DESTROY. As C
 * tor's, our DESTROYs give no reason. DATA counts against windows or congestion control of the last hop.
 * Invariants: a live circuit is in `Origins` under its row; streams are told of its end once.
 * @source tor-spec "Creating circuits", "Flow control"; proposals 289 and 324
 */
import type { Endpoint } from '../bytes/address.ts';
import { BODY_AT, CELL_BYTES, setCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { decodeCreated2 } from '../cell/create.ts';
import { decodeTruncated } from '../cell/destroy.ts';
import { decodeExtended2, type ExtendTarget, encodeExtend2, specifiersOf } from '../cell/extend.ts';
import { DestroyReason, EndReason } from '../cell/reason.ts';
import {
  DATA_AT,
  RELAY_DATA_MAX,
  RelayCommand,
  relayCommand,
  relayLength,
  relayStreamId,
  writeRelayMessage,
} from '../cell/relay-message.ts';
import { encodeBegin } from '../cell/stream-message.ts';
import { sendCell } from '../circuit/cell-queue.ts';
import { NEXT, OPEN } from '../circuit/circuit-table.ts';
import { closeCircuit } from '../circuit/close.ts';
import { CircuitFlow } from '../circuit/flow.ts';
import { allocOrigin, findFirst } from '../circuit/origin-row.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { assert, Malformed, Violation } from '../fault.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import { Counter } from '../shm/scoreboard.ts';
import { beginHandshake, createBody, type HopHandshake } from './hop-handshake.ts';
import { NO_HOP, Onion } from './onion.ts';
import { OriginStream, type StreamCarrier, type StreamEvents } from './origin-stream.ts';

/** What a circuit tells whoever opened it. None of them may throw. */
export interface CircuitEvents {
  /** The whole path is built. */
  onOpen(): void;
  /** It is over, for this reason of DESTROY; `hops` were built. Told once, and not to who called `close`. */
  onClosed(reason: number, hops: number): void;
}

/** What keeps circuits. */
export interface CircuitKeeper {
  readonly plane: CircuitPlane;
  add(circuit: OriginCircuit): void;
  remove(circuit: OriginCircuit): void;
  /** Look whether it has room again, each turn. */
  watch(circuit: OriginCircuit): void;
}

const STREAM_ID_MAX = 0xffff;
const NOTHING = new Uint8Array(0);

/** A circuit of ours. */
export class OriginCircuit implements StreamCarrier {
  readonly path: readonly OriginHop[];
  readonly row: number;
  /** When it is given up unless it is open: monotonic. */
  readonly deadlineMs: number;
  isOpen = false;
  isOver = false;
  private readonly keeper: CircuitKeeper;
  private readonly plane: CircuitPlane;
  private readonly events: CircuitEvents;
  private readonly onion = new Onion();
  private readonly generation: number;
  private handshake: HopHandshake | null = null;
  private flow: CircuitFlow | null = null;
  private usesCc = false;
  private readonly streams = new Map<number, OriginStream>();
  /** Ids of streams that we ended and the other side may still send on. */
  private readonly halfClosed = new Set<number>();
  private nextStreamId: number;
  private isMute = false;

  /** Use `Origins.open`. */
  constructor(keeper: CircuitKeeper, path: readonly OriginHop[], timeoutMs: number, events: CircuitEvents) {
    assert(path.length > 0, 'a circuit has a hop');
    this.keeper = keeper;
    this.plane = keeper.plane;
    this.path = path;
    this.events = events;
    this.deadlineMs = this.plane.nowMs + timeoutMs;
    this.nextStreamId = 1 + (this.plane.random.u32() % STREAM_ID_MAX);
    this.row = allocOrigin(this.plane);
    this.generation = this.plane.table.generation[this.row]!;
  }

  /** Hops that are built. */
  get hops(): number {
    return this.onion.hops;
  }

  /** Streams that are not over. */
  get streamCount(): number {
    return this.streams.size;
  }

  /** Begin to build. */
  start(): void {
    const first = this.path[0]!;
    // As C tor's relays: IPv4 where there is a choice.
    const endpoint = first.ipv4 ?? first.ipv6;
    const handshake = this.beginHop();
    if (endpoint === null || handshake === null) {
      this.fail(DestroyReason.INTERNAL);
      return;
    }
    const create = { body: createBody(handshake), isFast: handshake.isFast };
    findFirst(this.plane, this.row, targetOf(first, endpoint), endpoint, create);
  }

  private beginHop(): HopHandshake | null {
    const { plane, path } = this;
    const hop = path[this.onion.hops]!;
    const isLast = this.onion.hops === path.length - 1;
    this.handshake = beginHandshake(hop, isLast, plane.options.ccSendmeInc, plane.random.bytes);
    return this.handshake;
  }

  /** The first hop answered; `at` is the offset of its cell. @throws Malformed */
  onCreated(bytes: Uint8Array, at: number): void {
    const { handshake } = this;
    if (handshake === null || this.onion.hops > 0) throw new Malformed('CREATED', 'nobody waits for it');
    const body = bytes.subarray(at + BODY_AT, at + CELL_BYTES);
    this.plane.table.state[this.row] = OPEN;
    this.finishHop(handshake.isFast ? body : decodeCreated2(body));
  }

  private finishHop(reply: Uint8Array): void {
    const { plane } = this;
    const made = this.handshake!.finish(reply);
    this.handshake = null;
    if (made === null) {
      plane.counters.add(Counter.origin_handshake_failed, 1);
      this.fail(DestroyReason.PROTOCOL);
      return;
    }
    this.onion.add(made.layer);
    if (this.onion.hops < this.path.length) {
      this.extend();
      return;
    }
    this.usesCc = made.ccSendmeInc > 0;
    this.flow = new CircuitFlow(plane.options.flow, made.ccSendmeInc);
    this.isOpen = true;
    plane.counters.add(Counter.origin_circuits_built, 1);
    this.events.onOpen();
  }

  private extend(): void {
    const from = this.onion.hops - 1;
    const { rsaId, ed25519Id, ipv4, ipv6, onionKey } = this.path[this.onion.hops]!;
    const handshake = onionKey === null ? null : this.beginHop();
    if (handshake === null) {
      this.fail(DestroyReason.INTERNAL);
      return;
    }
    const data = encodeExtend2({
      specifiers: specifiersOf({ rsaId, ed25519Id, ipv4, ipv6 }),
      handshakeType: handshake.handshakeType,
      data: handshake.onionskin,
    });
    this.send(from, Command.RELAY_EARLY, RelayCommand.EXTEND2, 0, data);
  }

  /** Take a relay cell's body, which is ours to change. @throws Malformed, Violation: the circuit is closed */
  onBody(body: Uint8Array): void {
    const hop = this.onion.open(body, 0);
    if (hop === NO_HOP) throw violation('origin_cell_unrecognised', 'a cell that no hop sent');
    const length = relayLength(body, 0);
    if (length > RELAY_DATA_MAX) throw new Malformed('relay message', `length ${length}`);
    const command = relayCommand(body, 0);
    const data = body.subarray(DATA_AT, DATA_AT + length);
    if (command === RelayCommand.DROP) return;
    if (hop === this.onion.hops - 1) this.onLastHop(command, relayStreamId(body, 0), data);
    else if (command === RelayCommand.TRUNCATED) this.onTruncated(data);
    else throw violation('origin_cell_wrong_hop', 'a message from a hop that has nothing to say');
  }

  private onLastHop(command: number, streamId: number, data: Uint8Array): void {
    if (command === RelayCommand.EXTENDED2) {
      if (this.handshake === null || streamId !== 0) {
        throw violation('origin_cell_unexpected', 'an EXTENDED2 that nobody waits for');
      }
      this.finishHop(decodeExtended2(data));
    } else if (command === RelayCommand.TRUNCATED) {
      this.onTruncated(data);
    } else if (!this.isOpen) {
      throw violation('origin_cell_unexpected', 'a stream message before the circuit is open');
    } else if (command === RelayCommand.SENDME && streamId === 0) {
      this.flow!.onSendme(data, this.plane.nowMs, this.queueRoom() <= 0);
      this.wakeStreams();
    } else {
      this.onStream(command, streamId, data);
    }
  }

  private onTruncated(data: Uint8Array): void {
    const reason = decodeTruncated(data);
    this.plane.counters.add(Counter.origin_truncated, 1);
    this.fail(reason);
  }

  private onStream(command: number, streamId: number, data: Uint8Array): void {
    // Every DATA counts, whosever it is.
    if (command === RelayCommand.DATA) this.acknowledge();
    if (this.isOver) return;
    const stream = this.streams.get(streamId);
    if (stream !== undefined) {
      if (!stream.onMessage(command, data)) this.streams.delete(streamId);
      return;
    }
    if (!this.halfClosed.has(streamId)) {
      throw violation('origin_stream_unknown', 'a message for a stream that there never was');
    }
    if (command === RelayCommand.END) this.halfClosed.delete(streamId);
  }

  private acknowledge(): void {
    const last = this.onion.hops - 1;
    const flow = this.flow!;
    if (!flow.onDelivered()) return;
    const data = flow.sendmeFor(this.onion.receivedTag(last));
    this.send(last, Command.RELAY, RelayCommand.SENDME, 0, data);
  }

  /** Open a stream through the last hop to `host:port` (an IPv6 address in brackets). Null when there is no id left. */
  connect(target: string, flags: number, events: StreamEvents): OriginStream | null {
    return this.begin(RelayCommand.BEGIN, encodeBegin(target, flags), events);
  }

  /** Open a stream to the last hop's directory. Null when there is no id left. */
  connectDirectory(events: StreamEvents): OriginStream | null {
    return this.begin(RelayCommand.BEGIN_DIR, NOTHING, events);
  }

  private begin(command: number, data: Uint8Array, events: StreamEvents): OriginStream | null {
    const id = this.isOpen && !this.isOver ? this.takeStreamId() : 0;
    if (id === 0) return null;
    const stream = new OriginStream(id, this, events);
    this.streams.set(id, stream);
    return this.sendMessage(command, id, data) ? stream : null;
  }

  private takeStreamId(): number {
    for (let tries = 0; tries < STREAM_ID_MAX; tries++) {
      const id = this.nextStreamId;
      this.nextStreamId = id === STREAM_ID_MAX ? 1 : id + 1;
      if (!this.streams.has(id) && !this.halfClosed.has(id)) return id;
    }
    return 0;
  }

  /** Send a DROP cell to the last hop. False when there is no room for it now. */
  drop(): boolean {
    if (!this.isOpen || this.isOver || this.queueRoom() <= 0) return false;
    return this.send(this.onion.hops - 1, Command.RELAY, RelayCommand.DROP, 0, NOTHING);
  }

  get hasStreamWindows(): boolean {
    return !this.usesCc;
  }

  dataRoom(): number {
    if (this.isOver || this.flow === null) return 0;
    return Math.min(this.flow.room, this.queueRoom());
  }

  /** Cells that the queue to the first hop takes before it counts as full. */
  private queueRoom(): number {
    const { table, options } = this.plane;
    return options.flow.cellqHigh - table.queueCells[this.row * 2 + NEXT]!;
  }

  sendMessage(command: number, streamId: number, data: Uint8Array): boolean {
    const last = this.onion.hops - 1;
    if (!this.send(last, Command.RELAY, command, streamId, data)) return false;
    const { flow } = this;
    if (command === RelayCommand.DATA && flow!.noteSent(this.plane.nowMs)) {
      flow!.keepTag(this.onion.sentTag(last));
    }
    return true;
  }

  noteEnded(streamId: number): void {
    this.streams.delete(streamId);
    this.halfClosed.add(streamId);
  }

  noteBlocked(): void {
    this.keeper.watch(this);
  }

  /** Let streams go on that wait for room. Returns whether some still wait for the queue. */
  wakeStreams(): boolean {
    if (this.isOver || this.dataRoom() <= 0) return !this.isOver;
    for (const stream of this.streams.values()) stream.wake();
    for (const stream of this.streams.values()) if (stream.waitsForCircuit) return true;
    return false;
  }

  private send(
    hop: number,
    cellCommand: number,
    command: number,
    streamId: number,
    data: Uint8Array,
  ): boolean {
    if (this.isOver) return false;
    const { plane } = this;
    plane.wake();
    const cell = plane.scratch;
    setCommand(cell, 0, cellCommand);
    writeRelayMessage(cell, BODY_AT, command, streamId, data, plane.random.bytes);
    this.onion.seal(hop, cell, BODY_AT);
    return sendCell(plane, this.row * 2 + NEXT, cell, 0);
  }

  /** End it. Nothing is told to the opener any more; its streams are told. */
  close(): void {
    this.isMute = true;
    this.fail(DestroyReason.REQUESTED);
  }

  /** End it for this reason. */
  fail(reason: number): void {
    if (!this.plane.table.isLive(this.row, this.generation)) return;
    this.plane.wake();
    closeCircuit(this.plane, this.row, reason, DestroyReason.NONE);
  }

  /** Its row is gone. */
  onGone(reason: number): void {
    this.isOver = true;
    this.isOpen = false;
    this.keeper.remove(this);
    const streams = [...this.streams.values()];
    this.streams.clear();
    this.halfClosed.clear();
    for (const stream of streams) stream.close(EndReason.DESTROY);
    if (!this.isMute) this.events.onClosed(reason, this.onion.hops);
  }
}

function targetOf(hop: OriginHop, endpoint: Endpoint): ExtendTarget {
  const { rsaId, ed25519Id } = hop;
  const { length } = endpoint.host;
  return {
    rsaId,
    ed25519Id,
    ipv4: length === 4 ? endpoint : hop.ipv4,
    ipv6: length === 16 ? endpoint : hop.ipv6,
  };
}

function violation(counter: string, why: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, counter, why);
}
