/**
 * A client with a conflux set through an exit of ours: circuits with congestion control over links to chosen workers,
 * SENDMEs as it owes them, streams whose bytes it keeps. Its side of the order is kept by the same `ConfluxSet`.
 */
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import {
  ConfluxUx,
  decodeConfluxLinked,
  decodeConfluxSwitch,
  encodeConfluxLink,
} from '../../src/cell/conflux.ts';
import { encodeCreate2, HandshakeType } from '../../src/cell/create.ts';
import { ExtensionType, encodeCcRequest, encodeExtensions } from '../../src/cell/extension.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeSendme } from '../../src/cell/sendme.ts';
import { ConfluxSet, isMultiplexed, type LegPort, type SetLeg } from '../../src/circuit/conflux.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import { ClientCircuit, type Heard } from './client.ts';
import type { Peer, TakenCell } from './peer.ts';
import type { SimRelay } from './relay.ts';

const NOTHING = new Uint8Array(0);
/** Each leg has a link of its own. */
export const CIRC_ID = 0x80000001;
/** DATA that a leg says before its first SENDME, and what each gives: far below what an exit allows. */
const WINDOW = 62;
const INCREMENT = 31;

/** A stream as its client sees it. */
export interface ClientStream {
  readonly received: number[];
  isOpen: boolean;
  /** The data of the END that came; null before. */
  end: Uint8Array | null;
}

/** One circuit of a client, open or on its way. */
export class ExitLeg implements LegPort {
  readonly client: ExitClient;
  readonly peer: Peer;
  readonly circuit: ClientCircuit;
  /** The set's leg, once LINKED came. */
  leg: SetLeg | null = null;
  isOpen = false;
  destroyed = -1;
  heard = 0;
  /** Called once when it is over. */
  onOver: () => void = () => {};
  /** Acknowledges nothing. */
  isMute = false;
  private window = WINDOW;
  private got = 0;
  private readonly handshake: NonNullable<ReturnType<typeof clientNtorV3>>;

  constructor(client: ExitClient, peer: Peer) {
    this.client = client;
    this.peer = peer;
    this.circuit = new ClientCircuit(peer, CIRC_ID);
    peer.onCell = (cell) => this.onCell(cell);
    peer.onOver = () => {
      if (this.destroyed < 0) this.onOver();
    };
    const { ed25519Id, onionKey } = client.relay;
    this.handshake = clientNtorV3({
      ed25519Id,
      onionKey: onionKey.publicKey,
      ephemeral: generateCurve25519(),
      verification: NTOR_V3_CIRCUIT,
      message: encodeExtensions([{ type: ExtensionType.CC_REQUEST, body: encodeCcRequest() }]),
    })!;
    const data = this.handshake.onionskin;
    peer.send(CIRC_ID, Command.CREATE2, encodeCreate2({ handshakeType: HandshakeType.NTOR_V3, data }));
  }

  /** Over: it ended, or its link did. */
  get isOver(): boolean {
    return this.destroyed >= 0 || this.peer.gone;
  }

  room(): number {
    return this.isOver ? 0 : this.window;
  }

  send(command: number, streamId: number, data: Uint8Array): boolean {
    if (command === RelayCommand.DATA) this.window--;
    this.circuit.say(command, streamId, data);
    return true;
  }

  sendBodies(): boolean {
    throw new Error('a client sends no bodies');
  }

  close(): void {
    if (!this.isOver) this.destroy();
  }

  /** A SENDME or more of DATA is not acknowledged. */
  get inFlight(): boolean {
    return WINDOW - this.window >= INCREMENT;
  }

  /** Nothing is on its way over its link. */
  get isAtRest(): boolean {
    const { wire, queuedBytes } = this.peer;
    return queuedBytes + wire.outgoingBytes + wire.other.outgoingBytes === 0;
  }

  /** Ask to join the client's set. */
  link(): void {
    const link = { nonce: this.client.nonce, lastSeqSent: 0n, lastSeqRecv: 0n, desiredUx: this.client.ux };
    this.circuit.say(RelayCommand.CONFLUX_LINK, 0, encodeConfluxLink(link));
  }

  /** End the circuit from the client's side. */
  destroy(): void {
    this.peer.send(CIRC_ID, Command.DESTROY, Uint8Array.of(0));
    this.destroyed = 0;
    this.onOver();
  }

