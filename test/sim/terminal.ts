/**
 * The last hop of a circuit, played by a test: answers CREATE2 with ntor, holds the relay's layer, hears and speaks.
 */
import { BODY_AT, buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { decodeCreate2, encodeCreated2 } from '../../src/cell/create.ts';
import {
  DATA_AT,
  relayCommand,
  relayLength,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { type Curve25519KeyPair, generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { serverNtor } from '../../src/crypto/handshake/ntor.ts';
import { RECOGNISED } from '../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1Layer } from '../../src/crypto/layer/tor1.ts';
import type { Hop } from './client.ts';
import { type Peer, PeerListener, type TakenCell } from './peer.ts';
import type { World } from './world.ts';

/** One circuit that ends at a terminal. */
export class EndCircuit {
  readonly peer: Peer;
  readonly circId: number;
  readonly layer: Tor1Layer;
  /** Messages that were for us. */
  readonly heard: { command: number; data: Uint8Array }[] = [];
  /** Stream ids of all messages that were for us, in order. */
  readonly streamIds: number[] = [];
  onHeard: ((command: number, data: Uint8Array) => void) | null = null;
  /** Cells that were not. */
  unrecognised = 0;
  /** Reason of the DESTROY that ended it, or -1. */
  destroyed = -1;

  constructor(peer: Peer, circId: number, layer: Tor1Layer) {
    this.peer = peer;
    this.circId = circId;
    this.layer = layer;
  }

  say(
    command: number,
    streamId: number,
    data: Uint8Array = new Uint8Array(0),
    cellCommand: number = Command.RELAY,
  ): void {
    const cell = buildCell(this.circId, cellCommand, new Uint8Array(0));
    writeRelayMessage(cell, BODY_AT, command, streamId, data);
    this.layer.originateBackward(cell, BODY_AT);
    this.peer.sendBytes(cell);
  }

  take(cell: TakenCell): void {
    const { bytes } = cell;
    if (this.layer.decryptForward(bytes, BODY_AT) !== RECOGNISED) {
      this.unrecognised++;
      return;
    }
    const data = bytes.slice(BODY_AT + DATA_AT, BODY_AT + DATA_AT + relayLength(bytes, BODY_AT));
    const command = relayCommand(bytes, BODY_AT);
    this.streamIds.push(relayStreamId(bytes, BODY_AT));
    if (this.onHeard !== null) this.onHeard(command, data);
    else this.heard.push({ command, data });
  }
}

/** A relay of which circuits only know the end. */
export class Terminal {
  readonly listener: PeerListener;
  readonly onionKey: Curve25519KeyPair = generateCurve25519();
  readonly hop: Hop;
  /** Newest last. */
  readonly circuits: EndCircuit[] = [];
  /** Answers no CREATE2 while set; they are kept. */
  holdCreates = false;
  readonly held: { peer: Peer; cell: TakenCell }[] = [];
  onCircuit: ((circuit: EndCircuit) => void) | null = null;
  readonly peers: Peer[];

  constructor(world: World, host: Uint8Array, port = 9001) {
    this.listener = new PeerListener(world, host, { port, onPeer: (peer) => this.adopt(peer) });
    this.peers = this.listener.peers;
    const { rsaId, ed25519Id } = this.listener.identity;
    this.hop = { rsaId, ed25519Id, onionKey: this.onionKey.publicKey, host, port };
  }

  get last(): EndCircuit {
    return this.circuits[this.circuits.length - 1]!;
  }

  find(peer: Peer, circId: number): EndCircuit | null {
    return this.circuits.findLast((c) => c.peer === peer && c.circId === circId && c.destroyed < 0) ?? null;
  }

  private adopt(peer: Peer): void {
    peer.onCell = (cell) => {
      if (cell.command === Command.CREATE2) {
        if (this.holdCreates) this.held.push({ peer, cell });
        else this.answer(peer, cell);
        return;
      }
      const circuit = this.find(peer, cell.circId);
      if (circuit === null) {
        if (cell.command === Command.DESTROY) this.strayDestroys.push(cell.bytes[BODY_AT]!);
        return;
      }
      if (cell.command === Command.DESTROY) circuit.destroyed = cell.bytes[BODY_AT]!;
      else if (cell.command === Command.RELAY || cell.command === Command.RELAY_EARLY) circuit.take(cell);
    };
  }

  /** Reasons of DESTROYs for circuits that we never answered. */
  readonly strayDestroys: number[] = [];

  answer(peer: Peer, cell: TakenCell): EndCircuit {
    const { data } = decodeCreate2(cell.bytes.subarray(BODY_AT));
    const { rsaId } = this.hop;
    const made = serverNtor(
      data,
      rsaId,
      [this.onionKey],
      this.onionKey,
      generateCurve25519(),
      TOR1_KEY_BYTES,
    )!;
    const circuit = new EndCircuit(peer, cell.circId, new Tor1Layer(made.keys));
    this.circuits.push(circuit);
    peer.send(cell.circId, Command.CREATED2, encodeCreated2(made.reply));
    this.onCircuit?.(circuit);
    return circuit;
  }
}
