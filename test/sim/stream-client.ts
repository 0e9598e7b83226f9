/**
 * A client's circuit with streams to destinations, in a simulated world: it checks every byte and every window, and
 * does what clients may do at random.
 *
 * Bytes of each stream and direction follow from their place, so that one lost, doubled or moved shows at once.
 */
import { Command } from '../../src/cell/command.ts';
import { encodeCreate2, HandshakeType } from '../../src/cell/create.ts';
import { ExtensionType, encodeCcRequest, encodeExtensions } from '../../src/cell/extension.ts';
import { EndReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { decodeXon, encodeBegin, encodeEnd, encodeXoff, encodeXon } from '../../src/cell/stream-message.ts';
import { CircuitFlow } from '../../src/circuit/flow.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT, type NtorV3Client } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import { FLOW_DEFAULTS } from '../../src/shm/flow-params.ts';
import type { Prng } from '../fuzz/prng.ts';
import { ClientCircuit } from './client.ts';
import type { SimConnection } from './destinations.ts';
import type { Peer, TakenCell } from './peer.ts';
import type { SimRelay } from './relay.ts';

const INC = 31;
const CLASSIC_WINDOW = 500;
const CLASSIC_INC = 50;

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`streams: ${what}`);
}

/** The byte of a stream at a place. */
export function byteAt(seed: number, at: number): number {
  return (Math.imul(at ^ (seed << 4), 0x9e3779b1) >>> 13) & 0xff;
}

export function bytesAt(seed: number, at: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => byteAt(seed, at + i));
}

/** One stream as its client and its destination see it. */
export class SimStream {
  readonly id: number;
  readonly seed: number;
  connection: SimConnection | null = null;
  connected = false;
  /** END came, or was sent. */
  ended = false;
  endSent = false;
  /** What the client still wants to send, has sent; and has received. */
  readonly uploadBytes: number;
  sent = 0;
  received = 0;
  /** What the destination still wants to send, and has said. */
  readonly downloadBytes: number;
  said = 0;
  finished = false;
  broken = false;
  /** Windows without congestion control. */
  sendWindow = CLASSIC_WINDOW;
  takeWindow = CLASSIC_WINDOW;
  owed = 0;
  /** The exit told us to stop; we told it. */
  stoppedByExit = false;
  stoppedByUs = false;

  constructor(id: number, seed: number, uploadBytes: number, downloadBytes: number) {
    this.id = id;
    this.seed = seed;
    this.uploadBytes = uploadBytes;
    this.downloadBytes = downloadBytes;
  }
}

/** A circuit and its streams. */
export class StreamClient {
  readonly streams = new Map<number, SimStream>();
  readonly all: SimStream[] = [];
  readonly circuit: ClientCircuit;
  readonly flow: CircuitFlow;
  private readonly cc: boolean;
  private readonly prng: Prng;
  private readonly nowMs: () => number;
  private readonly handshake: NtorV3Client;
  /** Tags of cells that we owe a circuit SENDME for. */
  private readonly owedTags: Uint8Array[] = [];
  isOpen = false;
  destroyed = false;
  private nextId = 1;

  constructor(relay: SimRelay, peer: Peer, circId: number, cc: boolean, prng: Prng, nowMs: () => number) {
    this.cc = cc;
    this.prng = prng;
    this.nowMs = nowMs;
    this.circuit = new ClientCircuit(peer, circId);
    this.flow = new CircuitFlow(FLOW_DEFAULTS, cc ? INC : 0);
    this.handshake = clientNtorV3({
      ed25519Id: relay.ed25519Id,
      onionKey: relay.onionKey.publicKey,
      ephemeral: generateCurve25519(),
      verification: NTOR_V3_CIRCUIT,
      message: encodeExtensions(cc ? [{ type: ExtensionType.CC_REQUEST, body: encodeCcRequest() }] : []),
    })!;
    const data = this.handshake.onionskin;
    peer.send(circId, Command.CREATE2, encodeCreate2({ handshakeType: HandshakeType.NTOR_V3, data }));
  }

  /** Take a cell that came for this circuit. */
  take(cell: TakenCell): void {
    if (cell.command === Command.DESTROY) {
      this.destroyed = true;
      return;
    }
    if (cell.command === Command.CREATED2) {
      const body = cell.bytes.subarray(5);
      const length = (body[0]! << 8) | body[1]!;
      const { keys } = this.handshake.finish(body.subarray(2, 2 + length), TOR1_KEY_BYTES)!;
      this.circuit.layers.push(new Tor1ClientLayer(keys));
      this.isOpen = true;
      return;
    }
    const { command, streamId, data, hop } = this.circuit.hear(cell);
    check(hop === 0, `a cell of circuit ${cell.circId} is not in step`);
    if (streamId === 0) {
      check(command === RelayCommand.SENDME, `command ${command} for the circuit`);
      this.flow.onSendme(data, this.nowMs(), false);
      return;
    }
    this.hear(command, this.streams.get(streamId) ?? null, data);
  }

