/** The supervisor with workers that carry nothing: births, deaths, acknowledgements, ends. */

import { afterEach, beforeEach, expect, test } from 'bun:test';
import { fstatSync } from 'node:fs';
import { Supervisor } from '../../src/daemon/supervisor.ts';
import { Bug } from '../../src/fault.ts';
import { closeFd, isFault, listenTcpGroup } from '../../src/libc.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { AddressTable } from '../../src/shm/address-table.ts';
import { READ, WRITE } from '../../src/shm/bandwidth.ts';
import { ConnectVerdict, DosTable } from '../../src/shm/dos-table.ts';
import type { DnsReport, OnionKeysLetter, WorkerOptions } from '../../src/shm/letter.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';
import { Memory, MemoryLedger } from '../../src/shm/memory-ledger.ts';
import { Roster } from '../../src/shm/roster.ts';
import { Counter } from '../../src/shm/scoreboard.ts';
import { lock } from '../../src/shm/spin-lock.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { Order } from './fake-worker.ts';

const WORKER = new URL('./fake-worker.ts', import.meta.url).href;
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

const orders = new SharedArrayBuffer(64);
const orderOf = new Int32Array(orders);
let said: string[] = [];
const reports: DnsReport[] = [];
const undo: (() => unknown)[] = [];

beforeEach(() => {
  orderOf.fill(Order.obey);
  said = [];
  setLogThreshold(() => true);
  setLogSink((record) => void said.push(`[${record.severity}] ${record.text}`));
});

afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
  setLogSink(null);
  setLogThreshold(null);
});

const optionsOf = (generation: number) => ({ generation, orders }) as unknown as WorkerOptions;
const credentialsOf = (generation: number) => ({ generation }) as LinkCredentials;

