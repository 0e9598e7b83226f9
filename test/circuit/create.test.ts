/** CREATE cells: which are answered, which are refused, and what that costs whom. */
import { describe, expect, test } from 'bun:test';
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeCreate2, HandshakeType } from '../../src/cell/create.ts';
import {
  type Extension,
  ExtensionType,
  encodeCcRequest,
  encodeExtensions,
  encodeSubprotocolRequest,
} from '../../src/cell/extension.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { OWNED } from '../../src/circuit/circuit-table.ts';
import { answerExtensions } from '../../src/circuit/create.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import { Malformed } from '../../src/fault.ts';
import { ClientCircuit } from '../sim/client.ts';
import { Peer } from '../sim/peer.ts';
import { filled, ID, Rig } from './rig.ts';

function create2(handshakeType: number, data: Uint8Array): Uint8Array {
  return encodeCreate2({ handshakeType, data });
}

describe('CREATE2 with ntor', () => {
  test('is answered, and the keys agree', () => {
    const rig = new Rig();
    const circuit = new ClientCircuit(rig.client, ID);
    circuit.create(rig.own);
    rig.settle();
    expect(circuit.finish(rig.client.expect(Command.CREATED2, ID))).toBe(true);
    rig.expectAlive(circuit);
    expect(rig.count('circuit_create_received')).toBe(1);
    expect(rig.count('ntor_processed')).toBe(1);
    expect(rig.count('circuits_created')).toBe(1);
  });

  test('with the previous onion key works too', () => {
    const rig = new Rig();
    rig.plane.keys.onionKeys = [generateCurve25519(), rig.relay.onionKey];
    const circuit = new ClientCircuit(rig.client, ID);
    circuit.create(rig.own);
    rig.settle();
    expect(circuit.finish(rig.client.expect(Command.CREATED2, ID))).toBe(true);
  });

  test('with an unknown onion key gets an answer that proves nothing', () => {
    const rig = new Rig();
    const circuit = new ClientCircuit(rig.client, ID);
    circuit.create({ rsaId: rig.own.rsaId, onionKey: generateCurve25519().publicKey });
    rig.settle();
    expect(circuit.finish(rig.client.expect(Command.CREATED2, ID))).toBe(false);
    expect(rig.count('ntor_processed')).toBe(1);
  });

  test('for another identity, or with a point of small order, is destroyed', () => {
    const rig = new Rig();
    new ClientCircuit(rig.client, ID).create({ rsaId: filled(20, 9), onionKey: rig.own.onionKey });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    const skin = new ClientCircuit(rig.client, ID).onionskin(rig.own);
    skin.fill(0, 52);
    rig.client.send(ID, Command.CREATE2, create2(HandshakeType.NTOR, skin));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_ntor_failed')).toBe(2);
    rig.expectEmpty();
  });

  test('of a wrong length is destroyed', () => {
    for (const length of [0, 83, 85]) {
      const rig = new Rig();
      rig.client.send(ID, Command.CREATE2, create2(HandshakeType.NTOR, filled(length, 1)));
      rig.settle();
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count('circuit_ntor_failed')).toBe(1);
      rig.expectEmpty();
    }
  });

  test('that states more than its cell holds is malformed', () => {
    const rig = new Rig();
    const body = filled(509, 0);
    body.set([0, 2, 2, 0]);
    rig.client.send(ID, Command.CREATE2, body);
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_create_malformed')).toBe(1);
    rig.expectEmpty();
  });
});

