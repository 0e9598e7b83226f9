/** Queues of cells that cannot go yet: bounds, fairness, and that all is given back. */
import { describe, expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { FLUSH_BYTES } from '../../src/channel/channel.ts';
import { sendCell } from '../../src/circuit/cell-queue.ts';
import { ClientCircuit } from '../sim/client.ts';
import { audit } from '../sim/ledger.ts';
import { Peer } from '../sim/peer.ts';
import { filled, ID, Rig } from './rig.ts';

/** Stop the client's link from taking bytes; returns how to let it go on. */
function blockClient(rig: Rig): (cells?: number) => void {
  const wire = rig.client.wire.other;
  const { write } = wire;
  let room = 0;
  wire.write = (bytes, from, length) => {
    const n = Math.min(length, room);
    room -= n;
    const taken = n > 0 ? write.call(wire, bytes, from, n) : 0;
    return taken;
  };
  // A cell that finds the wire blocked makes the channel congested.
  const channel = rig.relay.workers[0]!.data.channels.bySlot[0]!;
  channel.put(buildCell(0, Command.PADDING, filled(0, 0)), 0);
  channel.flush();
  expect(channel.congested).toBe(true);
  return (cells = Number.POSITIVE_INFINITY) => {
    room = cells * 514;
    channel.drain();
    rig.relay.workers[0]!.wake();
    rig.settle();
    const padding = rig.client.cells.findIndex(({ command }) => command === Command.PADDING);
    if (padding >= 0) rig.client.cells.splice(padding, 1);
  };
}

test('a link that breaks as it is written to ends the circuit whose cell it was, and the sender hears of it', () => {
  const rig = new Rig();
  const circuits = [rig.openTwo(ID), rig.openTwo(ID + 1)];
  const { plane } = rig;
  const link = rig.client.wire.other;
  link.write = () => {
    link.end();
    return 0;
  };
  const leg = plane.table.find(0, circuits[1]!.circId);
  const cell = buildCell(0, Command.RELAY, filled(509, 1));
  let sent = 0;
  while (sendCell(plane, leg, cell, 0)) sent++;
  // Staging is written once so much is in it.
  expect(sent).toBe(Math.ceil(FLUSH_BYTES / 514) - 1);
  rig.settle();
  rig.expectEmpty();
});

describe('a client that does not read', () => {
  test('gets its cells in order later, its circuits in turn', () => {
    const rig = new Rig();
    const circuits = [rig.openTwo(ID), rig.openTwo(ID + 1), rig.openTwo(ID + 2)];
    const unblock = blockClient(rig);
    for (let i = 0; i < 20; i++) {
      for (const end of rig.next.circuits) {
        end.say(RelayCommand.DATA, 1, Uint8Array.of(i));
        rig.settle();
      }
    }
    const waiting = rig.plane.parked.used;
    expect(waiting).toBeGreaterThan(50);
    audit(rig.relay.workers[0]!);
    // Twelve cells' worth of room and the one that blocked: no circuit is more than one ahead of another.
    unblock(13);
    const got = [0, 0, 0];
    for (const cell of rig.client.cells) got[cell.circId - ID]!++;
    expect(Math.max(...got) - Math.min(...got)).toBeLessThanOrEqual(1);
    unblock();
    for (const circuit of circuits) {
      const mine = rig.client.cells.filter(({ circId }) => circId === circuit.circId);
      expect(mine.map((cell) => circuit.hear(cell).data[0]!)).toEqual(
        Array.from({ length: 20 }, (_, i) => i),
      );
    }
    expect(rig.plane.parked.used).toBe(0);
    audit(rig.relay.workers[0]!);
  });

  test('loses a circuit at exactly its bound, with 5 both ways, and no other', () => {
    const rig = new Rig({ options: { circQueueCellsMax: 10 } });
    rig.openTwo(ID);
    const other = rig.openTwo(ID + 1);
    const [end, otherEnd] = rig.next.circuits;
    const unblock = blockClient(rig);
    for (let i = 0; i < 10; i++) end!.say(RelayCommand.DATA, 1, filled(1, 1));
    otherEnd!.say(RelayCommand.DATA, 1, filled(1, 9));
    rig.settle();
    expect(end!.destroyed).toBe(-1);
    end!.say(RelayCommand.DATA, 1, filled(1, 1));
    rig.settle();
    expect(end!.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    expect(rig.count('circuit_queue_limit_killed')).toBe(1);
    audit(rig.relay.workers[0]!);
    unblock();
    const destroys = rig.client.cells.filter(({ command }) => command === Command.DESTROY);
    expect(destroys.map(({ circId, bytes }) => [circId, bytes[5]])).toEqual([
      [ID, DestroyReason.RESOURCELIMIT],
    ]);
    const data = rig.client.cells.filter(({ circId }) => circId === ID + 1);
    expect(data.map((cell) => other.hear(cell).data)).toEqual([filled(1, 9)]);
    expect(rig.rows()).toEqual({ owned: 1, transit: 0 });
  });

  test('gives back what was parked when its circuit or its channel goes', () => {
    for (const how of ['destroy', 'reset'] as const) {
      const rig = new Rig();
      rig.openTwo();
      const end = rig.next.last;
      blockClient(rig);
      for (let i = 0; i < 30; i++) end.say(RelayCommand.DATA, 1, filled(1, i));
      rig.settle();
      expect(rig.plane.parked.used).toBeGreaterThan(20);
      if (how === 'destroy') rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
      else rig.client.wire.reset();
      rig.settle();
      expect(rig.plane.parked.used).toBe(0);
      audit(rig.relay.workers[0]!);
      expect(end.destroyed).toBe(how === 'destroy' ? DestroyReason.DESTROYED : DestroyReason.CHANNEL_CLOSED);
    }
  });

  test('does not hold up another client on the same next hop', () => {
    const rig = new Rig();
    rig.openTwo();
    const end = rig.next.last;
    blockClient(rig);
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    const circuit = new ClientCircuit(other, ID);
    circuit.createFast();
    for (let i = 0; i < 200; i++) end.say(RelayCommand.DATA, 1, filled(1, i));
    rig.settle();
    circuit.createdFast(other.expect(Command.CREATED_FAST));
    expect(end.peer.wire.other.paused).toBe(false);
  });
});

test('a queue that overflows with a message of our own kills its circuit cleanly', () => {
  const rig = new Rig({ options: { circQueueCellsMax: 3 } });
  const circuit = rig.open();
  const unblock = blockClient(rig);
  for (let i = 0; i < 10; i++) circuit.say(RelayCommand.BEGIN, 1 + i, filled(1, 0));
  rig.settle();
  expect(rig.count('circuit_queue_limit_killed')).toBe(1);
  expect(rig.rows().owned).toBe(0);
  audit(rig.relay.workers[0]!);
  unblock();
  expect(rig.client.cells.some(({ command }) => command === Command.DESTROY)).toBe(true);
  rig.expectEmpty();
});