function make(
  workers: number,
  ackTimeoutMs = 60_000,
): { supervisor: Supervisor; fds: number[]; port: number } {
  const group = listenTcpGroup({ host: LOOPBACK, port: 0 }, workers);
  if (isFault(group)) throw new Error(group.text);
  const endpoint = { host: LOOPBACK, port: group.port };
  const supervisor = new Supervisor({
    workers,
    ports: [{ endpoint, kind: 'or', fds: [...group.fds] }],
    options: optionsOf(0),
    credentials: credentialsOf(1),
    onionKeys: { generation: 1 } as OnionKeysLetter,
    onLog: (record: LogRecord) => void said.push(record.text),
    onDnsReport: (report) => reports.push(report),
    workerUrl: WORKER,
    ackTimeoutMs,
  });
  undo.push(() => {
    for (const fd of group.fds) closeFd(fd);
  });
  undo.push(() => {
    orderOf.fill(Order.obey);
    return supervisor.stop();
  });
  return { supervisor, fds: group.fds, port: group.port };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

const count = (text: string) => said.filter((each) => each.includes(text)).length;

test('all workers start with rings to each other and a listening socket each, and acknowledge letters', async () => {
  const { supervisor } = make(3);
  await supervisor.start();
  expect(said.toSorted()).toEqual([
    '0: start, rings to [1,2], 1 listeners, key 1',
    '1: start, rings to [0,2], 1 listeners, key 1',
    '2: start, rings to [0,1], 1 listeners, key 1',
  ]);
  await Promise.all([
    supervisor.setOptions(optionsOf(1)),
    supervisor.setCredentials(credentialsOf(2)),
    supervisor.setOnionKeys({ generation: 2 } as OnionKeysLetter),
    supervisor.dump(),
    supervisor.tellLinks(),
  ]);
  for (const kind of ['options', 'credentials 2', 'onion-keys', 'dump', 'links'])
    expect(count(`: ${kind}`)).toBe(3);
  // What workers find out about nameservers is passed on.
  expect(reports.map(({ hijackedHosts }) => hijackedHosts[0]![3]).sort()).toEqual([0, 1, 2]);
});

test('a worker that cannot start fails the start', async () => {
  orderOf[1] = Order.dieAtStart;
  const { supervisor } = make(2);
  const failed = await supervisor.start().catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(Bug);
  expect(String(failed)).toContain('worker 1 ended while it started');
});

test('a death detaches the survivors, then a successor comes with fresh rings and the newest letters', async () => {
  const { supervisor } = make(3);
  await supervisor.start();
  await supervisor.setCredentials(credentialsOf(7));
  said = [];
  supervisor.kill(1);
  await until(() => count('Worker 1 is back') === 1);
  const order = said.filter((text) => /^0: |^1: /.test(text));
  expect(order).toEqual(['0: detach 1', '0: attach 1', '1: start, rings to [0,2], 1 listeners, key 7']);
  expect(count('2: detach 1')).toBe(1);
  expect(count('[warn] Worker 1 died.')).toBe(1);
  expect(supervisor.restarts).toBe(1);
  // What the dead one held is no longer open: 3 workers and a successor made 10 circuits each.
  const board = supervisor.scoreboard;
  expect(board.total(Counter.circuits_created)).toBe(40);
  expect(board.total(Counter.circuits_closed)).toBe(10);
});

test('with a death its memory counts no more, and nobody waits behind its links, at once', async () => {
  const { supervisor } = make(2);
  await supervisor.start();
  const { memory } = supervisor['shared'];
  new MemoryLedger(memory, 1).set(Memory.cells, 12_345);
  const { bandwidth } = supervisor;
  const nowMs = 1000;
  for (const direction of [READ, WRITE]) bandwidth.show(direction, 1, 7, 3, nowMs);
  expect(bandwidth.othersWaiting(READ, 0, nowMs)).toBe(3);
  supervisor.kill(1);
  await until(() => count('Worker 1 died') === 1);
  expect(supervisor.memory.held()).toBe(0);
  for (const direction of [READ, WRITE]) expect(bandwidth.othersWaiting(direction, 0, nowMs)).toBe(0);
});

test('two deaths at once, and one of them again before it is ready', async () => {
  const { supervisor } = make(3);
  await supervisor.start();
  orderOf[2] = Order.dieAtStart;
  supervisor.kill(0);
  supervisor.kill(2);
  await until(() => count('2: start') === 3);
  orderOf[2] = Order.obey;
  await until(() => count('Worker 2 is back') === 1 && count('Worker 0 is back') === 1);
  expect(supervisor.restarts).toBeGreaterThanOrEqual(3);
  await supervisor.dump();
  for (const index of [0, 1, 2]) expect(count(`${index}: dump`)).toBe(1);
});

test('two deaths at once, of which the second held every lock', async () => {
  const { supervisor } = make(3);
  await supervisor.start();
  const { roster, halfOpen, dos } = supervisor['shared'];
  // The first has a row that only the lock's holder could take out of its chain, and an address counted.
  const row = { rsaId: new Uint8Array(20).fill(1), ed25519Id: null, address: LOOPBACK, port: 1, slot: 0 };
  const rest = { generation: 0, state: 'open', inbound: false, canonical: false, createdMs: 0 } as const;
  expect(new Roster(roster, 1).insert({ ...row, ...rest })).toBeGreaterThanOrEqual(0);
  expect(new AddressTable(halfOpen, 1).increment(LOOPBACK, 5)).toBe(true);
  const rosterWords = new Int32Array(roster);
  for (let stripe = 0; stripe < 64; stripe++) lock(rosterWords, 16 + 16 * stripe, 2);
  const addressWords = new Int32Array(halfOpen);
  for (let bucket = 0; bucket < addressWords[0]!; bucket++) lock(addressWords, 16 + bucket, 2);
  expect(new DosTable(dos, 1).connect(LOOPBACK, 1, DOS_LIMITS)).toBe(ConnectVerdict.ADMITTED);
  const dosWords = new Int32Array(dos);
  for (let bucket = 0; bucket < dosWords[0]!; bucket++) lock(dosWords, 16 + bucket, 2);
  supervisor.kill(1);
  await until(() => count('Worker 1 died') === 1);
  supervisor.kill(2);
  await until(() => count('Worker 1 is back') === 1 && count('Worker 2 is back') === 1);
  expect(new Roster(roster, 3).count().open).toBe(0);
  expect(new AddressTable(halfOpen, 3).total()).toBe(0);
  expect(new DosTable(dos, 3).connectionsOf(LOOPBACK)).toBe(0);
}, 60_000);

test('deaths without end lend every successor a socket and leave no descriptor behind', async () => {
  const { supervisor } = make(1);
  await supervisor.start();
  const before = openFds();
  for (let i = 1; i <= 10; i++) {
    supervisor.kill(0);
    await until(() => count('Worker 0 is back') === i);
  }
  expect(openFds()).toBeLessThanOrEqual(before + 2);
});

test('a worker that does not answer is named, and one that dies instead is not waited for', async () => {
  const { supervisor } = make(2, 200);
  await supervisor.start();
  orderOf[0] = Order.stayMute;
  await supervisor.setOptions(optionsOf(1));
  expect(count('[warn] No answer to "options" from worker 0.')).toBe(1);
  orderOf[0] = Order.dieAtNextLetter;
  await supervisor.setOptions(optionsOf(2));
  expect(count('No answer')).toBe(1);
  orderOf[0] = Order.obey;
  await until(() => count('Worker 0 is back') === 1);
});

test('after the listeners are closed nobody is let in, and a successor gets none', async () => {
  const { supervisor, fds, port } = make(2);
  await supervisor.start();
  await supervisor.closeListeners();
  await supervisor.closeListeners();
  expect(count(': close-listeners')).toBe(2);
  // Closed already; by the end of this test the numbers may be somebody else's.
  for (const fd of fds.splice(0)) expect(() => fstatSync(fd)).toThrow();
  const dialled = Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } });
  expect(await dialled.then(() => 'in').catch(() => 'refused')).toBe('refused');
  supervisor.kill(0);
  await until(() => count('0: start, rings to [1], 0 listeners') === 1);
});

test('an end that was asked for is no death', async () => {
  const { supervisor } = make(2);
  await supervisor.start();
  await supervisor.stop();
  await Bun.sleep(50);
  expect(count('died')).toBe(0);
  expect(supervisor.restarts).toBe(0);
});

function openFds(): number {
  let open = 0;
  for (let fd = 0; fd < 1000; fd++) {
    try {
      fstatSync(fd);
      open++;
    } catch {
      // Not open.
    }
  }
  return open;
}
