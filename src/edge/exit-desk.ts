/**
 * Everything of one worker that has to do with destinations, put together: opening connections, the bandwidth and the
 * memory that they take, the policy, and their part of a turn.
 */

import { parseIp } from '../bytes/address.ts';
import { encodePolicyEnd } from '../cell/stream-message.ts';
import { BufferPool } from '../channel/buffer-pool.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { type Bandwidth, READ, WRITE } from '../shm/bandwidth.ts';
import { Counter } from '../shm/scoreboard.ts';
import { ExitOpener, type ExitServices } from './exit-opener.ts';
import type { ExitPlane } from './exit-plane.ts';
import { ExitPolicy } from './exit-policy.ts';
import type { Connect } from './exit-socket.ts';
import { EXIT_BUFFER_BYTES, ExitStream, LINGER_MS } from './exit-stream.ts';
import {
  LITERAL_TTL_SEC,
  type Lookup,
  type NameAnswer,
  type NameResolver,
  type OnAnswer,
} from './resolver.ts';
import type { StreamSet } from './stream-set.ts';
import type { StreamTable } from './stream-table.ts';

/** Idle buffers that are kept. */
const IDLE_BUFFERS = 64;
const SWEEP_MS = 1000;
/** Of the sockets that a worker may have, those to destinations. */
const SOCKETS_SHARE = 3 / 4;

/** What a desk is given. */
export interface DeskConfig {
  readonly connect: Connect;
  readonly resolver: NameResolver;
  readonly bandwidth: Bandwidth;
  /** Sockets of this worker, links and ours. */
  readonly sockets: () => number;
}

const NO_LOOKUP: Lookup = { cancel() {} };
const NOT_FOUND: NameAnswer = {
  ipv4: null,
  ipv6: null,
  hostname: null,
  ttlSec: LITERAL_TTL_SEC,
  failure: 'not-found',
};

/** The exit side of a worker. */
export class ExitDesk implements ExitPlane {
  readonly opener: ExitOpener;
  readonly buffers = new BufferPool(EXIT_BUFFER_BYTES, IDLE_BUFFERS);
  incomingBytes = 0;
  dirty: ExitStream[] = [];
  readWaiting: ExitStream[] = [];
  writeWaiting: ExitStream[] = [];
  sockets = 0;
  lingering: ExitStream[] = [];
  private readonly plane: CircuitPlane;
  private readonly table: StreamTable;
  private readonly config: DeskConfig;
  private readonly services: ExitServices;
  private spareDirty: ExitStream[] = [];
  private nextSweepMs = 0;

  constructor(plane: CircuitPlane, table: StreamTable, config: DeskConfig) {
    this.plane = plane;
    this.table = table;
    this.config = config;
    this.services = {
      connect: config.connect,
      resolver: config.resolver,
      policy: new ExitPolicy(plane.options.exit.rules),
      hasRoom: () => this.hasRoom(),
    };
    this.opener = new ExitOpener(plane, this, table, this.services);
  }

  /** Destinations may have most of what sockets there may be, and links need some in any case. */
  private hasRoom(): boolean {
    const { linksMax } = this.plane.options;
    return this.sockets < linksMax * SOCKETS_SHARE && this.config.sockets() < linksMax;
  }

  now(): number {
    return this.plane.nowMs;
  }

  wake(): void {
    this.plane.wake();
  }

  private isCounted(isPrivate: boolean): boolean {
    return !isPrivate || this.plane.options.countPrivateBandwidth;
  }

  onRead(bytes: number, isPrivate: boolean): boolean {
    const { counters } = this.plane;
    const { bandwidth } = this.config;
    counters.add(Counter.bytes_read, bytes);
    counters.add(Counter.exit_bytes_read, bytes);
    if (!this.isCounted(isPrivate)) return true;
    bandwidth.refill(this.plane.nowMs);
    bandwidth.spendTotal(READ, bytes);
    if (bandwidth.totalLevel(READ) > 0) return true;
    counters.add(Counter.bandwidth_read_limit_hit, 1);
    return false;
  }

