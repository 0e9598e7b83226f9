/**
 * How many bytes of one link the kernel may keep that the network does not carry yet (TCP_NOTSENT_LOWAT).
 *
 * What waits there has an order that nobody can change any more: with megabytes of bulk in the kernel a quiet circuit's
 * cell waits behind them. With too little, a fast link runs dry between two turns of ours, and every cell takes the way
 * through a queue, at twice the cost. So the bound follows the link: when half of it drains quickly it doubles, when
 * slowly it halves. A stall of ours looks like a slow link; the band between is wide, and a wrong guess is mended at
 * the next refusal. No clock and no socket here.
 */

export const UNSENT_FIRST = 1024 * 1024;
export const UNSENT_LEAST = 128 * 1024;
/** About what the kernel keeps at most without a bound. */
export const UNSENT_MOST = 4 * 1024 * 1024;

/** Half of the bound drains in less: the link is fast. */
const FAST_MS = 25;
/** Half of the bound takes longer: a cell behind it waits for twice that. */
const SLOW_MS = 100;

/** The bound of one link. */
export class UnsentLimit {
  bytes = UNSENT_FIRST;
  private refusedMs = -1;

  /** The socket took less than was offered. */
  onRefused(nowMs: number): void {
    if (this.refusedMs < 0) this.refusedMs = nowMs;
  }

  /** The socket takes bytes again. Returns whether `bytes` has changed. */
  onDrained(nowMs: number): boolean {
    if (this.refusedMs < 0) return false;
    const tookMs = nowMs - this.refusedMs;
    this.refusedMs = -1;
    const before = this.bytes;
    if (tookMs < FAST_MS) this.bytes = Math.min(UNSENT_MOST, before * 2);
    else if (tookMs > SLOW_MS) this.bytes = Math.max(UNSENT_LEAST, before / 2);
    return this.bytes !== before;
  }
}