describe('CREATE2 with ntor-v3', () => {
  function start(rig: Rig, message: Uint8Array, onionKey = rig.own.onionKey) {
    const client = clientNtorV3({
      ed25519Id: rig.own.ed25519Id,
      onionKey,
      ephemeral: generateCurve25519(),
      verification: NTOR_V3_CIRCUIT,
      message,
    })!;
    rig.client.send(ID, Command.CREATE2, create2(HandshakeType.NTOR_V3, client.onionskin));
    rig.settle();
    return client;
  }

  const list = (...extensions: Extension[]): Uint8Array => encodeExtensions(extensions);
  const CC: Extension = { type: ExtensionType.CC_REQUEST, body: encodeCcRequest() };
  const relay = (...versions: number[]): Extension => ({
    type: ExtensionType.SUBPROTOCOL_REQUEST,
    body: encodeSubprotocolRequest(versions.map((version) => ({ protocol: 2, version }))),
  });

  function expectAnswer(message: Uint8Array, answer: Uint8Array): void {
    const rig = new Rig();
    const client = start(rig, message);
    const body = rig.client.expect(Command.CREATED2, ID);
    const length = (body[0]! << 8) | body[1]!;
    const done = client.finish(body.subarray(2, 2 + length), TOR1_KEY_BYTES)!;
    expect(done.message).toEqual(answer);
    expect(rig.count('ntor_v3_processed')).toBe(1);
    // What was negotiated is the row's from now on.
    const row = rig.plane.table.kind.indexOf(OWNED);
    expect(rig.plane.table.ccSendmeInc[row]).toBe(answer.length > 1 ? 31 : 0);
    const circuit = new ClientCircuit(rig.client, ID);
    circuit.layers.push(new Tor1ClientLayer(done.keys));
    rig.expectAlive(circuit);
  }

  test('without extensions is answered with none: one byte', () => {
    expectAnswer(list(), Uint8Array.of(0));
  });

  test('congestion control is answered with our SENDME increment', () => {
    expectAnswer(list(CC), Uint8Array.of(1, ExtensionType.CC_RESPONSE, 1, 31));
  });

  test('the second of a type is ignored, and so is an unknown one', () => {
    expectAnswer(list(CC, CC), Uint8Array.of(1, ExtensionType.CC_RESPONSE, 1, 31));
    expectAnswer(list({ type: 200, body: filled(9, 1) }), Uint8Array.of(0));
  });

  test('an empty subprotocol request asks for nothing', () => {
    expectAnswer(list(relay()), Uint8Array.of(0));
  });

  test('a capability that we lack is refused', () => {
    for (const message of [list(relay(6)), list(CC, relay(6)), list(relay(5)), list(relay(5, 6))]) {
      const rig = new Rig();
      start(rig, message);
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count('circuit_subprotocol_refused')).toBe(1);
      expect(rig.count('circuit_ntor_v3_failed')).toBe(0);
      rig.expectEmpty();
    }
  });

  test('subprotocol requests that are unsorted, doubled or odd are malformed', () => {
    for (const body of [
      [2, 6, 2, 5],
      [2, 6, 2, 6],
      [2, 6, 2],
    ]) {
      const rig = new Rig();
      start(rig, list({ type: ExtensionType.SUBPROTOCOL_REQUEST, body: Uint8Array.from(body) }));
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count('circuit_extension_malformed')).toBe(1);
    }
  });

  test('an extension list that is cut short, missing or trailed is malformed', () => {
    for (const bytes of [[], [1], [1, 1], [1, 1, 5, 0], [0, 0]]) {
      const rig = new Rig();
      start(rig, Uint8Array.from(bytes));
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count('circuit_extension_malformed')).toBe(1);
      rig.expectEmpty();
    }
  });

  test('an unknown onion key is destroyed, unlike with ntor', () => {
    const rig = new Rig();
    start(rig, list(), generateCurve25519().publicKey);
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_ntor_v3_failed')).toBe(1);
  });

  test('an onionskin that is too short is destroyed', () => {
    const rig = new Rig();
    rig.client.send(ID, Command.CREATE2, create2(HandshakeType.NTOR_V3, filled(127, 0)));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_ntor_v3_failed')).toBe(1);
  });

  test('answerExtensions throws nothing but Malformed', () => {
    expect(() => answerExtensions(Uint8Array.of(1), 31)).toThrow(Malformed);
    expect(answerExtensions(list(CC), 0)).toEqual({ message: Uint8Array.of(0), ccSendmeInc: 0 });
    expect(answerExtensions(Uint8Array.of(0), 31)).toEqual({ message: Uint8Array.of(0), ccSendmeInc: 0 });
  });
});

describe('other handshakes', () => {
  test('CREATE_FAST is answered at once', () => {
    const rig = new Rig();
    const circuit = rig.open();
    rig.expectAlive(circuit);
    expect(rig.count('circuit_create_fast_received')).toBe(1);
  });

  test('TAP is refused, in CREATE2 and in the old CREATE', () => {
    const rig = new Rig();
    rig.client.send(ID, Command.CREATE2, create2(HandshakeType.TAP, filled(186, 1)));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    rig.client.send(ID, Command.CREATE, filled(186, 1));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_create_tap_refused')).toBe(2);
    rig.expectEmpty();
  });

  test('the old CREATE with id 0 or an id in use is dropped', () => {
    const rig = new Rig();
    const circuit = rig.open();
    rig.client.send(0, Command.CREATE, filled(186, 1));
    rig.client.send(ID, Command.CREATE, filled(186, 1));
    rig.settle();
    rig.expectAlive(circuit);
  });

  test('an unknown handshake type is refused', () => {
    const rig = new Rig();
    rig.client.send(ID, Command.CREATE2, create2(4, filled(84, 1)));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_create_unknown_handshake')).toBe(1);
    rig.expectEmpty();
  });
});

