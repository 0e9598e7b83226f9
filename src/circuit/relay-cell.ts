/**
 * @hot
 * RELAY and RELAY_EARLY cells on the legs of this worker: decrypt or encrypt, recognise, pass on.
 *
 * Cells are listed first (`relay-batch`) and served with others of their circuit. Forward cells are decrypted; what is
 * not for us goes to the next leg. Backward cells are encrypted and go to the previous leg.
 * A transit row passes cells between ring and channel as they are: the owner's worker holds the ciphers, and counts the
 * cell; listing them too puts a circuit's cells behind each other in the ring. Errors close the circuit and nothing else.
 * @source tor-spec "Routing relay cells"
 */
import { giveBack } from '../bytes/chunk.ts';
import { BODY_AT, BODY_BYTES, copyBody, getCommand, joinCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import { sendBodies, sendBody, sendCell, sendCells } from './cell-queue.ts';
import { CREATING, NEXT, NO_PORT, OPEN, ORIGIN, OWNED, PREV, portWorker } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';
import { onRecognised } from './recognised.ts';
import { type BatchServer, NONE, type RelayBatch, TOGETHER } from './relay-batch.ts';

/** RELAY_EARLY cells that a circuit may carry forward. */
const RELAY_EARLY_MAX = 8;

/**
 * Take a relay cell that came in on `leg`. The bytes are ours, to change and to look at until `serveRelayCells`, which
 * must be called before they change hands and before anything else happens to a circuit.
 */
export function onRelayCell(plane: CircuitPlane, leg: number, bytes: Uint8Array, at: number): void {
  const table = plane.table;
  const row = leg >> 1;
  if (table.kind[row] === OWNED && table.state[row] === CREATING) {
    // As C tor: a relay cell before the CREATE was answered closes the circuit.
    plane.counters.add(Counter.circuit_relay_while_create_queued, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return;
  }
  if (plane.batch.add(table, leg, bytes, at)) return;
  const generation = table.generation[row]!;
  serveRelayCells(plane);
  // What was served may have ended the circuit.
  if (table.generation[row] === generation) plane.batch.add(table, leg, bytes, at);
}

/** Serve all relay cells that are listed. */
export function serveRelayCells(plane: CircuitPlane): void {
  plane.batch.serve(plane.table, plane.relayCells);
}

/** Takes listed cells through their circuits. One per worker. */
export class RelayCells implements BatchServer {
  private readonly plane: CircuitPlane;
  private readonly batch: RelayBatch;

  constructor(plane: CircuitPlane) {
    this.plane = plane;
    this.batch = plane.batch;
  }

  serveBodies(leg: number, first: number, bytes: Uint8Array, at: number, count: number): boolean {
    const { plane } = this;
    const layer = plane.table.layer[leg >> 1]!;
    const isForward = (leg & 1) === PREV;
    const bodies = isForward ? layer.decryptBodies(bytes, at, count) : layer.encryptBodies(bytes, at, count);
    const lives = isForward
      ? this.forward(leg >> 1, first, bodies, count)
      : this.backward(leg >> 1, first, bodies, count);
    giveBack(bodies);
    return lives;
  }

  /** From a channel for the ring, whose other worker does all else. Or of a circuit that begins here. */
  passCells(leg: number, first: number): void {
    const { plane, batch } = this;
    const { table } = plane;
    const row = leg >> 1;
    const out = leg ^ 1;
    const generation = table.generation[row]!;
    let cell = first;
    while (cell !== NONE && table.generation[row] === generation) {
      const port = table.port[out]!;
      if (port === NO_PORT) {
        if (table.kind[row] !== ORIGIN || !plane.origin.onRelayCell(row, batch.bytes, batch.at[cell]!))
          return;
      } else {
        const together = port < 0 ? this.passTogether(out, cell) : cell;
        if (together !== cell) {
          cell = together;
          continue;
        }
        if (!sendCell(plane, out, batch.bytes, batch.at[cell]!)) return;
      }
      cell = batch.behind[cell]!;
    }
  }

  /**
   * Put the RELAY cells of a leg that are next in the list into the ring together, if there are several and it takes
   * them. Returns the first that was not put.
   */
  private passTogether(out: number, first: number): number {
    const { plane, batch } = this;
    const { table } = plane;
    const ring = plane.ports[portWorker(table.port[out]!)]!;
    if (ring.congested) return first;
    let count = 0;
    let end = first;
    while (end !== NONE && count < TOGETHER && getCommand(batch.bytes, batch.at[end]!) === Command.RELAY) {
      count++;
      end = batch.behind[end]!;
    }
    if (count < 2) return first;
    const generation = table.peerGeneration[out]!;
    const attempt = table.attempt[out >> 1]!;
    let to = ring.spanFor(SlotKind.BODIES, table.id[out]!, generation, attempt, count);
    if (to < 0) return first;
    for (let cell = first; cell !== end; cell = batch.behind[cell]!) {
      copyBody(batch.bytes, batch.at[cell]! + BODY_AT, ring.outgoing.u8, to);
      to += BODY_BYTES;
    }
    ring.commitSpan(SlotKind.BODIES, count);
    table.sent[out]! += plane.ewma.weight * count;
    return end;
  }

  /** Take RELAY cells that came over a ring for `leg` of a transit row, none of which is listed. */
  takeCells(leg: number, bytes: Uint8Array, at: number, count: number): void {
    if (this.plane.table.port[leg ^ 1] !== NO_PORT) sendCells(this.plane, leg ^ 1, bytes, at, count);
  }

  /**
   * Take the bodies of RELAY cells that came over a ring for `leg`, none of which is listed. Whoever owns the circuit
   * encrypts them on their way to the client, straight from the ring.
   */
  takeBodies(leg: number, bytes: Uint8Array, at: number, count: number): void {
    const { plane } = this;
    const { table } = plane;
    const row = leg >> 1;
    if (table.kind[row] === OWNED) {
      const bodies = table.layer[row]!.encryptBodies(bytes, at, count);
      plane.counters.add(Counter.cells_relayed, count);
      sendBodies(plane, row * 2 + PREV, bodies, 0, count);
      giveBack(bodies);
    } else {
      const generation = table.generation[row]!;
      for (let i = 0; i < count && table.generation[row] === generation; i++) {
        joinCell(0, Command.RELAY, bytes, at + i * BODY_BYTES, plane.scratch, 0);
        if (!plane.origin.onRelayCell(row, plane.scratch, 0)) return;
      }
    }
  }

  /** Returns whether the circuit lives on. */
  private forward(row: number, first: number, bodies: Uint8Array, count: number): boolean {
    const { plane, batch } = this;
    const { table } = plane;
    const generation = table.generation[row]!;
    let cell = first;
    /** Those from here on are for the next hop, and go together. */
    let from = 0;
    for (let i = 0; i < count; i++) {
      const early = getCommand(batch.bytes, batch.at[cell]!) === Command.RELAY_EARLY;
      cell = batch.behind[cell]!;
      const layer = table.layer[row]!;
      const isLast = table.port[row * 2 + NEXT] === NO_PORT || table.state[row] !== OPEN;
      const at = i * BODY_BYTES;
      const verdict = isLast ? layer.recogniseLast(bodies, at) : layer.recogniseForward(bodies, at);
      if (verdict !== RECOGNISED && !isLast && !early) continue;
      if (!this.passForward(row, bodies, from, i)) return false;
      from = i + 1;
      takeBody(plane, row, early, isLast, verdict, bodies, at);
      if (table.generation[row] !== generation) return false;
    }
    return this.passForward(row, bodies, from, count);
  }

  /** Send the bodies of RELAY cells to the next hop. Returns whether the circuit lives on. */
  private passForward(row: number, bodies: Uint8Array, from: number, to: number): boolean {
    if (from === to) return true;
    const { plane } = this;
    plane.counters.add(Counter.cells_relayed, to - from);
    if (!plane.options.padBeforeUsage) plane.onTraffic(plane.table.port[row * 2 + PREV]!);
    return sendBodies(plane, row * 2 + NEXT, bodies, from * BODY_BYTES, to - from);
  }

  private backward(row: number, first: number, bodies: Uint8Array, count: number): boolean {
    const { plane, batch } = this;
    let cell = first;
    let relays = 0;
    while (relays < count && getCommand(batch.bytes, batch.at[cell]!) !== Command.RELAY_EARLY) {
      relays++;
      cell = batch.behind[cell]!;
    }
    plane.counters.add(Counter.cells_relayed, relays);
    if (!sendBodies(plane, row * 2 + PREV, bodies, 0, relays)) return false;
    if (relays === count) return true;
    // Only a tagging attack sends these towards the client.
    plane.counters.add(Counter.circuit_relay_early_backward, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return false;
  }
}

/** Take one decrypted body that goes no further, or in a RELAY_EARLY cell. */
function takeBody(
  plane: CircuitPlane,
  row: number,
  early: boolean,
  isLast: boolean,
  verdict: number,
  bodies: Uint8Array,
  at: number,
): void {
  const table = plane.table;
  if (early) {
    const seen = table.relayEarly[row]! + 1;
    if (seen > RELAY_EARLY_MAX) {
      plane.counters.add(Counter.circuit_relay_early_exceeded, 1);
      closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
      return;
    }
    table.relayEarly[row] = seen;
  }
  if (verdict === RECOGNISED) {
    onRecognised(plane, row, early, bodies, at);
    return;
  }
  if (isLast) {
    plane.counters.add(Counter.circuit_unrecognised_no_next, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return;
  }
  plane.counters.add(Counter.cells_relayed, 1);
  sendBody(plane, row * 2 + NEXT, Command.RELAY_EARLY, bodies, at);
}
