/**
 * The DirPort: directory requests over plain HTTP, each on a connection of its own, answered like those of circuits.
 *
 * Connections belong to the worker that accepted them. Who may connect is DirPolicy's to say; how many may, in total
 * and from one address, is bounded, and so is how long one may be silent. What is written counts against the bandwidth
 * limits, and waits when they are used up.
 */
import type { Socket } from 'bun';
import { isInternalIp, parseIp, unmapIp } from '../bytes/address.ts';
import type { DirectoryService } from '../edge/directory-service.ts';
import { DirectoryStream } from '../edge/directory-stream.ts';
import { ExitPolicy } from '../edge/exit-policy.ts';
import { guarded } from '../fault.ts';
import { type Bandwidth, READ, WRITE } from '../shm/bandwidth.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';

const CONNECTIONS_MOST = 512;
const CONNECTIONS_PER_ADDRESS = 32;
/** In a test network everybody has the same address. */
const CONNECTIONS_PER_ADDRESS_TESTING = CONNECTIONS_MOST;
/** As C tor's limit for a directory connection that stalls. */
const IDLE_MS = 300_000;
const SWEEP_MS = 15_000;
const PIECE_BYTES = 1 << 14;
/** How soon one that waits for bandwidth looks again. */
const RETRY_MS = 50;
/** DirPolicy has no ports: C tor asks it about this one. */
const POLICY_PORT = 1;

/** What the DirPort stands in. */
export interface DirPortSurroundings {
  readonly service: DirectoryService;
  readonly counters: Scoreboard;
  readonly bandwidth: Bandwidth;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Sockets of the worker, ours among them. */
  readonly sockets: () => number;
}

/** A listener that can be stopped; connections live on. */
export interface DirListening {
  stop(): void;
}

interface Peer {
  readonly socket: Socket<{ peer: Peer | null }>;
  readonly key: string;
  readonly isLimited: boolean;
  readonly stream: DirectoryStream;
  /** Bytes pulled that the socket has not taken yet. */
  readonly piece: Uint8Array;
  from: number;
  to: number;
  lastMs: number;
  retry: ReturnType<typeof setTimeout> | null;
}

type DirSocket = Peer['socket'];

/** One worker's connections. */
export class DirPort {
  private readonly around: DirPortSurroundings;
  private readonly peers = new Set<Peer>();
  private readonly byAddress = new Map<string, number>();
  private readonly sweeper: ReturnType<typeof setInterval>;
  private options: WorkerOptions;
  private policy: ExitPolicy;

  constructor(around: DirPortSurroundings, options: WorkerOptions) {
    this.around = around;
    this.options = options;
    this.policy = new ExitPolicy(options.directory.policy);
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
  }

  /** Open connections. */
  get count(): number {
    return this.peers.size;
  }

  setOptions(options: WorkerOptions): void {
    const { policy } = options.directory;
    this.policy = this.policy.createFrom(policy);
    this.options = options;
  }

  /** Accept on a listening fd, which is ours from here on. `onConnection` hears of each one, taken or refused. */
  listen(fd: number, onConnection: () => void): DirListening {
    const options = {
      fd,
      data: { peer: null },
      socket: {
        open: guarded((socket: DirSocket) => {
          socket.data = { peer: this.accept(socket) };
          onConnection();
        }),
        data: guarded((socket: DirSocket, chunk: Uint8Array) => {
          const { peer } = socket.data;
          if (peer !== null) this.onData(peer, chunk);
        }),
        drain: guarded((socket: DirSocket) => {
          const { peer } = socket.data;
          if (peer !== null) this.pump(peer);
        }),
        close: guarded((socket: DirSocket) => {
          const { peer } = socket.data;
          if (peer !== null) this.forget(peer);
        }),
        // Faults of the peer or the network; `close` follows.
        error(): void {},
      },
    };
    // Bun takes `fd` here, its type declarations do not know it yet.
    const listener = Bun.listen(options as unknown as Parameters<typeof Bun.listen>[0]);
    return { stop: () => listener.stop(false) };
  }

