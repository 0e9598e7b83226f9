/**
 * Answering CREATE2 and CREATE_FAST: the first hop of our part in a circuit.
 *
 * CREATE_FAST costs two hashes and is answered at once; ntor and ntor-v3 pass the onion queue. A bad handshake
 * costs its circuit a DESTROY and nobody else anything. Keys seed a tor1 layer.
 * @source tor-spec "CREATE and CREATED cells", proposals 332 and 346; FIELD-NOTES of C tor's reactions in comments
 */
import { BODY_AT, BODY_BYTES, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import {
  decodeCreate2,
  decodeCreateFast,
  encodeCreated2,
  encodeCreatedFast,
  HandshakeType,
} from '../cell/create.ts';
import {
  decodeExtensions,
  decodeSubprotocolRequest,
  type Extension,
  ExtensionType,
  encodeCcResponse,
  encodeExtensions,
  firstOfType,
} from '../cell/extension.ts';
import { DestroyReason } from '../cell/reason.ts';
import { reachedAddress } from '../channel/address-seen.ts';
import type { Channel } from '../channel/channel.ts';
import { generateEphemeral } from '../crypto/curve25519.ts';
import { serverFast } from '../crypto/handshake/fast.ts';
import { NTOR_ONIONSKIN_BYTES, serverNtor } from '../crypto/handshake/ntor.ts';
import { NTOR_V3_CIRCUIT, serverNtorV3 } from '../crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES, Tor1Layer } from '../crypto/layer/tor1.ts';
import { Malformed } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { joinChannel, sendCell } from './cell-queue.ts';
import { admitsCircuit } from './circuit-dos.ts';
import { CREATING, NO_LEG, OPEN, OWNED, PREV } from './circuit-table.ts';
import { closeCircuit, SAY_NOTHING, sendDestroy } from './close.ts';
import type { WaitingOnion } from './onion-queue.ts';
import type { CircuitPlane } from './plane.ts';

/** The top bit of a circuit id belongs to the side that dialled. */
const INITIATOR_BIT = 0x80000000;

/**
 * Check the circuit id of a CREATE cell. Returns whether the circuit may be made.
 * C tor answers a wrong half with DESTROY and keeps the channel; id 0 and an id in use are dropped silently.
 */
function admit(plane: CircuitPlane, channel: Channel, circId: number): boolean {
  plane.counters.add(Counter.circuit_create_received, 1);
  if (circId === 0) {
    plane.counters.add(Counter.circuit_create_zero_id, 1);
    return false;
  }
  const peerDialled = !channel.initiated;
  if (((circId & INITIATOR_BIT) !== 0) !== peerDialled) {
    plane.counters.add(Counter.circuit_bad_id, 1);
    sendDestroy(plane, channel, circId, DestroyReason.PROTOCOL);
    return false;
  }
  if (plane.table.find(channel.slot, circId) !== NO_LEG) {
    plane.counters.add(Counter.circuit_id_in_use, 1);
    return false;
  }
  if (plane.hibernating) {
    plane.counters.add(Counter.circuit_create_hibernating, 1);
    sendDestroy(plane, channel, circId, DestroyReason.HIBERNATING);
    return false;
  }
  if (!admitsCircuit(plane, channel)) {
    sendDestroy(plane, channel, circId, DestroyReason.RESOURCELIMIT);
    return false;
  }
  return hasRoom(plane, channel, circId);
}

/** What keeps one peer, or all of them, from filling the memory with circuits. */
function hasRoom(plane: CircuitPlane, channel: Channel, circId: number): boolean {
  const { circuitsPerClientMax, circuitsPerRelayMax, circuitsMax } = plane.options;
  const channelMax = channel.isClient ? circuitsPerClientMax : circuitsPerRelayMax;
  if (channel.createdCount >= channelMax) plane.counters.add(Counter.circuit_refused_per_link, 1);
  else if (plane.table.count >= circuitsMax) plane.counters.add(Counter.circuit_refused_total, 1);
  else return true;
  sendDestroy(plane, channel, circId, DestroyReason.RESOURCELIMIT);
  return false;
}

/** Take a CREATE2 cell. @throws Malformed: the caller answers with DESTROY */
export function onCreate2(plane: CircuitPlane, channel: Channel, circId: number, body: Uint8Array): void {
  if (!admit(plane, channel, circId)) return;
  const create = decodeCreate2(body);
  const type = create.handshakeType;
  if (type !== HandshakeType.NTOR && type !== HandshakeType.NTOR_V3) {
    plane.counters.add(
      type === HandshakeType.TAP
        ? Counter.circuit_create_tap_refused
        : Counter.circuit_create_unknown_handshake,
      1,
    );
    sendDestroy(plane, channel, circId, DestroyReason.PROTOCOL);
    return;
  }
  if (type === HandshakeType.NTOR && create.data.length !== NTOR_ONIONSKIN_BYTES) {
    plane.counters.add(Counter.circuit_ntor_failed, 1);
    sendDestroy(plane, channel, circId, DestroyReason.PROTOCOL);
    return;
  }
  const table = plane.table;
  const row = table.alloc(OWNED, CREATING, plane.nowMs);
  const onion: WaitingOnion = {
    row,
    generation: table.generation[row]!,
    handshakeType: type,
    data: create.data.slice(),
    queuedMs: plane.nowMs,
  };
  if (!plane.onionQueue.push(onion, type === HandshakeType.NTOR_V3, plane.options.maxOnionQueueDelayMs)) {
    table.release(row);
    plane.counters.add(Counter.onion_queue_full, 1);
    sendDestroy(plane, channel, circId, DestroyReason.RESOURCELIMIT);
    return;
  }
  joinChannel(plane, row * 2 + PREV, channel, circId);
  plane.wake();
}

/** Take a CREATE_FAST cell and answer it. @throws Malformed */
export function onCreateFast(plane: CircuitPlane, channel: Channel, circId: number, body: Uint8Array): void {
  if (!admit(plane, channel, circId)) return;
  const x = decodeCreateFast(body);
  const y = plane.random.bytes(20).slice();
  const { kh, keys } = serverFast(x, y, TOR1_KEY_BYTES);
  const row = plane.table.alloc(OWNED, CREATING, plane.nowMs);
  joinChannel(plane, row * 2 + PREV, channel, circId);
  plane.counters.add(Counter.circuit_create_fast_received, 1);
  openCircuit(plane, row, keys, Command.CREATED_FAST, encodeCreatedFast(y, kh));
}

function openCircuit(
  plane: CircuitPlane,
  row: number,
  keys: Uint8Array,
  command: number,
  body: Uint8Array,
): void {
  const table = plane.table;
  table.layer[row] = new Tor1Layer(keys);
  table.state[row] = OPEN;
  plane.counters.add(Counter.circuits_created, 1);
  noteReached(plane, row);
  writeCell(plane.scratch, 0, 0, command, body);
  sendCell(plane, row * 2 + PREV, plane.scratch, 0);
}

/** Count a circuit that shows that others reach us at an address that we publish. */
function noteReached(plane: CircuitPlane, row: number): void {
  const channel = plane.channels.bySlot[plane.table.port[row * 2 + PREV]!]!;
  if (channel.ourAddressSeen === null) return;
  const bytes = reachedAddress(channel, plane.options);
  if (bytes === 4) plane.counters.add(Counter.own_ipv4_reached, 1);
  else if (bytes === 16) plane.counters.add(Counter.own_ipv6_reached, 1);
}

/**
 * Work on waiting handshakes until `budgetMs` is used up.
 * @param clock monotonic milliseconds, read around each handshake
 * @returns whether more wait
 */
export function workOnOnions(plane: CircuitPlane, budgetMs: number, clock: () => number): boolean {
  const queue = plane.onionQueue;
  const table = plane.table;
  let before = clock();
  const end = before + budgetMs;
  while (before < end) {
    const onion = queue.pop();
    if (onion === null) return false;
    if (!table.isLive(onion.row, onion.generation) || table.state[onion.row] !== CREATING) continue;
    if (before - onion.queuedMs > plane.options.onionQueueCutoffMs) {
      plane.counters.add(Counter.onion_queue_expired, 1);
      closeCircuit(plane, onion.row, DestroyReason.RESOURCELIMIT, SAY_NOTHING);
      continue;
    }
    answer(plane, onion);
    const after = clock();
    queue.noteCost(after - before);
    before = after;
  }
  return queue.length > 0;
}

function answer(plane: CircuitPlane, onion: WaitingOnion): void {
  const { keys, options } = plane;
  const v3 = onion.handshakeType === HandshakeType.NTOR_V3;
  const ephemeral = generateEphemeral();
  let failure: number = v3 ? Counter.circuit_ntor_v3_failed : Counter.circuit_ntor_failed;
  const respond = (message: Uint8Array): Uint8Array | null => {
    try {
      const answered = answerExtensions(message, options.ccSendmeInc);
      if (answered === null) failure = Counter.circuit_subprotocol_refused;
      else plane.table.ccSendmeInc[onion.row] = answered.ccSendmeInc;
      return answered === null ? null : answered.message;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      failure = Counter.circuit_extension_malformed;
      return null;
    }
  };
  const { rsaId, ed25519Id, onionKeys, junk } = keys;
  const reply = v3
    ? serverNtorV3(onion.data, ed25519Id, onionKeys, ephemeral, NTOR_V3_CIRCUIT, TOR1_KEY_BYTES, respond)
    : serverNtor(onion.data, rsaId, onionKeys, junk, ephemeral, TOR1_KEY_BYTES);
  if (reply === null) {
    plane.counters.add(failure, 1);
    closeCircuit(plane, onion.row, DestroyReason.PROTOCOL, SAY_NOTHING);
    return;
  }
  plane.counters.add(v3 ? Counter.ntor_v3_processed : Counter.ntor_processed, 1);
  openCircuit(plane, onion.row, reply.keys, Command.CREATED2, encodeCreated2(reply.reply));
}

/** What a client's extensions are answered with. */
export interface AnsweredExtensions {
  readonly message: Uint8Array;
  /** Cells per SENDME of congestion control, which the circuit has from now on; 0: it has none. */
  readonly ccSendmeInc: number;
}

/**
 * Answer a client's handshake extensions, or null to refuse the circuit.
 * The first extension of a type counts, unknown ones are ignored. Congestion control is answered with our SENDME
 * increment, unless the consensus does without. The only capability that C tor knows to be asked for is Relay=6 (CGO):
 * who asks for a capability that we do not have is refused, as C tor refuses the ones that it does not have.
 * @throws Malformed
 */
export function answerExtensions(message: Uint8Array, sendmeInc: number): AnsweredExtensions | null {
  const asked = decodeExtensions(message);
  const answers: Extension[] = [];
  const wanted = firstOfType(asked, ExtensionType.SUBPROTOCOL_REQUEST);
  if (wanted !== null && decodeSubprotocolRequest(wanted.body).length > 0) return null;
  const ccSendmeInc = firstOfType(asked, ExtensionType.CC_REQUEST) === null ? 0 : sendmeInc;
  if (ccSendmeInc > 0) {
    answers.push({ type: ExtensionType.CC_RESPONSE, body: encodeCcResponse(ccSendmeInc) });
  }
  return { message: encodeExtensions(answers), ccSendmeInc };
}

/** The 509-byte body of the cell at `at`, as a view. */
export function cellBody(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.subarray(at + BODY_AT, at + BODY_AT + BODY_BYTES);
}
