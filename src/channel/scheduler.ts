/**
 * @hot
 * Which channels are written, and when.
 *
 * Channels with staged cells are dirty. They are flushed at the end of the batch as long as flushes are few; when they
 * become frequent, a flush waits for a short timer, so that small batches merge into fewer, longer writes. So a cell
 * through a quiet relay never waits, and a busy relay writes about once a millisecond. Past 32 KiB a channel flushes
 * itself. The ingredients are measured (one write per batch, not per cell or event).
 */
import type { Channel } from './channel.ts';

/** One flush is earned in so long. */
export const MERGE_MS = 1.5;
/** How long a flush may be put off to merge batches. */
export const FLUSH_DELAY_MS = 1;
/** Flushes that a pause earns at most. */
export const FLUSHES_AHEAD = 4;

/** The dirty list of one worker. */
export class Scheduler {
  private dirty: Channel[] = [];
  private spare: Channel[] = [];
  private credit = FLUSHES_AHEAD;
  private earnedMs = 0;

  /** Channels that wait for their flush. */
  get dirtyCount(): number {
    return this.dirty.length;
  }

  /** Note that a channel has staged its first cell. */
  mark(channel: Channel): void {
    this.dirty.push(channel);
  }

  /** Whether so many flushes came of late that this one should wait for the timer. */
  shouldWait(nowMs: number): boolean {
    this.earn(nowMs);
    return this.dirty.length > 0 && this.credit < 1;
  }

  private earn(nowMs: number): void {
    // The time of a turn is that of its beginning: a flush on the timer may have seen a later one.
    if (nowMs <= this.earnedMs) return;
    this.credit = Math.min(FLUSHES_AHEAD, this.credit + (nowMs - this.earnedMs) / MERGE_MS);
    this.earnedMs = nowMs;
  }

  /** Write every dirty channel once. */
  flush(nowMs: number): void {
    this.earn(nowMs);
    this.credit = Math.max(0, this.credit - 1);
    const list = this.dirty;
    this.dirty = this.spare;
    this.spare = list;
    for (let i = 0; i < list.length; i++) {
      const channel = list[i]!;
      channel.dirty = false;
      if (!channel.congested) channel.flush();
    }
    list.length = 0;
  }
}
