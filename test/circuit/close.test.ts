/** How circuits end, and what each side is told. */
import { expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { OPEN } from '../../src/channel/channel.ts';
import { closeCircuit, SAY_NOTHING } from '../../src/circuit/close.ts';
import { Peer } from '../sim/peer.ts';
import { filled, ID, Rig } from './rig.ts';

test('a DESTROY from the client is passed on as 11', () => {
  const rig = new Rig();
  rig.openTwo();
  rig.client.send(ID, Command.DESTROY, Uint8Array.of(DestroyReason.REQUESTED));
  rig.settle();
  expect(rig.next.last.destroyed).toBe(DestroyReason.DESTROYED);
  expect(rig.client.cells).toEqual([]);
  expect(rig.count('circuit_destroy_received')).toBe(1);
  expect(rig.count('circuit_destroy_sent')).toBe(1);
  expect(rig.count('circuits_closed')).toBe(1);
  rig.expectEmpty();
});

test('a DESTROY from the next hop is passed on as 11', () => {
  const rig = new Rig();
  rig.openTwo();
  const { peer, circId } = rig.next.last;
  peer.send(circId, Command.DESTROY, Uint8Array.of(DestroyReason.RESOURCELIMIT));
  rig.settle();
  rig.expectDestroyed(DestroyReason.DESTROYED);
  rig.expectEmpty();
});

test('a refusal by the next hop, before it answered, too', () => {
  const rig = new Rig();
  rig.next.holdCreates = true;
  rig.open().extend(rig.next.hop);
  rig.settle();
  const { peer, cell } = rig.next.held[0]!;
  peer.send(cell.circId, Command.DESTROY, Uint8Array.of(DestroyReason.INTERNAL));
  rig.settle();
  rig.expectDestroyed(DestroyReason.DESTROYED);
  rig.expectEmpty();
});

test('a dead link gives 8 to the other side, for each of its circuits and no other', () => {
  const rig = new Rig();
  rig.openTwo(ID);
  rig.openTwo(ID + 1);
  const bystander = rig.open(ID + 2);
  rig.next.last.peer.wire.reset();
  rig.settle();
  const told = rig.client.cells.splice(0).map(({ circId, command, bytes }) => [circId, command, bytes[5]]);
  expect(told.sort()).toEqual([
    [ID, Command.DESTROY, DestroyReason.CHANNEL_CLOSED],
    [ID + 1, Command.DESTROY, DestroyReason.CHANNEL_CLOSED],
  ]);
  rig.expectAlive(bystander);
});

test('a client that goes takes its circuits along', () => {
  const rig = new Rig();
  rig.openTwo(ID);
  rig.client.wire.reset();
  rig.settle();
  expect(rig.next.last.destroyed).toBe(DestroyReason.CHANNEL_CLOSED);
  rig.expectEmpty();
  expect(rig.relay.roster.count().open).toBe(1);
});

test('closing twice is closing once', () => {
  const rig = new Rig();
  rig.open();
  const { table } = rig.plane;
  const row = table.find(rig.plane.channels.bySlot[0]!.slot, ID) >> 1;
  closeCircuit(rig.plane, row, DestroyReason.INTERNAL, SAY_NOTHING);
  closeCircuit(rig.plane, row, DestroyReason.INTERNAL, SAY_NOTHING);
  rig.relay.workers[0]!.wake();
  rig.settle();
  rig.expectDestroyed(DestroyReason.INTERNAL);
  expect(rig.count('circuits_closed')).toBe(1);
  expect(table.count).toBe(0);
});

test('a socket that dies while its circuits are being closed does no harm', () => {
  const rig = new Rig();
  const { channels } = rig.plane;
  const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
  rig.settle();
  rig.openTwo(ID);
  rig.openTwo(ID + 1);
  const [client, , next] = channels.bySlot;
  expect(next!.state).toBe(OPEN);
  // The DESTROY to the next hop is written at once, and that write finds the socket dead; so does the next one.
  for (const channel of [next!, client!]) {
    const { wire } = channel;
    channel.put = (bytes, at) => {
      Reflect.deleteProperty(channel, 'put');
      channel.put(bytes, at);
      rig.relay.workers[0]!.data.links.close(channel);
      wire!.abort();
    };
  }
  rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
  rig.settle();
  expect(rig.rows().owned).toBe(0);
  expect(rig.count('circuits_closed')).toBe(2);
  expect(other.gone).toBe(false);
  rig.expectEmpty();
});

test('a peer that reads none of its control cells is closed, not queued for without end', () => {
  const rig = new Rig();
  rig.open();
  const channel = rig.plane.channels.bySlot[0]!;
  rig.client.wire.other.write = () => 0;
  channel.put(buildCell(0, Command.PADDING, filled(0, 0)), 0);
  channel.flush();
  expect(channel.congested).toBe(true);
  // DESTROYs for ids that are not ours to give out.
  for (let i = 0; i < 4096; i++) rig.client.send(5 + i, Command.CREATE2, Uint8Array.of(0, 2, 0, 0));
  rig.settle();
  expect(channel.controlCells).toBe(4096);
  expect(rig.count('channel_control_queue_overflow')).toBe(0);
  rig.client.send(5, Command.CREATE2, Uint8Array.of(0, 2, 0, 0));
  rig.settle();
  expect(rig.count('channel_control_queue_overflow')).toBe(1);
  expect(rig.client.gone).toBe(true);
  rig.expectEmpty();
  expect(rig.plane.channels.count).toBe(0);
});

test('recognised nonsense closes the circuit: a length past the body', () => {
  const rig = new Rig();
  const circuit = rig.openTwo();
  circuit.say(RelayCommand.DATA, 1, filled(4, 1), { hop: 0, length: 499 });
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL);
  expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
  expect(rig.count('circuit_relay_malformed')).toBe(1);
  rig.expectEmpty();
});
