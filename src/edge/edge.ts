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
import type { HomeSet } from '../circuit/conflux-homes.ts';
import type { CircuitPlane, Edge, StreamMemory } from '../circuit/plane.ts';
import { Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import type { Asker } from './asker.ts';
import { CircuitEnd } from './circuit-end.ts';
import { ConfluxEdge } from './conflux-edge.ts';
import type { ExitDesk } from './exit-desk.ts';
import { ExitStream } from './exit-stream.ts';
import { nameOf, ResolveEnd, resolvedError, resolvedOf } from './resolve-request.ts';
import type { Stream } from './stream.ts';
import { takeStreamToken } from './stream-dos.ts';
import type { StreamEnd, StreamWaker } from './stream-end.ts';
import type { StreamSet } from './stream-set.ts';
import { StreamTable } from './stream-table.ts';

/** Makes the end of a directory stream: for the client at this address, over a relay or directly. */
export type DirectoryFactory = (
  waker: StreamWaker,
  clientHost: Uint8Array,
  prevIsRelay: boolean,
) => StreamEnd;

function isConflux(command: number): boolean {
  return command >= RelayCommand.CONFLUX_LINK && command <= RelayCommand.CONFLUX_SWITCH;
}

/** The edge of one worker. */
export class StreamEdge implements Edge, StreamMemory {
  readonly table: StreamTable;
  /** Answers BEGIN_DIR; null while we are no directory. */
  directory: DirectoryFactory | null = null;
  /** What directory streams hold, all together; set once. */
  directoryMemory: { readonly heldBytes: number } = { heldBytes: 0 };
  private readonly plane: CircuitPlane;
  readonly desk: ExitDesk;
  private readonly conflux: ConfluxEdge;
  private readonly ends: (CircuitEnd | null)[] = [];
  /** Those that DATA came for in this turn. */
  private readonly owing: CircuitEnd[] = [];

  constructor(plane: CircuitPlane, makeDesk: (table: StreamTable) => ExitDesk) {
    this.plane = plane;
    this.table = new StreamTable(plane);
    this.desk = makeDesk(this.table);
    this.conflux = new ConfluxEdge(plane, this);
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

  /** The end of a circuit; null when there is none yet. */
  knownEnd(row: number): CircuitEnd | null {
    return this.ends[row] ?? null;
  }

  onData(row: number, streamId: number, bytes: Uint8Array, at: number, length: number): void {
    const end = this.endOf(row);
    if (!end.owesAck) {
      end.owesAck = true;
      this.owing.push(end);
    }
    if (end.flow.onDelivered() && !end.sendSendme()) return;
    if (streamId === 0) {
      this.plane.counters.add(Counter.circuit_relay_zero_stream, 1);
      return;
    }
    const { conflux, table } = this.plane;
    if (table.conflux[row] !== null) {
      const data = new Uint8Array(bytes.buffer, bytes.byteOffset + at, length);
      conflux.take(row, RelayCommand.DATA, streamId, data);
      return;
    }
    this.table.onData(end.streams, streamId, bytes, at, length);
  }

  onMessage(row: number, command: number, streamId: number, data: Uint8Array): void {
    if (isConflux(command)) {
      this.plane.conflux.take(row, command, streamId, data);
      return;
    }
    if (command === RelayCommand.SENDME) this.ends[row]?.acknowledgeLink();
    if (streamId === 0) {
      if (command === RelayCommand.SENDME) this.onCircuitSendme(row, data);
      else this.onZeroStream(command);
      return;
    }
    if (this.plane.table.conflux[row] !== null && this.plane.conflux.take(row, command, streamId, data))
      return;
    if (command === RelayCommand.BEGIN_DIR) this.onBeginDir(this.endOf(row), streamId);
    else this.onStreamMessage(this.endOf(row), command, streamId, data);
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
    const { conflux, nowMs } = this.plane;
    end.flow.onSendme(data, nowMs, end.isBlocked, !end.streams.hasExited && !conflux.isLeg(row));
    this.onRoom(end);
  }

  /** More may be sent on a circuit than before. */
  private onRoom(end: CircuitEnd): void {
    const rttUs = end.flow.vegas?.ewmaRttUsec ?? 0;
    if (!this.plane.conflux.onRoom(end.row, rttUs)) this.table.resume(end.streams);
  }

  /**
   * Take a message for a stream of a circuit, or of a conflux set when it is next in order; BEGIN_DIR apart, which no
   * set carries.
   * @throws Malformed, Violation
   */
  onStreamMessage(asker: Asker, command: number, streamId: number, data: Uint8Array): void {
    const { table } = this;
    const { streams } = asker;
    switch (command) {
      case RelayCommand.BEGIN:
        if (this.isNew(asker, streamId)) this.desk.opener.open(asker, streamId, data);
        return;
      case RelayCommand.RESOLVE:
        if (this.isNew(asker, streamId)) this.onResolve(asker, streamId, data);
        return;
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

  private isNew({ streams }: Asker, streamId: number): boolean {
    if (streams.find(streamId) === null) return true;
    this.plane.counters.add(Counter.stream_known_begin_dropped, 1);
    return false;
  }

  private onBeginDir(end: CircuitEnd, streamId: number): void {
    if (!this.isNew(end, streamId)) return;
    const { plane, directory } = this;
    const { counters } = plane;
    const { channel } = end;
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
    stream.connectedSoon();
  }

  private onResolve(asker: Asker, streamId: number, data: Uint8Array): void {
    const { plane } = this;
    plane.counters.add(Counter.streams_resolved, 1);
    asker.streams.hasExited = true;
    if (!takeStreamToken(plane, asker)) {
      plane.counters.add(Counter.dos_stream_refused, 1);
      asker.streams.carrier.send(RelayCommand.RESOLVED, streamId, resolvedError(true));
      return;
    }
    const stream = this.table.add(asker.streams, streamId, (made) => new ResolveEnd(made));
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
    if (end !== null) this.onRoom(end);
  }

  onCircuitClosed(row: number): void {
    const end = this.ends[row] ?? null;
    if (end === null) return;
    this.ends[row] = null;
    this.table.dropSet(end.streams);
  }

  /** The part of a turn. Returns whether more is left for a turn right after. */
  work(): boolean {
    for (const end of this.owing) end.acknowledgeLink();
    this.owing.length = 0;
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

  get directoryBytes(): number {
    return this.directoryMemory.heldBytes;
  }

  heldBytesOf(row: number): number {
    if (this.hasNothing(row)) return 0;
    const home = this.plane.conflux.mainSetOf(row);
    let bytes = home === null ? 0 : home.set.heldBytes;
    for (const { end } of this.streamsOf(row, home)) bytes += end.storedBytes;
    return bytes;
  }

  dropOf(row: number): number {
    if (this.hasNothing(row)) return 0;
    const home = this.plane.conflux.mainSetOf(row);
    const bytes = this.heldBytesOf(row);
    for (const { end } of this.streamsOf(row, home)) if (end instanceof ExitStream) end.abandon();
    if (home !== null) home.set.close(DestroyReason.RESOURCELIMIT);
    return bytes;
  }

  /** Neither streams nor a set: most circuits, when all are looked at. */
  private hasNothing(row: number): boolean {
    return (this.ends[row] ?? null) === null && !this.plane.conflux.isLeg(row);
  }

  /** The streams of a circuit, and those of the set that is counted as its own. */
  private *streamsOf(row: number, home: HomeSet | null): Generator<Stream> {
    const end = this.ends[row] ?? null;
    if (end !== null) yield* end.streams.all();
    if (home !== null) yield* this.conflux.streamsOf(home);
  }

  dropLast(): void {
    this.desk.dropLingering();
  }

  heldSinceMs(row: number): number {
    if (this.hasNothing(row)) return Number.POSITIVE_INFINITY;
    const home = this.plane.conflux.mainSetOf(row);
    let oldest = home === null ? Number.POSITIVE_INFINITY : home.set.waitingSinceMs;
    for (const { end } of this.streamsOf(row, home)) oldest = Math.min(oldest, end.waitsSinceMs);
    return oldest;
  }

  /** Options have changed. */
  onOptions(): void {
    this.desk.setOptions(this.sets());
  }

  private *sets(): Generator<StreamSet> {
    for (const end of this.ends) if (end !== null) yield end.streams;
    yield* this.conflux.sets();
  }
}
