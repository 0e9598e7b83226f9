/**
 * A circuit that ends here and has been used for that: its flow control, and the streams on it. The carrier of streams
 * of an ordinary circuit.
 *
 * Made at the first message that needs it, so that circuits which only pass cells on never have one.
 * Who calls: `edge` and `stream-table`.
 */
import { giveBack } from '../bytes/chunk.ts';
import { BODY_BYTES } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { RelayCommand, relayCommand } from '../cell/relay-message.ts';
import type { Channel } from '../channel/channel.ts';
import { sendBody } from '../circuit/cell-queue.ts';
import { PREV } from '../circuit/circuit-table.ts';
import { closeCircuit } from '../circuit/close.ts';
import { CircuitFlow } from '../circuit/flow.ts';
import { originate } from '../circuit/originate.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { Counter } from '../shm/scoreboard.ts';
import type { Asker } from './asker.ts';
import type { Carrier } from './carrier.ts';
import { StreamSet } from './stream-set.ts';

/** One end of one circuit. */
export class CircuitEnd implements Carrier, Asker {
  readonly row: number;
  readonly generation: number;
  readonly mixes = true;
  readonly flow: CircuitFlow;
  /** The streams that it carries, alone or with others. */
  streams: StreamSet;
  streamTokens: number;
  streamTokensMs: number;
  /** DATA came in this turn that the link is to be told of. */
  owesAck = false;
  /** The queue to the client was above its mark and is not down to the low one yet. */
  private queueBlocked = false;
  private readonly plane: CircuitPlane;

  constructor(plane: CircuitPlane, row: number) {
    this.plane = plane;
    this.row = row;
    const { table, options } = plane;
    this.generation = table.generation[row]!;
    const ccSendmeInc = table.ccSendmeInc[row]!;
    this.flow = new CircuitFlow(options.flow, ccSendmeInc);
    this.streams = new StreamSet(this, ccSendmeInc > 0);
    this.streamTokens = options.dos.streamBurst;
    this.streamTokensMs = plane.nowMs;
  }

  get overClient(): boolean {
    return this.channel.isClient;
  }

  get overListed(): boolean {
    const { peerRsaId } = this.channel;
    return peerRsaId !== null && this.plane.relayIndex.find(peerRsaId) >= 0;
  }

  /** The link to the client's side. */
  get channel(): Channel {
    const { table, channels } = this.plane;
    return channels.bySlot[table.port[this.row * 2 + PREV]!]!;
  }

  /**
   * Tell the client's side at once that SENDMEs or DATA came. Often there are no cells to send along, as while all
   * windows are full, and a C tor before us holds what comes next back until it knows.
   */
  acknowledgeLink(): void {
    this.owesAck = false;
    const { table, channels } = this.plane;
    if (table.isLive(this.row, this.generation)) {
      channels.bySlot[table.port[this.row * 2 + PREV]!]?.wire?.acknowledge();
    }
  }

  /** A SENDME or more of DATA is not acknowledged. */
  get inFlight(): boolean {
    const { vegas } = this.flow;
    return vegas !== null && vegas.inflight >= vegas.sendmeInc;
  }

  /** Whether the queue to the client is, or was until lately, too full for streams. */
  get isBlocked(): boolean {
    return this.queueRoom() === 0;
  }

  room(): number {
    return Math.min(this.flow.room, this.queueRoom());
  }

  private queueRoom(): number {
    const { table, options } = this.plane;
    const { cellqHigh, cellqLow } = options.flow;
    const leg = this.row * 2 + PREV;
    const waiting = table.queueCells[leg]!;
    if (this.queueBlocked && waiting <= cellqLow) this.queueBlocked = false;
    if (!this.queueBlocked && waiting < cellqHigh) return cellqHigh - waiting;
    this.queueBlocked = true;
    // Also when it was down already: a CONNECTED or END may have come to it before the streams had their turn.
    table.lowWatch[leg] = 1;
    return 0;
  }

  send(command: number, streamId: number, data: Uint8Array): boolean {
    return originate(this.plane, this.row, command, streamId, data);
  }

  /** Acknowledge the DATA cell that was recognised last. False when the circuit died of it. */
  sendSendme(): boolean {
    const { plane, row } = this;
    const tag = plane.table.layer[row]!.forwardTag;
    return originate(plane, row, RelayCommand.SENDME, 0, this.flow.sendmeFor(tag));
  }

  sendBodies(bodies: Uint8Array, count: number): boolean {
    const { plane, row, flow } = this;
    const layer = plane.table.layer[row]!;
    let data = 0;
    for (let i = 0; i < count; i++) {
      layer.sealBackward(bodies, i * BODY_BYTES);
      if (relayCommand(bodies, i * BODY_BYTES) !== RelayCommand.DATA) continue;
      data++;
      if (flow.noteSent(plane.nowMs)) flow.keepTag(layer.backwardTag);
    }
    const sealed = layer.encryptBodies(bodies, 0, count);
    const leg = row * 2 + PREV;
    for (let i = 0; i < count; i++) {
      if (!sendBody(plane, leg, Command.RELAY, sealed, i * BODY_BYTES)) return false;
    }
    giveBack(sealed);
    plane.counters.add(Counter.stream_cells_sent, data);
    return true;
  }

  close(reason: number): void {
    const { plane, row } = this;
    if (plane.table.isLive(row, this.generation)) closeCircuit(plane, row, reason, reason);
  }
}
