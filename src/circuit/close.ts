/**
 * Ending circuits: both ways, one way, and all that a dead channel or worker takes along.
 *
 * Every end passes here, so that a row is released once: queues dropped, DESTROY sent to each side that still has to
 * know, legs taken from channel and index, edge told. Reasons as C tor 0.4.9 gives them: a DESTROY that is passed on
 * becomes DESTROYED, a dead link gives CHANNEL_CLOSED, our own errors carry theirs.
 * @source tor-spec "Tearing down circuits"
 */
import { writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { type Channel, PAUSED_BY_RING } from '../channel/channel.ts';
import { SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import { dropQueue, leaveChannel } from './cell-queue.ts';
import { FREE, NEXT, NO_LEG, NO_PORT, ORIGIN, OWNED, PREV, portWorker, ringPort } from './circuit-table.ts';
import type { CircuitPlane } from './plane.ts';

/** In place of a reason: that side knows already. */
export const SAY_NOTHING = -1;

const oneByte = new Uint8Array(1);

/** Send a DESTROY for a circuit id on a channel. */
export function sendDestroy(plane: CircuitPlane, channel: Channel, circId: number, reason: number): void {
  oneByte[0] = reason;
  writeCell(plane.scratch, 0, circId, Command.DESTROY, oneByte);
  plane.counters.add(Counter.circuit_destroy_sent, 1);
  channel.putControl(plane.scratch, 0);
}

/** End one leg: drop its queue, tell its far end `reason` (or SAY_NOTHING), and let it end nowhere. */
export function closeLeg(plane: CircuitPlane, leg: number, reason: number): void {
  const table = plane.table;
  const port = table.port[leg]!;
  if (port === NO_PORT) return;
  // What came over it and is not served yet goes with it.
  table.batchFirst[leg] = -1;
  dropQueue(plane, leg);
  if (port >= 0) {
    const channel = plane.channels.bySlot[port]!;
    const circId = table.id[leg]!;
    leaveChannel(plane, leg);
    if (reason !== SAY_NOTHING) sendDestroy(plane, channel, circId, reason);
    return;
  }
  const ring = plane.ports[portWorker(port)] ?? null;
  const generation = table.peerGeneration[leg]!;
  const row = table.id[leg]!;
  const ready = table.ringReady[leg] === 1;
  table.port[leg] = NO_PORT;
  table.ringReady[leg] = 0;
  if (reason === SAY_NOTHING || ring === null) return;
  // Before LEG_READY the far row is unknown: it is told when it reports itself.
  if (ready) {
    ring.putControl(SlotKind.LEG_DESTROY, row, generation, table.attempt[leg >> 1]!, reason, 0);
    plane.wake();
  }
}

/**
 * Close a circuit. `reasonPrev` and `reasonNext` go out to either side; SAY_NOTHING where that side closed it or
 * is dead. For a circuit of our own, `reasonPrev` is what we are told.
 */
export function closeCircuit(plane: CircuitPlane, row: number, reasonPrev: number, reasonNext: number): void {
  const table = plane.table;
  const kind = table.kind[row]!;
  if (kind === FREE) return;
  // From here on it is no circuit to anyone, should a DESTROY sent below close a channel and come back here.
  table.kind[row] = FREE;
  if (kind === OWNED) {
    plane.counters.add(Counter.circuits_closed, 1);
    // First, as it asks the edge for what is in flight.
    plane.conflux.onCircuitClosed(row);
    plane.edge.onCircuitClosed(row);
  } else if (kind === ORIGIN) {
    plane.origin.onCircuitClosed(row, reasonPrev);
  }
  closeLeg(plane, row * 2 + PREV, reasonPrev);
  closeLeg(plane, row * 2 + NEXT, reasonNext);
  table.release(row);
}

/** The peer sent DESTROY on a leg: pass it on to the other side. Its reason is only for circuits of our own. */
export function onDestroy(plane: CircuitPlane, leg: number, reason: number): void {
  plane.counters.add(Counter.circuit_destroy_received, 1);
  if ((leg & 1) === PREV) closeCircuit(plane, leg >> 1, SAY_NOTHING, DestroyReason.DESTROYED);
  else if (plane.table.kind[leg >> 1] === ORIGIN) closeCircuit(plane, leg >> 1, reason, SAY_NOTHING);
  else closeCircuit(plane, leg >> 1, DestroyReason.DESTROYED, SAY_NOTHING);
}

/** A channel is gone: so is every circuit that had a leg on it, and nothing else. */
export function closeCircuitsOf(plane: CircuitPlane, channel: Channel): void {
  while (channel.firstLeg !== NO_LEG) {
    const leg = channel.firstLeg;
    const reason = DestroyReason.CHANNEL_CLOSED;
    closeLeg(plane, leg, SAY_NOTHING);
    if ((leg & 1) === PREV) closeCircuit(plane, leg >> 1, SAY_NOTHING, reason);
    else closeCircuit(plane, leg >> 1, reason, SAY_NOTHING);
  }
}

/** A worker died: close every circuit with a leg there, forget its rings, and let paused channels read again. */
export function detachWorker(plane: CircuitPlane, worker: number): void {
  const table = plane.table;
  const port = ringPort(worker);
  const ring = plane.ports[worker] ?? null;
  if (ring === null) return;
  for (let leg = 0; leg < table.capacity * 2; leg++) {
    if (table.port[leg] !== port || table.kind[leg >> 1] === FREE) continue;
    dropQueue(plane, leg);
    table.port[leg] = NO_PORT;
    table.ringReady[leg] = 0;
    const reason = DestroyReason.CHANNEL_CLOSED;
    plane.counters.add(Counter.leg_worker_died, 1);
    closeCircuit(plane, leg >> 1, reason, reason);
  }
  plane.ports[worker] = null;
  plane.conflux.detach(worker);
  for (const slot of ring.pausedChannels) {
    plane.channels.bySlot[slot]?.setPaused(PAUSED_BY_RING, false);
  }
  ring.pausedChannels.length = 0;
}
