/**
 * The far end of the load: relays that answer CREATE2, echo messages, and count the cells of a flood or send one.
 */
import { BODY_AT, buildCell, CELL_BYTES, setCircId } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { decodeCreate2, encodeCreated2, HandshakeType } from '../cell/create.ts';
import { encodeDestroy } from '../cell/destroy.ts';
import { RelayCommand, relayCommand, relayData, writeRelayMessage } from '../cell/relay-message.ts';
import { type Curve25519KeyPair, generateCurve25519 } from '../crypto/curve25519.ts';
import { serverNtor } from '../crypto/handshake/ntor.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1Layer } from '../crypto/layer/tor1.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { type Hop, SAMPLE_EVERY, type Traffic } from './client.ts';
import { Flood, type FloodCourse } from './flood.ts';
import { randomBytes } from './identity.ts';
import { FLOOD_BODY, type HopKeys, isFloodBody } from './keystream.ts';
import { type LinkUser, type LoadLink, listenLinks } from './link.ts';
import { Tally } from './tally.ts';

interface SinkCircuit {
  readonly circId: number;
  readonly layer: Tor1Layer;
  /** Its number in the tally; -1 until the client has said hello. */
  index: number;
  /** The relay's keys for this circuit, told by the client, for looking at samples. */
  nearKeys: HopKeys | null;
  enlisted: boolean;
}

/** One or more relays that only ever are the last hop. */
export class LoadSink implements LinkUser {
  readonly hops: Hop[] = [];
  readonly #flood: Flood;
  sampled = 0;
  corrupt = 0;
  circuitsSeen = 0;
  readonly #tally: Tally;
  readonly #listeners: { stop(): void }[] = [];
  readonly #circuits = new Map<LoadLink, Map<number, SinkCircuit>>();
  readonly #onionKey: Curve25519KeyPair = generateCurve25519();
  readonly #junk: Curve25519KeyPair = generateCurve25519();
  readonly #rsaIds: Uint8Array[] = [];
  #traffic: Traffic = 'messages';
  /** A cell ready for echoing. */
  readonly #echo = buildCell(0, Command.RELAY, FLOOD_BODY);

  constructor(relays: readonly LinkCredentials[], tally: SharedArrayBuffer) {
    this.#tally = new Tally(tally);
    this.#flood = new Flood({ sent: this.#tally.backwardSent, received: this.#tally.backwardReceived });
    for (const credentials of relays) {
      const listener = listenLinks(credentials, this);
      this.#listeners.push(listener);
      const { rsaId, ed25519Id } = credentials;
      this.#rsaIds.push(rsaId);
      this.hops.push({ port: listener.port, rsaId, ed25519Id, onionKey: this.#onionKey.publicKey });
    }
  }

  expect(traffic: Traffic): void {
    this.#traffic = traffic;
  }

  /** Send more towards the client on every circuit that has said hello. */
  flood(course: FloodCourse): void {
    for (const [link, circuits] of this.#circuits) {
      for (const circuit of circuits.values()) {
        if (circuit.enlisted || circuit.index < 0) continue;
        circuit.enlisted = true;
        this.#flood.add(link, circuit.index, circuit.circId);
      }
    }
    this.#flood.start(course);
  }

  halt(): void {
    this.#flood.halt();
  }

  /** Circuits that have said hello and are not closed. */
  get known(): number {
    let known = 0;
    for (const circuits of this.#circuits.values()) {
      for (const { index } of circuits.values()) if (index >= 0) known++;
    }
    return known;
  }

  /** Links open now. */
  get links(): number {
    return this.#circuits.size;
  }

  stop(): void {
    for (const listener of this.#listeners) listener.stop();
  }

  onCell(link: LoadLink, command: number, circId: number, bytes: Uint8Array, at: number): void {
    let circuits = this.#circuits.get(link);
    if (circuits === undefined) {
      circuits = new Map();
      this.#circuits.set(link, circuits);
    }
    if (command === Command.RELAY || command === Command.RELAY_EARLY) {
      const circuit = circuits.get(circId);
      if (circuit === undefined) return;
      if (this.#traffic === 'echo') this.#answer(link, circuit);
      if (this.#traffic !== 'messages') this.#count(circuit, bytes, at);
      else this.#takeMessage(link, circuit, bytes, at);
    } else if (command === Command.CREATE2) {
      this.#create(link, circuits, circId, bytes.slice(at + BODY_AT, at + CELL_BYTES));
    } else if (command === Command.DESTROY) {
      circuits.delete(circId);
    }
  }

  #create(link: LoadLink, circuits: Map<number, SinkCircuit>, circId: number, body: Uint8Array): void {
    const { handshakeType, data } = decodeCreate2(body);
    // All hops share an onion key; the onionskin names the relay that it is for.
    const rsaId = this.#rsaIds.find((id) => Buffer.compare(id, data.subarray(0, id.length)) === 0);
    const answer =
      handshakeType !== HandshakeType.NTOR || rsaId === undefined
        ? null
        : serverNtor(data, rsaId, [this.#onionKey], this.#junk, generateCurve25519(), TOR1_KEY_BYTES);
    if (answer === null) {
      link.send(buildCell(circId, Command.DESTROY, encodeDestroy(1)));
      return;
    }
    this.circuitsSeen++;
    circuits.set(circId, {
      circId,
      layer: new Tor1Layer(answer.keys),
      index: -1,
      nearKeys: null,
      enlisted: false,
    });
    link.send(buildCell(circId, Command.CREATED2, encodeCreated2(answer.reply)));
  }

  /** Send a cell back at once; what it holds is looked at afterwards. */
  #answer(link: LoadLink, circuit: SinkCircuit): void {
    if (circuit.index >= 0) this.#tally.backwardSent[circuit.index]! += 1;
    setCircId(this.#echo, 0, circuit.circId);
    if (link.write(this.#echo, 0, CELL_BYTES) < CELL_BYTES) link.close();
  }

  #count(circuit: SinkCircuit, bytes: Uint8Array, at: number): void {
    const { index, nearKeys } = circuit;
    if (nearKeys === null) return;
    const { forwardReceived, forwardControl } = this.#tally;
    const place = forwardReceived[index]!;
    if (place % SAMPLE_EVERY === SAMPLE_EVERY - 1) {
      this.sampled++;
      if (!isFloodBody(nearKeys.forward, forwardControl[index]! + place, bytes, at + BODY_AT)) this.corrupt++;
    }
    forwardReceived[index] = place + 1;
  }

  /** Echo a message; the first one says which circuit of the client this is. */
  #takeMessage(link: LoadLink, circuit: SinkCircuit, bytes: Uint8Array, at: number): void {
    const body = at + BODY_AT;
    if (
      circuit.layer.decryptForward(bytes, body) !== RECOGNISED ||
      relayCommand(bytes, body) !== RelayCommand.DATA
    ) {
      this.corrupt++;
      link.send(buildCell(circuit.circId, Command.DESTROY, encodeDestroy(1)));
      return;
    }
    const data = relayData(bytes, body)!.slice();
    if (circuit.index < 0) {
      circuit.index = new DataView(data.buffer).getUint32(0);
      circuit.nearKeys = { forward: data.slice(4, 20), backward: data.slice(20, 36) };
    }
    const cell = buildCell(circuit.circId, Command.RELAY, new Uint8Array(0));
    writeRelayMessage(cell, BODY_AT, RelayCommand.DATA, 1, data, randomBytes);
    circuit.layer.originateBackward(cell, BODY_AT);
    link.send(cell);
  }

  onDrain(): void {}

  onGone(link: LoadLink): void {
    this.#circuits.delete(link);
  }
}
