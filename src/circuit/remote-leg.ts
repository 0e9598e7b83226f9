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
import { noteQueueKill } from './circuit-dos.ts';
import { NEXT, NO_LEG, PREV, ringPort, TRANSIT } from './circuit-table.ts';
import { closeCircuit, SAY_NOTHING } from './close.ts';
import { onLegReady, onOpenLeg, takeCreated } from './extend.ts';
import type { CircuitPlane } from './plane.ts';
import { onRelayCell, serveRelayCells } from './relay-cell.ts';
import { type RingPort, WORD } from './ring-port.ts';

/** Slots are given back so many at a time, once the cells in them are served. */
const RELEASE_EVERY = 1024;

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
    if ((taken & (RELEASE_EVERY - 1)) === 0) {
      serveRelayCells(plane);
      ring.release();
    }
  }
  if (taken > 0) {
    serveRelayCells(plane);
    plane.conflux.settle();
    plane.counters.add(Counter.cells_ring_received, taken);
    ring.release();
  }
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
    const leg = legBehind(plane, port, row, generation, attempt);
    if (leg === NO_LEG) {
      plane.counters.add(Counter.leg_stale_slot, 1);
      return;
    }
    const bytes = port.incoming.u8;
    const at = offset + SLOT_HEADER_BYTES;
    const command = getCommand(bytes, at);
    if (command === Command.RELAY || command === Command.RELAY_EARLY) {
      onRelayCell(plane, leg, bytes, at);
    } else {
      serveRelayCells(plane);
      takeCreated(plane, row, bytes, at);
    }
    return;
  }
  serveRelayCells(plane);
  if (kind === SlotKind.RELAY_MESSAGE || kind >= SlotKind.JOINT_ASK) {
    plane.conflux.takeSlot(port, offset);
  } else if (kind === SlotKind.OPEN_LEG || kind === SlotKind.OPEN_LEG_FAST) {
    const at = offset + SLOT_HEADER_BYTES;
    const create = port.incoming.u8.slice(at, at + words[w + 6]!);
    const leg = { worker: port.worker, row, generation, attempt, isFast: kind === SlotKind.OPEN_LEG_FAST };
    onOpenLeg(plane, leg, words[w + 4]! + words[w + 5]! * WORD, create);
  } else if (kind === SlotKind.LEG_READY) {
    onLegReady(plane, port.worker, row, generation, attempt, words[w + 4]!, words[w + 5]!);
  } else if (kind === SlotKind.LEG_DESTROY) {
    takeDestroy(plane, port, row, generation, attempt, words[w + 4]!);
  } else if (kind === SlotKind.LEG_QUEUE_FULL) {
    if (legBehind(plane, port, row, generation, attempt) !== NO_LEG) noteQueueKill(plane, row);
  }
}

/** The leg that a slot of this ring is meant for, or NO_LEG when its circuit has gone or gone elsewhere. */
function legBehind(
  plane: CircuitPlane,
  port: RingPort,
  row: number,
  generation: number,
  attempt: number,
): number {
  const table = plane.table;
  if (!table.isLive(row, generation) || table.attempt[row] !== attempt) return NO_LEG;
  const leg = table.kind[row] === TRANSIT ? row * 2 + PREV : row * 2 + NEXT;
  return table.port[leg] === ringPort(port.worker) ? leg : NO_LEG;
}

function takeDestroy(
  plane: CircuitPlane,
  port: RingPort,
  row: number,
  generation: number,
  attempt: number,
  reason: number,
): void {
  const leg = legBehind(plane, port, row, generation, attempt);
  if (leg === NO_LEG) return;
  plane.counters.add(Counter.leg_destroyed, 1);
  if ((leg & 1) === NEXT) closeCircuit(plane, row, reason, SAY_NOTHING);
  else closeCircuit(plane, row, SAY_NOTHING, reason);
}
