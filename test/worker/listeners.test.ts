/** The listeners of a worker: one generation of credentials after another, and no descriptor left. */

import { afterEach, beforeEach, expect, test } from 'bun:test';
import { EXIT_PORTS, OperatorError } from '../../src/fault.ts';
import { setLogSink, setLogThreshold } from '../../src/log.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';
import { CONNECTIONS_PER_TURN, Listeners } from '../../src/worker/listeners.ts';

const EMFILE = { errno: 24, text: 'EMFILE: Too many open files' };
const LENT = [9001, 9002].map((port, i) => ({
  fd: 50 + i,
  endpoint: { host: new Uint8Array([127, 0, 0, 1]), port },
}));

const warnings: string[] = [];

beforeEach(() => {
  warnings.length = 0;
  setLogThreshold((severity) => severity === 'warn');
  setLogSink((record) => void warnings.push(record.text));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
});

const generation = (number: number) => ({ generation: number }) as LinkCredentials;

/** Listeners on descriptors that exist on paper only. */
function rig() {
  /** What listens: fd and generation. */
  const open = new Set<string>();
  const full = new Set<number>();
  const rigged = { connect: () => {}, pauses: 0 };
  const listeners = new Listeners(
    (fd, credentials, onConnection) => {
      const name = `${fd}:${credentials.generation}`;
      open.add(name);
      rigged.connect = onConnection;
      return { stop: () => void open.delete(name) };
    },
    () => {
      rigged.pauses++;
    },
    (fd) => (full.has(fd) ? EMFILE : fd + 100),
  );
  return { listeners, open, full, rigged };
}

test('each listens on a duplicate, and a new generation takes over from the old one', () => {
  const { listeners, open } = rig();
  listeners.take(LENT, generation(1));
  expect([...open]).toEqual(['150:1', '151:1']);
  listeners.renew(generation(2));
  expect([...open]).toEqual(['150:2', '151:2']);
  listeners.close();
  expect(open.size).toBe(0);
  expect(warnings).toEqual([]);
});

test('one that cannot be duplicated serves on with its old credentials, until the next time', () => {
  const { listeners, open, full } = rig();
  listeners.take(LENT, generation(1));
  full.add(50);
  listeners.renew(generation(2));
  expect([...open].sort()).toEqual(['150:1', '151:2']);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('127.0.0.1:9001: EMFILE');
  full.clear();
  listeners.renew(generation(3));
  expect([...open].sort()).toEqual(['150:3', '151:3']);
  expect(warnings).toHaveLength(1);
});

test('a worker that cannot begin says what would help', () => {
  const { listeners, full } = rig();
  full.add(51);
  let error: unknown;
  try {
    listeners.take(LENT, generation(1));
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(OperatorError);
  expect((error as OperatorError).exitCode).toBe(EXIT_PORTS);
  expect((error as OperatorError).message).toContain('127.0.0.1:9002');
});

test('so many are accepted in a turn, on all sockets together; the others wait for the next', () => {
  const { listeners, open, rigged } = rig();
  listeners.take(LENT, generation(1));
  for (let i = 0; i < CONNECTIONS_PER_TURN - 1; i++) rigged.connect();
  expect(open.size).toBe(2);
  listeners.nextTurn();
  for (let i = 0; i < CONNECTIONS_PER_TURN; i++) rigged.connect();
  expect(open.size).toBe(0);
  expect(rigged.pauses).toBe(1);
  // A key that is renewed meanwhile is the one that they come back with.
  listeners.renew(generation(2));
  expect(open.size).toBe(0);
  listeners.nextTurn();
  expect([...open].sort()).toEqual(['150:2', '151:2']);
});

test('who listens first again changes from turn to turn', () => {
  const { listeners, open, rigged } = rig();
  listeners.take(LENT, generation(1));
  const firsts: (string | undefined)[] = [];
  for (let turn = 0; turn < 4; turn++) {
    for (let i = 0; i < CONNECTIONS_PER_TURN; i++) rigged.connect();
    listeners.nextTurn();
    firsts.push([...open][0]);
  }
  expect(firsts).toEqual(['151:1', '150:1', '151:1', '150:1']);
});

test('without descriptors they come back when there are some', () => {
  const { listeners, open, full, rigged } = rig();
  listeners.take(LENT, generation(1));
  for (let i = 0; i < CONNECTIONS_PER_TURN; i++) rigged.connect();
  full.add(51);
  listeners.nextTurn();
  expect([...open]).toEqual(['150:1']);
  full.clear();
  listeners.nextTurn();
  expect([...open].sort()).toEqual(['150:1', '151:1']);
  listeners.close();
  listeners.nextTurn();
  expect(open.size).toBe(0);
});
