/**
 * How long a turn works on onion handshakes, so that cells wait for a few of them at most.
 *
 * A handshake is 70 µs during which nothing is read. While cells are relayed a turn gets a quarter of a millisecond, or
 * half of what its other work took, so that two thirds of the thread stay for relaying and handshakes go on under any
 * load. While none are, nobody waits but other handshakes: longer slices make more answers of one read and one write.
 */

/** Handshakes get this part of the time that the turn took for everything else. */
const SHARE = 0.5;
/** At least, and at most, while cells are relayed; and as long as none are. */
const LEAST_MS = 0.25;
export const MOST_MS = 2;
/** So long after the last cell, more are expected. */
export const RELAYING_MS = 200;

/** The slices of one worker. */
export class HandshakeSlices {
  private cells = 0;
  private relayedMs = Number.NEGATIVE_INFINITY;

  /** Learn how many cells were ever relayed, once a turn. */
  look(cells: number, nowMs: number): void {
    if (cells !== this.cells) this.relayedMs = nowMs;
    this.cells = cells;
  }

  /** How long this turn may work on handshakes, after so many milliseconds of other work. */
  budgetMs(turnMs: number, nowMs: number): number {
    if (nowMs - this.relayedMs > RELAYING_MS) return MOST_MS;
    return Math.min(MOST_MS, Math.max(LEAST_MS, turnMs * SHARE));
  }
}
