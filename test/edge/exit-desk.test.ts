/** What exit traffic costs: bandwidth, and memory that is counted. */
import { expect, test } from 'bun:test';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { Memory } from '../../src/shm/memory-ledger.ts';
import { filled } from '../circuit/rig.ts';
import { ExitRig } from './exit-rig.ts';

const RATE = 100_000;
const limited = { bandwidthRate: RATE, bandwidthBurst: RATE, perConnBwRate: RATE, perConnBwBurst: RATE };

test('reading waits for an empty bucket, and goes on when it is filled', () => {
  const rig = new ExitRig({ options: limited });
  const connection = rig.stream(9);
  for (let i = 0; i < 3; i++) {
    expect(connection.paused).toBe(false);
    connection.say(filled(40_000, 1));
    rig.settle();
  }
  expect(connection.paused).toBe(true);
  expect(rig.count('bandwidth_read_limit_hit')).toBeGreaterThan(0);
  connection.say(filled(10, 2));
  expect(rig.count('exit_bytes_read')).toBe(120_000);
  rig.pass(1000);
  expect(rig.count('exit_bytes_read')).toBe(120_010);
});

test('writing waits, too', () => {
  const rig = new ExitRig({ options: limited });
  const connection = rig.stream(9);
  for (let i = 0; i < 500; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, i & 255));
  rig.settle();
  const at = connection.received.length;
  expect(at).toBeLessThan(500 * RELAY_DATA_MAX);
  rig.pass(6000);
  expect(connection.received.length).toBe(500 * RELAY_DATA_MAX);
  expect(rig.count('bandwidth_write_limit_hit')).toBeGreaterThan(0);
});

test('private destinations count only if torrc wants it', () => {
  for (const countPrivateBandwidth of [true, false]) {
    const rig = new ExitRig({ options: { ...limited, countPrivateBandwidth } });
    const connection = rig.stream(9, '10.1.2.3:80');
    connection.say(filled(60_000, 1));
    connection.say(filled(60_000, 1));
    rig.settle();
    expect(rig.count('bandwidth_read_limit_hit') > 0).toBe(countPrivateBandwidth);
  }
});

test('what streams hold is in the ledger', () => {
  const rig = new ExitRig({ cc: false });
  const { memory } = rig.relay;
  const connection = rig.stream(9);
  connection.capacity = 0;
  connection.say(filled(600 * RELAY_DATA_MAX, 1));
  for (let i = 0; i < 100; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, 1));
  rig.settle();
  const incoming = rig.edge.desk.incomingBytes;
  expect(incoming).toBeGreaterThan(99 * RELAY_DATA_MAX);
  expect(memory.kind(Memory.streams)).toBe(incoming + rig.edge.desk.buffers.heldBytes);
  expect(rig.edge.desk.buffers.lent).toBe(2);
});
