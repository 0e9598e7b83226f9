/**
 * @hot
 * Sending a cell along a leg, and the queues of cells that cannot go yet.
 *
 * An uncongested channel or ring takes the cell at once. Otherwise the cell is parked in its leg's queue, and the leg
 * joins its port's active list, which is served round robin when there is room again. A queue that reaches its bound
 * kills its circuit, and nothing else: no channel waits for another. So does a cell for which the memory of waiting
 * cells has no room; that is the last resort, not a fair choice of whom to cut off. Who calls: `relay-cell`, `create`, `extend`,
 * `remote-leg` to send; `channel` (refill) and the end of a batch (refillRing) to drain.
 */
import { NO_SLOT } from '../bytes/slab.ts';
import { copyCell, setCircId } from '../cell/cell.ts';
import { DestroyReason } from '../cell/reason.ts';
import { OPEN as CHANNEL_OPEN, type Channel, PAUSED_BY_RING } from '../channel/channel.ts';
import { Counter } from '../shm/scoreboard.ts';
import { NO_LEG, PREV, portWorker } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';
import type { RingPort } from './ring-port.ts';

/**
 * Send the cell at `at` along a leg. Its circuit id is overwritten. Returns false when the circuit died of its
 * queue's bound: the row is gone then.
 */
export function sendCell(plane: CircuitPlane, leg: number, bytes: Uint8Array, at: number): boolean {
  const table = plane.table;
  const port = table.port[leg]!;
  if (port >= 0) {
    const channel = plane.channels.bySlot[port]!;
    setCircId(bytes, at, table.id[leg]!);
    if (!channel.congested) {
      channel.put(bytes, at);
      return true;
    }
    return park(plane, leg, bytes, at, null);
  }
  const ring = plane.ports[portWorker(port)]!;
  if (!ring.congested) {
    if (ring.putCell(table.id[leg]!, table.peerGeneration[leg]!, table.attempt[leg >> 1]!, bytes, at)) {
      return true;
    }
    ring.congested = true;
    plane.counters.add(Counter.ring_full, 1);
  }
  return park(plane, leg, bytes, at, ring);
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
  if (waiting >= plane.options.circQueueCellsMax) {
    plane.counters.add(Counter.circuit_queue_limit_killed, 1);
    closeCircuit(plane, leg >> 1, DestroyReason.RESOURCELIMIT, DestroyReason.RESOURCELIMIT);
    return false;
  }
  const slab = plane.parked;
  // Slots are reused before the slab grows, so this bounds what it holds, too.
  if ((slab.used + 1) * slab.slotBytes > plane.options.parkedBytesMax) {
    plane.counters.add(Counter.circuit_memory_killed, 1);
    closeCircuit(plane, leg >> 1, DestroyReason.RESOURCELIMIT, DestroyReason.RESOURCELIMIT);
    return false;
  }
  const slot = slab.alloc();
  copyCell(bytes, at, slab.bufferOf(slot), slab.offsetOf(slot));
  if (waiting === 0) {
    table.queueHead[leg] = slot;
    activate(plane, portOf(plane, leg), leg);
  } else {
    slab.next[table.queueTail[leg]!] = slot;
  }
  table.queueTail[leg] = slot;
  table.queueCells[leg] = waiting + 1;
  if (ring !== null) pauseSource(plane, leg, ring);
  return true;
}

/** Stop reading where the cell came from until the ring has room. Every worker empties its rings, so it will. */
function pauseSource(plane: CircuitPlane, leg: number, ring: RingPort): void {
  const source = plane.table.port[leg ^ 1]!;
  if (source < 0) return;
  const channel = plane.channels.bySlot[source]!;
  if ((channel.pausedBy & PAUSED_BY_RING) !== 0) return;
  channel.setPaused(PAUSED_BY_RING, true);
  ring.pausedChannels.push(source);
}

/** Append a leg to the active list of its port. */
function activate(plane: CircuitPlane, port: Channel | RingPort, leg: number): void {
  const table = plane.table;
  table.activeNext[leg] = NO_LEG;
  table.activePrev[leg] = port.activeTail;
  if (port.activeTail === NO_LEG) port.activeHead = leg;
  else table.activeNext[port.activeTail] = leg;
  port.activeTail = leg;
}

/** What a leg's port is: a channel of ours, or the rings to another worker. */
function portOf(plane: CircuitPlane, leg: number): Channel | RingPort {
  const port = plane.table.port[leg]!;
  return port >= 0 ? plane.channels.bySlot[port]! : plane.ports[portWorker(port)]!;
}

/** Take a leg out of its port's active list. */
function deactivate(plane: CircuitPlane, leg: number): void {
  const table = plane.table;
  const before = table.activePrev[leg]!;
  const after = table.activeNext[leg]!;
  const port = portOf(plane, leg);
  if (before === NO_LEG) port.activeHead = after;
  else table.activeNext[before] = after;
  if (after === NO_LEG) port.activeTail = before;
  else table.activePrev[after] = before;
  table.activeNext[leg] = NO_LEG;
  table.activePrev[leg] = NO_LEG;
}

/** Take the first parked cell's slot off a leg's queue. The leg moves to the tail of its list, or leaves it. */
function popSlot(plane: CircuitPlane, leg: number): number {
  const table = plane.table;
  const slot = table.queueHead[leg]!;
  const left = table.queueCells[leg]! - 1;
  table.queueCells[leg] = left;
  const behind = plane.parked.next[slot]!;
  table.queueHead[leg] = behind;
  if (left === 0) {
    table.queueTail[leg] = NO_SLOT;
    deactivate(plane, leg);
  } else if (table.activeNext[leg] !== NO_LEG) {
    deactivate(plane, leg);
    activate(plane, portOf(plane, leg), leg);
  }
  return slot;
}

/** Throw away what a leg has queued. */
export function dropQueue(plane: CircuitPlane, leg: number): void {
  const table = plane.table;
  if (table.queueCells[leg] === 0) return;
  deactivate(plane, leg);
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
  while (channel.activeHead !== NO_LEG && !channel.congested && channel.state === CHANNEL_OPEN) {
    const slot = popSlot(plane, channel.activeHead);
    channel.put(slab.bufferOf(slot), slab.offsetOf(slot));
    slab.free(slot);
  }
}

/** Move owed messages and parked cells into a ring until none is left or it is full again; then let sources read on. */
export function refillRing(plane: CircuitPlane, ring: RingPort): void {
  if (!ring.payOwed()) return;
  const table = plane.table;
  const slab = plane.parked;
  while (ring.activeHead !== NO_LEG) {
    const leg = ring.activeHead;
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
    popSlot(plane, leg);
    slab.free(slot);
  }
  ring.congested = false;
  while (ring.pausedChannels.length > 0) {
    const channel = plane.channels.bySlot[ring.pausedChannels.pop()!] ?? null;
    if (channel !== null) channel.setPaused(PAUSED_BY_RING, false);
  }
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
