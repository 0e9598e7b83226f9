/**
 * Looking after open channels, about once a second: superseded ones take no new circuits, idle ones are closed, quiet
 * ones are probed with a padding cell.
 *
 * The worker's turn calls it, so there is no timer per link. What it closes, it closes through `links`.
 * @source tor-spec "Channels", idle timeouts as C tor draws them
 */
import type { WorkerOptions } from '../shm/letter.ts';
import type { Roster } from '../shm/roster.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { type Channel, OPEN } from './channel.ts';
import type { ChannelTable } from './channel-table.ts';
import { PADDING_CELL } from './padding.ts';

/** A channel that takes no new circuits and carries none is closed after this. */
const BAD_IDLE_MS = 3000;
/** Keepalive periods without a byte written after which C tor calls a connection stuck. */
const STUCK_PERIODS = 10;

/** The once-a-second look at one worker's channels. */
export class Upkeep {
  options: WorkerOptions;
  private readonly channels: ChannelTable;
  private readonly roster: Roster;
  private readonly counters: Scoreboard;
  private readonly close: (channel: Channel) => void;

  constructor(
    channels: ChannelTable,
    roster: Roster,
    counters: Scoreboard,
    options: WorkerOptions,
    close: (channel: Channel) => void,
  ) {
    this.channels = channels;
    this.roster = roster;
    this.counters = counters;
    this.options = options;
    this.close = close;
  }

  /** Look at every open channel. */
  sweep(nowMs: number): void {
    const { roster, counters } = this;
    const { bySlot } = this.channels;
    for (let slot = 0; slot < bySlot.length; slot++) {
      const channel = bySlot[slot] ?? null;
      if (channel === null || channel.state !== OPEN) continue;
      if (!channel.bad && channel.rosterHandle >= 0 && roster.isBad(channel.rosterHandle)) {
        channel.bad = true;
        counters.add(Counter.channel_superseded, 1);
      }
      if (channel.legCount === 0 && nowMs - channel.idleSinceMs >= this.idleLimitMs(channel)) {
        counters.add(channel.bad ? Counter.channel_bad_closed : Counter.channel_idle_closed, 1);
        this.close(channel);
      } else if (nowMs - channel.lastWriteMs >= this.options.keepaliveMs) {
        this.keepAlive(channel, nowMs);
      }
    }
  }

  /** Drawn anew for each link, as C tor draws it, so that the time of its end says nothing. */
  private idleLimitMs(channel: Channel): number {
    if (channel.bad) return BAD_IDLE_MS;
    const { idleClientTimeoutMs, idleRelayTimeoutMs } = this.options;
    if (channel.isClient || !channel.canonical) return idleClientTimeoutMs * (1 + channel.idleSpread / 2);
    return idleRelayTimeoutMs * (0.75 + channel.idleSpread / 2);
  }

  /**
   * Nothing was written for long. A peer that vanished without a word is found out only by writing to it; one that
   * takes no more bytes is not waited for for ever.
   */
  private keepAlive(channel: Channel, nowMs: number): void {
    const { counters } = this;
    if (!channel.congested) {
      counters.add(Counter.channel_keepalive_sent, 1);
      channel.putControl(PADDING_CELL, 0);
    } else if (nowMs - channel.lastWriteMs >= STUCK_PERIODS * this.options.keepaliveMs) {
      counters.add(Counter.channel_stuck_closed, 1);
      this.close(channel);
    }
  }
}
