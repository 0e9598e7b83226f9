/**
 * A circuit of one hop to the relay under test, which carries streams: what a client's circuit does, without an onion.
 *
 * DATA counts against the windows of old, or against congestion control where the relay answered that it does it.
 * Whatever breaks the protocol ends the circuit, and is told.
 */
import { BODY_AT, BODY_BYTES, CELL_BYTES, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { EndReason } from '../cell/reason.ts';
import {
  DATA_AT,
  RELAY_DATA_MAX,
  RelayCommand,
  relayCommand,
  relayLength,
  relayStreamId,
  writeRelayMessage,
} from '../cell/relay-message.ts';
import { CircuitFlow } from '../circuit/flow.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { Malformed, Violation } from '../fault.ts';
import type { HopKeys } from '../origin/hop-handshake.ts';
import { OriginStream, type StreamCarrier, type StreamEvents } from '../origin/origin-stream.ts';
import { FLOW_DEFAULTS } from '../shm/flow-params.ts';
import type { CellWriter } from './cell-writer.ts';

const EMPTY_BODY = new Uint8Array(BODY_BYTES);
const STREAM_ID_MAX = 0xffff;

/** One circuit. */
export class StreamCircuit implements StreamCarrier {
  readonly circId: number;
  isOver = false;
  readonly hasStreamWindows: boolean;
  readonly #writer: CellWriter;
  readonly #keys: HopKeys;
  readonly #flow: CircuitFlow;
  readonly #onBroken: (why: string) => void;
  readonly #streams = new Map<number, OriginStream>();
  readonly #halfClosed = new Set<number>();
  #nextId = 1;
  #isBlocked = false;

  /** @param onBroken told once, when either side broke the protocol */
  constructor(circId: number, keys: HopKeys, writer: CellWriter, onBroken: (why: string) => void) {
    this.circId = circId;
    this.#keys = keys;
    this.#writer = writer;
    this.#onBroken = onBroken;
    this.#flow = new CircuitFlow(FLOW_DEFAULTS, keys.ccSendmeInc);
    this.hasStreamWindows = keys.ccSendmeInc === 0;
  }

  /** Streams that are not over. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Open a stream by a BEGIN or BEGIN_DIR with this body. */
  open(command: number, data: Uint8Array, events: StreamEvents): OriginStream {
    const stream = new OriginStream(this.#takeId(), this, events);
    this.#streams.set(stream.id, stream);
    this.sendMessage(command, stream.id, data);
    return stream;
  }

  #takeId(): number {
    for (;;) {
      const id = this.#nextId;
      this.#nextId = id === STREAM_ID_MAX ? 1 : id + 1;
      if (!this.#streams.has(id) && !this.#halfClosed.has(id)) return id;
    }
  }

  dataRoom(): number {
    return this.isOver ? 0 : Math.min(this.#flow.room, this.#writer.room);
  }

  sendMessage(command: number, streamId: number, data: Uint8Array): boolean {
    if (this.isOver) return false;
    const at = this.#writer.next();
    const { bytes } = this.#writer;
    writeCell(bytes, at, this.circId, Command.RELAY, EMPTY_BODY);
    // What fills a cell up means nothing to a relay.
    writeRelayMessage(bytes, at + BODY_AT, command, streamId, data);
    const { layer } = this.#keys;
    layer.originateForward(bytes, at + BODY_AT);
    if (command === RelayCommand.DATA) this.#flow.onSent(layer.forwardTag, performance.now());
    return true;
  }

  noteBlocked(): void {
    this.#isBlocked = true;
  }

  noteEnded(streamId: number): void {
    this.#streams.delete(streamId);
    this.#halfClosed.add(streamId);
  }

  /** There may be room again: let streams go on that wait for it. */
  wake(): void {
    if (!this.#isBlocked || this.dataRoom() === 0) return;
    this.#isBlocked = false;
    for (const stream of this.#streams.values()) stream.wake();
    for (const stream of this.#streams.values()) if (stream.waitsForCircuit) this.#isBlocked = true;
  }

  /** Take a relay cell that came; its bytes may be changed. */
  onRelay(bytes: Uint8Array, at: number): void {
    if (this.isOver) return;
    try {
      this.#takeBody(bytes.subarray(at + BODY_AT, at + CELL_BYTES));
    } catch (error) {
      if (!(error instanceof Malformed) && !(error instanceof Violation)) throw error;
      this.#breakOff(error.message);
    }
  }

  #takeBody(body: Uint8Array): void {
    const { layer } = this.#keys;
    if (layer.decryptBackward(body, 0) !== RECOGNISED) {
      this.#breakOff('the backward keystream is out of step');
      return;
    }
    const length = relayLength(body, 0);
    if (length > RELAY_DATA_MAX) throw new Malformed('relay message', `length ${length}`);
    const command = relayCommand(body, 0);
    const streamId = relayStreamId(body, 0);
    const data = body.subarray(DATA_AT, DATA_AT + length);
    if (command === RelayCommand.SENDME && streamId === 0) {
      this.#flow.onSendme(data, performance.now(), false);
      this.wake();
      return;
    }
    if (command === RelayCommand.DATA) this.#acknowledge();
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      if (!stream.onMessage(command, data)) this.#streams.delete(streamId);
    } else if (!this.#halfClosed.has(streamId)) {
      this.#breakOff(`relay command ${command} for a stream that there never was`);
    } else if (command === RelayCommand.END) {
      this.#halfClosed.delete(streamId);
    }
  }

  #acknowledge(): void {
    const tag = this.#keys.layer.backwardTag;
    if (!this.#flow.onDelivered()) return;
    this.sendMessage(RelayCommand.SENDME, 0, this.#flow.sendmeFor(tag));
  }

  #breakOff(why: string): void {
    if (this.isOver) return;
    this.close();
    this.#onBroken(why);
  }

  /** It is gone: its streams are over. */
  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.close(EndReason.DESTROY);
  }
}
