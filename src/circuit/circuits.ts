/**
 * Where cells of open channels enter the circuit plane: by command, to the file that answers it.
 *
 * Errors are caught here around one cell: a malformed CREATE costs a DESTROY, a cell for an unknown circuit is
 * dropped, and the channel lives on.
 * @source tor-spec "Circuit management"
 */
import { BODY_AT } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import type { CellSink, CellSource, Channel } from '../channel/channel.ts';
import { Malformed } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import { refillChannel, sendCell } from './cell-queue.ts';
import { NO_LEG, PREV, TRANSIT } from './circuit-table.ts';
import { closeCircuitsOf, onDestroy, sendDestroy } from './close.ts';
import { cellBody, onCreate2, onCreateFast } from './create.ts';
import { settleWaiting, takeCreated } from './extend.ts';
import type { CircuitPlane } from './plane.ts';
import { onRelayCell, serveRelayCells } from './relay-cell.ts';

/** The circuit plane as channels see it. */
export class Circuits implements CellSink, CellSource {
  private readonly plane: CircuitPlane;

  constructor(plane: CircuitPlane) {
    this.plane = plane;
  }

  onCell(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void {
    const plane = this.plane;
    if (command === Command.RELAY || command === Command.RELAY_EARLY) {
      const leg = plane.table.find(channel.slot, circId);
      if (leg === NO_LEG) plane.counters.add(Counter.circuit_unknown_cell, 1);
      else onRelayCell(plane, leg, bytes, at);
      return;
    }
    serveRelayCells(plane);
    try {
      this.onControl(channel, command, circId, bytes, at);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      // Only a CREATE2 for a new circuit throws; what comes for a circuit that there is answers for itself.
      plane.counters.add(Counter.circuit_create_malformed, 1);
      sendDestroy(plane, channel, circId, DestroyReason.PROTOCOL);
    }
  }

  onChunkEnd(): void {
    serveRelayCells(this.plane);
  }

  private onControl(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void {
    const plane = this.plane;
    switch (command) {
      case Command.CREATE2:
        onCreate2(plane, channel, circId, cellBody(bytes, at));
        return;
      case Command.CREATE_FAST:
        onCreateFast(plane, channel, circId, cellBody(bytes, at));
        return;
      case Command.CREATE:
        plane.counters.add(Counter.circuit_create_tap_refused, 1);
        if (plane.table.find(channel.slot, circId) === NO_LEG && circId !== 0) {
          sendDestroy(plane, channel, circId, DestroyReason.PROTOCOL);
        }
        return;
      case Command.DESTROY: {
        const leg = plane.table.find(channel.slot, circId);
        if (leg === NO_LEG) plane.counters.add(Counter.circuit_destroy_unknown, 1);
        else onDestroy(plane, leg, bytes[at + BODY_AT]!);
        return;
      }
      case Command.CREATED2:
      case Command.CREATED_FAST:
        this.onCreated(channel, command, circId, bytes, at);
        return;
      default:
        // CREATED answers what we never ask.
        plane.counters.add(Counter.extend_created_unexpected, 1);
    }
  }

  private onCreated(channel: Channel, command: number, circId: number, bytes: Uint8Array, at: number): void {
    const plane = this.plane;
    const table = plane.table;
    const leg = table.find(channel.slot, circId);
    const isFast = command === Command.CREATED_FAST;
    if (leg === NO_LEG || (leg & 1) === PREV || (table.fast[leg >> 1] === 1) !== isFast) {
      plane.counters.add(Counter.extend_created_unexpected, 1);
      return;
    }
    const row = leg >> 1;
    if (table.kind[row] === TRANSIT) sendCell(plane, row * 2 + PREV, bytes, at);
    else takeCreated(plane, row, bytes, at);
  }

  onChannelOpen(channel: Channel): void {
    channel.idleSinceMs = this.plane.nowMs;
    settleWaiting(this.plane, channel);
  }

  onChannelClosed(channel: Channel): void {
    settleWaiting(this.plane, channel);
    closeCircuitsOf(this.plane, channel);
  }

  refill(channel: Channel): void {
    refillChannel(this.plane, channel);
  }
}
