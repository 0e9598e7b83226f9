/** One worker's side of the rings to another: what is owed is neither lost nor overtaken. */
import { expect, test } from 'bun:test';
import { BODY_AT, BODY_BYTES, CELL_BYTES, getCommand } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { RingPort, spanOf, WORD } from '../../src/circuit/ring-port.ts';
import { Ring, SLOT_HEADER_BYTES, SLOT_STRIDE, SlotKind } from '../../src/shm/ring.ts';

function pair(slots = 8): { port: RingPort; far: Ring } {
  const there = Ring.create(slots);
  const back = Ring.create(slots);
  return { port: new RingPort(1, new Ring(there), new Ring(back)), far: new Ring(there) };
}

/** Take everything that was published, as words. */
function drain(port: RingPort, far: Ring): { words: number[]; payload: Uint8Array }[] {
  port.outgoing.publish();
  const out: { words: number[]; payload: Uint8Array }[] = [];
  for (let at = far.peek(); at >= 0; at = far.peek()) {
    out.push({
      words: [...far.u32.subarray(at >> 2, (at >> 2) + 7)],
      payload: far.u8.slice(at + SLOT_HEADER_BYTES, at + SLOT_HEADER_BYTES + CELL_BYTES),
    });
    far.advance();
  }
  far.release();
  return out;
}

test('a cell crosses whole, to its row', () => {
  const { port, far } = pair();
  const bytes = Uint8Array.from({ length: 600 }, (_, i) => i);
  expect(port.putCell(7, 0xffffffff, 3, bytes, 40)).toBe(true);
  expect(port.unpublished).toBe(true);
  const [slot] = drain(port, far);
  expect(slot!.words.slice(0, 4)).toEqual([SlotKind.CELL, 7, 0xffffffff, 3]);
  expect(slot!.payload).toEqual(bytes.slice(40, 40 + CELL_BYTES));
});

test('cells cross together, one behind the other, with one header', () => {
  const { port, far } = pair(64);
  const bodies = Uint8Array.from({ length: 7 + 5 * BODY_BYTES }, (_, i) => i * 7);
  expect(port.putCells(7, 0xffffffff, 3, bodies, 7, 5)).toBe(true);
  expect(port.unpublished).toBe(true);
  port.outgoing.publish();
  const at = far.peek();
  expect([...far.u32.subarray(at >> 2, (at >> 2) + 5)]).toEqual([SlotKind.CELLS, 7, 0xffffffff, 3, 5]);
  for (let i = 0; i < 5; i++) {
    const cell = at + SLOT_HEADER_BYTES + i * CELL_BYTES;
    expect(getCommand(far.u8, cell)).toBe(Command.RELAY);
    const from = 7 + i * BODY_BYTES;
    expect(far.u8.slice(cell + BODY_AT, cell + CELL_BYTES)).toEqual(bodies.slice(from, from + BODY_BYTES));
  }
  far.advance(spanOf(SlotKind.CELLS, 5));
  expect(far.peek()).toBe(-1);
});

test('a span is as long as what it holds', () => {
  for (const [kind, each] of [
    [SlotKind.CELLS, CELL_BYTES],
    [SlotKind.BODIES, BODY_BYTES],
  ] as const) {
    for (let count = 1; count <= 64; count++) {
      const spare = spanOf(kind, count) * SLOT_STRIDE - SLOT_HEADER_BYTES - count * each;
      expect(spare).toBeGreaterThanOrEqual(0);
      expect(spare).toBeLessThan(SLOT_STRIDE);
    }
  }
});

test('cells that find no room in a row leave nothing behind', () => {
  const { port, far } = pair(16);
  const bodies = new Uint8Array(32 * BODY_BYTES);
  expect(port.putCells(1, 1, 1, bodies, 0, 32)).toBe(false);
  port.outgoing.publish();
  expect(far.peek()).toBe(-1);
  expect(port.congested).toBe(false);
  expect(port.putCell(1, 1, 1, bodies, 0)).toBe(true);
});

test('cells leave an eighth of the ring to control messages', () => {
  const { port } = pair();
  const cell = new Uint8Array(CELL_BYTES);
  for (let i = 0; i < 7; i++) expect(port.putCell(1, 1, 1, cell, 0)).toBe(true);
  expect(port.putCell(1, 1, 1, cell, 0)).toBe(false);
  port.putControl(SlotKind.LEG_DESTROY, 1, 1, 1, 11, 0);
  expect(port.owedCount).toBe(0);
  port.putControl(SlotKind.LEG_DESTROY, 2, 1, 1, 11, 0);
  expect(port.owedCount).toBe(1);
  expect(port.congested).toBe(true);
});

test('what is owed goes out in order, bodies with it, as room comes', () => {
  const { port, far } = pair();
  for (let i = 0; i < 8; i++) port.putControl(SlotKind.LEG_READY, i, 0, 0, i, i);
  const handle = 5 * WORD + 9;
  for (let i = 8; i < 30; i++) {
    if (i % 3 === 0) port.putOpenLeg(i, 1, 2, handle, new Uint8Array(100 + i).fill(i), i % 2 === 0);
    else port.putControl(SlotKind.LEG_DESTROY, i, 1, 2, 11, 0);
  }
  expect(port.owedCount).toBe(22);
  const rows: number[] = [];
  for (let round = 0; round < 4; round++) {
    for (const { words, payload } of drain(port, far)) {
      rows.push(words[1]!);
      if (words[0] !== SlotKind.OPEN_LEG && words[0] !== SlotKind.OPEN_LEG_FAST) continue;
      expect(words[0] === SlotKind.OPEN_LEG_FAST).toBe(words[1]! % 2 === 0);
      expect(words[4]! + words[5]! * WORD).toBe(handle);
      expect(payload.subarray(0, words[6]!)).toEqual(new Uint8Array(100 + words[1]!).fill(words[1]!));
    }
    expect(port.payOwed()).toBe(round >= 2);
  }
  expect(rows).toEqual(Array.from({ length: 30 }, (_, i) => i));
  expect(port.owedCount).toBe(0);
});

test('nothing overtakes what is owed, though there is room', () => {
  const { port, far } = pair();
  for (let i = 0; i < 9; i++) port.putControl(SlotKind.LEG_READY, i, 0, 0, 0, 0);
  drain(port, far);
  port.putOpenLeg(9, 0, 0, 1, new Uint8Array(3), false);
  expect(port.owedCount).toBe(2);
  expect(port.payOwed()).toBe(true);
  expect(drain(port, far).map(({ words }) => words[1])).toEqual([8, 9]);
});

test('what was paid is let go of, though more is owed all the while', () => {
  const { port, far } = pair();
  const bodies: WeakRef<Uint8Array>[] = [];
  const rows: number[] = [];
  let next = 0;
  for (let round = 0; round < 2000; round++) {
    while (port.owedCount < 20) {
      const body = new Uint8Array(400);
      bodies.push(new WeakRef(body));
      port.putOpenLeg(next++, 1, 1, 1, body, false);
    }
    for (const { words } of drain(port, far)) rows.push(words[1]!);
    expect(port.payOwed()).toBe(false);
  }
  expect(rows.length).toBeGreaterThan(15_000);
  expect(rows).toEqual(Array.from(rows, (_, i) => i));
  Bun.gc(true);
  expect(bodies.filter((body) => body.deref() !== undefined).length).toBeLessThan(bodies.length / 4);
});
