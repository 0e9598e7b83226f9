/** What exit traffic costs: bandwidth, and memory that is counted. */
import { expect, test } from 'bun:test';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin } from '../../src/cell/stream-message.ts';
import { Memory } from '../../src/shm/memory-ledger.ts';
import { filled } from '../circuit/rig.ts';
import type { ClientCircuit } from '../sim/client.ts';
import { CIRC_ID, ExitRig } from './exit-rig.ts';

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

test('when memory runs out, the circuit goes whose streams have held bytes for longest', () => {
  const rig = new ExitRig({ options: { maxMemInQueues: 6_000_000 } });
  rig.stream(9).capacity = 0;
  const newer = rig.open(CIRC_ID + 1, true);
  newer.say(RelayCommand.BEGIN, 9, encodeBegin('192.0.2.9:81'));
  rig.settle();
  const other = rig.destinations.last;
  other.capacity = 0;
  other.accept();
  rig.settle();
  const { memory } = rig.relay;
  const send = (circuit: ClientCircuit, bytes: number): void => {
    for (let i = 0; i * RELAY_DATA_MAX < bytes; i++)
      circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, 1));
    rig.settle();
  };
  send(rig.circuit, 1_500_000);
  rig.pass(1000);
  const rest = 5_900_000 - memory.filled();
  send(newer, rest);
  expect(rig.count('circuit_memory_killed')).toBe(0);
  send(newer, 200_000);
  rig.pass(500);
  expect(rig.count('circuit_memory_killed')).toBe(1);
  expect(rig.count('oom_stream_bytes')).toBeGreaterThan(1_400_000);
  expect(other.ended).toBe(false);
  expect(rig.edge.table.count).toBe(1);
  expect(memory.filled()).toBeLessThan(5_400_000);
});

test('so does one whose directory streams ask and never come to an end', () => {
  const directory = { isCache: true, isBridge: false, frontPage: null, policy: [] };
  const rig = new ExitRig({ options: { directory, maxMemInQueues: 6_000_000 } });
  const newer = rig.open(CIRC_ID + 1, true);
  const { memory } = rig.relay;
  const ask = (circuit: ClientCircuit, streams: number): void => {
    for (let id = 1; id <= streams; id++) {
      circuit.say(RelayCommand.BEGIN_DIR, id);
      for (let i = 0; i < 90; i++) circuit.say(RelayCommand.DATA, id, filled(RELAY_DATA_MAX, 0x41));
      rig.settle();
    }
  };
  ask(rig.circuit, 40);
  expect(memory.kind(Memory.compression)).toBeGreaterThan(40 * 90 * RELAY_DATA_MAX);
  rig.pass(1000);
  ask(newer, 90);
  rig.pass(500);
  expect(rig.count('circuit_memory_killed')).toBeGreaterThan(0);
  expect(rig.count('oom_stream_bytes')).toBeGreaterThan(40 * 90 * RELAY_DATA_MAX);
  expect(memory.filled()).toBeLessThan(6_000_000);
});
