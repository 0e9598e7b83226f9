/** Circuits of the test's own over a `TestLink`: made, extended, spoken over, as a client does. */

import { BODY_AT, BODY_BYTES, buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import {
  decodeCreated2,
  decodeCreatedFast,
  encodeCreate2,
  encodeCreateFast,
  HandshakeType,
} from '../../src/cell/create.ts';
import { decodeExtended2, encodeExtend2, type LinkSpecifier, specifiersOf } from '../../src/cell/extend.ts';
import {
  RelayCommand,
  relayCommand,
  relayData,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientFast, FAST_HALF_BYTES } from '../../src/crypto/handshake/fast.ts';
import { clientNtor } from '../../src/crypto/handshake/ntor.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../../src/crypto/handshake/ntor-v3.ts';
import { RECOGNISED } from '../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import type { TestLink } from './test-link.ts';

/** Whom to make a circuit with or extend one to. */
export interface Hop {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  readonly onionKey: Uint8Array;
}

/** A message that came back, or the end of the circuit. */
export type Received =
  | { readonly hop: number; readonly command: number; readonly streamId: number; readonly data: Uint8Array }
  | { readonly destroyed: number };

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** A random circuit id of the half that belongs to this end of the link. */
export function freshCircId(link: TestLink): number {
  const low = new DataView(random(4).buffer).getUint32(0) & 0x7fffffff;
  return link.initiated ? (low | 0x80000000) >>> 0 : low | 1;
}

/** The relay refused: it sent DESTROY with this reason. */
export class Refused extends Error {
  readonly reason: number;

  constructor(reason: number) {
    super(`DESTROY ${reason}`);
    this.reason = reason;
  }
}

/** One circuit. */
export class TestCircuit {
  readonly link: TestLink;
  readonly circId: number;
  readonly layers: Tor1ClientLayer[] = [];

  constructor(link: TestLink, circId: number = freshCircId(link)) {
    this.link = link;
    this.circId = circId;
  }

  static async createFast(link: TestLink): Promise<TestCircuit> {
    const circuit = new TestCircuit(link);
    const x = random(FAST_HALF_BYTES);
    circuit.sendCell(Command.CREATE_FAST, encodeCreateFast(x));
    const { y, kh } = decodeCreatedFast(await circuit.answer(Command.CREATED_FAST));
    circuit.#addLayer(clientFast(x, y, kh, TOR1_KEY_BYTES));
    return circuit;
  }

  /** @throws Refused */
  static async createNtor(link: TestLink, hop: Hop): Promise<TestCircuit> {
    const circuit = new TestCircuit(link);
    const client = clientNtor({ ...hop, ephemeral: generateCurve25519() });
    circuit.sendCreate2(HandshakeType.NTOR, client.onionskin);
    const reply = decodeCreated2(await circuit.answer(Command.CREATED2));
    circuit.#addLayer(client.finish(reply, TOR1_KEY_BYTES));
    return circuit;
  }

  /** Also gives the relay's message back. @throws Refused */
  static async createNtorV3(
    link: TestLink,
    hop: Hop,
    message: Uint8Array,
  ): Promise<{ circuit: TestCircuit; answer: Uint8Array }> {
    const circuit = new TestCircuit(link);
    const client = clientNtorV3({
      ...hop,
      ephemeral: generateCurve25519(),
      verification: NTOR_V3_CIRCUIT,
      message,
    })!;
    circuit.sendCreate2(HandshakeType.NTOR_V3, client.onionskin);
    const reply = decodeCreated2(await circuit.answer(Command.CREATED2));
    const finished = client.finish(reply, TOR1_KEY_BYTES);
    circuit.#addLayer(finished?.keys ?? null);
    return { circuit, answer: finished!.message };
  }

  sendCreate2(handshakeType: number, data: Uint8Array): void {
    this.sendCell(Command.CREATE2, encodeCreate2({ handshakeType, data }));
  }

  sendCell(command: number, body: Uint8Array): void {
    this.link.send(buildCell(this.circId, command, body));
  }

  /** The answer to a CREATE. @throws Refused */
  async answer(command: number): Promise<Uint8Array> {
    const cell = await this.link.next(this.circId);
    if (cell.command === Command.DESTROY) throw new Refused(cell.body[0]!);
    if (cell.command !== command) throw new Error(`command ${cell.command} came instead of ${command}`);
    return cell.body;
  }

  #addLayer(keys: Uint8Array | null): void {
    if (keys === null) throw new Error('the relay answered the handshake wrongly');
    this.layers.push(new Tor1ClientLayer(keys));
  }

  /** Send a relay message to a hop: the last one unless told otherwise. */
  send(
    command: number,
    data: Uint8Array,
    { hop = this.layers.length - 1, streamId = 0, early = false } = {},
  ): void {
    const cell = buildCell(this.circId, early ? Command.RELAY_EARLY : Command.RELAY, new Uint8Array(0));
    writeRelayMessage(cell, BODY_AT, command, streamId, data, random);
    this.layers[hop]!.originateForward(cell, BODY_AT);
    for (let i = hop - 1; i >= 0; i--) this.layers[i]!.encryptForward(cell, BODY_AT);
    this.link.send(cell);
  }

  /** The next message or the end. */
  async receive(deadlineMs?: number): Promise<Received> {
    const cell = await this.link.next(this.circId, deadlineMs);
    if (cell.command === Command.DESTROY) return { destroyed: cell.body[0]! };
    if (cell.command !== Command.RELAY) throw new Error(`command ${cell.command} on a circuit`);
    const body = cell.body.slice(0, BODY_BYTES);
    for (const [hop, layer] of this.layers.entries()) {
      if (layer.decryptBackward(body, 0) !== RECOGNISED) continue;
      return {
        hop,
        command: relayCommand(body, 0),
        streamId: relayStreamId(body, 0),
        data: relayData(body, 0)!,
      };
    }
    throw new Error('no hop sent this cell: the keystreams do not agree');
  }

  /** Ask the last hop to extend to `specifiers`; says how it ended. */
  async tryExtend(
    specifiers: readonly LinkSpecifier[],
    { handshakeType = HandshakeType.NTOR as number, data = random(84), early = true, streamId = 0 } = {},
  ): Promise<Received> {
    const message = encodeExtend2({ specifiers: [...specifiers], handshakeType, data });
    this.send(RelayCommand.EXTEND2, message, { early, streamId });
    return await this.receive();
  }

  /** Extend by ntor to a hop at an address. @throws Refused */
  async extend(
    hop: Hop,
    at: { readonly host: Uint8Array; readonly port: number },
    { nameEd25519 = true } = {},
  ): Promise<void> {
    const client = clientNtor({ ...hop, ephemeral: generateCurve25519() });
    const ended = await this.tryExtend(specifiersFor(hop, at, nameEd25519), { data: client.onionskin });
    if ('destroyed' in ended) throw new Refused(ended.destroyed);
    if (ended.command !== RelayCommand.EXTENDED2) throw new Error(`relay command ${ended.command} came`);
    this.#addLayer(client.finish(decodeExtended2(ended.data), TOR1_KEY_BYTES));
  }

  /** Send data to the last hop and await it back: all keystreams agree both ways. Needs an echoing last hop. */
  async echo(bytes: Uint8Array = random(498)): Promise<void> {
    this.send(RelayCommand.DATA, bytes, { streamId: 1 });
    const back = await this.receive();
    if ('destroyed' in back) throw new Refused(back.destroyed);
    if (Buffer.compare(back.data, bytes) !== 0) throw new Error('the echo differs');
  }

  destroy(reason = 0): void {
    this.sendCell(Command.DESTROY, Uint8Array.of(reason));
  }
}

/** The link specifiers by which a client names a hop. */
export function specifiersFor(
  hop: Hop,
  at: { readonly host: Uint8Array; readonly port: number },
  nameEd25519 = true,
): LinkSpecifier[] {
  return specifiersOf({
    rsaId: hop.rsaId,
    ed25519Id: nameEd25519 ? hop.ed25519Id : null,
    ipv4: at.host.length === 4 ? at : null,
    ipv6: at.host.length === 16 ? at : null,
  });
}
