/**
 * Keeping one worker's links to the bandwidth limits.
 *
 * Bytes that came are spent after the fact, because a chunk is there before anyone can ask; bytes to write are asked
 * for first. When the buckets of the process are empty a channel joins the line for them: reading is paused, or its
 * cells wait in their circuits' queues as they do for a slow socket. `tick`, once per turn, lets as many of the line
 * go on as the buckets hold bytes for, in the order in which they came, over all workers (`shm/bandwidth`). While
 * somebody waits nobody overtakes. Links of clients may have buckets of their own, plain fields of the channel.
 *
 * A link that waits is still closed, kept alive and drained like any other; a link handshake is counted and never held
 * up, and when debt is deep not counted, or whoever knocks could hold up all links for long after. C tor's rules of
 * what counts: everything on links, unless the peer has a private address.
 */
import { isInternalIp } from '../bytes/address.ts';
import { type Bandwidth, bytesBetween, READ, WRITE } from '../shm/bandwidth.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import {
  type Channel,
  FLUSH_BYTES,
  HELD_BY_OWN,
  HELD_IN_LINE,
  NOT_HELD,
  OPEN,
  PAUSED_BY_BANDWIDTH,
} from './channel.ts';
import type { ChannelTable } from './channel-table.ts';

/** While anyone waits, the buckets are looked at this often. */
export const REFILL_WAKE_MS = 10;

/** A link in line writes at least so much when it is its turn: what the rate brings in 16 ms, within these bounds. */
const TURN_LEAST = 4096;
const TURN_MOST = FLUSH_BYTES;
const TURNS_PER_SEC = 64;
/** So deep in debt (or with a quarter of a second's bytes, if that is more), every link of the worker is paused. */
const BRAKE_BYTES = 2 ** 20;
const BRAKE_PER_SEC = 4;
/** What a chunk is taken for before there was one. */
const CHUNK_GUESS = 16_384;

/** Channels in the order in which they came. */
class Line {
  private list: Channel[] = [];
  private first = 0;

  get count(): number {
    return this.list.length - this.first;
  }

  push(channel: Channel): void {
    this.list.push(channel);
  }

  /** The first that is still open; null when none is. */
  head(): Channel | null {
    while (this.first < this.list.length) {
      const channel = this.list[this.first]!;
      if (channel.state === OPEN) return channel;
      this.shift();
    }
    return null;
  }

  shift(): void {
    this.first++;
    // Amortised: each entry is moved at most once more.
    if (this.first * 2 >= this.list.length) {
      this.list.splice(0, this.first);
      this.first = 0;
    }
  }
}

/** What the limits need of their worker. */
export interface ThrottleConfig {
  readonly bandwidth: Bandwidth;
  readonly worker: number;
  readonly channels: ChannelTable;
  readonly counters: Scoreboard;
  /** The newest one that this worker has. */
  readonly relayIndex: () => RelayIndex;
  /** Monotonic milliseconds of the current turn. */
  readonly now: () => number;
}

/** The bandwidth limits of one worker's links. */
export class Throttle {
  private readonly config: ThrottleConfig;
  private readonly bandwidth: Bandwidth;
  private readonly worker: number;
  private options: WorkerOptions;
  private readonly reading = new Line();
  private readonly writing = new Line();
  /** Those that wait for a bucket of their own. */
  private own: Channel[] = [];
  private ownServedMs = 0;
  /** The channel whose turn it is to write, and how much of its turn is left. */
  private serving: Channel | null = null;
  private grant = 0;

  constructor(config: ThrottleConfig, options: WorkerOptions) {
    this.config = config;
    this.bandwidth = config.bandwidth;
    this.worker = config.worker;
    this.options = options;
  }

  /** Someone waits: `tick` is wanted within `REFILL_WAKE_MS`. */
  get isWaiting(): boolean {
    return this.reading.count > 0 || this.writing.count > 0 || this.own.length > 0;
  }

  /** Options or the list of relays have changed: look anew at which links are limited. */
  update(options: WorkerOptions): void {
    this.options = options;
    for (const channel of this.config.channels.bySlot) {
      if (channel === null) continue;
      this.onAdded(channel);
      if (channel.state === OPEN) this.findOwnLimit(channel);
    }
  }

  /** A link begins. */
  onAdded(channel: Channel): void {
    channel.limited = this.options.countPrivateBandwidth || !isInternalIp(channel.peerHost);
  }

  /** Its handshake is through: its peer is known. */
  onOpen(channel: Channel): void {
    channel.ownRefillMs = this.config.now();
    channel.ownRead = this.options.perConnBwBurst;
    channel.ownWrite = this.options.perConnBwBurst;
    this.findOwnLimit(channel);
  }

