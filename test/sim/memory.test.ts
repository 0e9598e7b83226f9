/**
 * Little memory, and readers that stall: the ledger is exact after each step, memory never goes far past the limit, and
 * whoever reads loses nothing but what was the oldest.
 */
import { describe, expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { audit } from './ledger.ts';
import { OPTIONS, SimRelay } from './relay.ts';
import { Terminal } from './terminal.ts';
import { attend, type Circuit, Client } from './traffic.ts';
import { World } from './world.ts';

const SEEDS = Math.min(40, Number(process.env['SIM_SEEDS'] ?? 4));
const CHUNK_BYTES = 256 * 514;
const ENDLESS = { cells: 1_000_000, window: 1_000_000 };
const NONE = { cells: 0, window: 0 };
const STEPS_MAX = 60_000;
const ROUNDS = 2;

function play(seed: number): void {
  const world = new World(seed, {
    capacityBytes: 2000 + (seed % 5) * 4000,
    chunkBytes: 40_000,
    shortWrites: 0.2,
    lateData: 0.1,
    brokenWrites: 0.3,
    idleDrains: 0.01,
  });
  const host = Uint8Array.of(198, 51, 100, 1);
  const relay = new SimRelay(world, { host, workers: 2, ringSlots: 32 });
  const terminals = [0, 1].map((i) => new Terminal(world, Uint8Array.of(198, 51, 100, 101 + i)));
  for (const terminal of terminals) attend(terminal);
  const circuits: Circuit[] = [];
  const readers: Circuit[] = [];
  const stalled: Client[] = [];
  let steps = 0;
  const step = (): void => {
    world.nowMs += 0.5;
    world.step();
    if (steps++ % 16 === 0) for (const worker of relay.workers) audit(worker);
  };
  const until = (done: () => boolean, what: string): void => {
    for (const end = steps + STEPS_MAX; !done(); step()) {
      if (steps > end) throw new Error(`seed ${seed}: ${what} does not happen`);
    }
  };
  for (let i = 0; i < 6; i++) {
    relay.pinned = i % 2;
    const client = new Client(world, relay);
    relay.pinned = null;
    for (let c = 0; c < 6; c++) {
      const isReader = i < 2 && c === 0;
      const backward = isReader ? { cells: 300, window: 8 } : ENDLESS;
      if (i < 2 && !isReader) continue;
      const circuit = client.build(`circuit ${i}.${c}`, [relay], terminals[c % 2]!, NONE, backward);
      circuits.push(circuit);
      if (isReader) readers.push(circuit);
    }
    if (i >= 2) stalled.push(client);
  }
  until(() => circuits.every(({ phase, end }) => phase === 'open' && end !== null), 'that all are open');
  for (const { peer } of stalled) peer.wire.stalled = true;
  const limit = relay.memory.filled() + (24 + (seed % 4)) * CHUNK_BYTES;
  for (const { data } of relay.workers) data.setOptions({ ...OPTIONS, maxMemInQueues: limit });
  let most = 0;
  until(() => {
    for (const circuit of readers) circuit.sayBackward();
    for (let i = 0; i < 10; i++) {
      const circuit = world.prng.pick(circuits);
      // What waits at the terminal itself would hold up the readers, too.
      if (circuit.end!.peer.queuedBytes < 20_000) circuit.sayBackward();
    }
    most = Math.max(most, relay.memory.filled());
    return relay.count('oom_rounds') >= ROUNDS && readers.every(({ isDone }) => isDone);
  }, `the limit, ${ROUNDS} times`);
  // One turn may take in a chunk of cells and what is in the ring before it looks.
  expect(most).toBeLessThan(limit + 3 * CHUNK_BYTES);
  expect(relay.count('circuit_memory_killed')).toBeGreaterThan(0);
  expect(relay.count('oom_links_closed')).toBe(0);
  const killed = circuits.filter(({ end }) => end!.destroyed >= 0);
  // Both workers may end their part of the same circuit.
  const counted = relay.count('circuit_memory_killed') + relay.count('circuit_queue_limit_killed');
  expect(killed.length).toBeGreaterThan(counted / 2 - 1);
  expect(killed.length).toBeLessThanOrEqual(counted);
  for (const { end } of killed) {
    expect([DestroyReason.RESOURCELIMIT, DestroyReason.DESTROYED]).toContain(end!.destroyed as never);
  }
  for (const { peer } of stalled) peer.wire.stalled = false;
  until(() => relay.workers.every(({ data }) => data.plane.parked.used === 0), 'that all is read');
}

describe('little memory', () => {
  test('the oldest go, the ledger stays exact, and readers lose nothing', () => {
    for (let seed = 1; seed <= SEEDS; seed++) play(seed);
  }, 600_000);
});
