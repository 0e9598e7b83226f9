/**
 * A client's circuit, played by a test: handshakes and onion layers over one `Peer` link.
 */
import { BODY_AT, buildCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import {
  decodeCreated2,
  decodeCreatedFast,
  encodeCreate2,
  encodeCreateFast,
  HandshakeType,
} from '../../src/cell/create.ts';
import { encodeExtend2, type LinkSpecifier, specifiersOf } from '../../src/cell/extend.ts';
import {
  DATA_AT,
  RelayCommand,
  relayCommand,
  relayLength,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientFast } from '../../src/crypto/handshake/fast.ts';
import { clientNtor, type NtorClient } from '../../src/crypto/handshake/ntor.ts';
import { RECOGNISED } from '../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import type { Peer, TakenCell } from './peer.ts';

/** A hop as a client knows it. */
export interface Hop {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  readonly onionKey: Uint8Array;
  readonly host: Uint8Array;
  readonly port: number;
}

/** A relay message that some hop sent back. `hop` is -1 when no layer recognised it. */
export interface Heard {
  readonly hop: number;
  readonly command: number;
  readonly streamId: number;
  readonly data: Uint8Array;
}

/** Spell a hop as EXTEND2 has it. */
export function specifiersTo(hop: Hop): LinkSpecifier[] {
  const endpoint = { host: hop.host, port: hop.port };
  return specifiersOf({
    rsaId: hop.rsaId,
    ed25519Id: hop.ed25519Id,
    ipv4: hop.host.length === 4 ? endpoint : null,
    ipv6: hop.host.length === 16 ? endpoint : null,
  });
}

export class ClientCircuit {
  readonly peer: Peer;
  readonly circId: number;
  readonly layers: Tor1ClientLayer[] = [];
  early = 8;
  private ntor: NtorClient | null = null;

  constructor(peer: Peer, circId: number) {
    this.peer = peer;
    this.circId = circId;
  }

  /** Send CREATE_FAST; `createdFast` finishes it. */
  createFast(x: Uint8Array = new Uint8Array(20).fill(7)): void {
    this.peer.send(this.circId, Command.CREATE_FAST, encodeCreateFast(x));
  }

  createdFast(body: Uint8Array, x: Uint8Array = new Uint8Array(20).fill(7)): void {
    const { y, kh } = decodeCreatedFast(body);
    const keys = clientFast(x, y, kh, TOR1_KEY_BYTES);
    if (keys === null) throw new Error('CREATED_FAST proves nothing');
    this.layers.push(new Tor1ClientLayer(keys));
  }

  /** Start an ntor handshake with a hop; its onionskin. */
  onionskin(hop: Pick<Hop, 'rsaId' | 'onionKey'>): Uint8Array {
    this.ntor = clientNtor({ ...hop, ephemeral: generateCurve25519() });
    return this.ntor.onionskin;
  }

  create(hop: Pick<Hop, 'rsaId' | 'onionKey'>): void {
    const data = this.onionskin(hop);
    this.peer.send(this.circId, Command.CREATE2, encodeCreate2({ handshakeType: HandshakeType.NTOR, data }));
  }

  /** Finish the handshake in progress with a CREATED2 or EXTENDED2 body. False when it is not that hop's. */
  finish(created2: Uint8Array): boolean {
    const keys = this.ntor!.finish(decodeCreated2(created2), TOR1_KEY_BYTES);
    if (keys === null) return false;
    this.layers.push(new Tor1ClientLayer(keys));
    return true;
  }

  /** Send EXTEND2 to the last hop, in RELAY_EARLY unless told. */
  extend(hop: Hop, options: { specifiers?: LinkSpecifier[]; command?: number } = {}): void {
    const data = this.onionskin(hop);
    const specifiers = options.specifiers ?? specifiersTo(hop);
    const body = encodeExtend2({ specifiers, handshakeType: HandshakeType.NTOR, data });
    this.say(RelayCommand.EXTEND2, 0, body, { command: options.command ?? Command.RELAY_EARLY });
  }

  /** A cell that says something to a hop (the last one unless told). */
  cell(
    relayCommand: number,
    streamId: number,
    data: Uint8Array,
    options: { command?: number; hop?: number; length?: number } = {},
  ): Uint8Array {
    const cell = buildCell(this.circId, options.command ?? Command.RELAY, new Uint8Array(0));
    writeRelayMessage(cell, BODY_AT, relayCommand, streamId, data);
    if (options.length !== undefined) {
      cell[BODY_AT + 9] = options.length >> 8;
      cell[BODY_AT + 10] = options.length;
    }
    const hop = options.hop ?? this.layers.length - 1;
    this.layers[hop]!.originateForward(cell, BODY_AT);
    for (let i = hop - 1; i >= 0; i--) this.layers[i]!.encryptForward(cell, BODY_AT);
    return cell;
  }

  say(
    relayCommand: number,
    streamId: number,
    data: Uint8Array = new Uint8Array(0),
    options: { command?: number; hop?: number; length?: number } = {},
  ): void {
    this.peer.sendBytes(this.cell(relayCommand, streamId, data, options));
  }

  /** Take the layers off a RELAY cell. */
  hear(cell: TakenCell): Heard {
    const bytes = cell.bytes.slice(0, CELL_BYTES);
    for (let hop = 0; hop < this.layers.length; hop++) {
      if (this.layers[hop]!.decryptBackward(bytes, BODY_AT) !== RECOGNISED) continue;
      const data = bytes.slice(BODY_AT + DATA_AT, BODY_AT + DATA_AT + relayLength(bytes, BODY_AT));
      return { hop, command: relayCommand(bytes, BODY_AT), streamId: relayStreamId(bytes, BODY_AT), data };
    }
    return { hop: -1, command: -1, streamId: -1, data: bytes };
  }
}
