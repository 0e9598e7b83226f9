/**
 * Recognised messages that the circuit itself does not answer: where cells become streams.
 *
 * Each circuit that ends here gets a `CircuitEnd` at its first message that needs one. DATA is counted for the circuit
 * before anything else is asked, whatever stream it is for; then messages go to the stream that they name. What comes
 * for a stream that is not there is dropped, for it may be late; what no circuit of ours can have asked for closes the
 * circuit.
 * Who calls: `circuit/recognised` per message, `circuit/close`, and `worker/data-plane` once per turn.
 * @source tor-spec "Application connections and stream management"
 */
import { unmapIp } from '../bytes/address.ts';
import { DestroyReason, EndReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { decodeEnd, encodeEnd } from '../cell/stream-message.ts';
import { PREV } from '../circuit/circuit-table.ts';
import type { CircuitPlane, Edge, StreamMemory } from '../circuit/plane.ts';
import { Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { CircuitEnd } from './circuit-end.ts';
import type { ExitDesk } from './exit-desk.ts';
import { ExitStream } from './exit-stream.ts';
import { nameOf, ResolveEnd, resolvedError, resolvedOf } from './resolve-request.ts';
import { STREAM_DEFENCE_CLOSE, takeStreamToken } from './stream-dos.ts';
import type { StreamEnd, StreamWaker } from './stream-end.ts';
import type { StreamSet } from './stream-set.ts';
import { StreamTable } from './stream-table.ts';

/** Makes the end of a directory stream: for the client at this address, over a relay or directly. */
export type DirectoryFactory = (
  waker: StreamWaker,
  clientHost: Uint8Array,
  prevIsRelay: boolean,
) => StreamEnd;

const NOTHING = new Uint8Array(0);

/** The edge of one worker. */
export class StreamEdge implements Edge, StreamMemory {
  readonly table: StreamTable;
  /** Answers BEGIN_DIR; null while we are no directory. */
  directory: DirectoryFactory | null = null;
  private readonly plane: CircuitPlane;
  readonly desk: ExitDesk;
  private readonly ends: (CircuitEnd | null)[] = [];

  constructor(plane: CircuitPlane, makeDesk: (table: StreamTable) => ExitDesk) {
    this.plane = plane;
    this.table = new StreamTable(plane);
    this.desk = makeDesk(this.table);
  }

  /** The end of a circuit, made when there is none yet. */
  endOf(row: number): CircuitEnd {
    const there = this.ends[row] ?? null;
    if (there !== null) return there;
    const made = new CircuitEnd(this.plane, row);
    while (this.ends.length <= row) this.ends.push(null);
    this.ends[row] = made;
    return made;
  }

  onData(row: number, streamId: number, bytes: Uint8Array, at: number, length: number): void {
    const end = this.endOf(row);
    if (end.flow.onDelivered() && !end.sendSendme()) return;
    if (streamId === 0) {
      this.plane.counters.add(Counter.circuit_relay_zero_stream, 1);
      return;
    }
    this.table.onData(end.streams, streamId, bytes, at, length);
  }

  onMessage(row: number, command: number, streamId: number, data: Uint8Array): void {
    if (streamId === 0) {
      if (command === RelayCommand.SENDME) this.onCircuitSendme(row, data);
      else this.onZeroStream(command);
      return;
    }
    switch (command) {
      case RelayCommand.BEGIN:
      case RelayCommand.BEGIN_DIR:
      case RelayCommand.RESOLVE:
        this.onNewStream(this.endOf(row), command, streamId, data);
        return;
      default:
        this.onStreamMessage(row, command, streamId, data);
    }
  }

  /** C tor drops these on stream 0 silently. */
  private onZeroStream(command: number): void {
    switch (command) {
      case RelayCommand.BEGIN:
      case RelayCommand.CONNECTED:
      case RelayCommand.END:
      case RelayCommand.RESOLVE:
      case RelayCommand.RESOLVED:
      case RelayCommand.BEGIN_DIR:
        this.plane.counters.add(Counter.circuit_relay_zero_stream, 1);
        return;
      default:
        this.plane.counters.add(Counter.circuit_relay_unknown_command, 1);
    }
  }

  private onCircuitSendme(row: number, data: Uint8Array): void {
    const end = this.ends[row] ?? null;
    if (end === null) {
      // Nothing was sent that it could acknowledge.
      throw new Violation(
        'circuit',
        DestroyReason.PROTOCOL,
        'circuit_unexpected_sendme',
        'unexpected SENDME',
      );
    }
    end.flow.onSendme(data, this.plane.nowMs, end.isBlocked, !end.streams.hasExited);
    this.table.resume(end.streams);
  }

  private onStreamMessage(row: number, command: number, streamId: number, data: Uint8Array): void {
    const { table } = this;
    const { streams } = this.endOf(row);
    switch (command) {
      case RelayCommand.END:
        // As C tor, also when there is no stream that it could end: it must have a reason.
        decodeEnd(data);
        table.onEnd(streams, streamId);
        return;
      case RelayCommand.SENDME:
        table.onSendme(streams, streamId);
        return;
      case RelayCommand.XOFF:
        table.onXoff(streams, streamId);
        return;
      case RelayCommand.XON:
        table.onXon(streams, streamId, data);
        return;
      default:
        this.plane.counters.add(Counter.circuit_relay_unknown_command, 1);
    }
  }

  private onNewStream(end: CircuitEnd, command: number, streamId: number, data: Uint8Array): void {
    if (end.streams.find(streamId) !== null) {
      this.plane.counters.add(Counter.stream_known_begin_dropped, 1);
      return;
    }
    if (command === RelayCommand.BEGIN) this.desk.opener.open(end, streamId, data);
    else if (command === RelayCommand.RESOLVE) this.onResolve(end, streamId, data);
    else this.onBeginDir(end, streamId);
  }

  private onBeginDir(end: CircuitEnd, streamId: number): void {
    const { plane, directory } = this;
    const { counters } = plane;
    const channel = plane.channels.bySlot[plane.table.port[end.row * 2 + PREV]!]!;
    const reason =
      directory === null ? EndReason.NOTDIRECTORY : plane.hibernating ? EndReason.HIBERNATING : 0;
    if (directory === null || reason !== 0) {
      counters.add(Counter.streams_refused, 1);
      end.streams.carrier.send(RelayCommand.END, streamId, encodeEnd(reason));
      return;
    }
    counters.add(Counter.streams_begun_dir, 1);
    const stream = this.table.add(end.streams, streamId, (waker) =>
      directory(waker, unmapIp(channel.peerHost), !channel.isClient),
    );
    stream.connected(NOTHING);
  }

  private onResolve(end: CircuitEnd, streamId: number, data: Uint8Array): void {
    const { plane } = this;
    plane.counters.add(Counter.streams_resolved, 1);
    end.streams.hasExited = true;
    if (!takeStreamToken(plane, end)) {
      if (plane.options.dos.streamDefence === STREAM_DEFENCE_CLOSE) {
        throw new Violation(
          'circuit',
          DestroyReason.RESOURCELIMIT,
          'dos_stream_circuits_closed',
          'too many streams',
        );
      }
      plane.counters.add(Counter.dos_stream_refused, 1);
      end.streams.carrier.send(RelayCommand.RESOLVED, streamId, resolvedError(true));
      return;
    }
    const stream = this.table.add(end.streams, streamId, (made) => new ResolveEnd(made));
    const question = stream.end as ResolveEnd;
    const lookup = this.desk.resolve(nameOf(data), (answer) => {
      // It may come between two turns.
      plane.wake();
      question.cancel = null;
      question.answer(resolvedOf(answer));
    });
    if (!stream.isGone) question.cancel = () => lookup.cancel();
  }

  onQueueLow(leg: number): void {
    const end = this.ends[leg >> 1] ?? null;
    if (end !== null) this.table.resume(end.streams);
  }

  onCircuitClosed(row: number): void {
    const end = this.ends[row] ?? null;
    if (end === null) return;
    this.ends[row] = null;
    this.table.dropSet(end.streams);
  }

  /** The part of a turn. Returns whether more is left for a turn right after. */
  work(): boolean {
    this.desk.beginTurn();
    const left = this.table.work();
    this.desk.endTurn();
    return left;
  }

  /** Something waits for bandwidth: a turn is wanted soon. */
  get isWaiting(): boolean {
    return this.desk.isWaiting;
  }

  /** Bytes that streams hold, buffers that are kept for later included. */
  get heldBytes(): number {
    return this.desk.heldBytes;
  }

  get idleBytes(): number {
    return this.desk.buffers.idleBytes;
  }

  heldBytesOf(row: number): number {
    const end = this.ends[row] ?? null;
    if (end === null) return 0;
    let bytes = 0;
    for (const stream of end.streams.all()) bytes += storedBytes(stream.end);
    return bytes;
  }

  dropOf(row: number): number {
    const end = this.ends[row] ?? null;
    if (end === null) return 0;
    const bytes = this.heldBytesOf(row);
    for (const stream of end.streams.all()) if (stream.end instanceof ExitStream) stream.end.abandon();
    return bytes;
  }

  dropLast(): void {
    this.desk.dropLingering();
  }

  heldSinceMs(row: number): number {
    const end = this.ends[row] ?? null;
    let oldest = Number.POSITIVE_INFINITY;
    if (end === null) return oldest;
    for (const stream of end.streams.all()) {
      if (stream.end instanceof ExitStream) oldest = Math.min(oldest, stream.end.waitsSinceMs);
    }
    return oldest;
  }

  /** Options have changed. */
  onOptions(): void {
    this.desk.setOptions(this.sets());
  }

  private *sets(): Generator<StreamSet> {
    for (const end of this.ends) if (end !== null) yield end.streams;
  }
}

/** Bytes that the end of a stream holds, in both directions. */
function storedBytes(end: StreamEnd): number {
  return end instanceof ExitStream ? end.storedBytes : end.heldBytes;
}
