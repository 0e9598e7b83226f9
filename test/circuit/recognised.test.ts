/** Messages for this hop: what an edge throws closes the circuit with its reason, and what is not ours to judge dies loudly. */
import { expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { closeCircuit, SAY_NOTHING } from '../../src/circuit/close.ts';
import { Malformed, Violation } from '../../src/fault.ts';
import { filled, Rig } from './rig.ts';

function withEdge(onMessage: (row: number, rig: Rig) => void) {
  const rig = new Rig();
  const closed: number[] = [];
  rig.plane.edge = {
    onMessage: (row) => onMessage(row, rig),
    onData: (row) => onMessage(row, rig),
    onQueueLow: () => {},
    onCircuitClosed: (row) => closed.push(row),
  };
  const circuit = rig.openTwo();
  return { rig, circuit, closed };
}

test('a violation closes the circuit with its own reason and counter', () => {
  const { rig, circuit, closed } = withEdge(() => {
    throw new Violation('circuit', DestroyReason.RESOURCELIMIT, 'circuit_unexpected_sendme', 'why not');
  });
  circuit.say(RelayCommand.DATA, 1, filled(3, 1), { hop: 0 });
  rig.settle();
  rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
  expect(rig.next.last.destroyed).toBe(DestroyReason.RESOURCELIMIT);
  expect(rig.count('circuit_unexpected_sendme')).toBe(1);
  expect(closed.length).toBe(1);
});

test('malformed messages close it with 1', () => {
  const { rig, circuit } = withEdge(() => {
    throw new Malformed('BEGIN', 'no');
  });
  circuit.say(RelayCommand.BEGIN, 1, filled(3, 1), { hop: 0 });
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL);
  expect(rig.count('circuit_relay_malformed')).toBe(1);
});

test('an edge that closed the circuit before it threw closes nothing else', () => {
  const { rig, circuit, closed } = withEdge((row, { plane }) => {
    closeCircuit(plane, row, DestroyReason.INTERNAL, SAY_NOTHING);
    throw new Malformed('BEGIN', 'no');
  });
  circuit.say(RelayCommand.BEGIN, 1, filled(3, 1), { hop: 0 });
  rig.settle();
  rig.expectDestroyed(DestroyReason.INTERNAL);
  expect(closed.length).toBe(1);
});

test('what is neither is a bug and is not caught', () => {
  const { rig, circuit } = withEdge(() => {
    throw new RangeError('ours');
  });
  circuit.say(RelayCommand.BEGIN, 1, filled(3, 1), { hop: 0 });
  expect(() => rig.settle()).toThrow(RangeError);
});

test('the longest message is whole, one byte more is malformed', () => {
  const seen: number[] = [];
  const { rig, circuit } = withEdge(() => {});
  rig.plane.edge.onData = (_row, _stream, _bytes, _at, length) => seen.push(length);
  circuit.say(RelayCommand.DATA, 1, filled(498, 1), { hop: 0 });
  rig.settle();
  expect(seen).toEqual([498]);
  circuit.say(RelayCommand.DATA, 1, filled(498, 1), { hop: 0, length: 499 });
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL);
});
