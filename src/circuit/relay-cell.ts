/**
 * @hot
 * A RELAY or RELAY_EARLY cell on a leg of this worker: decrypt or encrypt in place, recognise, pass on.
 *
 * Forward cells of an owned row are decrypted; what is not for us goes to the next leg. Backward cells are encrypted
 * and go to the previous leg. A transit row passes cells between ring and channel as they are: the owner's worker
 * holds the ciphers, and has counted the cell. Errors close the circuit and nothing else.
 * @source tor-spec "Routing relay cells"
 */
import { BODY_AT, getCommand, setCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { Counter } from '../shm/scoreboard.ts';
import { sendCell } from './cell-queue.ts';
import { CREATING, NEXT, NO_PORT, OPEN, OWNED, PREV } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';
import { onRecognised } from './recognised.ts';

/** RELAY_EARLY cells that a circuit may carry forward. */
const RELAY_EARLY_MAX = 8;

/** Take a relay cell that came in on `leg`. The bytes are ours to change. */
export function onRelayCell(plane: CircuitPlane, leg: number, bytes: Uint8Array, at: number): void {
  const table = plane.table;
  const row = leg >> 1;
  if ((leg & 1) === PREV) {
    if (table.kind[row] === OWNED) {
      forward(plane, row, bytes, at);
    } else {
      // From the ring: the owner has done everything, the cell only needs its circuit id.
      if (table.port[row * 2 + NEXT] === NO_PORT) return;
      sendCell(plane, row * 2 + NEXT, bytes, at);
    }
    return;
  }
  if (table.kind[row] === OWNED) backward(plane, row, bytes, at);
  else sendCell(plane, row * 2 + PREV, bytes, at);
}

function forward(plane: CircuitPlane, row: number, bytes: Uint8Array, at: number): void {
  const table = plane.table;
  const state = table.state[row]!;
  if (state === CREATING) {
    // As C tor: a relay cell before the CREATE was answered closes the circuit.
    plane.counters.add(Counter.circuit_relay_while_create_queued, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return;
  }
  const early = getCommand(bytes, at) === Command.RELAY_EARLY;
  if (early) {
    const seen = table.relayEarly[row]! + 1;
    if (seen > RELAY_EARLY_MAX) {
      plane.counters.add(Counter.circuit_relay_early_exceeded, 1);
      closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
      return;
    }
    table.relayEarly[row] = seen;
  }
  if (table.layer[row]!.decryptForward(bytes, at + BODY_AT) === RECOGNISED) {
    onRecognised(plane, row, early, bytes, at + BODY_AT);
    return;
  }
  if (table.port[row * 2 + NEXT] === NO_PORT || state !== OPEN) {
    plane.counters.add(Counter.circuit_unrecognised_no_next, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return;
  }
  plane.counters.add(Counter.cells_relayed, 1);
  if (!early && !plane.options.padBeforeUsage) plane.onTraffic(table.port[row * 2 + PREV]!);
  sendCell(plane, row * 2 + NEXT, bytes, at);
}

function backward(plane: CircuitPlane, row: number, bytes: Uint8Array, at: number): void {
  const table = plane.table;
  if (getCommand(bytes, at) === Command.RELAY_EARLY) {
    // Only a tagging attack sends these towards the client.
    plane.counters.add(Counter.circuit_relay_early_backward, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
    return;
  }
  table.layer[row]!.encryptBackward(bytes, at + BODY_AT);
  setCommand(bytes, at, Command.RELAY);
  plane.counters.add(Counter.cells_relayed, 1);
  sendCell(plane, row * 2 + PREV, bytes, at);
}
