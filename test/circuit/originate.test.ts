import { expect, test } from 'bun:test';
import { BODY_AT } from '../../src/cell/cell.ts';
import { DATA_AT, RelayCommand } from '../../src/cell/relay-message.ts';
import { OPEN, OWNED } from '../../src/circuit/circuit-table.ts';
import { originate } from '../../src/circuit/originate.ts';
import { Bug } from '../../src/fault.ts';
import { filled, ID, Rig } from './rig.ts';

test('messages of ours are sealed in the order of what passes through', () => {
  const rig = new Rig();
  const circuit = rig.openTwo();
  const row = rig.plane.table.find(rig.plane.channels.bySlot[0]!.slot, ID) >> 1;
  for (let i = 0; i < 10; i++) {
    rig.next.last.say(RelayCommand.DATA, 1, filled(4, i));
    rig.settle();
    expect(originate(rig.plane, row, RelayCommand.END, 7, filled(1, i))).toBe(true);
    rig.relay.workers[0]!.wake();
    rig.settle();
  }
  for (let i = 0; i < 10; i++) {
    expect(rig.heard(circuit)).toMatchObject({ hop: 1, data: filled(4, i) });
    expect(rig.heard(circuit)).toMatchObject({ hop: 0, streamId: 7, data: filled(1, i) });
  }
});

test('what follows the data is four zeros and randomness', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.BEGIN, 3, filled(2, 0));
  rig.settle();
  const cell = rig.client.take();
  const bytes = cell.bytes.slice();
  circuit.layers[0]!.decryptBackward(bytes, BODY_AT);
  const tail = bytes.subarray(BODY_AT + DATA_AT + 1);
  expect(Array.from(tail.subarray(0, 4))).toEqual([0, 0, 0, 0]);
  expect(new Set(Array.from(tail.subarray(4))).size).toBeGreaterThan(100);
});

test('a circuit that is not open has nothing to say', () => {
  const rig = new Rig();
  const row = rig.plane.table.alloc(OWNED, OPEN, 0);
  expect(() => originate(rig.plane, row, RelayCommand.END, 1, filled(1, 1))).toThrow(Bug);
});
