/**
 * @hot
 * What comes out of the rings from other workers.
 *
 * Each ring is emptied every turn without waiting for anything: a cell goes to a channel's staging, to a queue, or
 * kills its circuit. That is why a full ring may pause a reader: it never stays full because of us.
 */
import { getCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { SLOT_HEADER_BYTES, SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import { NEXT, OWNED, PREV } from './circuit-table.ts';
import { closeCircuit, SAY_NOTHING } from './close.ts';
import { onLegReady, onOpenLeg, takeCreated2 } from './extend.ts';
import type { CircuitPlane } from './plane.ts';
import { onRelayCell } from './relay-cell.ts';
import { type RingPort, WORD } from './ring-port.ts';

/** Take at most `max` slots out of the ring from one worker. Returns how many were taken. */
export function takeFromRing(plane: CircuitPlane, port: RingPort, max: number): number {
  const ring = port.incoming;
  let taken = 0;
  while (taken < max) {
    const offset = ring.peek();
    if (offset < 0) break;
    takeSlot(plane, port, offset);
    ring.advance();
    taken++;
  }
  if (taken > 0) ring.release();
  return taken;
}

function takeSlot(plane: CircuitPlane, port: RingPort, offset: number): void {
  const words = port.incoming.u32;
  const w = offset >> 2;
  const kind = words[w]!;
  const row = words[w + 1]!;
  const generation = words[w + 2]!;
  const attempt = words[w + 3]!;
  if (kind === SlotKind.CELL) {
    const table = plane.table;
    if (!table.isLive(row, generation) || table.attempt[row] !== attempt) {
      plane.counters.add(Counter.leg_stale_slot, 1);
      return;
    }
    const bytes = port.incoming.u8;
    const at = offset + SLOT_HEADER_BYTES;
    const leg = table.kind[row] === OWNED ? row * 2 + NEXT : row * 2 + PREV;
    const command = getCommand(bytes, at);
    if (command === Command.RELAY || command === Command.RELAY_EARLY) onRelayCell(plane, leg, bytes, at);
    else takeCreated2(plane, row, bytes, at);
    return;
  }
  if (kind === SlotKind.OPEN_LEG) {
    const at = offset + SLOT_HEADER_BYTES;
    const create = port.incoming.u8.slice(at, at + words[w + 6]!);
    onOpenLeg(plane, port.worker, row, generation, attempt, words[w + 4]! + words[w + 5]! * WORD, create);
  } else if (kind === SlotKind.LEG_READY) {
    onLegReady(plane, port.worker, row, generation, attempt, words[w + 4]!, words[w + 5]!);
  } else if (kind === SlotKind.LEG_DESTROY) {
    takeDestroy(plane, row, generation, attempt, words[w + 4]!);
  }
}

function takeDestroy(
  plane: CircuitPlane,
  row: number,
  generation: number,
  attempt: number,
  reason: number,
): void {
  const table = plane.table;
  if (!table.isLive(row, generation) || table.attempt[row] !== attempt) return;
  if (table.kind[row] === OWNED) closeCircuit(plane, row, reason, SAY_NOTHING);
  else closeCircuit(plane, row, SAY_NOTHING, reason);
}
