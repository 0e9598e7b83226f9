/**
 * Refusing circuits of clients that ask for too many: asked before a CREATE costs anything, told when a circuit dies of
 * a full queue outward.
 *
 * Only links that `channel/connection-dos` counts are watched: those of clients. Their entries are at hand on the
 * channel, so that a CREATE costs one lock for an IPv4 address and three for IPv6. While an address (or a prefix of
 * it) is marked, its CREATEs are answered with DESTROY; circuits that there are go on.
 * @source C tor's DoS mitigation, "circuit creation"
 */
import type { Channel } from '../channel/channel.ts';
import { CircuitVerdict, UNCOUNTED } from '../shm/dos-table.ts';
import { SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import { ORIGIN, OWNED, PREV, portWorker } from './circuit-table.ts';
import type { CircuitPlane } from './plane.ts';

/** Note that a channel's peer asks for a circuit. Returns whether it may have one; a refusal is counted. */
export function admitsCircuit(plane: CircuitPlane, channel: Channel): boolean {
  const limits = plane.options.dos;
  if (!limits.circuitsWatched) return true;
  const { dosHost, dosNet64, dosNet48 } = channel;
  // What is refused already is not laid to the charge of its neighbours.
  const marked = note(plane, dosHost) || note(plane, dosNet64) || note(plane, dosNet48);
  if (!marked || !limits.circuitsRefused) return true;
  plane.counters.add(Counter.dos_circuit_refused, 1);
  return false;
}

/** Count a CREATE in one entry. Returns whether that is marked. */
function note(plane: CircuitPlane, handle: number): boolean {
  if (handle === UNCOUNTED) return false;
  const verdict = plane.dos.createCircuit(handle, plane.nowMs, plane.options.dos);
  if ((verdict & CircuitVerdict.NEWLY) !== 0) plane.counters.add(Counter.dos_circuit_marks, 1);
  return verdict !== 0;
}

/**
 * The queue of a circuit towards its next hop is full, and the circuit is about to die of it. Noted where the client's
 * link is, which may be another worker.
 */
export function onQueueFullOutward(plane: CircuitPlane, row: number): void {
  plane.counters.add(Counter.circuit_queue_limit_killed_out, 1);
  const { table } = plane;
  if (table.kind[row] === OWNED) {
    noteQueueKill(plane, row);
    return;
  }
  // What we started ourselves we have filled ourselves.
  if (table.kind[row] === ORIGIN) return;
  const leg = row * 2 + PREV;
  const ring = plane.ports[portWorker(table.port[leg]!)]!;
  const { id, peerGeneration, attempt } = table;
  ring.putControl(SlotKind.LEG_QUEUE_FULL, id[leg]!, peerGeneration[leg]!, attempt[row]!, 0, 0);
  plane.wake();
}

/** A client to whom this happens again and again sends into circuits that it keeps from moving on: mark it. */
export function noteQueueKill(plane: CircuitPlane, row: number): void {
  if (!plane.options.dos.circuitsWatched) return;
  const channel = plane.channels.bySlot[plane.table.port[row * 2 + PREV]!] ?? null;
  if (channel === null) return;
  const { dosHost, dosNet64, dosNet48 } = channel;
  if (noteKill(plane, dosHost) || noteKill(plane, dosNet64)) return;
  noteKill(plane, dosNet48);
}

/** Count a kill in one entry. Returns whether that is marked. */
function noteKill(plane: CircuitPlane, handle: number): boolean {
  if (handle === UNCOUNTED) return false;
  const verdict = plane.dos.noteQueueKill(handle, plane.nowMs, plane.options.dos);
  if ((verdict & CircuitVerdict.NEWLY) !== 0) plane.counters.add(Counter.dos_queue_marks, 1);
  return verdict !== 0;
}
