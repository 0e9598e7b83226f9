/**
 * @hot
 * Stream chunks to cells, for open channels (link protocols 4 and 5: four-byte circuit ids).
 *
 * Whole cells are handed on inside the chunk, without a copy. A cell that a chunk cut in two waits in a borrowed
 * carry buffer of one cell. Variable-length cells mean nothing on an open channel: their header decides, and their
 * body is skipped, however long, without being kept.
 */
import { giveBack } from '../bytes/chunk.ts';
import { CELL_BYTES, getCircId, getCommand, VARIABLE_HEADER_BYTES } from '../cell/cell.ts';
import { isVariableLength } from '../cell/command.ts';
import type { BufferPool } from './buffer-pool.ts';
import { type Channel, OPEN } from './channel.ts';

/** What the framer hands cells to. */
export interface CellReceiver {
  /** One fixed-length cell at `at`; the bytes are the receiver's until `onChunkEnd`. */
  onFixedCell(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void;
  /** The buffer of the cells before changes hands. */
  onChunkEnd(): void;
  /** The header of a variable-length cell whose body will be skipped. */
  onVariableCell(channel: Channel, command: number): void;
}

/** Cuts chunks into cells. One per worker. */
export class Framer {
  private readonly receiver: CellReceiver;
  private readonly carries: BufferPool;

  constructor(receiver: CellReceiver, carries: BufferPool) {
    this.receiver = receiver;
    this.carries = carries;
  }

  /** Take a chunk that the caller gives away: its memory may be given back. */
  feed(channel: Channel, chunk: Uint8Array): void {
    this.cut(channel, chunk);
    this.receiver.onChunkEnd();
    giveBack(chunk);
  }

  private cut(channel: Channel, chunk: Uint8Array): void {
    const end = chunk.length;
    let at = 0;
    if (channel.skipBytes > 0) {
      at = Math.min(channel.skipBytes, end);
      channel.skipBytes -= at;
    }
    if (channel.carryBytes > 0) at = this.complete(channel, chunk, at);
    while (at < end) {
      if (channel.state !== OPEN) return;
      const left = end - at;
      if (left < 5) break;
      const command = getCommand(chunk, at);
      if (isVariableLength(command)) {
        if (left < VARIABLE_HEADER_BYTES) break;
        const whole = VARIABLE_HEADER_BYTES + ((chunk[at + 5]! << 8) | chunk[at + 6]!);
        this.receiver.onVariableCell(channel, command);
        if (whole > left) {
          channel.skipBytes = whole - left;
          return;
        }
        at += whole;
      } else {
        if (left < CELL_BYTES) break;
        this.receiver.onFixedCell(channel, command, getCircId(chunk, at), chunk, at);
        at += CELL_BYTES;
      }
    }
    if (at < end && channel.state === OPEN) {
      if (channel.carry === null) channel.carry = this.carries.take();
      channel.carry.set(chunk.subarray(at, end), 0);
      channel.carryBytes = end - at;
    }
  }

  /** Complete the carried cell from the head of a chunk. Returns where the chunk goes on. */
  private complete(channel: Channel, chunk: Uint8Array, start: number): number {
    const carry = channel.carry!;
    const end = chunk.length;
    let at = start;
    let have = channel.carryBytes;
    while (have < VARIABLE_HEADER_BYTES && at < end) carry[have++] = chunk[at++]!;
    if (have < VARIABLE_HEADER_BYTES) {
      channel.carryBytes = have;
      return at;
    }
    const command = getCommand(carry, 0);
    if (isVariableLength(command)) {
      const body = (carry[5]! << 8) | carry[6]!;
      this.drop(channel);
      this.receiver.onVariableCell(channel, command);
      const rest = end - at;
      if (body > rest) {
        channel.skipBytes = body - rest;
        return end;
      }
      return at + body;
    }
    const missing = CELL_BYTES - have;
    const taken = Math.min(missing, end - at);
    carry.set(chunk.subarray(at, at + taken), have);
    at += taken;
    have += taken;
    channel.carryBytes = have;
    if (have < CELL_BYTES) return at;
    // Detached first: the receiver may close the channel, which would give the carry back while it is read.
    channel.carry = null;
    channel.carryBytes = 0;
    this.receiver.onFixedCell(channel, command, getCircId(carry, 0), carry, 0);
    this.receiver.onChunkEnd();
    this.carries.give(carry);
    return at;
  }

  private drop(channel: Channel): void {
    if (channel.carry !== null) this.carries.give(channel.carry);
    channel.carry = null;
    channel.carryBytes = 0;
  }
}
