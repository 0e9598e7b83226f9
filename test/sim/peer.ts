/**
 * The other end of a link, played by a test: says hello, cuts the stream into cells, keeps what came.
 */
import { type Endpoint, printIp } from '../../src/bytes/address.ts';
import { BODY_AT, buildCell, CELL_BYTES, getCircId, getCommand } from '../../src/cell/cell.ts';
import type { SimRelay } from './relay.ts';
import { HELLO_BYTES, hello, type LinkIdentity } from './stub-handshake.ts';
import type { WireEnd, WireEvents } from './wire.ts';
import type { World } from './world.ts';

/** A cell as it came. */
export interface TakenCell {
  readonly circId: number;
  readonly command: number;
  readonly bytes: Uint8Array;
}

export class Peer implements WireEvents {
  readonly wire: WireEnd;
  readonly cells: TakenCell[] = [];
  /** Called for each cell instead of keeping it. */
  onCell: ((cell: TakenCell) => void) | null = null;
  /** Called once when the connection is over. */
  onOver: (() => void) | null = null;
  gone = false;
  helloSeen = false;
  private readonly queue: Uint8Array[] = [];
  private got = new Uint8Array(0);

  constructor(
    wire: WireEnd,
    identity: LinkIdentity | null,
    options: { mute?: boolean; linkProtocol?: 4 | 5 } = {},
  ) {
    this.wire = wire;
    if (options.mute !== true) this.sendBytes(hello(identity, options.linkProtocol ?? 5));
  }

  /** Open a link to a relay's worker, as a client (no identity) or as a relay. */
  static connect(
    world: World,
    relay: SimRelay,
    options: {
      worker?: number;
      identity?: LinkIdentity | null;
      from?: Endpoint;
      mute?: boolean;
      linkProtocol?: 4 | 5;
    } = {},
  ): Peer {
    relay.nextWorker = options.worker ?? null;
    let peer: Peer | null = null;
    const from = options.from ?? { host: Uint8Array.of(203, 0, 113, 5), port: 50_000 };
    world.connect(printIp(relay.host), relay.port, from, (wire) => {
      peer = new Peer(wire, options.identity ?? null, options);
      return peer;
    });
    relay.nextWorker = null;
    return peer!;
  }

  get queuedBytes(): number {
    let bytes = 0;
    for (const part of this.queue) bytes += part.length;
    return bytes;
  }

  send(circId: number, command: number, body: Uint8Array = new Uint8Array(0)): void {
    this.sendBytes(buildCell(circId, command, body));
  }

  sendBytes(bytes: Uint8Array): void {
    this.queue.push(bytes);
    this.flush();
  }

  private flush(): void {
    while (this.queue.length > 0) {
      const head = this.queue[0]!;
      const taken = this.wire.write(head, 0, head.length);
      if (taken < head.length) {
        if (taken > 0) this.queue[0] = head.subarray(taken);
        return;
      }
      this.queue.shift();
    }
  }

  onData(chunk: Uint8Array): void {
    const all = new Uint8Array(this.got.length + chunk.length);
    all.set(this.got);
    all.set(chunk, this.got.length);
    let at = 0;
    if (!this.helloSeen) {
      if (all.length < HELLO_BYTES) {
        this.got = all;
        return;
      }
      this.helloSeen = true;
      at = HELLO_BYTES;
    }
    while (all.length - at >= CELL_BYTES) {
      const bytes = all.slice(at, at + CELL_BYTES);
      const cell = { circId: getCircId(bytes, 0), command: getCommand(bytes, 0), bytes };
      if (this.onCell === null) this.cells.push(cell);
      else this.onCell(cell);
      at += CELL_BYTES;
    }
    this.got = all.slice(at);
  }

  onDrain(): void {
    this.flush();
  }

  onGone(): void {
    this.gone = true;
    this.onOver?.();
  }

  /** Take the oldest cell kept; throws when there is none. */
  take(): TakenCell {
    const cell = this.cells.shift();
    if (cell === undefined) throw new Error('no cell came');
    return cell;
  }

  /** Take the body of the oldest cell, which must be of this command and circuit. */
  expect(command: number, circId?: number): Uint8Array {
    const cell = this.take();
    if (cell.command !== command || (circId !== undefined && cell.circId !== circId)) {
      throw new Error(`got command ${cell.command} on ${cell.circId}, body ${cell.bytes[BODY_AT]}`);
    }
    return cell.bytes.subarray(BODY_AT);
  }
}

/** A relay played by a test: takes connections and keeps them. */
export class PeerListener {
  readonly peers: Peer[] = [];
  readonly identity: LinkIdentity;
  readonly host: Uint8Array;
  readonly port: number;

  constructor(
    world: World,
    host: Uint8Array,
    options: { port?: number; identity?: LinkIdentity; mute?: boolean; onPeer?: (peer: Peer) => void } = {},
  ) {
    this.host = host;
    this.port = options.port ?? 9001;
    this.identity = options.identity ?? { rsaId: world.prng.bytes(20), ed25519Id: world.prng.bytes(32) };
    world.listen(printIp(host), this.port, {
      accept: (wire) => {
        const peer = new Peer(wire, this.identity, options);
        this.peers.push(peer);
        options.onPeer?.(peer);
        return peer;
      },
    });
  }

  /** The connection made last. */
  get last(): Peer {
    return this.peers[this.peers.length - 1]!;
  }
}
