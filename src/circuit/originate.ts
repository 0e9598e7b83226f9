/**
 * Relay messages that this relay itself sends to the client of a circuit.
 */
import { BODY_AT, setCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { writeRelayMessage } from '../cell/relay-message.ts';
import { assert } from '../fault.ts';
import { sendCell } from './cell-queue.ts';
import { PREV } from './circuit-table.ts';
import type { CircuitPlane } from './plane.ts';

/** Send a relay message backward on an owned row. False when the circuit died of its queue's bound. */
export function originate(
  plane: CircuitPlane,
  row: number,
  command: number,
  streamId: number,
  data: Uint8Array,
): boolean {
  const layer = plane.table.layer[row] ?? null;
  assert(layer !== null, 'only an open circuit originates');
  const cell = plane.scratch;
  setCommand(cell, 0, Command.RELAY);
  writeRelayMessage(cell, BODY_AT, command, streamId, data, plane.random.bytes);
  layer.originateBackward(cell, BODY_AT);
  return sendCell(plane, row * 2 + PREV, cell, 0);
}
