/**
 * Connections in memory that behave as badly as sockets do: short writes, refused writes, chunks cut anywhere, stalls,
 * resets. Who moves the bytes, and when, is the world's affair; everything random comes from its generator.
 */
import type { Wire } from '../../src/channel/wire.ts';

/** What an end of a connection tells its owner. */
export interface WireEvents {
  onData(chunk: Uint8Array): void;
  onDrain(): void;
  onGone(): void;
}

/** How badly connections behave. */
export interface Faults {
  /** Bytes that the transport holds for a reader before it refuses more. */
  readonly capacityBytes: number;
  /** Longest chunk that is delivered at once. */
  readonly chunkBytes: number;
  /** Chance that a write takes less than there is room for. */
  readonly shortWrites: number;
  /** Chance that a chunk which was under way when an end paused is delivered to it nevertheless, as sockets do. */
  readonly lateData: number;
  /** Chance that a write to a connection that broke tells its owner so before it returns. */
  readonly brokenWrites: number;
  /** Chance, per step, that an end is told to drain without need. */
  readonly idleDrains: number;
}

/** Stands where bytes were that are no longer anyone's. */
const OVERWRITTEN = 0xa5;

export const GOOD: Faults = {
  capacityBytes: 1 << 20,
  chunkBytes: 1 << 19,
  shortWrites: 0,
  lateData: 0,
  brokenWrites: 0,
  idleDrains: 0,
};

/** Draw what goes wrong with connections that hold so many bytes and deliver chunks of at most so many. */
export function drawFaults(draw: Chance, capacityBytes: number, chunkBytes: number): Faults {
  return {
    capacityBytes,
    chunkBytes,
    shortWrites: draw.below(3) * 0.3,
    lateData: draw.below(2) * 0.2,
    brokenWrites: draw.below(2) * 0.5,
    idleDrains: draw.below(2) * 0.02,
  };
}

/** Draws numbers for the connections. */
export interface Chance {
  float(): number;
  below(n: number): number;
}

/** One end of a connection. */
export class WireEnd implements Wire {
  other!: WireEnd;
  events: WireEvents | null = null;
  /** What was written here and not yet delivered to the other end. */
  private outgoing: Uint8Array[] = [];
  outgoingBytes = 0;
  /** How often the owner had the other end told at once what came. */
  acknowledged = 0;
  paused = false;
  /** Bytes that were under way to the owner when it paused: only they may come late. */
  private lateBytes = 0;
  /** Delivers nothing to its owner: a peer that does not read. */
  stalled = false;
  private wantsDrain = false;
  private closing = false;
  private dead = false;
  private told = false;
  private readonly faults: Faults;
  private readonly chance: Chance;

  constructor(faults: Faults, chance: Chance) {
    this.faults = faults;
    this.chance = chance;
  }

  /** Make both ends of a connection. */
  static pair(faults: Faults, chance: Chance): [WireEnd, WireEnd] {
    const a = new WireEnd(faults, chance);
    const b = new WireEnd(faults, chance);
    a.other = b;
    b.other = a;
    return [a, b];
  }

  write(bytes: Uint8Array, from: number, length: number): number {
    if (this.canBreak && this.chance.float() < this.faults.brokenWrites) this.end();
    if (this.closing || this.dead) return 0;
    let taken = Math.min(length, this.faults.capacityBytes - this.outgoingBytes);
    if (taken > 0 && this.chance.float() < this.faults.shortWrites) taken = this.chance.below(taken + 1);
    if (taken < length) this.wantsDrain = true;
    if (taken <= 0) return 0;
    this.outgoing.push(bytes.slice(from, from + taken));
    this.outgoingBytes += taken;
    return taken;
  }

  /** The other end of a simulated connection never waits for that. */
  acknowledge(): void {
    this.acknowledged++;
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.lateBytes = this.other.outgoingBytes;
  }

  resume(): void {
    this.paused = false;
    this.lateBytes = 0;
  }

  close(): void {
    this.closing = true;
  }

  abort(): void {
    this.dead = true;
    this.other.dead = true;
  }

  /** Break the connection, as a network does. */
  reset(): void {
    this.abort();
  }

  get isOver(): boolean {
    return this.told && this.other.told;
  }

  /** What could happen at this end now. */
  canDeliver(): boolean {
    const { other } = this;
    return (
      !this.dead &&
      !this.told &&
      this.events !== null &&
      other.outgoingBytes > 0 &&
      !this.stalled &&
      !this.paused
    );
  }

  canDeliverLate(): boolean {
    return (
      this.lateBytes > 0 &&
      !this.stalled &&
      !this.dead &&
      !this.told &&
      this.chance.float() < this.faults.lateData
    );
  }

  /** The owner, refused a write, will be told to drain, or that it is over. */
  get willTell(): boolean {
    return this.wantsDrain || this.dead || this.closing || this.told;
  }

  canDrain(): boolean {
    if (this.dead || this.told || this.closing || this.events === null) return false;
    if (this.wantsDrain) return this.outgoingBytes < this.faults.capacityBytes;
    return this.faults.idleDrains > 0 && this.chance.float() < this.faults.idleDrains;
  }

  private get canBreak(): boolean {
    return this.dead && !this.told && this.events !== null;
  }

  canEnd(): boolean {
    if (this.told || this.events === null) return false;
    if (this.dead) return true;
    if (this.closing) return this.outgoingBytes === 0;
    return (this.other.closing || this.other.told) && this.other.outgoingBytes === 0;
  }

  /** Deliver a chunk of random length to the owner. */
  deliver(): void {
    const { other } = this;
    const most = this.paused ? this.lateBytes : other.outgoingBytes;
    const length = Math.min(most, 1 + this.chance.below(this.faults.chunkBytes));
    if (this.paused) this.lateBytes -= length;
    const chunk = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const head = other.outgoing[0]!;
      const part = head.subarray(0, length - at);
      chunk.set(part, at);
      at += part.length;
      if (part.length === head.length) other.outgoing.shift();
      else other.outgoing[0] = head.subarray(part.length);
    }
    other.outgoingBytes -= length;
    this.events!.onData(chunk);
    // It was lent for the call: whoever kept it finds it overwritten, if not given back.
    if (chunk.length > 0) chunk.fill(OVERWRITTEN);
  }

  drain(): void {
    this.wantsDrain = false;
    this.events!.onDrain();
  }

  end(): void {
    this.told = true;
    this.closing = true;
    this.events!.onGone();
  }
}
