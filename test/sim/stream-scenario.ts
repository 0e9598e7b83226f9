/**
 * One relay of ours as an exit, with circuits of clients over faulty wires and destinations that are as slow, rude and
 * talkative as they come: all drawn from a seed.
 *
 * Looked at: each byte when it arrives, at the client and at the destination; each window and each authenticated SENDME;
 * the books of the worker after every step that touched it; and in the end, when nothing is held back any more, that
 * everything has arrived and nothing is left.
 */

import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { COUNTER_NAMES } from '../../src/shm/counter.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { SimConnection } from './destinations.ts';
import { audit, auditStep, expectNothingLeft } from './ledger.ts';
import { Peer, type TakenCell } from './peer.ts';
import { Quiet } from './quiet.ts';
import { SimRelay, type SimWorker } from './relay.ts';
import { byteAt, type SimStream, StreamClient } from './stream-client.ts';
import { auditWaits, expectNoWaits } from './waits.ts';
import { World } from './world.ts';

const AUDIT_EVERY = 64;
const STEPS = 1500;
const REST_STEPS = 400_000;
const PREV_ID = new Uint8Array(20).fill(0xbb);

/** A connection and the stream that it belongs to. */
interface Pair {
  readonly connection: SimConnection;
  readonly stream: SimStream;
  checked: number;
}

export class StreamScenario {
  readonly world: World;
  readonly relay: SimRelay;
  readonly clients: StreamClient[] = [];
  private readonly peers: Peer[] = [];
  private readonly pairs: Pair[] = [];
  private seen = 0;
  private holding = true;

  constructor(seed: number) {
    const draw = new World(seed).prng;
    this.world = new World(seed, {
      capacityBytes: 2000 + draw.below(60_000),
      chunkBytes: 100 + draw.below(20_000),
      shortWrites: draw.below(3) * 0.3,
      lateData: draw.below(2) * 0.2,
      brokenWrites: draw.below(2) * 0.5,
      idleDrains: draw.below(2) * 0.02,
    });
    const { world } = this;
    this.relay = new SimRelay(world, {
      host: Uint8Array.of(198, 51, 100, 1),
      workers: 2,
      relayIndex: new RelayIndex(
        RelayIndex.create([
          { rsaId: PREV_ID, ipv4: { host: Uint8Array.of(203, 0, 113, 9), port: 1 }, ipv6: null },
        ]),
      ),
      options: { circQueueCellsMax: 2500, exit: { ...NO_EXIT, rules: [], ipv6Exit: true } },
    });
    const links = 1 + world.prng.below(2);
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

  /** Play it to its end. @throws Error when something is wrong */
  run(): void {
    try {
      this.play();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`seed ${this.world.seed}, step ${this.world.steps}: ${why}`, { cause: error });
    }
  }

  private play(): void {
    const { world } = this;
    const { prng } = world;
    for (let i = 0; i < STEPS; i++) {
      const client = prng.pick(this.clients);
      if (prng.below(70) === 0) client.begin();
      else if (prng.below(3) === 0) client.act();
      if (this.pairs.length > 0 && prng.below(3) === 0) this.actAt(prng.pick(this.pairs));
      this.step(i);
    }
    this.comeToRest();
    expectNoWaits(this.relay);
    for (const each of this.clients) {
      if (each.destroyed) throw new Error('a circuit was closed');
      for (const stream of each.streams.values()) {
        if (!stream.ended) throw new Error(`stream ${stream.id} is stuck: ${tell(stream)}`);
      }
    }
    this.leave();
  }

  private step(i: number): void {
    const { world } = this;
    world.step();
    world.nowMs += world.prng.pick([0.01, 0.05, 1]);
    this.claim();
    this.checkDestinations();
    let touched = false;
    for (const worker of this.relay.workers) if (this.look(worker, i)) touched = true;
    if (touched) auditWaits(this.relay);
  }

  /** Hold a worker's books against each other, if it did anything. Returns whether it did. */
  private look(worker: SimWorker, i: number): boolean {
    if (!worker.touched) return false;
    worker.touched = false;
    if (i % AUDIT_EVERY === 0) audit(worker);
    else auditStep(worker);
    return true;
  }

  /** Learn which streams the new connections are for; each waits to be accepted, or is not. */
  private claim(): void {
    const { connections } = this.relay.destinations;
    for (; this.seen < connections.length; this.seen++) {
      const connection = connections[this.seen]!;
      const stream = this.clients.map((client) => client.claim(connection)).find((found) => found !== null);
      if (stream === undefined || stream === null) throw new Error('a connection that nobody asked for');
      stream.connection = connection;
      connection.capacity = this.holding ? this.world.prng.below(50_000) : Number.POSITIVE_INFINITY;
      this.pairs.push({ connection, stream, checked: 0 });
    }
  }

  /** Bytes at destinations are those that the client sent. */
  private checkDestinations(): void {
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

  /** Nobody holds anything back any more: everything must arrive. */
  private comeToRest(): void {
    const { world } = this;
    this.holding = false;
    const quiet = new Quiet(world, [this.relay]);
    for (let i = 0; i < REST_STEPS && !quiet.isReached(); i++) {
      if (i % 20 === 0) this.letGo();
      this.step(i);
      if (i % 20 === 19) world.nowMs += 40;
    }
  }

  private letGo(): void {
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

  private leave(): void {
    const { world, relay } = this;
    for (const peer of this.peers) peer.wire.reset();
    world.pass(20_000);
    for (const { data } of relay.workers) {
      const { desk, table } = data.edge;
      const left = [table.count, desk.sockets, desk.incomingBytes, desk.buffers.lent, desk.lingering.length];
      if (left.some((count) => count !== 0)) throw new Error(`left: ${left.join(', ')}`);
    }
    expectNothingLeft(relay);
    const violations = relay.count('circuit_unexpected_sendme') + relay.count('stream_window_exceeded');
    if (violations !== 0) throw new Error('an honest client was found at fault');
  }

  /** What happened, to be compared. */
  get told(): readonly number[] {
    const { steps, delivered, nowMs } = this.world;
    return [steps, delivered, nowMs, ...COUNTER_NAMES.map((name) => this.relay.count(name))];
  }
}

function tell(stream: SimStream): string {
  const { sent, uploadBytes, received, said, downloadBytes, stoppedByExit, stoppedByUs } = stream;
  return `${sent} of ${uploadBytes} up, ${received} of ${said} of ${downloadBytes} down, ${stoppedByExit} ${stoppedByUs}`;
}
