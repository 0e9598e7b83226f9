/**
 * The client's side of the load: links to the relay under test, circuits on them, extended to the sink.
 *
 * The near hop is the relay under test, the far hop the sink. Cells besides the flood are real end-to-end messages:
 * they are how a circuit shows that both its keystreams are in step.
 */
import { joinAll } from '../bytes/join.ts';
import { BODY_AT, BODY_BYTES, buildCell, CELL_BYTES, setCircId, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import {
  decodeCreated2,
  decodeCreatedFast,
  encodeCreate2,
  encodeCreateFast,
  HandshakeType,
} from '../cell/create.ts';
import { encodeDestroy } from '../cell/destroy.ts';
import { decodeExtended2, encodeExtend2, specifiersOf } from '../cell/extend.ts';
import { destroyReasonName } from '../cell/reason.ts';
import { RelayCommand, relayCommand, relayData, writeRelayMessage } from '../cell/relay-message.ts';
import { generateCurve25519 } from '../crypto/curve25519.ts';
import { clientFast, FAST_HALF_BYTES } from '../crypto/handshake/fast.ts';
import { clientNtor, type NtorClient } from '../crypto/handshake/ntor.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../crypto/layer/tor1.ts';
import { OperatorError } from '../fault.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { Flood, type FloodCourse } from './flood.ts';
import { randomBytes } from './identity.ts';
import { cryptAt, type HopKeys, hopKeys, isFloodBody } from './keystream.ts';
import { dialLink, type LinkUser, LOOPBACK, type LoadLink } from './link.ts';
import { Tally } from './tally.ts';

/** Who to extend to, or to create a circuit with. */
export interface Hop {
  /** An address of 127/8; 127.0.0.1 when left out. */
  readonly host?: string;
  readonly port: number;
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  /** The ntor onion key; null: CREATE_FAST, for the first hop only. */
  readonly onionKey: Uint8Array | null;
}

/** What C tor says of a circuit that it closes for having been idle, and how often one is laid again. */
const IDLE_END = 'DESTROY: FINISHED';
const LAYINGS_MAX = 3;
/** Identifiers of circuits that are laid again lie so far apart. */
const AGAIN_STRIDE = 1 << 24;
/** Every so many flood cells of a circuit, one is compared byte by byte. */
export const SAMPLE_EVERY = 61;

interface Pending {
  resolve(body: Uint8Array): void;
  reject(fault: Error): void;
}

/** What the cells that come are: told to both ends by whoever runs them. */
export type Traffic = 'messages' | 'flood' | 'echo';

/** Say that the load itself went wrong. */
export function broken(what: string, where: string): OperatorError {
  return new OperatorError(what, where, 'see what the relay under test logs');
}

/** One circuit of ours. */
export class LoadCircuit {
  readonly index: number;
  readonly circId: number;
  readonly link: LoadLink;
  readonly keys: HopKeys;
  readonly near: Tor1ClientLayer;
  far: Tor1ClientLayer | null = null;
  pending: Pending | null = null;
  alive = true;
  /** Why the relay closed it. */
  lost = 'we closed it';

  constructor(index: number, circId: number, link: LoadLink, material: Uint8Array) {
    this.index = index;
    this.circId = circId;
    this.link = link;
    this.keys = hopKeys(material);
    this.near = new Tor1ClientLayer(material);
  }
}

/** The 4 bytes by which the sink tells circuits apart. */
export function circuitName(index: number): Uint8Array {
  return Uint8Array.of(index >>> 24, index >>> 16, index >>> 8, index);
}

/** Links and circuits of one client. */
export class LoadClient implements LinkUser {
  readonly #relay: Hop;
  readonly #credentials: LinkCredentials;
  readonly #tally: Tally;
  readonly #circuits = new Map<LoadLink, Map<number, LoadCircuit>>();
  readonly #created = new Map<LoadLink, Map<number, Pending>>();
  readonly #flood: Flood;
  /** Circuits that the relay closed unasked, and why. */
  readonly losses: string[] = [];
  sampled = 0;
  /** Cells that were not what they should be. */
  corrupt = 0;
  #traffic: Traffic = 'messages';
  /** Hears of every cell that came back to a circuit, while the traffic is `echo`. */
  onEcho: (circuit: LoadCircuit) => void = () => {};

  constructor(relay: Hop, credentials: LinkCredentials, tally: SharedArrayBuffer) {
    this.#relay = relay;
    this.#credentials = credentials;
    this.#tally = new Tally(tally);
    this.#flood = new Flood({ sent: this.#tally.forwardSent, received: this.#tally.forwardReceived });
  }

  expect(traffic: Traffic): void {
    this.#traffic = traffic;
  }

  /** Open a link. `from`: our address, any of 127/8; `fromPort`: our port, 0: the kernel chooses. */
  async connect(from = '127.0.0.1', fromPort = 0): Promise<LoadLink> {
    const { host = '127.0.0.1', port } = this.#relay;
    const link = dialLink({ host, port, from, fromPort }, this.#credentials, this);
    this.#circuits.set(link, new Map());
    this.#created.set(link, new Map());
    await link.opened;
    return link;
  }

  /**
   * Create a circuit and extend it by the sink. Every eleven seconds C tor closes, for having been idle, what was created
   * on a link that it has sent no cell on so far: such a circuit is laid again.
   */
  async lay(link: LoadLink, index: number, circId: number, hop: Hop): Promise<LoadCircuit> {
    for (let i = 0; ; i++) {
      try {
        const circuit = await this.create(link, index, circId + i * AGAIN_STRIDE);
        await this.extend(circuit, hop);
        return circuit;
      } catch (fault) {
        const isIdleEnd = fault instanceof OperatorError && fault.what.endsWith(IDLE_END);
        if (!isIdleEnd || i + 1 === LAYINGS_MAX) throw fault;
        this.losses.splice(0, this.losses.length, ...this.losses.filter((why) => why !== IDLE_END));
      }
    }
  }

  /** Create a circuit of one hop. `index`: its number in the tally. */
  async create(link: LoadLink, index: number, circId: number): Promise<LoadCircuit> {
    const { rsaId, onionKey } = this.#relay;
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#created.get(link)!.set(circId, { resolve, reject });
    });
    let material: Uint8Array | null;
    if (onionKey === null) {
      const x = randomBytes(FAST_HALF_BYTES);
      link.send(buildCell(circId, Command.CREATE_FAST, encodeCreateFast(x)));
      const { y, kh } = decodeCreatedFast(await answer);
      material = clientFast(x, y, kh, TOR1_KEY_BYTES);
    } else {
      const ntor = clientNtor({ rsaId, onionKey, ephemeral: generateCurve25519() });
      const create = encodeCreate2({ handshakeType: HandshakeType.NTOR, data: ntor.onionskin });
      link.send(buildCell(circId, Command.CREATE2, create));
      material = ntor.finish(decodeCreated2(await answer), TOR1_KEY_BYTES);
    }
    if (material === null) throw broken('the relay answered a handshake with the wrong keys', this.#where);
    const circuit = new LoadCircuit(index, circId, link, material);
    this.#circuits.get(link)!.set(circId, circuit);
    this.#tally.forwardControl[index] = 0;
    this.#tally.backwardControl[index] = 0;
    return circuit;
  }

  /** Extend a circuit by the sink, and say hello to it. */
  async extend(circuit: LoadCircuit, hop: Hop): Promise<void> {
    const { rsaId, ed25519Id, onionKey } = hop;
    const ntor: NtorClient = clientNtor({ rsaId, onionKey: onionKey!, ephemeral: generateCurve25519() });
    const extend = encodeExtend2({
      specifiers: specifiersOf({ rsaId, ed25519Id, ipv4: { host: LOOPBACK, port: hop.port }, ipv6: null }),
      handshakeType: HandshakeType.NTOR,
      data: ntor.onionskin,
    });
    const cell = message(circuit, Command.RELAY_EARLY, RelayCommand.EXTEND2, 0, extend);
    circuit.near.originateForward(cell, BODY_AT);
    this.#tally.forwardControl[circuit.index] = 1;
    const reply = decodeExtended2(await this.#ask(circuit, cell));
    const material = ntor.finish(reply, TOR1_KEY_BYTES);
    if (material === null) throw broken('the keys of the sink’s answer are wrong', this.#where);
    circuit.far = new Tor1ClientLayer(material);
    await this.ping(circuit);
  }

  /** Send a message to the sink and wait for its echo: shows that both keystreams are in step. */
  async ping(circuit: LoadCircuit): Promise<void> {
    const { index, keys } = circuit;
    const data = joinAll([circuitName(index), keys.forward, keys.backward]);
    const cell = message(circuit, Command.RELAY, RelayCommand.DATA, 1, data);
    circuit.far!.originateForward(cell, BODY_AT);
    const { forwardControl, forwardSent } = this.#tally;
    cryptAt(keys.forward, forwardControl[index]! + forwardSent[index]!, cell, BODY_AT);
    forwardControl[index]! += 1;
    const echo = await this.#ask(circuit, cell);
    if (Buffer.compare(echo, data) !== 0)
      throw broken(`circuit ${index} got another echo than it sent`, this.#where);
  }

  /** Put a circuit into the flood. */
  enlist(circuit: LoadCircuit): void {
    this.#flood.add(circuit.link, circuit.index, circuit.circId);
  }

  /** Send more towards the sink on every circuit of the flood. */
  flood(course: FloodCourse): void {
    this.#flood.start(course);
  }

  halt(): void {
    this.#flood.halt();
  }

  /** Close a link and what is on it. */
  disconnect(link: LoadLink): void {
    this.#circuits.get(link)?.clear();
    this.#created.get(link)?.clear();
    link.close();
  }

  /** Send one cell that the sink echoes, at once. The traffic must be `echo`. */
  probe(circuit: LoadCircuit, cell: Uint8Array): void {
    this.#tally.forwardSent[circuit.index]! += 1;
    setCircId(cell, 0, circuit.circId);
    if (circuit.link.write(cell, 0, CELL_BYTES) < CELL_BYTES) circuit.link.close();
  }

  /** Whether all probes of a circuit have come back. */
  settled(circuit: LoadCircuit): boolean {
    const { forwardSent, backwardReceived } = this.#tally;
    return forwardSent[circuit.index] === backwardReceived[circuit.index];
  }

  get #where(): string {
    return `${this.#relay.host ?? '127.0.0.1'}:${this.#relay.port}`;
  }

  /** Close a circuit and forget it. */
  destroy(circuit: LoadCircuit): void {
    circuit.alive = false;
    this.#circuits.get(circuit.link)?.delete(circuit.circId);
    circuit.link.send(buildCell(circuit.circId, Command.DESTROY, encodeDestroy(0)));
  }

  #ask(circuit: LoadCircuit, cell: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (!circuit.alive) reject(broken(`circuit ${circuit.index}: ${circuit.lost}`, this.#where));
      circuit.pending = { resolve, reject };
      circuit.link.send(cell);
    });
  }

  onCell(link: LoadLink, command: number, circId: number, bytes: Uint8Array, at: number): void {
    if (command === Command.RELAY) {
      const circuit = this.#circuits.get(link)!.get(circId);
      if (circuit === undefined) return;
      if (this.#traffic !== 'messages') this.#count(circuit, bytes, at);
      else this.#takeMessage(circuit, bytes, at);
    } else if (command === Command.CREATED2 || command === Command.CREATED_FAST) {
      const created = this.#created.get(link)!;
      created.get(circId)?.resolve(bytes.slice(at + BODY_AT, at + CELL_BYTES));
      created.delete(circId);
    } else if (command === Command.DESTROY) {
      this.#lose(link, circId, `DESTROY: ${destroyReasonName(bytes[at + BODY_AT]!)}`);
    }
  }

  #count(circuit: LoadCircuit, bytes: Uint8Array, at: number): void {
    const { backwardReceived, backwardControl } = this.#tally;
    const { index } = circuit;
    const place = backwardReceived[index]!;
    backwardReceived[index] = place + 1;
    if (this.#traffic === 'echo') this.onEcho(circuit);
    if (place % SAMPLE_EVERY === SAMPLE_EVERY - 1) {
      this.sampled++;
      if (!isFloodBody(circuit.keys.backward, backwardControl[index]! + place, bytes, at + BODY_AT))
        this.corrupt++;
    }
  }

  #takeMessage(circuit: LoadCircuit, bytes: Uint8Array, at: number): void {
    const { backwardReceived, backwardControl } = this.#tally;
    const { index, far, pending } = circuit;
    const body = at + BODY_AT;
    const layer = far ?? circuit.near;
    if (far !== null)
      cryptAt(circuit.keys.backward, backwardControl[index]! + backwardReceived[index]!, bytes, body);
    backwardControl[index]! += 1;
    circuit.pending = null;
    if (layer.decryptBackward(bytes, body) !== RECOGNISED) {
      this.corrupt++;
      pending?.reject(broken(`circuit ${index}: the backward keystream is out of step`, this.#where));
      return;
    }
    const wanted = far === null ? RelayCommand.EXTENDED2 : RelayCommand.DATA;
    const got = relayCommand(bytes, body);
    if (got === wanted) pending?.resolve(relayData(bytes, body)!.slice());
    else pending?.reject(broken(`circuit ${index} got relay command ${got}`, this.#where));
  }

  #lose(link: LoadLink, circId: number, why: string): void {
    const created = this.#created.get(link)!;
    created.get(circId)?.reject(broken(why, this.#where));
    created.delete(circId);
    const circuits = this.#circuits.get(link)!;
    const circuit = circuits.get(circId);
    if (circuit === undefined) return;
    circuits.delete(circId);
    circuit.alive = false;
    circuit.lost = why;
    circuit.pending?.reject(broken(`circuit ${circuit.index}: ${why}`, this.#where));
    this.losses.push(why);
  }

  onDrain(): void {}

  onGone(link: LoadLink): void {
    const circIds = [...this.#circuits.get(link)!.keys(), ...this.#created.get(link)!.keys()];
    for (const circId of circIds) this.#lose(link, circId, 'the link closed');
    this.#circuits.delete(link);
    this.#created.delete(link);
  }
}

function message(
  circuit: LoadCircuit,
  command: number,
  relayCommandNumber: number,
  streamId: number,
  data: Uint8Array,
): Uint8Array {
  const body = new Uint8Array(BODY_BYTES);
  writeRelayMessage(body, 0, relayCommandNumber, streamId, data, randomBytes);
  const cell = new Uint8Array(CELL_BYTES);
  writeCell(cell, 0, circuit.circId, command, body);
  return cell;
}