  /** Relays of the consensus have no limit of their own; a limit above that of the process is none. */
  private findOwnLimit(channel: Channel): void {
    const { perConnBwRate, perConnBwBurst, bandwidthRate, bandwidthBurst } = this.options;
    channel.ownLimit =
      channel.limited &&
      (perConnBwRate < bandwidthRate || perConnBwBurst < bandwidthBurst) &&
      (channel.peerRsaId === null || this.config.relayIndex().find(channel.peerRsaId) < 0);
    channel.ownRead = Math.min(channel.ownRead, perConnBwBurst);
    channel.ownWrite = Math.min(channel.ownWrite, perConnBwBurst);
  }

  private refillOwn(channel: Channel, nowMs: number): void {
    const { perConnBwRate, perConnBwBurst } = this.options;
    const bytes = ((nowMs - channel.ownRefillMs) * perConnBwRate) / 1000;
    if (bytes < 1) return;
    channel.ownRefillMs = nowMs;
    channel.ownRead = Math.min(channel.ownRead + bytes, perConnBwBurst);
    channel.ownWrite = Math.min(channel.ownWrite + bytes, perConnBwBurst);
  }

  /** Bytes came. May pause the channel; what comes nevertheless is counted. */
  onRead(channel: Channel, bytes: number): void {
    if (!channel.limited) return;
    const { bandwidth } = this;
    const nowMs = this.config.now();
    bandwidth.refill(nowMs);
    if (channel.state !== OPEN) {
      this.spendHandshake(READ, bytes);
      return;
    }
    bandwidth.spend(READ, bytes);
    if (channel.ownLimit) {
      this.refillOwn(channel, nowMs);
      channel.ownRead -= bytes;
    }
    if (channel.readHeld !== NOT_HELD) {
      // The rest of what was under way when we paused.
      channel.lastChunkBytes += bytes;
      return;
    }
    channel.lastChunkBytes = bytes;
    if (channel.ownLimit && channel.ownRead <= 0) {
      if (channel.writeHeld !== HELD_BY_OWN) this.own.push(channel);
      channel.readHeld = HELD_BY_OWN;
      this.config.counters.add(Counter.link_bandwidth_limit_hit, 1);
      channel.setPaused(PAUSED_BY_BANDWIDTH, true);
    } else if (this.mustWait(READ, this.reading, nowMs)) {
      this.pauseReading(channel, nowMs);
      if (this.isDeep(READ)) this.brake(nowMs);
    }
  }

  /** Whether the bucket of a direction is in deep debt. */
  private isDeep(direction: number): boolean {
    const { bandwidth } = this;
    return bandwidth.level(direction) < -Math.max(BRAKE_BYTES, bandwidth.rate / BRAKE_PER_SEC);
  }

  /** Handshakes are not held up, so they would let debt grow without end. */
  private spendHandshake(direction: number, bytes: number): void {
    if (!this.isDeep(direction)) this.bandwidth.spend(direction, bytes);
  }

  /** Many links at once brought more than was left: let none of them bring still more. */
  private brake(nowMs: number): void {
    for (const channel of this.config.channels.bySlot) {
      if (channel !== null && channel.state === OPEN && channel.limited && channel.readHeld === NOT_HELD) {
        this.pauseReading(channel, nowMs);
      }
    }
  }

  private pauseReading(channel: Channel, nowMs: number): void {
    channel.readHeld = HELD_IN_LINE;
    channel.readPlace = this.bandwidth.join(READ, channel.lastChunkBytes || CHUNK_GUESS);
    this.enqueue(READ, this.reading, channel, channel.readPlace, nowMs);
    channel.setPaused(PAUSED_BY_BANDWIDTH, true);
  }

  /** How many of so many bytes a channel may write now. If not all, it waits from here on. */
  mayWrite(channel: Channel, bytes: number): number {
    const nowMs = this.config.now();
    this.bandwidth.refill(nowMs);
    if (channel.ownLimit) {
      this.refillOwn(channel, nowMs);
      if (channel.ownWrite <= 0) {
        if (channel.readHeld !== HELD_BY_OWN) this.own.push(channel);
        channel.writeHeld = HELD_BY_OWN;
        this.config.counters.add(Counter.link_bandwidth_limit_hit, 1);
        return 0;
      }
    }
    let granted = bytes;
    if (channel === this.serving) {
      granted = Math.min(bytes, this.grant);
      this.grant -= granted;
    } else if (this.mustWait(WRITE, this.writing, nowMs)) {
      granted = 0;
    }
    if (granted === bytes) return bytes;
    channel.writeHeld = HELD_IN_LINE;
    channel.writeTurn = this.turnBytes(nowMs);
    channel.writePlace = this.bandwidth.join(WRITE, channel.writeTurn);
    this.enqueue(WRITE, this.writing, channel, channel.writePlace, nowMs);
    return granted;
  }

  /** Bytes were written. */
  onWritten(channel: Channel, bytes: number): void {
    if (!channel.limited) return;
    if (channel.state !== OPEN) {
      this.spendHandshake(WRITE, bytes);
      return;
    }
    this.bandwidth.spend(WRITE, bytes);
    if (channel.ownLimit) channel.ownWrite -= bytes;
  }

