/**
 * @hot
 * Which channels are written, and when.
 *
 * Channels with staged cells are dirty. They are flushed at the end of the batch when the last flush is a while ago;
 * in quick succession the flush waits for a short timer, so that small batches merge into fewer, longer writes. Past
 * 32 KiB a channel flushes itself. The ingredients are measured (one write per batch, not per cell or event).
 */
import type { Channel } from './channel.ts';

/** Batches that follow the last flush sooner than this are merged. */
export const MERGE_MS = 1.5;

/** The dirty list of one worker. */
export class Scheduler {
  private dirty: Channel[] = [];
  private spare: Channel[] = [];
  private lastFlushMs = 0;

  /** Channels that wait for their flush. */
  get dirtyCount(): number {
    return this.dirty.length;
  }

  /** Note that a channel has staged its first cell. */
  mark(channel: Channel): void {
    this.dirty.push(channel);
  }

  /** Whether a flush now would come so soon after the last that it should wait for the timer. */
  shouldWait(nowMs: number): boolean {
    return this.dirty.length > 0 && nowMs - this.lastFlushMs < MERGE_MS;
  }

  /** Write every dirty channel once. */
  flush(nowMs: number): void {
    this.lastFlushMs = nowMs;
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
