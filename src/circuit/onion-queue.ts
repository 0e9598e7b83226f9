/**
 * Onion handshakes that wait for CPU: ntor-v3 first, then ntor, each in order of arrival.
 *
 * The queue is bounded by time, not length: a handshake is refused when what waits before it would take longer than
 * MaxOnionQueueDelay at the measured cost, and dropped when it waited longer than the cutoff. The loop works on it
 * within a budget per turn, so that cells never wait for handshakes. No clock here: costs are told to it.
 */

import { Fifo } from './fifo.ts';

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
/** What a waiting handshake fills besides its data. */
export const ONION_BYTES = 128;

/** Two FIFOs and a cost estimate. */
export class OnionQueue {
  private readonly preferred = new Fifo<WaitingOnion>();
  private readonly others = new Fifo<WaitingOnion>();
  private costMs = COST_GUESS_MS;
  /** Bytes that waiting handshakes fill. */
  heldBytes = 0;

  /** Handshakes that wait. */
  get length(): number {
    return this.preferred.length + this.others.length;
  }

  /** How long a handshake that came now would wait. */
  get expectedDelayMs(): number {
    return this.length * this.costMs;
  }

  /** Queue a handshake; false when it would wait longer than `delayMaxMs`. */
  push(onion: WaitingOnion, preferred: boolean, delayMaxMs: number): boolean {
    if (this.expectedDelayMs > delayMaxMs) return false;
    (preferred ? this.preferred : this.others).push(onion);
    this.heldBytes += ONION_BYTES + onion.data.length;
    return true;
  }

  /** Take the next one, or null. */
  pop(): WaitingOnion | null {
    const onion = this.preferred.pop() ?? this.others.pop();
    if (onion !== null) this.heldBytes -= ONION_BYTES + onion.data.length;
    return onion;
  }

  /** Learn what a handshake cost. */
  noteCost(ms: number): void {
    this.costMs += (ms - this.costMs) * COST_WEIGHT;
  }
}
