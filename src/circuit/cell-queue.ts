/**
 * @hot
 * Sending a cell along a leg, and the queues of cells that cannot go yet.
 *
 * An uncongested channel or ring takes the cell at once. Otherwise the cell is parked in its leg's queue, and the leg
 * joins its port's active ones; when there is room again, the one that sent least of late goes first. A queue that
 * reaches its bound kills its circuit, and nothing else: no channel waits for another. What bounds all queues together
 * is `oom`.
 * Who calls: `relay-cell`, `create`, `extend`, `remote-leg` to send; `channel` (refill) and the end of a batch
 * (refillRing) to drain.
 */
import { NO_SLOT } from '../bytes/slab.ts';
import { BODY_BYTES, CELL_BYTES, copyCell, joinCell, setCircId } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { addActive, demoteFirst, removeActive } from '../channel/active-legs.ts';
import { OPEN as CHANNEL_OPEN, type Channel, PAUSED_BY_RING } from '../channel/channel.ts';
import { Counter } from '../shm/scoreboard.ts';
import { onQueueFullOutward } from './circuit-dos.ts';
import { NEXT, NO_LEG, PREV, portWorker } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';
import type { RingPort } from './ring-port.ts';

/**
 * Send the cell at `at` along a leg. Its circuit id is overwritten. Returns false when the circuit died of its
 * queue's bound, or of a link that broke as it was written to: the row is gone then.
 */
export function sendCell(plane: CircuitPlane, leg: number, bytes: Uint8Array, at: number): boolean {
  const table = plane.table;
  const port = table.port[leg]!;
  if (port >= 0) {
    const channel = plane.channels.bySlot[port]!;
    setCircId(bytes, at, table.id[leg]!);
    if (!channel.congested) {
      table.sent[leg]! += plane.ewma.weight;
      channel.put(bytes, at);
      return channel.state === CHANNEL_OPEN;
    }
    return park(plane, leg, bytes, at, null);
  }
  const ring = plane.ports[portWorker(port)]!;
  if (!ring.congested) {
    if (ring.putCell(table.id[leg]!, table.peerGeneration[leg]!, table.attempt[leg >> 1]!, bytes, at)) {
      table.sent[leg]! += plane.ewma.weight;
      return true;
    }
    ring.congested = true;
    plane.counters.add(Counter.ring_full, 1);
  }
  return park(plane, leg, bytes, at, ring);
}

/** As `sendCell`, for a cell of this command whose body is at `at` of `body`. */
export function sendBody(
  plane: CircuitPlane,
  leg: number,
  command: number,
  body: Uint8Array,
  at: number,
): boolean {
  const table = plane.table;
  const port = table.port[leg]!;
  let ring: RingPort | null = null;
  if (port >= 0) {
    const channel = plane.channels.bySlot[port]!;
    if (!channel.congested) {
      table.sent[leg]! += plane.ewma.weight;
      channel.putBody(table.id[leg]!, command, body, at);
      return channel.state === CHANNEL_OPEN;
    }
  } else {
    ring = plane.ports[portWorker(port)]!;
    if (!ring.congested) {
      const generation = table.peerGeneration[leg]!;
      if (ring.putBody(table.id[leg]!, generation, table.attempt[leg >> 1]!, command, body, at)) {
        table.sent[leg]! += plane.ewma.weight;
        return true;
      }
      ring.congested = true;
      plane.counters.add(Counter.ring_full, 1);
    }
  }
  joinCell(table.id[leg]!, command, body, at, plane.scratch, 0);
  return park(plane, leg, plane.scratch, 0, ring);
}

/**
 * As `sendBody`, for the bodies of `count` RELAY cells that stand one behind the other from `at`. Returns false when
 * the circuit has ended, for whatever reason.
 */
