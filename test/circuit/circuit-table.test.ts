/** Rows, handles, and the index from (channel, circuit id) to a leg. */
import { describe, expect, test } from 'bun:test';
import {
  CircuitTable,
  FREE,
  NEXT,
  NO_LEG,
  NO_PORT,
  OPEN,
  OWNED,
  PREV,
  portWorker,
  ringPort,
} from '../../src/circuit/circuit-table.ts';
import { seeded } from '../shm/seeded.ts';

describe('rows', () => {
  test('begin with legs that end nowhere', () => {
    const table = new CircuitTable(4, 1);
    const row = table.alloc(OWNED, OPEN, 5);
    expect([table.kind[row], table.state[row], table.createdMs[row]]).toEqual([OWNED, OPEN, 5]);
    expect([table.port[row * 2 + PREV], table.port[row * 2 + NEXT]]).toEqual([NO_PORT, NO_PORT]);
    expect(table.count).toBe(1);
  });

  test('grow, keeping what they hold', () => {
    const table = new CircuitTable(2, 1);
    const rows = Array.from({ length: 100 }, (_, i) => {
      const row = table.alloc(OWNED, OPEN, i);
      table.bindChannel(row * 2, 3, 0x80000000 + i);
      return row;
    });
    expect(new Set(rows).size).toBe(100);
    for (const [i, row] of rows.entries()) {
      expect(table.find(3, 0x80000000 + i)).toBe(row * 2);
      expect(table.createdMs[row]).toBe(i);
    }
  });

  test('are used again under another generation', () => {
    const table = new CircuitTable(1, 1);
    const row = table.alloc(OWNED, OPEN, 0);
    const generation = table.generation[row]!;
    table.relayEarly[row] = 8;
    table.attempt[row] = 3;
    expect(table.isLive(row, generation)).toBe(true);
    table.release(row);
    expect(table.kind[row]).toBe(FREE);
    expect(table.isLive(row, generation)).toBe(false);
    expect(table.alloc(OWNED, OPEN, 0)).toBe(row);
    expect(table.isLive(row, generation)).toBe(false);
    expect(table.isLive(row, generation + 1)).toBe(true);
    expect([table.relayEarly[row], table.attempt[row]]).toEqual([0, 0]);
  });

  test('beyond the table are not live', () => {
    expect(new CircuitTable(4, 1).isLive(0xffffffff, 0)).toBe(false);
  });
});

test('ring ports name their worker and are no channel', () => {
  for (const worker of [0, 1, 63]) {
    expect(portWorker(ringPort(worker))).toBe(worker);
    expect(ringPort(worker)).toBeLessThan(NO_PORT);
  }
});

describe('the index', () => {
  test('tells channels and ids apart', () => {
    const table = new CircuitTable(8, 7);
    const a = table.alloc(OWNED, OPEN, 0);
    const b = table.alloc(OWNED, OPEN, 0);
    table.bindChannel(a * 2, 1, 0xffffffff);
    table.bindChannel(b * 2, 2, 0xffffffff);
    table.bindChannel(b * 2 + NEXT, 1, 1);
    expect(table.find(1, 0xffffffff)).toBe(a * 2);
    expect(table.find(2, 0xffffffff)).toBe(b * 2);
    expect(table.find(1, 1)).toBe(b * 2 + NEXT);
    expect(table.find(1, 2)).toBe(NO_LEG);
    table.unbindChannel(a * 2);
    expect(table.find(1, 0xffffffff)).toBe(NO_LEG);
    expect(table.port[a * 2]).toBe(NO_PORT);
  });

  test('agrees with a map through any order of binding and unbinding', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed);
      const table = new CircuitTable(4, seed);
      const truth = new Map<string, number>();
      const legs: { leg: number; key: string }[] = [];
      for (let step = 0; step < 3000; step++) {
        const port = Math.floor(random() * 4);
        const id = Math.floor(random() * 200);
        const key = `${port} ${id}`;
        expect(table.find(port, id)).toBe(truth.get(key) ?? NO_LEG);
        if (random() < 0.55 && !truth.has(key)) {
          const leg = table.alloc(OWNED, OPEN, 0) * 2;
          table.bindChannel(leg, port, id);
          truth.set(key, leg);
          legs.push({ leg, key });
        } else if (legs.length > 0) {
          const [gone] = legs.splice(Math.floor(random() * legs.length), 1);
          table.unbindChannel(gone!.leg);
          table.release(gone!.leg / 2);
          truth.delete(gone!.key);
        }
      }
      expect(table.count).toBe(truth.size);
    }
  });
});
