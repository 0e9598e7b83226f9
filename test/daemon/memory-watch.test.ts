/** What the operator hears when memory for what waits runs out. */
import { afterEach, expect, test } from 'bun:test';
import { MemoryWatch } from '../../src/daemon/memory-watch.ts';
import { type LogRecord, setLogSink } from '../../src/log.ts';
import { Memory, MemoryLedger } from '../../src/shm/memory-ledger.ts';
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';

const MB = 2 ** 20;

afterEach(() => setLogSink(null));

function make() {
  const board = new Scoreboard(Scoreboard.create(1), 0);
  const ledger = new MemoryLedger(MemoryLedger.create(1), 0);
  const said: string[] = [];
  setLogSink(({ severity, text }: LogRecord) => said.push(`${severity} ${text}`));
  let nowMs = 0;
  const watch = new MemoryWatch(board, ledger, () => nowMs);
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { board, ledger, said, watch, pass };
}

test('one warning a minute names MaxMemInQueues and what happened since the last', () => {
  const { board, said, watch, pass } = make();
  watch.tick(256 * MB);
  expect(said).toEqual([]);
  board.add(Counter.circuits_created, 100);
  board.add(Counter.oom_rounds, 1);
  watch.tick(256 * MB);
  // The limit was reached and nothing had to end.
  expect(said).toEqual([]);
  board.add(Counter.circuit_memory_killed, 30);
  board.add(Counter.circuits_closed, 30);
  board.add(Counter.oom_cell_bytes, 3 * MB);
  watch.tick(256 * MB);
  expect(said.pop()).toMatch(
    /^warn Low on memory: .*MaxMemInQueues \(256\.00 MB\), 1 time.* Ended 30 circuits .* freed 3\.00 MB; 70 circuits remain\./,
  );
  board.add(Counter.circuit_memory_killed, 1);
  pass(30_000);
  watch.tick(256 * MB);
  expect(said).toEqual([]);
  board.add(Counter.circuit_memory_killed, 4);
  board.add(Counter.oom_rounds, 2);
  board.add(Counter.oom_links_closed, 6);
  pass(31_000);
  watch.tick(256 * MB);
  expect(said.pop()).toMatch(/2 time.* Ended 5 circuits .* and closed 6 links that take nothing/);
  pass(61_000);
  watch.tick(256 * MB);
  expect(said).toEqual([]);
});

test('USR1 tells what holds how much', () => {
  const { ledger, said, watch } = make();
  ledger.set(Memory.cells, 3 * MB);
  ledger.setSpare(MB);
  ledger.set(Memory.rings, 2 * MB);
  watch.dump(512 * MB);
  expect(said.pop()).toBe(
    'notice Memory of what waits: 5.00 MB of 512.00 MB (MaxMemInQueues), 1.00 MB of it unused: ' +
      'cells 3.00 MB, rings 2.00 MB.',
  );
});
