/**
 * Relay messages for this hop: what the circuit answers itself, and what it hands to the edge.
 *
 * A malformed message or a violation closes its circuit, is counted, and loses nothing else.
 */
import { BODY_BYTES } from '../cell/cell.ts';
import { DestroyReason } from '../cell/reason.ts';
import {
  DATA_AT,
  RELAY_DATA_MAX,
  RelayCommand,
  relayCommand,
  relayLength,
  relayStreamId,
} from '../cell/relay-message.ts';
import { Malformed, Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { closeCircuit } from './close.ts';
import { onExtend2, onTruncate } from './extend.ts';
import type { CircuitPlane } from './plane.ts';

/** Take a recognised message; `at` is the offset of its 509-byte relay body. The bytes are lent for the call. */
export function onRecognised(
  plane: CircuitPlane,
  row: number,
  early: boolean,
  bytes: Uint8Array,
  at: number,
): void {
  const generation = plane.table.generation[row]!;
  try {
    const length = relayLength(bytes, at);
    if (length > RELAY_DATA_MAX) throw new Malformed('relay message', `length ${length}`);
    if (relayCommand(bytes, at) === RelayCommand.DATA) {
      plane.edge.onData(row, relayStreamId(bytes, at), bytes, at + DATA_AT, length);
      return;
    }
    // A copy, for whoever keeps it. What a cipher gives is a Buffer, whose own `slice` would copy nothing.
    const body = new Uint8Array(bytes.buffer, bytes.byteOffset + at, BODY_BYTES).slice();
    dispatch(plane, row, early, body, body.subarray(DATA_AT, DATA_AT + length));
  } catch (error) {
    let reason: number;
    if (error instanceof Malformed) {
      plane.counters.add(Counter.circuit_relay_malformed, 1);
      reason = DestroyReason.PROTOCOL;
    } else if (error instanceof Violation) {
      plane.counters.bump(error.counter);
      reason = error.reason;
    } else {
      throw error;
    }
    if (plane.table.isLive(row, generation)) closeCircuit(plane, row, reason, reason);
  }
}

function dispatch(
  plane: CircuitPlane,
  row: number,
  early: boolean,
  body: Uint8Array,
  data: Uint8Array,
): void {
  const command = relayCommand(body, 0);
  const streamId = relayStreamId(body, 0);
  switch (command) {
    case RelayCommand.EXTEND2:
      onExtend2(plane, row, early, streamId, data);
      return;
    case RelayCommand.TRUNCATE:
      onTruncate(plane, row, data);
      return;
    case RelayCommand.DROP:
      plane.counters.add(Counter.relay_drop_cells, 1);
      return;
    default:
      plane.edge.onMessage(row, command, streamId, data);
  }
}