export function sendBodies(
  plane: CircuitPlane,
  leg: number,
  bodies: Uint8Array,
  at: number,
  count: number,
): boolean {
  const table = plane.table;
  const row = leg >> 1;
  const port = table.port[leg]!;
  if (port < 0 && count > 1) {
    const ring = plane.ports[portWorker(port)]!;
    const generation = table.peerGeneration[leg]!;
    if (
      !ring.congested &&
      ring.putCells(table.id[leg]!, generation, table.attempt[row]!, bodies, at, count)
    ) {
      table.sent[leg]! += plane.ewma.weight * count;
      return true;
    }
  }
  const generation = table.generation[row]!;
  for (let i = 0; i < count; i++) {
    // A write may end channels, and with them circuits.
    if (!sendBody(plane, leg, Command.RELAY, bodies, at + i * BODY_BYTES)) return false;
    if (table.generation[row] !== generation) return false;
  }
  return true;
}

/**
 * As `sendCell`, for at most 64 cells that stand one behind the other from `at`. Returns false when the circuit has
 * ended, for whatever reason.
 */
export function sendCells(
  plane: CircuitPlane,
  leg: number,
  bytes: Uint8Array,
  at: number,
  count: number,
): boolean {
  const table = plane.table;
  const port = table.port[leg]!;
  const generation = table.generation[leg >> 1]!;
  const channel = port < 0 ? null : plane.channels.bySlot[port]!;
  if (channel !== null && !channel.congested) {
    table.sent[leg]! += plane.ewma.weight * count;
    channel.putCells(table.id[leg]!, bytes, at, count);
    return table.generation[leg >> 1] === generation;
  }
  for (let i = 0; i < count; i++) {
    if (!sendCell(plane, leg, bytes, at + i * CELL_BYTES)) return false;
    if (table.generation[leg >> 1] !== generation) return false;
  }
  return true;
}

/** Queue a cell that its port does not take now; `ring` is that port if it is a ring. */
function park(
  plane: CircuitPlane,
  leg: number,
  bytes: Uint8Array,
  at: number,
  ring: RingPort | null,
): boolean {
  const table = plane.table;
  const waiting = table.queueCells[leg]!;
  const outward = (leg & 1) === NEXT;
  if (waiting >= (outward ? plane.options.circQueueCellsMaxOut : plane.options.circQueueCellsMax)) {
    plane.counters.add(Counter.circuit_queue_limit_killed, 1);
    if (outward) onQueueFullOutward(plane, leg >> 1);
    closeCircuit(plane, leg >> 1, DestroyReason.RESOURCELIMIT, DestroyReason.RESOURCELIMIT);
    return false;
  }
  const slab = plane.parked;
  const slot = slab.alloc();
  slab.sinceMs[slot] = plane.nowMs;
  copyCell(bytes, at, slab.bufferOf(slot), slab.offsetOf(slot));
  if (waiting === 0) {
    table.queueHead[leg] = slot;
    addActive(portOf(plane, leg), table, leg);
  } else {
    slab.next[table.queueTail[leg]!] = slot;
  }
  table.queueTail[leg] = slot;
  table.queueCells[leg] = waiting + 1;
  if (ring !== null) pauseSource(plane, leg, ring);
  // Looked at once per chunk of slots, and behind the copy: what ends circuits writes to the scratch cell.
  return slab.hasGrown ? plane.oom.onGrowth(plane, leg >> 1) : true;
}

/** Stop reading where the cell came from until the ring has room. Every worker empties its rings, so it will. */
export function pauseSource(plane: CircuitPlane, leg: number, ring: RingPort): void {
  const source = plane.table.port[leg ^ 1]!;
  if (source < 0) return;
  const channel = plane.channels.bySlot[source]!;
  if ((channel.pausedBy & PAUSED_BY_RING) !== 0) return;
  channel.setPaused(PAUSED_BY_RING, true);
  ring.pausedChannels.push(source);
}

/** What a leg's port is: a channel of ours, or the rings to another worker. */
function portOf(plane: CircuitPlane, leg: number): Channel | RingPort {
  const port = plane.table.port[leg]!;
  return port >= 0 ? plane.channels.bySlot[port]! : plane.ports[portWorker(port)]!;
}

/** Count a cell that left on a leg. Equals take turns, so the leg goes behind those with the same count. */
function countSent(plane: CircuitPlane, leg: number): void {
  const { table, ewma } = plane;
  table.sent[leg]! += ewma.weight;
  table.turn[leg] = ++ewma.turns;
}

