/** The circuit plane as channels see it: every command finds its file, and errors stay with one cell. */
import { expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { filled, ID, Rig } from './rig.ts';

test('a malformed CREATE2 costs a DESTROY, and the circuits beside it nothing', () => {
  const rig = new Rig();
  const circuit = rig.open();
  rig.client.send(ID + 1, Command.CREATE2, Uint8Array.of(0, 2, 0xff, 0xff));
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL, ID + 1);
  expect(rig.count('circuit_create_malformed')).toBe(1);
  rig.expectAlive(circuit);
});

test('a CREATED2 on the client’s side of a circuit is not taken for the next hop’s', () => {
  const rig = new Rig();
  rig.next.holdCreates = true;
  const circuit = rig.open();
  circuit.extend(rig.next.hop);
  rig.settle();
  rig.client.send(ID, Command.CREATED2, Uint8Array.of(0, 64, ...filled(64, 1)));
  rig.settle();
  expect(rig.count('extend_created_unexpected')).toBe(1);
  expect(rig.extending()).toBe(1);
});
