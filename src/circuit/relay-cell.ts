/**
 * @hot
 * RELAY and RELAY_EARLY cells on the legs of this worker: decrypt or encrypt, recognise, pass on.
 *
 * Cells are listed first (`relay-batch`) and served with others of their circuit. Forward
 * cells are decrypted; what is not for us goes to the next leg. Backward cells are encrypted and go to the previous leg.
 * A transit row passes cells between ring and channel as they are: the owner's worker holds the ciphers, and counts the
 * cell; listing them too puts a circuit's cells behind each other in the ring. Errors close the circuit and nothing else.
 * @source tor-spec "Routing relay cells"
 */
import { BODY_BYTES, getCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { Counter } from '../shm/scoreboard.ts';
import { sendBody, sendCell } from './cell-queue.ts';
import { CREATING, NEXT, NO_PORT, OPEN, ORIGIN, OWNED, PREV } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';
import { onRecognised } from './recognised.ts';
import type { BatchServer, RelayBatch } from './relay-batch.ts';

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
    if ((leg & 1) === PREV)
      return this.forward(leg >> 1, first, layer.decryptBodies(bytes, at, count), count);
    return this.backward(leg >> 1, first, layer.encryptBodies(bytes, at, count), count);
  }

  /** From the ring or for it: the owner's worker does all else. Or of a circuit that begins here. */
  passCell(leg: number, bytes: Uint8Array, at: number): boolean {
    const { plane } = this;
    const { table } = plane;
    if (table.port[leg ^ 1] !== NO_PORT) return sendCell(plane, leg ^ 1, bytes, at);
    return table.kind[leg >> 1] !== ORIGIN || plane.origin.onRelayCell(leg >> 1, bytes, at);
  }

  /** Returns whether the circuit lives on. */
  private forward(row: number, first: number, bodies: Uint8Array, count: number): boolean {
    const { plane, batch } = this;
    const { table } = plane;
    const generation = table.generation[row]!;
    let cell = first;
    for (let i = 0; i < count; i++) {
      forwardBody(plane, row, getCommand(batch.bytes, batch.at[cell]!), bodies, i * BODY_BYTES);
      if (table.generation[row] !== generation) return false;
      cell = batch.behind[cell]!;
    }
    return true;
  }

  private backward(row: number, first: number, bodies: Uint8Array, count: number): boolean {
    const { plane, batch } = this;
    let cell = first;
    for (let i = 0; i < count; i++) {
      if (getCommand(batch.bytes, batch.at[cell]!) === Command.RELAY_EARLY) {
        // Only a tagging attack sends these towards the client.
        plane.counters.add(Counter.circuit_relay_early_backward, 1);
        closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
        return false;
      }
      plane.counters.add(Counter.cells_relayed, 1);
      if (!sendBody(plane, row * 2 + PREV, Command.RELAY, bodies, i * BODY_BYTES)) return false;
      cell = batch.behind[cell]!;
    }
    return true;
  }
}

/** Take one decrypted body that the client sent. */
function forwardBody(
  plane: CircuitPlane,
  row: number,
  command: number,
  bodies: Uint8Array,
  at: number,
): void {
  const table = plane.table;
  const early = command === Command.RELAY_EARLY;
  if (early) {
    const seen = table.relayEarly[row]! + 1;
    if (seen > RELAY_EARLY_MAX) {
      plane.counters.add(Counter.circuit_relay_early_exceeded, 1);
      closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
      return;
    }
    table.relayEarly[row] = seen;
  }
  const layer = table.layer[row]!;
  const isLast = table.port[row * 2 + NEXT] === NO_PORT || table.state[row] !== OPEN;
  const verdict = isLast ? layer.recogniseLast(bodies, at) : layer.recogniseForward(bodies, at);
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
  if (!early && !plane.options.padBeforeUsage) plane.onTraffic(table.port[row * 2 + PREV]!);
  sendBody(plane, row * 2 + NEXT, command, bodies, at);
}
