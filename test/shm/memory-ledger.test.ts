/** Who holds how much of what: sums over workers, and the cutoff that all of them find alike. */
import { describe, expect, test } from 'bun:test';
import { Memory, MemoryLedger, OFFER_STEPS } from '../../src/shm/memory-ledger.ts';

function open(workers: number): MemoryLedger[] {
  const sab = MemoryLedger.create(workers);
  return Array.from({ length: workers + 1 }, (_, worker) => new MemoryLedger(sab, worker));
}

function offer(ledger: MemoryLedger, steps: readonly (readonly [number, number])[]): void {
  for (const [i, [sinceMs, bytes]] of steps.entries()) ledger.setStep(i, sinceMs, bytes);
  ledger.offer(steps.length);
}

describe('gauges', () => {
  test('are set by their worker, read and summed by all', () => {
    const [a, b, main] = open(2) as [MemoryLedger, MemoryLedger, MemoryLedger];
    a.set(Memory.cells, 1000);
    a.set(Memory.cells, 700);
    a.set(Memory.staging, 30);
    b.set(Memory.cells, 5);
    main.set(Memory.caches, 2 ** 40);
    expect([main.of(0, Memory.cells), main.kind(Memory.cells), a.kind(Memory.staging)]).toEqual([
      700, 705, 30,
    ]);
    expect(b.held()).toBe(735 + 2 ** 40);
  });

  test('what is spare is held, and not filled', () => {
    const [a, b] = open(2) as [MemoryLedger, MemoryLedger];
    a.set(Memory.cells, 1000);
    a.setSpare(400);
    b.set(Memory.rings, 50);
    expect([b.held(), b.filled(), b.filledBy(0), b.filledBy(1)]).toEqual([1050, 650, 600, 50]);
  });

  test('of a dead worker are forgotten, and its successor counts anew', () => {
    const [a, b, main] = open(2) as [MemoryLedger, MemoryLedger, MemoryLedger];
    a.set(Memory.cells, 1000);
    a.setSpare(10);
    offer(a, [[5, 1000]]);
    b.set(Memory.cells, 1);
    main.dropWorker(0);
    expect([main.held(), main.filled(), main.cutoff(1)]).toEqual([1, 1, Number.NEGATIVE_INFINITY]);
    a.set(Memory.cells, 20);
    expect(main.held()).toBe(21);
  });
});

describe('the cutoff', () => {
  test('is found in the order of age over all workers', () => {
    const [a, b] = open(2) as [MemoryLedger, MemoryLedger];
    offer(a, [
      [10, 100],
      [30, 100],
    ]);
    offer(b, [
      [20, 100],
      [40, 100],
    ]);
    for (const ledger of [a, b]) {
      expect([1, 100, 101, 250, 301, 400].map((excess) => ledger.cutoff(excess))).toEqual([
        10, 10, 20, 30, 40, 40,
      ]);
    }
  });

  test('is all that is offered when that does not suffice, and nothing when nothing is', () => {
    const [a, b] = open(2) as [MemoryLedger, MemoryLedger];
    expect(a.cutoff(1)).toBe(Number.NEGATIVE_INFINITY);
    offer(b, [[7, 10]]);
    expect(a.cutoff(1000)).toBe(7);
    b.offer(0);
    expect(a.cutoff(1000)).toBe(Number.NEGATIVE_INFINITY);
  });

  test('a row takes as many steps as it says', () => {
    const [a] = open(1) as [MemoryLedger];
    offer(
      a,
      Array.from({ length: OFFER_STEPS }, (_, i) => [i, 1]),
    );
    expect(a.cutoff(OFFER_STEPS)).toBe(OFFER_STEPS - 1);
  });
});

test('one of all begins to end queues, anyone ends that', () => {
  const [a, b] = open(2) as [MemoryLedger, MemoryLedger];
  expect([a.isReclaiming, a.beginReclaiming(), b.beginReclaiming(), b.isReclaiming]).toEqual([
    false,
    true,
    false,
    true,
  ]);
  b.endReclaiming();
  expect([a.isReclaiming, b.beginReclaiming()]).toEqual([false, true]);
});
