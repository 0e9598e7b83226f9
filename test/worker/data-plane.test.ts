/** The phases of a turn, put together: what is left over is told, options are swapped whole. */
import { expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { CREATING, OWNED } from '../../src/circuit/circuit-table.ts';
import { Counter } from '../../src/shm/scoreboard.ts';
import { filled, ID, Rig } from '../circuit/rig.ts';
import { OPTIONS } from '../sim/relay.ts';

test('a turn without work leaves nothing, and says so', () => {
  const { data } = new Rig().relay.workers[0]!;
  expect(data.work()).toBe(false);
  expect(data.hasHandshakes).toBe(false);
  expect(data.hasRingWork()).toBe(false);
  expect(data.scheduler.dirtyCount).toBe(0);
});

test('handshakes past their time in one turn are left for the next', () => {
  const rig = new Rig();
  const { data } = rig.relay.workers[0]!;
  const { world } = rig;
  // Every look at the clock costs a millisecond: a turn has time for one or two handshakes.
  let calls = 0;
  Object.defineProperty(world, 'nowMs', { get: () => 1000 + calls++, set: () => {} });
  for (let i = 0; i < 5; i++) {
    data.plane.onionQueue.push(
      { row: i, generation: 0, handshakeType: 2, data: filled(84, 1), queuedMs: 1000 },
      false,
      1000,
    );
    data.plane.table.alloc(1, 1, 0);
  }
  expect(data.work()).toBe(false);
  expect(data.workOnHandshakes(1000)).toBe(true);
  expect(data.plane.onionQueue.length).toBeGreaterThan(0);
  expect(data.plane.onionQueue.length).toBeLessThan(5);
});

test.each(['stream_cells_sent', 'exit_bytes_written'] as const)(
  'streams that end here wait for a few handshakes only, as what is passed on does: %s',
  (name) => {
    const rig = new Rig();
    const { data } = rig.relay.workers[0]!;
    let calls = 0;
    Object.defineProperty(rig.world, 'nowMs', { get: () => 1000 + 0.3 * calls++, set: () => {} });
    /** Handshakes of one slice. */
    const slice = (): number => {
      const { onionQueue, table } = data.plane;
      while (onionQueue.length < 12) {
        const row = table.alloc(OWNED, CREATING, 0);
        const generation = table.generation[row]!;
        const onion = { row, generation, handshakeType: 2, data: filled(84, 1), queuedMs: 1000 };
        onionQueue.push(onion, false, 1000);
      }
      expect(data.workOnHandshakes(1000 + 0.3 * calls)).toBe(true);
      return 12 - onionQueue.length;
    };
    expect(slice()).toBeGreaterThan(4);
    data.plane.counters.add(Counter[name], 1);
    expect(slice()).toBeLessThan(3);
  },
);

test('connections of the DirPort are sockets, too', () => {
  const { links, directory } = new Rig().relay.workers[0]!.data;
  const before = links.sockets;
  directory.connections += 3;
  expect(links.sockets).toBe(before + 3);
});

test('new options count from the next cell on', () => {
  const rig = new Rig();
  const circuit = rig.open();
  rig.relay.workers[0]!.data.setOptions({ ...OPTIONS, allowNonearlyExtend: true });
  circuit.extend(rig.next.hop, { command: Command.RELAY });
  rig.settle();
  rig.extended(circuit);
});

test('bytes are counted in and out', () => {
  const rig = new Rig();
  const circuit = rig.open(ID);
  const [read, written] = [rig.count('bytes_read'), rig.count('bytes_written')];
  for (let i = 0; i < 5; i++) circuit.say(RelayCommand.BEGIN, 1, filled(1, 0));
  rig.settle();
  expect(rig.count('bytes_read') - read).toBe(5 * 514);
  expect(rig.count('bytes_written') - written).toBe(5 * 514);
  expect(rig.count('cells_read')).toBeGreaterThanOrEqual(6);
});
