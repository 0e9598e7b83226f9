/** Rows of circuits that we start: one leg only, and the first hop found as any next hop is. */
import { expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { FREE, NEXT, NO_PORT, ORIGIN, PREV } from '../../src/circuit/circuit-table.ts';
import { closeCircuit } from '../../src/circuit/close.ts';
import { allocOrigin, findFirst } from '../../src/circuit/origin-row.ts';
import type { Origin } from '../../src/circuit/plane.ts';
import { Rig } from './rig.ts';

function hook(): { origin: Origin; told: string[] } {
  const told: string[] = [];
  const origin: Origin = {
    onCreated: (row) => void told.push(`created ${row}`),
    onRelayCell: (row) => {
      told.push(`cell ${row}`);
      return true;
    },
    onCircuitClosed: (row, reason) => void told.push(`closed ${row} ${reason}`),
  };
  return { origin, told };
}

function start(rig: Rig, isFast: boolean) {
  const { plane } = rig;
  const { origin, told } = hook();
  plane.origin = origin;
  const row = allocOrigin(plane);
  const { rsaId, ed25519Id, host, port } = rig.next.hop;
  const endpoint = { host, port };
  rig.next.holdCreates = true;
  const body = Uint8Array.of(0, 2, 0, 1, 9);
  findFirst(plane, row, { rsaId, ed25519Id, ipv4: endpoint, ipv6: null }, endpoint, { body, isFast });
  rig.settle();
  return { plane, row, told };
}

test('CREATE2 goes to the first hop, and its answer and cells to the hook', () => {
  const rig = new Rig();
  const { plane, row, told } = start(rig, false);
  expect(plane.table.kind[row]).toBe(ORIGIN);
  expect(plane.table.port[row * 2 + PREV]).toBe(NO_PORT);
  expect(plane.table.port[row * 2 + NEXT]).toBeGreaterThanOrEqual(0);
  const { peer, cell } = rig.next.held[0]!;
  expect(cell.bytes.subarray(5, 10)).toEqual(Uint8Array.of(0, 2, 0, 1, 9));
  // Only what answers it.
  peer.send(cell.circId, Command.CREATED_FAST, new Uint8Array(40));
  peer.send(cell.circId, Command.CREATED2, new Uint8Array(40));
  peer.send(cell.circId, Command.RELAY, new Uint8Array(509));
  peer.send(cell.circId, Command.DESTROY, Uint8Array.of(DestroyReason.HIBERNATING));
  rig.settle();
  expect(told).toEqual([`created ${row}`, `cell ${row}`, `closed ${row} ${DestroyReason.HIBERNATING}`]);
  expect(rig.count('extend_created_unexpected')).toBe(1);
  expect(plane.table.kind[row]).toBe(FREE);
  rig.expectEmpty();
});

test('a circuit that we close: the hook is told once, the first hop gets a DESTROY', () => {
  const rig = new Rig();
  const { plane, row, told } = start(rig, false);
  closeCircuit(plane, row, DestroyReason.REQUESTED, DestroyReason.NONE);
  closeCircuit(plane, row, DestroyReason.REQUESTED, DestroyReason.NONE);
  plane.wake();
  rig.settle();
  expect(told).toEqual([`closed ${row} ${DestroyReason.REQUESTED}`]);
  expect(rig.next.strayDestroys).toEqual([DestroyReason.NONE]);
  rig.expectEmpty();
});

test('no dial is charged to any link', () => {
  const rig = new Rig({ options: { dialsPerLinkMax: 0, dialsPerRelayMax: 0 } });
  const { told } = start(rig, false);
  expect(told).toEqual([]);
  expect(rig.count('links_dialled')).toBe(1);
});
