/** What a circuit's own queue has to do with its streams. */
import { expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeSendme } from '../../src/cell/sendme.ts';
import { PREV } from '../../src/circuit/circuit-table.ts';
import { filled } from '../circuit/rig.ts';
import { ExitRig } from './exit-rig.ts';

const SAID_BYTES = 480 * RELAY_DATA_MAX;

/** A circuit whose link takes nothing, and a stream on it with more than its queue may hold; `release`: it does again. */
function makeStalled() {
  const rig = new ExitRig({ cc: false });
  const connection = rig.stream(9);
  const { table } = rig.plane;
  const row = table.kind.findIndex((kind) => kind !== 0);
  const leg = row * 2 + PREV;
  const channel = rig.plane.channels.bySlot[table.port[leg]!]!;
  rig.prev.wire.stalled = true;
  channel.congested = true;
  connection.say(filled(SAID_BYTES, 1));
  rig.settle();
  const release = (): void => {
    rig.prev.wire.stalled = false;
    channel.drain();
    rig.settle();
  };
  return { rig, connection, table, leg, end: rig.edge.endOf(row), release };
}

test('streams stop while their circuit’s queue is full, and go on when it is nearly empty', () => {
  const { rig, connection, table, leg, end, release } = makeStalled();
  expect(table.queueCells[leg]).toBe(256);
  expect([end.room(), end.isBlocked, table.lowWatch[leg]]).toEqual([0, true, 1]);
  expect(connection.paused).toBe(true);

  release();
  expect(table.queueCells[leg]).toBe(0);
  expect(end.isBlocked).toBe(false);
  let bytes = 0;
  let cells = 0;
  while (rig.prev.cells.length > 0) {
    const heard = rig.heard();
    expect(heard.command).toBe(RelayCommand.DATA);
    bytes += heard.data.length;
    cells++;
  }
  expect(bytes).toBe(SAID_BYTES);
  expect(end.flow.room).toBe(1000 - cells);
});

test('streams go on, too, when the queue was nearly empty and filled a little before their turn', () => {
  const { rig, table, leg, end, release } = makeStalled();
  // As it is once the queue was down to its low mark, and messages that are no DATA came to it right then.
  table.lowWatch[leg] = 0;
  expect([end.room(), table.lowWatch[leg]]).toEqual([0, 1]);

  release();
  let bytes = 0;
  while (rig.prev.cells.length > 0) bytes += rig.heard().data.length;
  expect(bytes).toBe(SAID_BYTES);
});

test('a circuit that closes in the middle of sending ends its streams and nothing else', () => {
  const rig = new ExitRig({ cc: false, options: { circQueueCellsMax: 100 } });
  const connection = rig.stream(9);
  const { table } = rig.plane;
  const row = table.kind.findIndex((kind) => kind !== 0);
  const channel = rig.plane.channels.bySlot[table.port[row * 2 + PREV]!]!;
  rig.prev.wire.stalled = true;
  channel.congested = true;
  connection.say(filled(480 * RELAY_DATA_MAX, 1));
  rig.settle();
  expect(connection.ended).toBe(true);
  expect(rig.count('circuit_queue_limit_killed')).toBe(1);
  rig.expectNoStreams();
});

test('a circuit whose link breaks in the middle of sending, and says so at once, ends its streams and nothing else', () => {
  const rig = new ExitRig();
  const connection = rig.stream(9);
  const link = rig.prev.wire.other;
  // The first write of 32 KiB is in the middle of the bodies that are sent together.
  link.write = () => {
    link.end();
    return 0;
  };
  connection.say(filled(200 * RELAY_DATA_MAX, 1));
  rig.settle();
  expect(connection.ended).toBe(true);
  expect(rig.count('channels_closed')).toBe(1);
  rig.expectNoStreams();
});

test('a queue above its mark tells congestion control', () => {
  const rig = new ExitRig();
  const connection = rig.stream(9);
  const { table } = rig.plane;
  const row = table.kind.findIndex((kind) => kind !== 0);
  const end = rig.edge.endOf(row);
  connection.say(filled(31 * RELAY_DATA_MAX, 1));
  rig.settle();
  let tag = new Uint8Array(0) as Uint8Array;
  for (let cell = 1; rig.prev.cells.length > 0; cell++) {
    rig.heard();
    if (cell === 31) tag = rig.circuit.layers[0]!.backwardTag;
  }
  rig.plane.options = { ...rig.plane.options, flow: { ...rig.plane.options.flow, cellqHigh: 0 } };
  rig.say(RelayCommand.SENDME, 0, encodeSendme(tag));
  expect(end.flow.vegas).toMatchObject({ blocked: true, inSlowStart: false });
});

test('each SENDME is acknowledged to the link at once, DATA once a turn, and nothing else is', () => {
  const rig = new ExitRig({ cc: false });
  const connection = rig.stream(9);
  const wire = rig.prev.wire.other;
  // A hundred cells: some leave room for random bytes.
  connection.say(filled(99 * RELAY_DATA_MAX + 100, 1));
  rig.settle();
  expect(rig.heardAll().length).toBe(100);
  expect(wire.acknowledged).toBe(0);
  rig.say(RelayCommand.SENDME, 9);
  expect(wire.acknowledged).toBe(1);
  rig.sendme();
  expect(wire.acknowledged).toBe(2);
  for (let cell = 0; cell < 20; cell++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, 1));
  rig.settle();
  expect(wire.acknowledged).toBe(3);
  // A circuit that ends in the same turn is owed nothing any more.
  rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, 1));
  rig.circuit.say(RelayCommand.SENDME, 9);
  rig.circuit.say(RelayCommand.SENDME, 9);
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL);
  expect(wire.acknowledged).toBe(5);
});
