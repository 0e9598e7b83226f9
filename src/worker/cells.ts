/**
 * Where the framer's cells go: circuit cells to the circuit plane, link cells to the link.
 */
import { Command } from '../cell/command.ts';
import { type CellSink, type Channel, OPEN } from '../channel/channel.ts';
import type { CellReceiver } from '../channel/framer.ts';
import type { LinkPadding } from '../channel/padding.ts';
import { Malformed } from '../fault.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';

/** Closes a channel; the links of the worker do it. */
export type CloseChannel = (channel: Channel) => void;

/** Dispatch by command for open channels. */
export class CellDispatch implements CellReceiver {
  private readonly sink: CellSink;
  private readonly padding: LinkPadding;
  private readonly counters: Scoreboard;
  private readonly closeChannel: CloseChannel;

  constructor(sink: CellSink, padding: LinkPadding, counters: Scoreboard, closeChannel: CloseChannel) {
    this.sink = sink;
    this.padding = padding;
    this.counters = counters;
    this.closeChannel = closeChannel;
  }

  onFixedCell(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void {
    this.counters.add(Counter.cells_read, 1);
    switch (command) {
      case Command.RELAY:
      case Command.RELAY_EARLY:
      case Command.CREATE:
      case Command.CREATED:
      case Command.CREATE2:
      case Command.CREATED2:
      case Command.CREATE_FAST:
      case Command.CREATED_FAST:
      case Command.DESTROY:
        this.sink.onCell(channel, command, circId, bytes, at);
        return;
      case Command.PADDING:
        this.counters.add(Counter.channel_padding_received, 1);
        return;
      case Command.PADDING_NEGOTIATE:
        this.onNegotiate(channel, bytes, at);
        return;
      case Command.NETINFO:
        // C tor drops a late one and keeps the link.
        this.counters.add(Counter.channel_unexpected_cell, 1);
        return;
      default:
        this.counters.add(Counter.channel_unknown_cell, 1);
    }
  }

  private onNegotiate(channel: Channel, bytes: Uint8Array, at: number): void {
    try {
      if (this.padding.onNegotiate(channel, bytes, at, channel.lastReadMs)) return;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
    this.counters.add(Counter.channel_bad_padding_negotiate, 1);
  }

  onChunkEnd(): void {
    this.sink.onChunkEnd();
  }

  onVariableCell(channel: Channel, command: number): void {
    if (command === Command.VPADDING) {
      this.counters.add(Counter.channel_padding_received, 1);
      return;
    }
    if (command === Command.AUTHORIZE || command > Command.AUTHORIZE) {
      this.counters.add(Counter.channel_unknown_cell, 1);
      return;
    }
    // A second handshake on an open link.
    this.counters.add(Counter.channel_unexpected_cell, 1);
    if (channel.state !== OPEN) return;
    this.sink.onChunkEnd();
    this.closeChannel(channel);
  }
}
