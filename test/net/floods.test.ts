/**
 * Floods against the running relay, a few seconds of each: honest circuits go on without loss, memory is bounded,
 * refusals are counted, and afterwards nothing is left. How fast honest circuits are meanwhile is for
 * `test/bench/floods.ts`. Attacks come from a process and an address of their own.
 */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { CounterName } from '../../src/shm/counter.ts';
import { AttackProcess } from '../bench/attacks/attack-process.ts';
import type { AttackName } from '../bench/attacks/catalogue.ts';
import { HonestLoad } from '../bench/honest-load.ts';
import { readVitals, type Vitals } from '../bench/vitals.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink } from './test-link.ts';

const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const HONEST = { circuits: 20, connections: 4, bytesPerSec: 3e6 };
const FLOOD_MS = 2000;
const DEADLINE_MS = 60_000;
/**
 * Above what the relay had before: room for all circuits that two links may have and the garbage of making and ending
 * them, which was up to 420 MB in five seconds; none for a leak that a flood drives.
 */
const RSS_MORE_MAX = 600e6;

let relay: RelayProcess;
let honest: HonestLoad;
let calm: Vitals;

beforeAll(async () => {
  relay = await RelayProcess.start(['MaxMemInQueues 256 MB']);
  await relay.setOption('handshakeTimeoutMs', 1500);
  honest = await HonestLoad.open(hop(), HONEST);
  honest.start();
  await waitUntil('honest traffic', DEADLINE_MS, () => honest.arrived > 1000);
  calm = await readVitals(relay);
}, 120_000);

afterAll(async () => {
  honest.close();
  relay.assertWell();
  await relay.stop();
});

function hop() {
  const { rsaId, ed25519Id, onionKey } = relay;
  return { port: relay.port(), rsaId, ed25519Id, onionKey };
}

async function serves(): Promise<void> {
  const link = dialTestLink({ port: relay.port(), credentials });
  await link.opened;
  (await TestCircuit.createNtor(link, hop())).destroy();
  link.close();
  await link.closed;
}

/** Flood until each of these was counted so often more than before, and a while; look at what it did to others. */
async function flood(
  name: AttackName,
  least: Partial<Record<CounterName, number>>,
  strength: { connectsPerSec?: number; links?: number } = {},
): Promise<void> {
  const before = await readVitals(relay);
  const arrivedBefore = honest.arrived;
  const attack = AttackProcess.start(name, hop(), strength);
  let rssMax = 0;
  let missing: string[] = [];
  const startMs = performance.now();
  try {
    await waitUntil(
      `all that ${name} should be counted for`,
      DEADLINE_MS,
      async () => {
        const now = await readVitals(relay);
        rssMax = Math.max(rssMax, now.rssBytes);
        missing = Object.entries(least)
          .map(([counter, count]) => ({
            counter,
            count,
            is: (now.counters.get(counter) ?? 0) - (before.counters.get(counter) ?? 0),
          }))
          .filter(({ count, is }) => is < count)
          .map(({ counter, count, is }) => `${counter} ${is} of ${count}`);
        return missing.length === 0 && performance.now() - startMs > FLOOD_MS;
      },
      () => `(${missing.join(', ')})`,
    );
    expect(honest.arrived).toBeGreaterThan(arrivedBefore);
  } finally {
    await attack.stop();
  }
  expect(rssMax - calm.rssBytes).toBeLessThan(RSS_MORE_MAX);
  expect(await honest.stop()).toMatchObject({
    inStep: HONEST.circuits,
    lost: 0,
    corrupt: 0,
    closed: [],
  });
  await serves();
  let after = await readVitals(relay);
  await waitUntil(
    `the relay to be as it was before ${name}`,
    DEADLINE_MS,
    async () => {
      after = await readVitals(relay);
      return (
        after.halfOpen === 0 &&
        after.circuits <= calm.circuits &&
        after.channels <= calm.channels &&
        after.cellsWaiting === 0 &&
        after.handshakesWaiting === 0 &&
        after.files <= calm.files + 2
      );
    },
    () => JSON.stringify({ ...after, counters: undefined }),
  );
  honest.start();
}

test('connections that never finish TLS', async () => {
  await flood('half-open', { link_refused_per_address: 100, links_closed: 500, listeners_paused: 1 });
}, 240_000);

test('links that send a byte a second', async () => {
  await flood('trickle', { link_handshake_timeout: 100 }, { links: 200 });
}, 240_000);

test('VERSIONS over and over', async () => {
  await flood('versions', { link_handshake_unexpected_cell: 100 });
}, 240_000);

test('ClientHellos that nobody waits for an answer to', async () => {
  await flood('client-hellos', { link_tls_failed: 200, listeners_paused: 1 });
}, 240_000);

test('connections reset at once', async () => {
  await flood('resets', { link_tls_failed: 500, listeners_paused: 1 });
}, 240_000);

test('CREATE2 of all wrong kinds', async () => {
  await flood('create-garbage', {
    circuit_create_received: 20_000,
    circuit_create_zero_id: 100,
    circuit_bad_id: 100,
    circuit_id_in_use: 100,
    circuit_create_malformed: 100,
    circuit_create_unknown_handshake: 100,
    circuit_ntor_failed: 100,
    circuit_ntor_v3_failed: 100,
  });
}, 240_000);

test('more circuits than a link may have', async () => {
  await flood('create-fast', { circuit_create_fast_received: 8192, circuit_refused_per_link: 1000 });
}, 240_000);

test('circuits that the first cell kills, and cells for dead circuits', async () => {
  await flood('still-born', { circuit_unrecognised_no_next: 1000, circuit_unknown_cell: 1000 });
}, 240_000);

test('more RELAY_EARLY cells than a circuit may carry', async () => {
  await flood('relay-early', { circuit_relay_early_exceeded: 100 });
}, 240_000);

test('circuits whose answers are never read', async () => {
  await relay.setOption('circQueueCellsMax', 2000);
  try {
    await flood('never-read', { circuit_queue_limit_killed: 10, extend_succeeded: 20 });
  } finally {
    await relay.setOption('circQueueCellsMax', 50_000);
  }
}, 240_000);

test('cells of circuits that there are not', async () => {
  await flood('unknown-cells', { circuit_unknown_cell: 100_000 });
}, 240_000);

test('DESTROYs of circuits that there are not', async () => {
  await flood('unknown-destroys', { circuit_destroy_unknown: 100_000 });
}, 240_000);
