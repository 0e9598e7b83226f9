/** Cells listed by leg: each circuit's in order, together, and none of a circuit that ended. */
import { expect, test } from 'bun:test';
import { BODY_AT, BODY_BYTES, CELL_BYTES } from '../../src/cell/cell.ts';
import { CircuitTable, OPEN, OWNED, TRANSIT } from '../../src/circuit/circuit-table.ts';
import { type BatchServer, NONE, RelayBatch } from '../../src/circuit/relay-batch.ts';

/** A chunk of cells whose bodies begin with their number. */
function chunkOf(cells: number): Uint8Array {
  const chunk = new Uint8Array(cells * CELL_BYTES);
  const view = new DataView(chunk.buffer);
  for (let i = 0; i < cells; i++) view.setUint32(i * CELL_BYTES + BODY_AT, i);
  return chunk;
}

interface Served {
  readonly leg: number;
  readonly numbers: number[];
}

/** Writes down what is served; `ends` tells after which number a circuit ends. */
class Witness implements BatchServer {
  readonly batch: RelayBatch;
  readonly served: Served[] = [];
  readonly passed: Served[] = [];
  ends = -1;
  onServe: (leg: number) => void = () => {};

  constructor(batch: RelayBatch) {
    this.batch = batch;
  }

  serveBodies(leg: number, _first: number, bytes: Uint8Array, at: number, count: number): boolean {
    const numbers = Array.from({ length: count }, (_, i) => numberAt(bytes, at + i * BODY_BYTES));
    this.served.push({ leg, numbers });
    this.onServe(leg);
    return !numbers.includes(this.ends);
  }

  passCells(leg: number, first: number): void {
    const { at, behind, bytes } = this.batch;
    for (let cell = first; cell !== NONE; cell = behind[cell]!) {
      const number = numberAt(bytes, at[cell]! + BODY_AT);
      this.passed.push({ leg, numbers: [number] });
      if (number === this.ends) return;
    }
  }
}

function numberAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function setUp(circuits: number, kind: number = OWNED) {
  const table = new CircuitTable(circuits, 1);
  const legs = Array.from({ length: circuits }, () => table.alloc(kind, OPEN, 0) * 2);
  const batch = new RelayBatch();
  return { table, legs, batch, server: new Witness(batch) };
}

test('cells of one circuit are served together and in order, circuits by their first cell', () => {
  const { table, legs, batch, server } = setUp(3);
  const chunk = chunkOf(9);
  const order = [2, 0, 2, 1, 0, 2, 2, 1, 2];
  for (const [i, circuit] of order.entries()) batch.add(table, legs[circuit]!, chunk, i * CELL_BYTES);
  expect(batch.length).toBe(9);
  batch.serve(table, server);
  expect(server.served).toEqual([
    { leg: legs[2]!, numbers: [0, 2, 5, 6, 8] },
    { leg: legs[0]!, numbers: [1, 4] },
    { leg: legs[1]!, numbers: [3, 7] },
  ]);
  expect(batch.length).toBe(0);
  batch.serve(table, server);
  expect(server.served.length).toBe(3);
});

test('many cells of one circuit are served in stretches, each once', () => {
  const { table, legs, batch, server } = setUp(1);
  const chunk = chunkOf(101);
  for (let i = 0; i < 101; i++) batch.add(table, legs[0]!, chunk, i * CELL_BYTES);
  batch.serve(table, server);
  expect(server.served.length).toBeGreaterThan(1);
  expect(server.served.flatMap(({ numbers }) => numbers)).toEqual(Array.from({ length: 101 }, (_, i) => i));
});

test('a full list says so, and takes more once it is served', () => {
  const { table, legs, batch, server } = setUp(1);
  const chunk = chunkOf(1);
  let listed = 0;
  while (batch.add(table, legs[0]!, chunk, 0)) listed++;
  expect(listed).toBe(batch.length);
  batch.serve(table, server);
  expect(server.served.reduce((sum, { numbers }) => sum + numbers.length, 0)).toBe(listed);
  expect(batch.add(table, legs[0]!, chunk, 0)).toBe(true);
});

test('a circuit that ends is served no further, whoever ended it', () => {
  const { table, legs, batch, server } = setUp(2);
  const chunk = chunkOf(100);
  for (let i = 0; i < 100; i++) batch.add(table, legs[i < 90 ? 0 : 1]!, chunk, i * CELL_BYTES);
  // The first circuit ends in its first stretch, and takes the second along.
  server.ends = 3;
  server.onServe = () => {
    if (table.isLive(legs[1]! >> 1, 0)) table.release(legs[1]! >> 1);
  };
  batch.serve(table, server);
  expect(server.served.map(({ leg }) => leg)).toEqual([legs[0]!]);
  // The row is another circuit's now, which has none of those cells.
  const again = table.alloc(OWNED, OPEN, 0) * 2;
  expect(again).toBe(legs[1]!);
  batch.add(table, again, chunk, 0);
  batch.serve(table, server);
  expect(server.served.at(-1)).toEqual({ leg: again, numbers: [0] });
});

test('cells that need no cipher are passed one by one, by circuit too', () => {
  const { table, legs, batch, server } = setUp(2, TRANSIT);
  const chunk = chunkOf(4);
  for (const [i, circuit] of [0, 1, 0, 1].entries()) batch.add(table, legs[circuit]!, chunk, i * CELL_BYTES);
  batch.serve(table, server);
  expect(server.passed.map(({ numbers }) => numbers[0])).toEqual([0, 2, 1, 3]);
  expect(server.served).toEqual([]);
});

test('cells of two buffers are never listed together', () => {
  const { table, legs, batch } = setUp(1);
  batch.add(table, legs[0]!, chunkOf(1), 0);
  expect(() => batch.add(table, legs[0]!, chunkOf(1), 0)).toThrow('one buffer');
});