  mayWrite(isPrivate: boolean): boolean {
    if (!this.isCounted(isPrivate)) return true;
    const { bandwidth } = this.config;
    bandwidth.refill(this.plane.nowMs);
    if (bandwidth.totalLevel(WRITE) > 0) return true;
    this.plane.counters.add(Counter.bandwidth_write_limit_hit, 1);
    return false;
  }

  onWritten(bytes: number, isPrivate: boolean): void {
    const { counters } = this.plane;
    counters.add(Counter.bytes_written, bytes);
    counters.add(Counter.exit_bytes_written, bytes);
    if (this.isCounted(isPrivate)) this.config.bandwidth.spendTotal(WRITE, bytes);
  }

  /** Someone waits for bandwidth. */
  get isWaiting(): boolean {
    return this.readWaiting.length > 0 || this.writeWaiting.length > 0;
  }

  /** Bytes of destinations that wait, and buffers. */
  get heldBytes(): number {
    return this.incomingBytes + this.buffers.heldBytes;
  }

  /** Answer a RESOLVE. As C tor: an exit to nowhere looks nothing up, and addresses have no answer but an error. */
  resolve(name: string, done: OnAnswer): Lookup {
    if (this.services.policy.isRejectAll || parseIp(name) !== null) {
      done(NOT_FOUND);
      return NO_LOOKUP;
    }
    return this.config.resolver.resolveMessage(name, done);
  }

  /** Before streams are served: let those go on that bandwidth has come for. */
  beginTurn(): void {
    const { bandwidth } = this.config;
    const { nowMs } = this.plane;
    this.opener.expire();
    if (this.isWaiting) {
      bandwidth.refill(nowMs);
      if (bandwidth.totalLevel(READ) > 0) {
        const list = this.readWaiting;
        this.readWaiting = [];
        for (const stream of list) stream.resumeReading();
      }
      if (bandwidth.totalLevel(WRITE) > 0) {
        const list = this.writeWaiting;
        this.writeWaiting = [];
        for (const stream of list) stream.onDrain();
      }
    }
    if (nowMs < this.nextSweepMs) return;
    this.nextSweepMs = nowMs + SWEEP_MS;
    this.sweepLingering(nowMs);
  }

  private sweepLingering(nowMs: number): void {
    if (this.lingering.length === 0) return;
    const list = this.lingering;
    this.lingering = [];
    for (const stream of list) {
      if (!stream.isLingering) continue;
      if (nowMs - stream.lingerSinceMs < LINGER_MS) {
        this.lingering.push(stream);
        continue;
      }
      this.plane.counters.add(Counter.stream_linger_expired, 1);
      stream.dispose();
    }
  }

  /** Memory is scarce: let go of those that only pass on their last bytes. */
  dropLingering(): void {
    for (const stream of this.lingering.splice(0)) {
      if (!stream.isLingering) continue;
      this.plane.counters.add(Counter.stream_linger_expired, 1);
      stream.dispose();
    }
  }

  /** When streams were served: pass on what came for destinations. */
  endTurn(): void {
    const list = this.dirty;
    this.dirty = this.spareDirty;
    this.spareDirty = list;
    for (const stream of list) stream.flush();
    list.length = 0;
  }

  /** Options have changed: have their policy, and end streams that a stricter one refuses. */
  setOptions(sets: Iterable<StreamSet>): void {
    const { exit } = this.plane.options;
    const before = this.services.policy;
    const policy = before.createFrom(exit.rules);
    this.services.policy = policy;
    if (!exit.reevaluate || policy === before) return;
    this.plane.wake();
    for (const set of sets) {
      for (const stream of set.all()) {
        const { end } = stream;
        if (!(end instanceof ExitStream) || end.host === null) continue;
        if (policy.allows(end.host, end.port) && (end.host.length === 4 || exit.ipv6Exit)) continue;
        this.plane.counters.add(Counter.stream_policy_closed, 1);
        this.table.finish(stream, encodePolicyEnd(end.host, LITERAL_TTL_SEC));
      }
    }
  }
}