  private onCell(cell: TakenCell): void {
    if (this.isOver) return;
    if (cell.command === Command.DESTROY) {
      this.destroyed = cell.bytes[BODY_AT]!;
      this.onOver();
      return;
    }
    if (cell.command === Command.CREATED2) {
      const body = cell.bytes.subarray(BODY_AT);
      const reply = body.subarray(2, 2 + ((body[0]! << 8) | body[1]!));
      this.circuit.layers.push(new Tor1ClientLayer(this.handshake.finish(reply, TOR1_KEY_BYTES)!.keys));
      this.isOpen = true;
      this.client.onOpen(this);
      return;
    }
    const heard = this.circuit.hear(cell);
    if (heard.hop !== 0) throw new Error('a cell that no hop sent');
    this.hear(heard);
  }

  private hear({ command, streamId, data }: Heard): void {
    const { client } = this;
    switch (command) {
      case RelayCommand.SENDME:
        this.window += INCREMENT;
        client.pump();
        return;
      case RelayCommand.CONFLUX_LINKED:
        decodeConfluxLinked(data);
        this.leg = client.set.join(this, ConfluxUx.HIGH_THROUGHPUT);
        this.leg.rttUs = client.set.legs.length;
        this.circuit.say(RelayCommand.CONFLUX_LINKED_ACK, 0, NOTHING);
        client.onLinked(this);
        return;
      case RelayCommand.CONFLUX_SWITCH:
        client.set.onSwitch(this.leg!, decodeConfluxSwitch(data));
        return;
      default:
        if (!isMultiplexed(command)) throw new Error(`relay command ${command} from an exit`);
    }
    if (command === RelayCommand.DATA) {
      this.heard++;
      if (++this.got === INCREMENT && !this.isMute) {
        this.got = 0;
        this.circuit.say(RelayCommand.SENDME, 0, encodeSendme(this.circuit.layers[0]!.backwardTag));
      }
    }
    if (this.leg === null) client.take(command, streamId, data);
    else if (client.set.receive(this.leg, command, streamId, data, 0, Number.POSITIVE_INFINITY)) {
      client.take(command, streamId, data);
      for (let next = client.set.next(); next !== null; next = client.set.next()) {
        client.take(next.command, next.streamId, next.data);
      }
    }
  }
}

/** A client. */
export class ExitClient {
  readonly relay: SimRelay;
  readonly nonce: Uint8Array;
  readonly legs: ExitLeg[] = [];
  readonly streams = new Map<number, ClientStream>();
  /** For whoever plays it: streams may begin. */
  ready = false;
  ux: number = ConfluxUx.HIGH_THROUGHPUT;
  readonly set = new ConfluxSet({ onSetClosed() {}, onHeld() {}, count() {} });
  onOpen: (leg: ExitLeg) => void = () => {};
  onLinked: (leg: ExitLeg) => void = () => {};
  /** Bytes of streams that wait for room. */
  private readonly outgoing: [number, Uint8Array][] = [];

  constructor(relay: SimRelay, nonce: Uint8Array) {
    this.relay = relay;
    this.nonce = nonce;
  }

  /** Begin a circuit over a link. */
  circuit(peer: Peer): ExitLeg {
    const leg = new ExitLeg(this, peer);
    this.legs.push(leg);
    return leg;
  }

  /** DATA that has come over each leg. */
  get heard(): number[] {
    return this.legs.map(({ heard }) => heard);
  }

  /** Send a message of a stream over the set. */
  say(command: number, streamId: number, data: Uint8Array = NOTHING): void {
    if (command === RelayCommand.BEGIN)
      this.streams.set(streamId, { received: [], isOpen: false, end: null });
    this.set.send(command, streamId, data);
  }

  /** Send bytes on a stream, as there is room. */
  upload(streamId: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += RELAY_DATA_MAX) {
      this.outgoing.push([streamId, bytes.subarray(at, at + RELAY_DATA_MAX)]);
    }
    this.pump();
  }

  get waits(): number {
    return this.outgoing.length;
  }

  pump(): void {
    while (this.outgoing.length > 0 && this.set.room() > 0) {
      const [streamId, data] = this.outgoing.shift()!;
      this.set.send(RelayCommand.DATA, streamId, data);
    }
  }

  /** A message in its order. */
  take(command: number, streamId: number, data: Uint8Array): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) throw new Error(`stream ${streamId} was never begun`);
    if (stream.end !== null) throw new Error(`stream ${streamId} is over`);
    if (command === RelayCommand.CONNECTED) stream.isOpen = true;
    else if (command === RelayCommand.DATA) for (const byte of data) stream.received.push(byte);
    else if (command === RelayCommand.END) stream.end = data.slice();
  }
}
