/**
 * A relay of ours as an exit, a relay that the consensus lists as its previous hop, and a client's circuit over that
 * link: what the tests of `edge/` play on. Every helper leaves the world settled.
 */
import { expect } from 'bun:test';
import type { AddressRule } from '../../src/bytes/address-rule.ts';
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeCreate2, HandshakeType } from '../../src/cell/create.ts';
import { ExtensionType, encodeCcRequest, encodeExtensions } from '../../src/cell/extension.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeSendme } from '../../src/cell/sendme.ts';
import { encodeBegin } from '../../src/cell/stream-message.ts';
import type { CircuitPlane } from '../../src/circuit/plane.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import type { StreamEdge } from '../../src/edge/edge.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { filled, OUR_HOST } from '../circuit/rig.ts';
import { ClientCircuit, type Heard } from '../sim/client.ts';
import type { Destinations, SimConnection } from '../sim/destinations.ts';
import { Peer } from '../sim/peer.ts';
import { SimRelay } from '../sim/relay.ts';
import { World } from '../sim/world.ts';

export const PREV_HOST = Uint8Array.of(198, 51, 100, 7);
export const PREV_PORT = 9007;
export const CIRC_ID = 0x80000001;
const PREV_ID = filled(20, 0xbb);

const ANY4: AddressRule = { accept: true, host: filled(4, 0), bits: 0, portMin: 1, portMax: 65535 };
const ANY6: AddressRule = { accept: true, host: filled(16, 0), bits: 0, portMin: 1, portMax: 65535 };
/** Accepts everything. */
export const ACCEPT_ALL: readonly AddressRule[] = [ANY4, ANY6];

/** Bytes that tell their place. */
export function counted(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7) ^ (i >> 8));
}

export interface ExitRigOptions {
  readonly options?: Partial<WorkerOptions>;
  readonly exit?: Partial<WorkerOptions['exit']>;
  /** The previous hop: a listed relay (as usual), an unlisted one, or a client. */
  readonly prev?: 'relay' | 'unlisted' | 'client';
  /** Ask for congestion control. */
  readonly cc?: boolean;
}

export class ExitRig {
  readonly world = new World(1);
  readonly relay: SimRelay;
  readonly prev: Peer;
  readonly circuit: ClientCircuit;

  constructor({ options = {}, exit = {}, prev = 'relay', cc = true }: ExitRigOptions = {}) {
    const listed =
      prev === 'relay' ? [{ rsaId: PREV_ID, ipv4: { host: PREV_HOST, port: PREV_PORT }, ipv6: null }] : [];
    this.relay = new SimRelay(this.world, {
      host: OUR_HOST,
      relayIndex: new RelayIndex(RelayIndex.create(listed)),
      options: { ...options, exit: { ...NO_EXIT, rules: ACCEPT_ALL, ipv6Exit: true, ...exit } },
    });
    this.prev = Peer.connect(this.world, this.relay, {
      worker: 0,
      identity: prev === 'client' ? null : { rsaId: PREV_ID, ed25519Id: filled(32, 0xbb) },
      from: { host: PREV_HOST, port: 50_000 },
    });
    this.world.settle();
    this.circuit = this.open(CIRC_ID, cc);
  }

  /** Make another circuit. */
  open(circId: number, cc: boolean): ClientCircuit {
    const { ed25519Id, onionKey } = this.relay;
    const asked = cc ? [{ type: ExtensionType.CC_REQUEST, body: encodeCcRequest() }] : [];
    const client = clientNtorV3({
      ed25519Id,
      onionKey: onionKey.publicKey,
      ephemeral: generateCurve25519(),
      verification: NTOR_V3_CIRCUIT,
      message: encodeExtensions(asked),
    })!;
    const data = client.onionskin;
    this.prev.send(circId, Command.CREATE2, encodeCreate2({ handshakeType: HandshakeType.NTOR_V3, data }));
    this.settle();
    const body = this.prev.expect(Command.CREATED2, circId);
    const length = (body[0]! << 8) | body[1]!;
    const circuit = new ClientCircuit(this.prev, circId);
    circuit.layers.push(
      new Tor1ClientLayer(client.finish(body.subarray(2, 2 + length), TOR1_KEY_BYTES)!.keys),
    );
    return circuit;
  }

  get plane(): CircuitPlane {
    return this.relay.workers[0]!.data.plane;
  }

  get edge(): StreamEdge {
    return this.relay.workers[0]!.data.edge;
  }

  get destinations(): Destinations {
    return this.relay.destinations;
  }

  settle(): void {
    this.world.settle();
  }

  /** Let time pass. */
  pass(ms: number): void {
    this.world.pass(ms);
  }

  count(name: CounterName): number {
    return this.relay.count(name);
  }

  say(command: number, streamId: number, data: Uint8Array = new Uint8Array(0)): void {
    this.circuit.say(command, streamId, data);
    this.settle();
  }

  /** The oldest message that came for the circuit. */
  heard(): Heard {
    const cell = this.prev.take();
    expect([cell.command, cell.circId]).toEqual([Command.RELAY, this.circuit.circId]);
    return this.circuit.hear(cell);
  }

  /** All messages that came for the circuit. */
  heardAll(): Heard[] {
    const all: Heard[] = [];
    while (this.prev.cells.length > 0) all.push(this.heard());
    return all;
  }

  /** The next message is this one. */
  expect(command: number, streamId: number, data?: Uint8Array): Uint8Array {
    const heard = this.heard();
    expect(heard).toMatchObject({ hop: 0, command, streamId });
    if (data !== undefined) expect(heard.data).toEqual(new Uint8Array(data));
    return heard.data;
  }

  expectSilence(): void {
    expect(this.prev.cells).toEqual([]);
  }

  /** Open a stream to 192.0.2.9:80 and take its CONNECTED. */
  stream(streamId: number, target = '192.0.2.9:80'): SimConnection {
    this.say(RelayCommand.BEGIN, streamId, encodeBegin(target));
    const connection = this.destinations.last;
    connection.accept();
    this.settle();
    this.expect(RelayCommand.CONNECTED, streamId);
    return connection;
  }

  /** Acknowledge for the circuit as a client does; `tag` is that of the last cell heard unless told. */
  sendme(tag: Uint8Array = this.circuit.layers[0]!.backwardTag): void {
    this.say(RelayCommand.SENDME, 0, encodeSendme(tag));
  }

  expectDestroyed(reason: number): void {
    const cell = this.prev.take();
    expect([cell.command, cell.circId]).toEqual([Command.DESTROY, this.circuit.circId]);
    expect(cell.bytes[BODY_AT]).toBe(reason);
  }

  /** No stream is left, and nothing that belonged to one. */
  expectNoStreams(): void {
    const { edge } = this;
    expect(edge.table.count).toBe(0);
    expect(edge.desk.sockets).toBe(0);
    expect(edge.desk.incomingBytes).toBe(0);
    expect(edge.desk.buffers.lent).toBe(0);
  }
}
