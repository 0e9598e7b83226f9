/**
 * The channels of one worker by slot. A handle is (slot, generation): a slot is used again, its generation is not.
 */
import { Channel, type ChannelShared } from './channel.ts';

/** Slots and their channels. */
export class ChannelTable {
  /** By slot; null where free. Read by hot code, changed only here. */
  readonly bySlot: (Channel | null)[] = [];
  private readonly generations: number[] = [];
  private readonly free: number[] = [];
  private live = 0;

  /** Channels alive. */
  get count(): number {
    return this.live;
  }

  /** Make a channel in a free slot. */
  add(shared: ChannelShared, initiated: boolean, peerHost: Uint8Array, peerPort: number): Channel {
    let slot = this.free.pop();
    if (slot === undefined) {
      slot = this.bySlot.length;
      this.bySlot.push(null);
      this.generations.push(0);
    }
    const channel = new Channel(slot, this.generations[slot]!, shared, initiated, peerHost, peerPort);
    this.bySlot[slot] = channel;
    this.live++;
    return channel;
  }

  /** Forget a channel. */
  remove(channel: Channel): void {
    this.bySlot[channel.slot] = null;
    this.generations[channel.slot] = (this.generations[channel.slot]! + 1) >>> 0;
    this.free.push(channel.slot);
    this.live--;
  }

  /** Find a channel by handle; null when it is gone. */
  get(slot: number, generation: number): Channel | null {
    const channel = this.bySlot[slot] ?? null;
    return channel !== null && channel.generation === generation ? channel : null;
  }
}
