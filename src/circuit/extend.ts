/**
 * Answering EXTEND2: find or open the channel to the next hop, send CREATE2 there, and turn its answer into EXTENDED2.
 *
 * Which channel is C tor's choice (`shm/roster`): an open one that fits, a dial to the same address, or a dial of
 * our own. It may live on another worker; then the leg crosses the ring. Who waits is a row in `waiting` with a
 * deadline; a dial that fails costs just the circuits that waited for it.
 * @source tor-spec "EXTEND and EXTENDED cells"; refusals and reasons as C tor 0.4.9.11 was seen to give them
 */
import type { Endpoint } from '../bytes/address.ts';
import { isInternalIp, isUnicastIp } from '../bytes/address.ts';
import { equal } from '../bytes/secret.ts';
import { BODY_AT, CELL_BYTES, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { decodeCreated2, encodeCreate2 } from '../cell/create.ts';
import {
  decodeExtend2,
  type Extend2,
  type ExtendTarget,
  encodeExtended2,
  interpretSpecifiers,
} from '../cell/extend.ts';
import { DestroyReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { CLOSED as CHANNEL_CLOSED, OPEN as CHANNEL_OPEN, type Channel } from '../channel/channel.ts';
import { Malformed } from '../fault.ts';
import { SlotKind } from '../shm/ring.ts';
import { Counter } from '../shm/scoreboard.ts';
import { joinChannel, sendCell } from './cell-queue.ts';
import {
  EXTENDING,
  NEXT,
  NO_LEG,
  NO_PORT,
  OPEN,
  ORIGIN,
  OWNED,
  PREV,
  ringPort,
  TRANSIT,
} from './circuit-table.ts';
import { closeCircuit, closeLeg, SAY_NOTHING } from './close.ts';
import { originate } from './originate.ts';
import type { CircuitPlane } from './plane.ts';
import { OWED_MAX } from './ring-port.ts';

const INITIATOR_BIT = 0x80000000;
const CIRC_ID_TRIES = 64;

/** Close a circuit for a refused extend, and count why. A next hop that it has is told, too. */
function refuse(plane: CircuitPlane, row: number, counter: number, reason: number): void {
  plane.counters.add(counter, 1);
  closeCircuit(plane, row, reason, reason);
}

/** Take a recognised EXTEND2. `early`: it came in a RELAY_EARLY cell. */
export function onExtend2(
  plane: CircuitPlane,
  row: number,
  early: boolean,
  streamId: number,
  data: Uint8Array,
): void {
  const table = plane.table;
  // C tor drops both silently and keeps the circuit.
  plane.counters.add(Counter.extend_received, 1);
  if (streamId !== 0) {
    plane.counters.add(Counter.extend_nonzero_stream, 1);
    return;
  }
  if (!early && !plane.options.allowNonearlyExtend) {
    plane.counters.add(Counter.extend_not_in_relay_early, 1);
    return;
  }
  if (table.port[row * 2 + NEXT] !== NO_PORT || table.state[row] !== OPEN) {
    refuse(plane, row, Counter.extend_second_refused, DestroyReason.PROTOCOL);
    return;
  }
  let extend: Extend2;
  let target: ExtendTarget;
  try {
    extend = decodeExtend2(data);
    target = completed(plane, interpretSpecifiers(extend.specifiers));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    refuse(plane, row, Counter.extend_malformed, DestroyReason.PROTOCOL);
    return;
  }
  if (plane.hibernating) {
    refuse(plane, row, Counter.extend_hibernating, DestroyReason.HIBERNATING);
    return;
  }
  const endpoint = judgeTarget(plane, row, target);
  if (endpoint === null) return;
  table.fast[row] = 0;
  table.setPendingCreate(row, encodeCreate2({ handshakeType: extend.handshakeType, data: extend.data }));
  table.state[row] = EXTENDING;
  table.attempt[row] = (table.attempt[row]! + 1) >>> 0;
  plane.extendDeadlines.push({
    row,
    generation: table.generation[row]!,
    attempt: table.attempt[row]!,
    atMs: plane.nowMs + plane.options.extendTimeoutMs,
  });
  findNext(plane, row, target, endpoint);
}

/** As C tor: an Ed25519 identity that the client left out is filled in, so that the link is checked for it. */
function completed(plane: CircuitPlane, target: ExtendTarget): ExtendTarget {
  if (target.ed25519Id !== null || target.rsaId === null) return target;
  const known = plane.relayIndex.find(target.rsaId);
  return known < 0 ? target : { ...target, ed25519Id: plane.relayIndex.ed25519Id(known) };
}

/** Refuse what may not be extended to; otherwise choose the address that a dial would go to. */
function judgeTarget(plane: CircuitPlane, row: number, target: ExtendTarget): Endpoint | null {
  const { rsaId, ed25519Id } = target;
  if (rsaId === null) {
    refuse(plane, row, Counter.extend_no_rsa_id, DestroyReason.PROTOCOL);
    return null;
  }
  if (rsaId.every((byte) => byte === 0)) {
    refuse(plane, row, Counter.extend_zero_id_refused, DestroyReason.PROTOCOL);
    return null;
  }
  const own = plane.keys;
  if (equal(rsaId, own.rsaId) || (ed25519Id !== null && equal(ed25519Id, own.ed25519Id))) {
    refuse(plane, row, Counter.extend_self_refused, DestroyReason.CONNECTFAILED);
    return null;
  }
  const prev = plane.channels.bySlot[plane.table.port[row * 2 + PREV]!]!;
  const backRsa = prev.peerRsaId !== null && equal(rsaId, prev.peerRsaId);
  const backEd = ed25519Id !== null && prev.peerEd25519Id !== null && equal(ed25519Id, prev.peerEd25519Id);
  if (backRsa || backEd) {
    refuse(plane, row, Counter.extend_previous_hop_refused, DestroyReason.PROTOCOL);
    return null;
  }
  // A dial would end at the wrong identity; what we know spares us the dial. C tor's reason for it.
  if (ed25519Id !== null && plane.roster.contradicts(rsaId, ed25519Id)) {
    refuse(plane, row, Counter.extend_identity_mismatch_refused, DestroyReason.CHANNEL_CLOSED);
    return null;
  }
  // As C tor: an address that the client left out is filled in from the consensus.
  const known = plane.relayIndex.find(rsaId);
  const v4 = usable(plane, target.ipv4 ?? (known < 0 ? null : plane.relayIndex.ipv4(known)));
  const v6 = usable(plane, target.ipv6 ?? (known < 0 ? null : plane.relayIndex.ipv6(known)));
  if (v4 === null && v6 === null) {
    refuse(plane, row, addressRefusal(target), DestroyReason.PROTOCOL);
    return null;
  }
  if (v4 === null && !plane.options.ipv6Extends) {
    refuse(plane, row, Counter.extend_ipv6_unavailable, DestroyReason.CONNECTFAILED);
    return null;
  }
  if (v4 === null) return v6;
  if (v6 === null || !plane.options.ipv6Extends) return v4;
  return (plane.random.u32() & 1) === 0 ? v4 : v6;
}

/** Which counter tells why no address of the target may be dialled. */
function addressRefusal(target: ExtendTarget): number {
  const named = target.ipv4 ?? target.ipv6;
  if (named === null) return Counter.extend_no_address_refused;
  return named.port === 0 ? Counter.extend_zero_port_refused : Counter.extend_private_address_refused;
}

function usable(plane: CircuitPlane, endpoint: Endpoint | null): Endpoint | null {
  if (endpoint === null || endpoint.port === 0 || !isUnicastIp(endpoint.host)) return null;
  if (isInternalIp(endpoint.host) && !plane.options.extendAllowPrivateAddresses) return null;
  return endpoint;
}

/** Send a row's pending CREATE cell to its next hop, by a channel that there is or by a dial to `endpoint`. */
export function findNext(plane: CircuitPlane, row: number, target: ExtendTarget, endpoint: Endpoint): void {
  const table = plane.table;
  const rsaId = target.rsaId!.slice();
  const ed25519Id = target.ed25519Id === null ? null : target.ed25519Id.slice();
  const host = endpoint.host.slice();
  const choice = plane.roster.chooseOrDial(
    {
      rsaId,
      ed25519Id,
      // An address that the client left out: the one that a dial would go to.
      ipv4: target.ipv4?.host ?? (host.length === 4 ? host : null),
      ipv6: target.ipv6?.host ?? (host.length === 16 ? host : null),
    },
    {
      rsaId,
      ed25519Id,
      address: host,
      port: endpoint.port,
      slot: -1,
      generation: -1,
      state: 'dialling',
      inbound: false,
      canonical: false,
      createdMs: plane.nowMs,
    },
  );
  if (choice.verdict === 'full') {
    refuse(plane, row, Counter.roster_full, DestroyReason.RESOURCELIMIT);
    return;
  }
  if (choice.verdict === 'mine') {
    if (choice.handle < 0) plane.counters.add(Counter.roster_identity_full, 1);
    // None for a circuit of our own.
    const asker = plane.channels.bySlot[table.port[row * 2 + PREV]!] ?? null;
    const channel = plane.dial({ rsaId, ed25519Id, host, port: endpoint.port }, choice.handle, asker);
    if (channel === null) {
      plane.roster.remove(choice.handle);
      refuse(plane, row, Counter.extend_dial_failed, DestroyReason.CONNECTFAILED);
      return;
    }
    waitForChannel(plane, row, channel);
    return;
  }
  if (choice.worker === plane.worker) {
    const channel = plane.channels.get(choice.slot, choice.generation);
    if (channel === null) refuse(plane, row, Counter.extend_dial_failed, DestroyReason.CHANNEL_CLOSED);
    else if (channel.state === CHANNEL_OPEN) sendCreate(plane, row, channel);
    else waitForChannel(plane, row, channel);
    return;
  }
  const ring = plane.ports[choice.worker] ?? null;
  const leg = row * 2 + NEXT;
  if (ring === null) {
    // Its worker died, and the roster is still to be told.
    refuse(plane, row, Counter.leg_refused, DestroyReason.CHANNEL_CLOSED);
    return;
  }
  if (ring.owedCount >= OWED_MAX) {
    refuse(plane, row, Counter.leg_ring_full, DestroyReason.RESOURCELIMIT);
    return;
  }
  const create = table.pendingCreate[row]!;
  const isFast = table.fast[row] === 1;
  ring.putOpenLeg(row, table.generation[row]!, table.attempt[row]!, choice.handle, create, isFast);
  table.setPendingCreate(row, null);
  table.port[leg] = ringPort(choice.worker);
  table.ringReady[leg] = 0;
  plane.wake();
}

/**
 * Let a row wait for a dial of this worker. By channel and not by slot: a slot that is used again must never get the
 * CREATE2 that was meant for its predecessor.
 */
export function waitForChannel(plane: CircuitPlane, row: number, channel: Channel): void {
  if (channel.state === CHANNEL_CLOSED) {
    plane.counters.add(Counter.extend_dial_failed, 1);
    closeCircuit(plane, row, DestroyReason.CHANNEL_CLOSED, SAY_NOTHING);
    return;
  }
  const rows = plane.waiting.get(channel);
  const waiting = { row, generation: plane.table.generation[row]!, attempt: plane.table.attempt[row]! };
  if (rows === undefined) plane.waiting.set(channel, [waiting]);
  else rows.push(waiting);
}

/** A dial of this worker ended: send CREATE2 for all that waited, or let them fail. */
export function settleWaiting(plane: CircuitPlane, channel: Channel): void {
  const rows = plane.waiting.get(channel);
  if (rows === undefined) return;
  plane.waiting.delete(channel);
  for (const { row, generation, attempt } of rows) {
    const table = plane.table;
    if (!table.isLive(row, generation) || table.attempt[row] !== attempt) continue;
    if (table.pendingCreate[row] === null) continue;
    if (channel.state === CHANNEL_OPEN) {
      sendCreate(plane, row, channel);
    } else {
      plane.counters.add(Counter.extend_dial_failed, 1);
      closeCircuit(plane, row, DestroyReason.CHANNEL_CLOSED, SAY_NOTHING);
    }
  }
}

/** Pick a circuit id and send the row's CREATE cell on an open channel. */
export function sendCreate(plane: CircuitPlane, row: number, channel: Channel): void {
  const table = plane.table;
  const circId = pickCircId(plane, channel);
  if (circId === 0) {
    plane.counters.add(Counter.extend_no_circuit_id, 1);
    closeCircuit(plane, row, DestroyReason.RESOURCELIMIT, SAY_NOTHING);
    return;
  }
  const body = table.pendingCreate[row]!;
  table.setPendingCreate(row, null);
  const leg = row * 2 + NEXT;
  joinChannel(plane, leg, channel, circId);
  const command = table.fast[row] === 1 ? Command.CREATE_FAST : Command.CREATE2;
  writeCell(plane.scratch, 0, circId, command, body);
  sendCell(plane, leg, plane.scratch, 0);
}

/** A free circuit id of our half, at random; 0 when 64 tries found none. */
function pickCircId(plane: CircuitPlane, channel: Channel): number {
  for (let i = 0; i < CIRC_ID_TRIES; i++) {
    const low = plane.random.u32() & 0x7fffffff;
    if (low === 0) continue;
    const id = channel.initiated ? (low | INITIATOR_BIT) >>> 0 : low;
    if (plane.table.find(channel.slot, id) === NO_LEG) return id;
  }
  return 0;
}

/** CREATED2 came back for an owned row. @throws Malformed */
export function onCreated2(plane: CircuitPlane, row: number, body: Uint8Array): void {
  const handshake = decodeCreated2(body);
  if (handshake.length > 496) throw new Malformed('CREATED2', 'handshake does not fit an EXTENDED2 message');
  // C tor passes a second CREATED2 back as a second EXTENDED2; the client is the one to judge it.
  plane.table.state[row] = OPEN;
  plane.counters.add(Counter.extend_succeeded, 1);
  plane.onExtended(plane.table.port[row * 2 + PREV]!);
  originate(plane, row, RelayCommand.EXTENDED2, 0, encodeExtended2(handshake));
}

/** The answer to a row's CREATE cell came, maybe by a transit row: the circuit's owner answers for its faults. */
export function takeCreated(plane: CircuitPlane, row: number, bytes: Uint8Array, at: number): void {
  try {
    if (plane.table.kind[row] === ORIGIN) plane.origin.onCreated(row, bytes, at);
    else onCreated2(plane, row, bytes.subarray(at + BODY_AT, at + CELL_BYTES));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    plane.counters.add(Counter.extend_created_malformed, 1);
    closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
  }
}

/** Take a TRUNCATE: cut what lies behind us off, and say so. */
export function onTruncate(plane: CircuitPlane, row: number, data: Uint8Array): void {
  const table = plane.table;
  const leg = row * 2 + NEXT;
  const cuts = table.port[leg] !== NO_PORT || table.state[row] === EXTENDING;
  plane.counters.add(Counter.circuit_truncate_received, 1);
  if (table.port[leg] !== NO_PORT) {
    // An empty TRUNCATE with a next hop kills the circuit in C tor.
    if (data.length < 1) {
      plane.counters.add(Counter.circuit_truncate_malformed, 1);
      closeCircuit(plane, row, DestroyReason.PROTOCOL, DestroyReason.PROTOCOL);
      return;
    }
    closeLeg(plane, leg, data[0]!);
  }
  // What is still on its way from the hop that was cut off belongs to no circuit any more.
  if (cuts) table.attempt[row] = (table.attempt[row]! + 1) >>> 0;
  table.setPendingCreate(row, null);
  table.state[row] = OPEN;
  originate(plane, row, RelayCommand.TRUNCATED, 0, Uint8Array.of(DestroyReason.REQUESTED));
}

/** Whose leg an OPEN_LEG asks for. */
export interface AskedLeg {
  readonly worker: number;
  readonly row: number;
  readonly generation: number;
  readonly attempt: number;
  /** It is to be asked for with CREATE_FAST. */
  readonly isFast: boolean;
}

/** The ring brought OPEN_LEG: make a transit row and extend it on the channel that was chosen. */
export function onOpenLeg(
  plane: CircuitPlane,
  { worker, row: ownerRow, generation: ownerGeneration, attempt, isFast }: AskedLeg,
  rosterHandle: number,
  create: Uint8Array,
): void {
  const ring = plane.ports[worker]!;
  // By roster row, not by slot: a dial just won may have had no slot yet when the other worker looked.
  const place = plane.roster.locate(rosterHandle);
  const channel = place === null ? null : plane.channels.get(place.slot, place.generation);
  if (channel === null) {
    ring.putControl(
      SlotKind.LEG_DESTROY,
      ownerRow,
      ownerGeneration,
      attempt,
      DestroyReason.CHANNEL_CLOSED,
      0,
    );
    return;
  }
  const table = plane.table;
  plane.counters.add(Counter.leg_opened, 1);
  const row = table.alloc(TRANSIT, EXTENDING, plane.nowMs);
  const leg = row * 2 + PREV;
  table.attempt[row] = attempt;
  table.port[leg] = ringPort(worker);
  table.id[leg] = ownerRow;
  table.peerGeneration[leg] = ownerGeneration;
  table.ringReady[leg] = 1;
  table.fast[row] = isFast ? 1 : 0;
  table.setPendingCreate(row, create);
  ring.putControl(SlotKind.LEG_READY, ownerRow, ownerGeneration, attempt, row, table.generation[row]!);
  if (channel.state === CHANNEL_OPEN) sendCreate(plane, row, channel);
  else waitForChannel(plane, row, channel);
}

/** The other worker made its row: from now on cells can cross. */
export function onLegReady(
  plane: CircuitPlane,
  worker: number,
  row: number,
  generation: number,
  attempt: number,
  farRow: number,
  farGeneration: number,
): void {
  const table = plane.table;
  const leg = row * 2 + NEXT;
  const expected =
    table.isLive(row, generation) &&
    table.attempt[row] === attempt &&
    table.port[leg] === ringPort(worker) &&
    table.ringReady[leg] === 0;
  if (!expected) {
    plane.ports[worker]!.putControl(
      SlotKind.LEG_DESTROY,
      farRow,
      farGeneration,
      attempt,
      DestroyReason.DESTROYED,
      0,
    );
    return;
  }
  table.id[leg] = farRow;
  table.peerGeneration[leg] = farGeneration;
  table.ringReady[leg] = 1;
}

/** Close the circuits whose extend was not answered in time. */
export function expireExtends(plane: CircuitPlane): void {
  const deadlines = plane.extendDeadlines;
  const table = plane.table;
  for (let next = deadlines.peek(); next !== null && next.atMs <= plane.nowMs; next = deadlines.peek()) {
    deadlines.pop();
    const { row, generation, attempt } = next;
    if (!table.isLive(row, generation) || table.attempt[row] !== attempt) continue;
    if (table.state[row] !== EXTENDING || table.kind[row] !== OWNED) continue;
    plane.counters.add(Counter.extend_timeout, 1);
    // C tor ends a circuit whose next hop stays mute with FINISHED.
    closeCircuit(plane, row, DestroyReason.FINISHED, DestroyReason.FINISHED);
  }
}