/** Take the first parked cell's slot off the queue of a port's first leg, which is put where it belongs then. */
function popFirst(plane: CircuitPlane, port: Channel | RingPort): number {
  const table = plane.table;
  const leg = port.activeLegs[0]!;
  const slot = table.queueHead[leg]!;
  const left = table.queueCells[leg]! - 1;
  table.queueCells[leg] = left;
  table.queueHead[leg] = plane.parked.next[slot]!;
  countSent(plane, leg);
  if (table.lowWatch[leg] === 1 && left <= plane.options.flow.cellqLow) {
    table.lowWatch[leg] = 0;
    plane.edge.onQueueLow(leg);
  }
  if (left === 0) {
    table.queueTail[leg] = NO_SLOT;
    removeActive(port, table, leg);
  } else {
    demoteFirst(port, table);
  }
  return slot;
}

/** Throw away what a leg has queued. */
export function dropQueue(plane: CircuitPlane, leg: number): void {
  const table = plane.table;
  if (table.queueCells[leg] === 0) return;
  removeActive(portOf(plane, leg), table, leg);
  const slab = plane.parked;
  let slot = table.queueHead[leg]!;
  while (slot !== NO_SLOT) {
    const behind = slab.next[slot]!;
    slab.free(slot);
    slot = behind;
  }
  table.queueHead[leg] = NO_SLOT;
  table.queueTail[leg] = NO_SLOT;
  table.queueCells[leg] = 0;
}

/** Move parked cells into a channel until none is left or its socket refuses again. */
export function refillChannel(plane: CircuitPlane, channel: Channel): void {
  const slab = plane.parked;
  while (channel.activeCount > 0 && !channel.congested && channel.state === CHANNEL_OPEN) {
    const slot = popFirst(plane, channel);
    channel.put(slab.bufferOf(slot), slab.offsetOf(slot));
    slab.free(slot);
  }
}

/** Move owed messages and parked cells into a ring until none is left or it is full again; then let sources read on. */
export function refillRing(plane: CircuitPlane, ring: RingPort): void {
  if (!ring.payOwed() || !ring.payJoints()) return;
  const table = plane.table;
  const slab = plane.parked;
  while (ring.activeCount > 0) {
    const leg = ring.activeLegs[0]!;
    const slot = table.queueHead[leg]!;
    const row = leg >> 1;
    if (
      !ring.putCell(
        table.id[leg]!,
        table.peerGeneration[leg]!,
        table.attempt[row]!,
        slab.bufferOf(slot),
        slab.offsetOf(slot),
      )
    ) {
      return;
    }
    popFirst(plane, ring);
    slab.free(slot);
  }
  ring.congested = false;
  while (ring.pausedChannels.length > 0) {
    const channel = plane.channels.bySlot[ring.pausedChannels.pop()!] ?? null;
    if (channel !== null) channel.setPaused(PAUSED_BY_RING, false);
  }
  plane.conflux.onRingFree(ring.worker);
}

/** Join a leg to a channel: index, chain, count. */
export function joinChannel(plane: CircuitPlane, leg: number, channel: Channel, circId: number): void {
  const table = plane.table;
  table.bindChannel(leg, channel.slot, circId);
  table.chainPrev[leg] = NO_LEG;
  table.chainNext[leg] = channel.firstLeg;
  if (channel.firstLeg !== NO_LEG) table.chainPrev[channel.firstLeg] = leg;
  channel.firstLeg = leg;
  channel.legCount++;
  if ((leg & 1) === PREV) channel.createdCount++;
}

/** Undo `joinChannel`; the leg's queue must be empty. */
export function leaveChannel(plane: CircuitPlane, leg: number): void {
  const table = plane.table;
  const channel = plane.channels.bySlot[table.port[leg]!]!;
  const before = table.chainPrev[leg]!;
  const after = table.chainNext[leg]!;
  if (before === NO_LEG) channel.firstLeg = after;
  else table.chainNext[before] = after;
  if (after !== NO_LEG) table.chainPrev[after] = before;
  table.chainNext[leg] = NO_LEG;
  table.chainPrev[leg] = NO_LEG;
  table.unbindChannel(leg);
  channel.legCount--;
  if ((leg & 1) === PREV) channel.createdCount--;
  if (channel.legCount === 0) channel.idleSinceMs = plane.nowMs;
}