describe('circuit ids', () => {
  test('of the wrong half are destroyed, and the channel lives', () => {
    const rig = new Rig();
    new ClientCircuit(rig.client, 5).create(rig.own);
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL, 5);
    expect(rig.count('circuit_bad_id')).toBe(1);
    rig.expectAlive(rig.open());
  });

  test('on a link that we dialled the peer has the low half', () => {
    const rig = new Rig();
    rig.openTwo();
    const peer = rig.next.peers[0]!;
    const sent: number[] = [];
    peer.onCell = ({ circId, command, bytes }) => sent.push(circId, command, bytes[BODY_AT]!);
    new ClientCircuit(peer, 0x80000077).createFast();
    rig.settle();
    expect(sent).toEqual([0x80000077, Command.DESTROY, DestroyReason.PROTOCOL]);
    sent.length = 0;
    new ClientCircuit(peer, 0x77).createFast();
    rig.settle();
    expect(sent.slice(0, 2)).toEqual([0x77, Command.CREATED_FAST]);
  });

  test('zero is dropped silently', () => {
    const rig = new Rig();
    new ClientCircuit(rig.client, 0).create(rig.own);
    rig.settle();
    expect(rig.client.cells).toEqual([]);
    expect(rig.count('circuit_create_zero_id')).toBe(1);
    rig.expectEmpty();
  });

  test('in use are dropped silently, and the first circuit lives', () => {
    const rig = new Rig();
    const circuit = rig.open();
    new ClientCircuit(rig.client, ID).create(rig.own);
    new ClientCircuit(rig.client, ID).createFast();
    rig.settle();
    expect(rig.count('circuit_id_in_use')).toBe(2);
    rig.expectAlive(circuit);
  });

  test('in use on one channel are free on another', () => {
    const rig = new Rig();
    rig.open();
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    new ClientCircuit(other, ID).createFast();
    rig.settle();
    other.expect(Command.CREATED_FAST, ID);
  });

  test('are free again after DESTROY either way', () => {
    const rig = new Rig();
    rig.open();
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(DestroyReason.NONE));
    rig.expectAlive(rig.open());
  });
});

describe('circuits that there is no room for', () => {
  const relayIdentity = { rsaId: filled(20, 1), ed25519Id: filled(32, 1) };

  test('are bounded on each link, for clients and relays apart, and one that goes makes room', () => {
    const rig = new Rig({ options: { circuitsPerClientMax: 2, circuitsPerRelayMax: 3 } });
    const relay = Peer.connect(rig.world, rig.relay, { worker: 0, identity: relayIdentity });
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    rig.settle();
    for (const [peer, max] of [
      [rig.client, 2],
      [relay, 3],
    ] as const) {
      for (let i = 0; i < max; i++) {
        new ClientCircuit(peer, ID + i).createFast();
        rig.settle();
        peer.expect(Command.CREATED_FAST, ID + i);
      }
      for (const full of [new ClientCircuit(peer, ID + 7), new ClientCircuit(peer, ID + 8)]) {
        if (full.circId === ID + 7) full.createFast();
        else full.create(rig.own);
        rig.settle();
        expect(peer.expect(Command.DESTROY, full.circId)[0]).toBe(DestroyReason.RESOURCELIMIT);
      }
    }
    expect(rig.count('circuit_refused_per_link')).toBe(4);
    new ClientCircuit(other, ID).createFast();
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    new ClientCircuit(rig.client, ID + 9).createFast();
    rig.settle();
    other.expect(Command.CREATED_FAST, ID);
    rig.client.expect(Command.CREATED_FAST, ID + 9);
    expect(rig.count('circuit_refused_total')).toBe(0);
  });

  test('our own circuits on a link take nothing from what its peer may make', () => {
    const rig = new Rig({ options: { circuitsPerRelayMax: 1 } });
    rig.openTwo(ID);
    rig.openTwo(ID + 1);
    const peer = rig.next.peers[0]!;
    const sent: number[] = [];
    peer.onCell = ({ circId, command }) => sent.push(circId, command);
    new ClientCircuit(peer, 0x77).createFast();
    rig.settle();
    expect(sent).toEqual([0x77, Command.CREATED_FAST]);
  });

  test('are bounded on each worker, over all links', () => {
    const rig = new Rig({ workers: 2, options: { circuitsMax: 2 } });
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    const elsewhere = Peer.connect(rig.world, rig.relay, { worker: 1 });
    rig.open(ID);
    rig.open(ID + 1);
    new ClientCircuit(other, ID).create(rig.own);
    new ClientCircuit(elsewhere, ID).createFast();
    rig.settle();
    expect(other.expect(Command.DESTROY, ID)[0]).toBe(DestroyReason.RESOURCELIMIT);
    elsewhere.expect(Command.CREATED_FAST, ID);
    expect(rig.count('circuit_refused_total')).toBe(1);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    new ClientCircuit(other, ID).createFast();
    rig.settle();
    other.expect(Command.CREATED_FAST, ID);
    expect(rig.count('circuit_refused_per_link')).toBe(0);
  });
});