  private hear(command: number, stream: SimStream | null, data: Uint8Array): void {
    if (command === RelayCommand.DATA && this.flow.onDelivered()) {
      this.owedTags.push(this.circuit.layers[0]!.backwardTag);
    }
    // What comes for one that we ended is late.
    if (stream === null || stream.endSent) return;
    switch (command) {
      case RelayCommand.CONNECTED:
        check(!stream.connected, `stream ${stream.id} is connected twice`);
        stream.connected = true;
        return;
      case RelayCommand.DATA:
        check(stream.connected && !stream.ended, `DATA of stream ${stream.id} out of its time`);
        this.receive(stream, data);
        return;
      case RelayCommand.SENDME:
        check(!this.cc, `a SENDME for stream ${stream.id}`);
        stream.sendWindow += CLASSIC_INC;
        check(stream.sendWindow <= CLASSIC_WINDOW, `stream ${stream.id} got a SENDME too many`);
        return;
      case RelayCommand.XOFF:
        check(this.cc && !stream.stoppedByExit, `XOFF for stream ${stream.id}`);
        stream.stoppedByExit = true;
        return;
      case RelayCommand.XON:
        decodeXon(data);
        check(this.cc, `XON for stream ${stream.id}`);
        stream.stoppedByExit = false;
        return;
      case RelayCommand.END:
        check(!stream.ended, `stream ${stream.id} ended twice`);
        stream.ended = true;
        if (data[0] === EndReason.DONE && !stream.broken) {
          check(stream.received === stream.said, `stream ${stream.id} ended with bytes missing`);
        }
        return;
      default:
        throw new Error(`streams: command ${command} for stream ${stream.id}`);
    }
  }

  private receive(stream: SimStream, data: Uint8Array): void {
    for (const byte of data) {
      check(
        byte === byteAt(stream.seed, stream.received),
        `byte ${stream.received} of stream ${stream.id} is wrong`,
      );
      stream.received++;
    }
    check(stream.received <= stream.said, `stream ${stream.id} gave bytes that nobody said`);
    if (this.cc) return;
    check(--stream.takeWindow >= 0, `stream ${stream.id} exceeds its window`);
    if (stream.takeWindow <= CLASSIC_WINDOW - CLASSIC_INC - stream.owed * CLASSIC_INC) stream.owed++;
  }

  /** Do one thing that a client may do. */
  act(): void {
    const { prng } = this;
    if (!this.isOpen || this.destroyed) return;
    if (this.owedTags.length > 0 && prng.below(3) > 0) this.acknowledge();
    const open = [...this.streams.values()].filter((stream) => !stream.endSent);
    if (open.length === 0) return;
    const stream = prng.pick(open);
    if (stream.owed > 0) {
      stream.owed--;
      stream.takeWindow += CLASSIC_INC;
      this.circuit.say(RelayCommand.SENDME, stream.id);
    }
    if (prng.below(8) === 0) this.flip(stream);
    for (let i = prng.below(12); i > 0; i--) this.send(stream);
    if (prng.below(60) === 0) this.end(stream);
  }

  private acknowledge(): void {
    const tag = this.owedTags.shift()!;
    this.circuit.say(RelayCommand.SENDME, 0, this.flow.sendmeFor(tag));
  }

  /** Stop or let go on what comes of a stream. */
  private flip(stream: SimStream): void {
    if (!this.cc || !stream.connected || stream.ended) return;
    if (stream.stoppedByUs)
      this.circuit.say(RelayCommand.XON, stream.id, encodeXon(this.prng.pick([0, 0, 50, 5000])));
    else this.circuit.say(RelayCommand.XOFF, stream.id, encodeXoff());
    stream.stoppedByUs = !stream.stoppedByUs;
  }

  private send(stream: SimStream): void {
    if (stream.sent >= stream.uploadBytes || stream.ended || stream.stoppedByExit || !this.flow.canSend())
      return;
    if (!this.cc && stream.sendWindow === 0) return;
    const length = Math.min(stream.uploadBytes - stream.sent, 1 + this.prng.below(RELAY_DATA_MAX));
    this.circuit.say(RelayCommand.DATA, stream.id, bytesAt(stream.seed, stream.sent, length));
    this.flow.onSent(this.circuit.layers[0]!.forwardTag, this.nowMs());
    stream.sent += length;
    stream.sendWindow--;
  }

  /** End a stream from here. */
  end(stream: SimStream): void {
    if (stream.endSent) return;
    if (!stream.ended) this.circuit.say(RelayCommand.END, stream.id, encodeEnd(EndReason.DONE));
    stream.endSent = true;
    stream.ended = true;
    this.streams.delete(stream.id);
  }

  /** Begin a stream. */
  begin(): void {
    if (!this.isOpen || this.destroyed) return;
    const { prng } = this;
    const most = prng.pick([0, 2000, 20_000, 150_000, 600_000]);
    const stream = new SimStream(this.nextId++, prng.u32(), prng.below(most + 1), prng.below(most + 1));
    this.streams.set(stream.id, stream);
    this.all.push(stream);
    const target = `192.0.2.${1 + (this.circuit.circId & 0x7f)}:${stream.id}`;
    this.circuit.say(RelayCommand.BEGIN, stream.id, encodeBegin(target));
  }

  /** Find the stream that a connection is for. */
  claim(connection: SimConnection): SimStream | null {
    const host = `192.0.2.${1 + (this.circuit.circId & 0x7f)}`;
    if (connection.request.host !== host) return null;
    return this.all.find(({ id }) => id === connection.request.port) ?? null;
  }

  /** Pay everything that is owed, and let every stream go on: whatever then stands still is stuck. */
  settle(): void {
    if (!this.isOpen || this.destroyed) return;
    while (this.owedTags.length > 0) this.acknowledge();
    for (const stream of this.streams.values()) {
      if (stream.stoppedByUs && stream.connected && !stream.ended) {
        this.circuit.say(RelayCommand.XON, stream.id, encodeXon(0));
        stream.stoppedByUs = false;
      }
      for (; stream.owed > 0; stream.owed--) {
        stream.takeWindow += CLASSIC_INC;
        if (!stream.ended) this.circuit.say(RelayCommand.SENDME, stream.id);
      }
      for (let i = 0; i < 40; i++) this.send(stream);
    }
  }
}
