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
import { NONE } from './relay-batch.ts';
import { onRelayCell, serveRelayCells } from './relay-cell.ts';
import { type RingPort, spanOf, WORD } from './ring-port.ts';

/** Slots are given back so many at a time, once the cells in them are served. */
const RELEASE_EVERY = 1024;

/** Take at most `max` slots out of the ring from one worker. Returns how many were taken. */
export function takeFromRing(plane: CircuitPlane, port: RingPort, max: number): number {
  const ring = port.incoming;
  let taken = 0;
  let unreleased = 0;
  while (taken < max) {
    const offset = ring.peek();
    if (offset < 0) break;
    const slots = takeSlots(plane, port, offset);
    ring.advance(slots);
    taken += slots;
    unreleased += slots;
    if (unreleased >= RELEASE_EVERY) {
      unreleased = 0;
      serveRelayCells(plane);
      ring.release();
    }
  }
  if (taken > 0) {
    serveRelayCells(plane);
    plane.conflux.settle();
    ring.release();
  }
  return taken;
}

/** Take what is at the front of a ring. Returns how many slots it fills. */
function takeSlots(plane: CircuitPlane, port: RingPort, offset: number): number {
  const { u32 } = port.incoming;
  const w = offset >> 2;
  const kind = u32[w]!;
  if (kind === SlotKind.SKIP) return u32[w + 1]!;
  if (kind !== SlotKind.CELLS && kind !== SlotKind.BODIES) {
    plane.counters.add(Counter.cells_ring_received, 1);
    takeSlot(plane, port, offset);
    return 1;
  }
  const count = u32[w + 4]!;
  plane.counters.add(Counter.cells_ring_received, count);
  takeSpan(plane, port, kind, offset, count);
  return spanOf(kind, count);
}

/** RELAY cells of one leg, or their bodies, go their way at once, behind those of its cells that are listed. */
function takeSpan(plane: CircuitPlane, port: RingPort, kind: number, offset: number, count: number): void {
  const { u32, u8 } = port.incoming;
  const { table } = plane;
  const w = offset >> 2;
  const row = u32[w + 1]!;
  let leg = legBehind(plane, port, row, u32[w + 2]!, u32[w + 3]!);
  if (leg !== NO_LEG && table.batchFirst[leg] !== NONE) {
    serveRelayCells(plane);
    // What was served may have ended the circuit.
    leg = legBehind(plane, port, row, u32[w + 2]!, u32[w + 3]!);
  }
  if (leg === NO_LEG) plane.counters.add(Counter.leg_stale_slot, count);
  else if (kind === SlotKind.CELLS) plane.relayCells.takeCells(leg, u8, offset + SLOT_HEADER_BYTES, count);
  else plane.relayCells.takeBodies(leg, u8, offset + SLOT_HEADER_BYTES, count);
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