describe('before the answer', () => {
  test('a relay cell on a circuit whose CREATE is queued closes it', () => {
    const rig = new Rig();
    const circuit = new ClientCircuit(rig.client, ID);
    const own = rig.plane;
    // Both cells in one chunk: the handshake phase comes after it.
    circuit.create(rig.own);
    rig.client.send(ID, Command.RELAY, filled(509, 3));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_relay_while_create_queued')).toBe(1);
    expect(rig.count('ntor_processed')).toBe(0);
    expect(own.onionQueue.length).toBe(0);
    rig.expectEmpty();
  });

  test('DESTROY takes the handshake out without an answer', () => {
    const rig = new Rig();
    new ClientCircuit(rig.client, ID).create(rig.own);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    expect(rig.client.cells).toEqual([]);
    expect(rig.count('ntor_processed')).toBe(0);
    rig.expectEmpty();
  });

  test('a queue that would take too long refuses, and a wait past the cutoff expires', () => {
    const rig = new Rig({ options: { maxOnionQueueDelayMs: 0, onionQueueCutoffMs: 100 } });
    const first = new ClientCircuit(rig.client, ID);
    first.create(rig.own);
    new ClientCircuit(rig.client, ID + 1).create(rig.own);
    rig.settle();
    const created = rig.client.cells.filter((cell) => cell.command === Command.CREATED2);
    const refused = rig.client.cells.filter((cell) => cell.command === Command.DESTROY);
    expect([created.length, refused.length]).toEqual([1, 1]);
    expect(refused[0]!.bytes[BODY_AT]).toBe(DestroyReason.RESOURCELIMIT);
    expect(rig.count('onion_queue_full')).toBe(1);

    rig.client.cells.length = 0;
    const worker = rig.relay.workers[0]!;
    const { turn } = worker;
    worker.turn = () => {};
    new ClientCircuit(rig.client, ID + 2).create(rig.own);
    for (let i = 0; i < 10; i++) rig.world.step();
    rig.world.nowMs += 101;
    worker.turn = turn;
    rig.settle();
    rig.expectDestroyed(DestroyReason.RESOURCELIMIT, ID + 2);
    expect(rig.count('onion_queue_expired')).toBe(1);
  });

  test('while shutting down, new circuits are refused', () => {
    const rig = new Rig();
    const circuit = rig.open();
    rig.plane.hibernating = true;
    new ClientCircuit(rig.client, ID + 1).createFast();
    rig.settle();
    rig.expectDestroyed(DestroyReason.HIBERNATING, ID + 1);
    expect(rig.count('circuit_create_hibernating')).toBe(1);
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.HIBERNATING);
    expect(rig.count('extend_hibernating')).toBe(1);
  });

  test('unexpected answers are counted and dropped', () => {
    const rig = new Rig();
    const circuit = rig.open();
    for (const command of [Command.CREATED, Command.CREATED2, Command.CREATED_FAST])
      rig.client.send(ID, command);
    rig.client.send(ID + 5, Command.CREATED2);
    rig.settle();
    expect(rig.count('extend_created_unexpected')).toBe(4);
    rig.expectAlive(circuit);
  });

  test('DROP is counted', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.say(RelayCommand.DROP, 0, filled(100, 1));
    rig.settle();
    expect(rig.count('relay_drop_cells')).toBe(1);
    rig.expectAlive(circuit);
  });
});
