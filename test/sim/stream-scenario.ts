/**
 * One relay of ours as an exit, with circuits of clients over faulty wires and destinations that are as slow, rude and
 * talkative as they come: all drawn from a seed.
 *
 * Looked at: each byte when it arrives, at the client and at the destination; each window and each authenticated SENDME;
 * the books of the worker after every step that touched it; and in the end, when nothing is held back any more, that
 * everything has arrived and nothing is left.
 */
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { SimConnection } from './destinations.ts';
import { ExitScenario } from './exit-scenario.ts';
import { Peer, type TakenCell } from './peer.ts';
import { byteAt, type SimStream, StreamClient } from './stream-client.ts';

const STEPS = 1500;
const PREV_ID = new Uint8Array(20).fill(0xbb);

/** A connection and the stream that it belongs to. */
interface Pair {
  readonly connection: SimConnection;
  readonly stream: SimStream;
  checked: number;
}

export class StreamScenario extends ExitScenario {
  readonly clients: StreamClient[] = [];
  protected readonly faults = ['circuit_unexpected_sendme', 'stream_window_exceeded'] as const;
  private readonly pairs: Pair[] = [];

  constructor(seed: number) {
    const ipv4 = { host: Uint8Array.of(203, 0, 113, 9), port: 1 };
    const relayIndex = new RelayIndex(RelayIndex.create([{ rsaId: PREV_ID, ipv4, ipv6: null }]));
    super(seed, () => ({ workers: 2, relayIndex }));
    const links = 1 + this.world.prng.below(2);
    for (let i = 0; i < links; i++) this.connect(i);
  }

  private connect(i: number): void {
    const { world, relay } = this;
    const peer = Peer.connect(world, relay, {
      worker: i % 2,
      identity: { rsaId: PREV_ID, ed25519Id: new Uint8Array(32).fill(0xbb) },
      from: { host: Uint8Array.of(203, 0, 113, 9), port: 50_000 + i },
    });
    this.peers.push(peer);
    const own = new Map<number, StreamClient>();
    peer.onCell = (cell: TakenCell) => {
      if (cell.circId !== 0) own.get(cell.circId)!.take(cell);
    };
    for (let at = 1 + world.prng.below(3); at > 0; at--) {
      const circId = 0x80000000 + this.clients.length + 1;
      const cc = world.prng.below(3) > 0;
      const client = new StreamClient(relay, peer, circId, cc, world.prng, () => world.nowMs);
      own.set(circId, client);
      this.clients.push(client);
    }
  }

  protected play(): void {
    const { prng } = this.world;
    for (let i = 0; i < STEPS; i++) {
      const client = prng.pick(this.clients);
      if (prng.below(70) === 0) client.begin();
      else if (prng.below(3) === 0) client.act();
      if (this.pairs.length > 0 && prng.below(3) === 0) this.actAt(prng.pick(this.pairs));
      this.step(i);
    }
  }

  protected judge(): void {
    for (const each of this.clients) {
      if (each.destroyed) throw new Error('a circuit was closed');
      for (const stream of each.streams.values()) {
        if (!stream.ended) throw new Error(`stream ${stream.id} is stuck: ${tell(stream)}`);
      }
    }
  }

  /** It waits to be accepted, or is not. */
  protected claim(connection: SimConnection): boolean {
    const stream = this.clients.map((client) => client.claim(connection)).find((found) => found !== null);
    if (stream === undefined || stream === null) return false;
    stream.connection = connection;
    this.pairs.push({ connection, stream, checked: 0 });
    return true;
  }

  /** Bytes at destinations are those that the client sent. */
  protected check(): void {
    for (const pair of this.pairs) {
      const { received } = pair.connection;
      for (; pair.checked < received.length; pair.checked++) {
        if (received[pair.checked] === byteAt(pair.stream.seed, pair.checked)) continue;
        throw new Error(`byte ${pair.checked} of stream ${pair.stream.id} is wrong at its destination`);
      }
      if (received.length > pair.stream.sent)
        throw new Error(`stream ${pair.stream.id} has bytes from nowhere`);
    }
  }

  /** A destination does something. */
  private actAt({ connection, stream }: Pair): void {
    const { prng } = this.world;
    if (connection.ended || stream.broken) return;
    if (!connection.accepted) {
      if (prng.below(12) === 0) {
        stream.broken = true;
        connection.accepted = true;
        connection.fail(prng.pick(['ECONNREFUSED', 'ETIMEDOUT', 'ENETUNREACH']));
      } else {
        connection.accept();
      }
      return;
    }
    switch (prng.below(12)) {
      case 0:
        connection.drain(prng.below(60_000));
        return;
      case 1:
        if (stream.said >= stream.downloadBytes) this.finish(connection, stream);
        return;
      case 2:
        if (prng.below(20) !== 0) return;
        stream.broken = true;
        connection.reset(prng.pick(['ECONNRESET', 'EPIPE', null]));
        return;
      default:
        this.say(connection, stream, 1 + prng.below(20_000));
    }
  }

  private say(connection: SimConnection, stream: SimStream, most: number): void {
    const length = Math.min(most, stream.downloadBytes - stream.said);
    if (length <= 0 || stream.finished) return;
    const from = stream.said;
    stream.said += length;
    connection.say(Uint8Array.from({ length }, (_, i) => byteAt(stream.seed, from + i)));
  }

  private finish(connection: SimConnection, stream: SimStream): void {
    if (stream.finished) return;
    stream.finished = true;
    connection.finish();
  }

  protected letGo(): void {
    for (const client of this.clients) client.settle();
    for (const { connection, stream } of this.pairs) {
      if (connection.ended || stream.broken) continue;
      if (!connection.accepted) connection.accept();
      connection.drain(1e9);
      this.say(connection, stream, 50_000);
      // It finishes once it has all that the client wants to send.
      const isDone =
        stream.said === stream.downloadBytes && connection.received.length === stream.uploadBytes;
      if (isDone) this.finish(connection, stream);
    }
  }
}

function tell(stream: SimStream): string {
  const { sent, uploadBytes, received, said, downloadBytes, stoppedByExit, stoppedByUs } = stream;
  return `${sent} of ${uploadBytes} up, ${received} of ${said} of ${downloadBytes} down, ${stoppedByExit} ${stoppedByUs}`;
}