  private accept(socket: DirSocket): Peer | null {
    const { counters, service, clock } = this.around;
    const text = socket.remoteAddress as string | undefined;
    const parsed = text === undefined ? null : parseIp(text);
    const host = parsed === null ? null : unmapIp(parsed);
    const refusal = host === null ? Counter.dir_port_refused_policy : this.refusalOf(host);
    if (host === null || refusal !== null) {
      counters.add(refusal!, 1);
      socket.terminate();
      return null;
    }
    counters.add(Counter.dir_port_accepted, 1);
    const key = Buffer.from(host).toString('latin1');
    this.byAddress.set(key, (this.byAddress.get(key) ?? 0) + 1);
    const waker = { wake: () => queueMicrotask(() => this.pump(peer)) };
    const peer: Peer = {
      socket,
      key,
      isLimited: this.options.countPrivateBandwidth || !isInternalIp(host),
      stream: new DirectoryStream(service, waker, host, false, false),
      piece: new Uint8Array(PIECE_BYTES),
      from: 0,
      to: 0,
      lastMs: clock(),
      retry: null,
    };
    this.peers.add(peer);
    service.askerBytes += PIECE_BYTES;
    service.connections++;
    return peer;
  }

  /** The counter of why a connection is refused; null when it is not. */
  private refusalOf(host: Uint8Array): number | null {
    if (!this.policy.allows(host, POLICY_PORT)) return Counter.dir_port_refused_policy;
    const most = this.options.testingTorNetwork ? CONNECTIONS_PER_ADDRESS_TESTING : CONNECTIONS_PER_ADDRESS;
    const own = this.byAddress.get(Buffer.from(host).toString('latin1')) ?? 0;
    const isFull = this.peers.size >= CONNECTIONS_MOST || this.around.sockets() >= this.options.linksMax;
    if (own >= most || isFull) return Counter.dir_port_refused_too_many;
    return null;
  }

  private onData(peer: Peer, chunk: Uint8Array): void {
    peer.lastMs = this.around.clock();
    this.around.counters.add(Counter.bytes_read, chunk.length);
    if (peer.isLimited) this.around.bandwidth.spendTotal(READ, chunk.length);
    peer.stream.take(chunk);
  }

  /** Write what there is to write; at the end, close. */
  private pump(peer: Peer): void {
    if (!this.peers.has(peer)) return;
    for (;;) {
      if (peer.from === peer.to) {
        if (this.mustWait(peer)) return;
        peer.from = 0;
        peer.to = peer.stream.pull(peer.piece, 0, peer.piece.length);
        if (peer.to === 0) break;
      }
      const taken = Math.max(0, peer.socket.write(peer.piece, peer.from, peer.to - peer.from));
      peer.from += taken;
      if (taken > 0) this.noteWritten(peer, taken);
      if (peer.from < peer.to) return;
    }
    if (peer.stream.endReason !== 0) peer.socket.end();
  }

  private noteWritten(peer: Peer, bytes: number): void {
    const { counters, bandwidth, clock } = this.around;
    peer.lastMs = clock();
    counters.add(Counter.bytes_written, bytes);
    if (peer.isLimited) bandwidth.spendTotal(WRITE, bytes);
  }

  /** Whether the bandwidth is used up; then it is tried again soon. */
  private mustWait(peer: Peer): boolean {
    const { bandwidth, clock } = this.around;
    if (!peer.isLimited) return false;
    bandwidth.refill(clock());
    if (bandwidth.totalLevel(WRITE) > 0) return false;
    peer.retry ??= setTimeout(() => {
      peer.retry = null;
      this.pump(peer);
    }, RETRY_MS);
    return true;
  }

  private forget(peer: Peer): void {
    if (!this.peers.delete(peer)) return;
    if (peer.retry !== null) clearTimeout(peer.retry);
    peer.stream.close();
    this.around.service.askerBytes -= PIECE_BYTES;
    this.around.service.connections--;
    const own = this.byAddress.get(peer.key)! - 1;
    if (own > 0) this.byAddress.set(peer.key, own);
    else this.byAddress.delete(peer.key);
  }

  /** Close connections on which nothing moves. */
  private sweep(): void {
    const oldestMs = this.around.clock() - IDLE_MS;
    for (const peer of [...this.peers]) {
      if (peer.lastMs > oldestMs) continue;
      this.around.counters.add(Counter.dir_port_idle_closed, 1);
      peer.socket.terminate();
      this.forget(peer);
    }
  }

  /** Close everything. */
  close(): void {
    clearInterval(this.sweeper);
    for (const peer of [...this.peers]) {
      peer.socket.terminate();
      this.forget(peer);
    }
  }
}
