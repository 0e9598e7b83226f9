/**
 * Onion handshakes that wait for CPU: ntor-v3 first, then ntor, each in order of arrival.
 *
 * The queue is bounded by time, not length: a handshake is refused when what waits before it would take longer than
 * MaxOnionQueueDelay at the measured cost, and dropped when it waited longer than the cutoff. The loop works on it
 * within a budget per turn, so that cells never wait for handshakes. No clock here: costs are told to it.
 */

/** One handshake that waits. The data is a copy of its own. */
export interface WaitingOnion {
  readonly row: number;
  readonly generation: number;
  readonly handshakeType: number;
  readonly data: Uint8Array;
  readonly queuedMs: number;
}

/** First guess at what one handshake costs; the measured cost takes over quickly. */
const COST_GUESS_MS = 0.12;
const COST_WEIGHT = 0.05;

/** Two FIFOs and a cost estimate. */
export class OnionQueue {
  private readonly first: WaitingOnion[] = [];
  private readonly second: WaitingOnion[] = [];
  private firstFrom = 0;
  private secondFrom = 0;
  private costMs = COST_GUESS_MS;

  /** Handshakes that wait. */
  get length(): number {
    return this.first.length - this.firstFrom + this.second.length - this.secondFrom;
  }

  /** How long a handshake that came now would wait. */
  get expectedDelayMs(): number {
    return this.length * this.costMs;
  }

  /** Queue a handshake; false when it would wait longer than `delayMaxMs`. */
  push(onion: WaitingOnion, preferred: boolean, delayMaxMs: number): boolean {
    if (this.expectedDelayMs > delayMaxMs) return false;
    (preferred ? this.first : this.second).push(onion);
    return true;
  }

  /** Take the next one, or null. */
  pop(): WaitingOnion | null {
    if (this.firstFrom < this.first.length) {
      const onion = this.first[this.firstFrom++]!;
      if (this.firstFrom > 64 && this.firstFrom * 2 > this.first.length) {
        this.first.splice(0, this.firstFrom);
        this.firstFrom = 0;
      }
      return onion;
    }
    if (this.secondFrom < this.second.length) {
      const onion = this.second[this.secondFrom++]!;
      if (this.secondFrom > 64 && this.secondFrom * 2 > this.second.length) {
        this.second.splice(0, this.secondFrom);
        this.secondFrom = 0;
      }
      return onion;
    }
    this.first.length = 0;
    this.second.length = 0;
    this.firstFrom = 0;
    this.secondFrom = 0;
    return null;
  }

  /** Learn what a handshake cost. */
  noteCost(ms: number): void {
    this.costMs += (ms - this.costMs) * COST_WEIGHT;
  }
}
