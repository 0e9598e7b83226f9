/**
 * Netflow padding: a PADDING cell now and then on a link that would else be silent long enough to end a flow record.
 *
 * Only on links of protocol 5 that carry circuits. Each quiet period lasts a random time between the bounds that the
 * consensus (or the peer, by PADDING_NEGOTIATE) sets; traffic either way starts it anew. Relays are padded only if
 * the consensus asks for it.
 * @source padding-spec "Connection-level padding"
 */
import { BODY_AT, BODY_BYTES, buildCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { decodePaddingNegotiate, PaddingCommand } from '../cell/padding.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { NO_TIMER, type Timer, type TimerTarget, type TimerWheel } from '../time/timer-wheel.ts';
import { type Channel, OPEN } from './channel.ts';
import type { ChannelTable } from './channel-table.ts';

/** A PADDING cell; means nothing, costs the peer nothing. */
export const PADDING_CELL = buildCell(0, Command.PADDING, new Uint8Array(0));

/** Padding of all links of one worker. */
export class LinkPadding implements TimerTarget {
  private readonly channels: ChannelTable;
  private readonly wheel: TimerWheel;
  private readonly counters: Scoreboard;
  private readonly randomU32: () => number;
  private readonly timers: Timer[] = [];
  options: WorkerOptions;

  constructor(
    channels: ChannelTable,
    wheel: TimerWheel,
    counters: Scoreboard,
    randomU32: () => number,
    options: WorkerOptions,
  ) {
    this.channels = channels;
    this.wheel = wheel;
    this.counters = counters;
    this.randomU32 = randomU32;
    this.options = options;
  }

  /** A channel opened: no padding before it carries a circuit across us. */
  onOpen(channel: Channel, _nowMs: number): void {
    channel.paddingOn = channel.linkProtocol >= 5 && this.options.paddingEnabled;
    channel.paddingLowMs = -1;
    channel.paddingHighMs = -1;
    this.timers[channel.slot] = NO_TIMER;
  }

  onClose(channel: Channel): void {
    const timer = this.timers[channel.slot] ?? NO_TIMER;
    if (timer !== NO_TIMER) this.wheel.cancel(timer);
    this.timers[channel.slot] = NO_TIMER;
  }

  /** A circuit of this channel was extended across us: from now on its silence is padded. */
  onUsed(channel: Channel, nowMs: number): void {
    channel.carriedCircuit = true;
    if (!this.wanted(channel) || (this.timers[channel.slot] ?? NO_TIMER) !== NO_TIMER) return;
    this.arm(channel, nowMs);
  }

  private wanted(channel: Channel): boolean {
    const used = this.options.padBeforeUsage ? channel.carriedCircuit : channel.carriedTraffic;
    if (!used || !channel.paddingOn || this.highMs(channel) <= 0) return false;
    return channel.isClient || this.options.padRelays;
  }

  private lowMs(channel: Channel): number {
    return channel.paddingLowMs >= 0 ? channel.paddingLowMs : this.options.paddingLowMs;
  }

  private highMs(channel: Channel): number {
    return channel.paddingHighMs >= 0 ? channel.paddingHighMs : this.options.paddingHighMs;
  }

  /** The longer of two uniform draws, as the specification has it for a link where both sides pad. */
  private draw(channel: Channel): number {
    const low = this.lowMs(channel);
    const span = Math.max(0, this.highMs(channel) - low);
    const a = (this.randomU32() / 0x100000000) * span;
    const b = (this.randomU32() / 0x100000000) * span;
    return low + Math.max(a, b);
  }

  private arm(channel: Channel, nowMs: number): void {
    // Of a peer that takes nothing this is long ago; what waits for it is no silence.
    const lastMs = channel.congested ? nowMs : Math.max(channel.lastReadMs, channel.lastWriteMs);
    channel.paddingDueMs = lastMs + this.draw(channel);
    const atMs = Math.max(channel.paddingDueMs, nowMs + 1);
    this.timers[channel.slot] = this.wheel.schedule(atMs, this, channel.slot);
  }

  onTimer(slot: number, nowMs: number): void {
    this.timers[slot] = NO_TIMER;
    const channel = this.channels.bySlot[slot] ?? null;
    if (channel === null || channel.state !== OPEN || !this.wanted(channel)) return;
    // Without circuits there is nothing to pad, until `onUsed` says so again.
    if (channel.legCount === 0) return;
    // Bytes that crossed since the draw pushed the end of silence out.
    const quietSinceMs = Math.max(channel.lastReadMs, channel.lastWriteMs);
    const isQuiet = nowMs - quietSinceMs >= this.lowMs(channel) && nowMs >= channel.paddingDueMs;
    if (isQuiet && !channel.congested) {
      this.counters.add(Counter.channel_padding_sent, 1);
      channel.putControl(PADDING_CELL, 0);
      channel.lastWriteMs = nowMs;
    }
    this.arm(channel, nowMs);
  }

  /** Take a PADDING_NEGOTIATE cell. @throws Malformed */
  onNegotiate(channel: Channel, bytes: Uint8Array, at: number, nowMs: number): boolean {
    // Only the side that dialled may negotiate, and only where link protocol 5 was agreed on.
    if (channel.initiated || channel.linkProtocol < 5) return false;
    const wish = decodePaddingNegotiate(bytes.subarray(at + BODY_AT, at + BODY_AT + BODY_BYTES));
    if (wish.command === PaddingCommand.STOP) {
      channel.paddingOn = false;
      return true;
    }
    channel.paddingOn = this.options.paddingEnabled;
    // A peer may ask for less padding than the consensus has, never for more.
    channel.paddingLowMs = Math.max(wish.itoLowMs, this.options.paddingLowMs);
    channel.paddingHighMs = Math.max(wish.itoHighMs, channel.paddingLowMs);
    if (this.wanted(channel) && (this.timers[channel.slot] ?? NO_TIMER) === NO_TIMER) {
      this.arm(channel, nowMs);
    }
    return true;
  }
}
