import { expect, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import { COUNTER_NAMES, Counter, counterByName, Scoreboard } from '../../src/shm/scoreboard.ts';
import { Thread } from './thread.ts';

test('names are snake_case, unique, and their numbers are their places', () => {
  expect(new Set(COUNTER_NAMES).size).toBe(COUNTER_NAMES.length);
  for (const [column, name] of COUNTER_NAMES.entries()) {
    expect(name).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    expect(Counter[name]).toBe(column);
    expect(counterByName(name)).toBe(column);
  }
});

test('a name that nobody declared is a bug, also one that every object has', () => {
  const board = new Scoreboard(Scoreboard.create(1), 0);
  expect(() => board.bump('no_such_counter')).toThrow(Bug);
  expect(() => board.bump('toString')).toThrow(Bug);
});

test('each worker and the main thread write a row of their own, and totals add them up', () => {
  const sab = Scoreboard.create(3);
  const boards = [0, 1, 2, 3].map((worker) => new Scoreboard(sab, worker));
  for (const [worker, board] of boards.entries()) {
    expect(board.workers).toBe(3);
    for (let column = 0; column < COUNTER_NAMES.length; column++) board.add(column, (worker + 1) * column);
    board.bump('extend_timeout');
  }
  for (let column = 0; column < COUNTER_NAMES.length; column++) {
    const bumped = column === Counter.extend_timeout ? 1 : 0;
    for (let worker = 0; worker <= 3; worker++) {
      expect(boards[0]!.of(worker, column)).toBe((worker + 1) * column + bumped);
    }
    expect(boards[2]!.total(column)).toBe(10 * column + 4 * bumped);
  }
  expect(() => new Scoreboard(sab, 4)).toThrow(Bug);
});

test('bytes count exactly past 32 bits, and a successor goes on where its predecessor stood', () => {
  const sab = Scoreboard.create(1);
  new Scoreboard(sab, 0).add(Counter.bytes_read, 2 ** 45);
  new Scoreboard(sab, 0).add(Counter.bytes_read, 1);
  expect(new Scoreboard(sab, 1).total(Counter.bytes_read)).toBe(2 ** 45 + 1);
});

test('two threads that count at once do not disturb each other', async () => {
  const sab = Scoreboard.create(2);
  const threads = [new Thread('./scoreboard-worker.ts'), new Thread('./scoreboard-worker.ts')];
  try {
    await Promise.all(threads.map((one, worker) => one.ask({ sab, worker, count: 200_000 })));
    const board = new Scoreboard(sab, 2);
    expect(board.of(0, Counter.cells_read)).toBe(200_000);
    expect(board.of(1, Counter.cells_read)).toBe(200_000);
    expect(board.total(Counter.cells_read)).toBe(400_000);
  } finally {
    await Promise.all(threads.map((one) => one.kill()));
  }
}, 60_000);
