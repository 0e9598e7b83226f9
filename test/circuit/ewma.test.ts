/** The weight of a cell by its time: what half-lives do to the order of circuits. */
import { expect, test } from 'bun:test';
import { addActive, NO_LEGS } from '../../src/channel/active-legs.ts';
import { CircuitTable, OPEN, OWNED } from '../../src/circuit/circuit-table.ts';
import { Ewma } from '../../src/circuit/ewma.ts';

const HALF_LIFE_MS = 30_000;

function setUp() {
  const table = new CircuitTable(4, 1);
  const ewma = new Ewma(1000);
  ewma.advance(table, 1000, HALF_LIFE_MS);
  const [a, b] = [table.alloc(OWNED, OPEN, 0) * 2, table.alloc(OWNED, OPEN, 0) * 2];
  const send = (leg: number, cells: number) => {
    table.sent[leg]! += cells * ewma.weight;
  };
  return { table, ewma, a, b, send };
}

test('after one half-life past cells count half', () => {
  const { table, ewma, a, b, send } = setUp();
  send(a, 100);
  ewma.advance(table, 1000 + HALF_LIFE_MS, HALF_LIFE_MS);
  send(b, 50);
  expect(table.sent[a]).toBeCloseTo(table.sent[b]!, 9);
  send(b, 1);
  expect(table.sent[b]).toBeGreaterThan(table.sent[a]!);
});

test('weeks of half-lives stay within what numbers can say, and keep the order', () => {
  const { table, ewma, a, b, send } = setUp();
  for (let hours = 1; hours <= 24 * 14; hours++) {
    ewma.advance(table, 1000 + hours * 3_600_000, HALF_LIFE_MS);
    send(a, 2);
    send(b, 3);
    expect(Number.isFinite(table.sent[b]!)).toBe(true);
    expect(table.sent[a]! / table.sent[b]!).toBeCloseTo(2 / 3, 9);
    // What was sent an hour ago counts for nothing any more.
    expect(table.sent[b]! / ewma.weight).toBeCloseTo(3, 9);
  }
});

test('another half-life starts all counts afresh', () => {
  const { table, ewma, a, b, send } = setUp();
  send(a, 1000);
  send(b, 1);
  ewma.advance(table, 2000, 5);
  expect(table.sent[a]).toBe(0);
  expect(table.sent[b]).toBe(0);
  expect(ewma.weight).toBe(1);
});

test('a row that is used again has sent nothing', () => {
  const { table, a, send } = setUp();
  send(a, 9);
  send(a + 1, 9);
  table.release(a >> 1);
  const again = table.alloc(OWNED, OPEN, 0);
  expect(again).toBe(a >> 1);
  expect([table.sent[again * 2], table.sent[again * 2 + 1]]).toEqual([0, 0]);
});

test('counts that time has made equal leave a heap in order', () => {
  const { table, ewma, a, b, send } = setUp();
  const port = { activeLegs: NO_LEGS, activeCount: 0 };
  send(a, 1);
  send(b, 2);
  // The quieter one had its last turn later: as long as they differ that does not count.
  table.turn[b] = 1;
  table.turn[a] = 2;
  addActive(port, table, a);
  addActive(port, table, b);
  ewma.advance(table, 1000 + 5000 * HALF_LIFE_MS, HALF_LIFE_MS);
  expect([table.sent[a], table.sent[b]]).toEqual([0, 0]);
  expect(port.activeLegs[0]).toBe(a);
  expect(table.turn[a]).toBeLessThanOrEqual(table.turn[b]!);
});