  private enqueue(direction: number, line: Line, channel: Channel, place: number, nowMs: number): void {
    if (line.head() === null) this.bandwidth.show(direction, this.worker, place, 1, nowMs);
    line.push(channel);
  }

  /**
   * How much a link that joins the line to write may write in its turn. All that wait together want no less than a
   * wake-up brings: else whoever wakes first could join again and again and take it all.
   */
  private turnBytes(nowMs: number): number {
    const { rate } = this.bandwidth;
    const waiting = 1 + this.writing.count + this.bandwidth.othersWaiting(WRITE, this.worker, nowMs);
    const quantum = Math.min(TURN_MOST, Math.floor(rate / TURNS_PER_SEC));
    return Math.max(TURN_LEAST, quantum, Math.floor((rate * REFILL_WAKE_MS) / 1000 / waiting));
  }

  /** Whether a bucket is empty, or others wait for it already. An empty one is counted. */
  private mustWait(direction: number, line: Line, nowMs: number): boolean {
    const { bandwidth } = this;
    if (bandwidth.level(direction) <= 0) {
      const { counters } = this.config;
      const isTotal = bandwidth.totalLevel(direction) <= 0;
      if (direction === READ) {
        counters.add(isTotal ? Counter.bandwidth_read_limit_hit : Counter.relay_bandwidth_read_limit_hit, 1);
      } else {
        counters.add(
          isTotal ? Counter.bandwidth_write_limit_hit : Counter.relay_bandwidth_write_limit_hit,
          1,
        );
      }
      return true;
    }
    return line.count > 0 || bandwidth.othersWaiting(direction, this.worker, nowMs) > 0;
  }

  /** Once per turn: let those go on for whom there is something. */
  tick(nowMs: number): void {
    this.bandwidth.refill(nowMs);
    if (this.own.length > 0 && nowMs - this.ownServedMs >= REFILL_WAKE_MS) this.serveOwn(nowMs);
    if (this.reading.count > 0) this.serveReading(nowMs);
    if (this.writing.count > 0) this.serveWriting(nowMs);
  }

  /**
   * Serve the line while what is wanted before its next is less than there is: by our own since now, and by all behind
   * the foremost of the others.
   */
  private serveReading(nowMs: number): void {
    const { bandwidth, reading, worker } = this;
    const room = bandwidth.level(READ);
    let next = reading.head();
    if (room > 0) {
      const others = bandwidth.othersFront(READ, worker, nowMs);
      let before = 0;
      while (next !== null) {
        const behind = others === null ? -1 : bytesBetween(others, next.readPlace);
        if (before + Math.max(behind, 0) >= room) break;
        if (behind < 0) before += next.lastChunkBytes || CHUNK_GUESS;
        reading.shift();
        resumeReading(next);
        next = reading.head();
      }
    }
    if (next === null) bandwidth.leave(READ, worker);
    else bandwidth.show(READ, worker, next.readPlace, reading.count, nowMs);
  }

  /** As `serveReading`; each writes its turn at once, and may join the line anew. */
  private serveWriting(nowMs: number): void {
    const { bandwidth, writing, worker } = this;
    const room = bandwidth.level(WRITE);
    let next = writing.head();
    if (room > 0) {
      const others = bandwidth.othersFront(WRITE, worker, nowMs);
      let before = 0;
      while (next !== null && bandwidth.level(WRITE) > 0) {
        const behind = others === null ? -1 : bytesBetween(others, next.writePlace);
        if (before + Math.max(behind, 0) >= room) break;
        if (behind < 0) before += next.writeTurn;
        writing.shift();
        next.writeHeld = NOT_HELD;
        this.serving = next;
        this.grant = next.writeTurn;
        next.drain();
        this.serving = null;
        next = writing.head();
      }
    }
    if (next === null) bandwidth.leave(WRITE, worker);
    else bandwidth.show(WRITE, worker, next.writePlace, writing.count, nowMs);
  }

  private serveOwn(nowMs: number): void {
    this.ownServedMs = nowMs;
    const list = this.own;
    this.own = [];
    for (const channel of list) {
      if (channel.state !== OPEN) continue;
      this.refillOwn(channel, nowMs);
      const isFree = !channel.ownLimit;
      if (channel.readHeld === HELD_BY_OWN) {
        if (isFree || channel.ownRead > 0) resumeReading(channel);
        else this.own.push(channel);
      }
      if (channel.writeHeld !== HELD_BY_OWN) continue;
      if (isFree || channel.ownWrite > 0) {
        channel.writeHeld = NOT_HELD;
        channel.drain();
      } else if (channel.readHeld !== HELD_BY_OWN) {
        this.own.push(channel);
      }
    }
  }
}

function resumeReading(channel: Channel): void {
  channel.readHeld = NOT_HELD;
  channel.setPaused(PAUSED_BY_BANDWIDTH, false);
}
