/**
 * MaxMemInQueues over the running relay and both of its workers: circuits that nobody reads end, oldest first; young
 * ones and those that are read live; afterwards all is as before.
 */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { Command } from '../../src/cell/command.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { FloodRelay } from './flood-relay.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const LIMIT_MB = 64;
const MB = 2 ** 20;
const HOST = parseIp('127.0.0.1')!;
const LINKS = 8;
const CIRCUITS = 12;
const DEADLINE_MS = 90_000;

const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
let relay: RelayProcess;
const hop = new FloodRelay();

beforeAll(async () => {
  relay = await RelayProcess.start([`MaxMemInQueues ${LIMIT_MB} MB`]);
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  await relay.stop();
});

interface Client {
  readonly link: TestLink;
  /** The hop's name of each circuit: its end of the link to the relay, and the circuit id there. */
  readonly ends: { readonly link: TestLink; readonly circId: number }[];
  readonly circuits: TestCircuit[];
}

async function client(circuits: number): Promise<Client> {
  const link = dialTestLink({ port: relay.port(), credentials });
  await link.opened;
  const made: Client = { link, ends: [], circuits: [] };
  for (let i = 0; i < circuits; i++) {
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(hop.hop, { host: HOST, port: hop.port });
    made.ends.push(hop.creates.at(-1)!);
    made.circuits.push(circuit);
  }
  return made;
}

/** How many of a client's circuits the hop still holds. */
function alive({ ends }: Client): number {
  return ends.filter(({ link, circId }) => hop.circuitsOf(link).has(circId)).length;
}

/** What the relay says it holds, in bytes. */
async function held(): Promise<number> {
  await relay.dump();
  const said = [...relay.log().matchAll(/Memory of what waits: (\S+) (kB|MB|GB) of/g)].at(-1)!;
  return Number(said[1]) * (said[2] === 'kB' ? 1024 : said[2] === 'MB' ? MB : 1024 * MB);
}

/** Send on the circuits of these clients until something has happened. */
async function pourUntil(
  clients: readonly Client[],
  what: string,
  done: () => Promise<boolean>,
): Promise<void> {
  const mine = new Map<TestLink, Set<number>>();
  for (const { ends } of clients) {
    for (const { link, circId } of ends) mine.set(link, (mine.get(link) ?? new Set()).add(circId));
  }
  let nextLookMs = 0;
  await waitUntil(what, DEADLINE_MS, async () => {
    // Little at a time: what is sent in the blink of an eye cannot be told apart by age.
    for (let i = 0; i < 10; i++) {
      hop.pour(400, (link, circId) => mine.get(link)?.has(circId) ?? false);
      await Bun.sleep(4);
    }
    if (performance.now() < nextLookMs) return false;
    nextLookMs = performance.now() + 200;
    return done();
  });
}

test('the oldest queues end at the limit, young ones live on, and memory is there again', async () => {
  const reader = await client(1);
  const old: Client[] = [];
  const young: Client[] = [];
  for (let i = 0; i < LINKS; i++) old.push(await client(CIRCUITS));
  for (let i = 0; i < LINKS; i++) young.push(await client(CIRCUITS));
  for (const { link } of [...old, ...young]) link.socket!.pause();

  // First the old ones wait for a good part of the limit, then only the young ones get more.
  await pourUntil(old, 'queues of the old', async () => (await held()) > 0.6 * LIMIT_MB * MB);
  expect((await relay.counters('circuit_memory_killed')).circuit_memory_killed).toBe(0);
  await pourUntil(young, 'the limit', async () => {
    const { circuit_memory_killed } = await relay.counters('circuit_memory_killed');
    return circuit_memory_killed > 0;
  });
  await waitUntil('the ends to be told', DEADLINE_MS, async () => old.some((one) => alive(one) < CIRCUITS));
  const counted = await relay.counters(
    'oom_rounds',
    'oom_cell_bytes',
    'circuit_queue_limit_killed',
    'oom_links_closed',
  );
  expect(counted.oom_rounds).toBeGreaterThan(0);
  expect(counted.oom_cell_bytes).toBeGreaterThan(2 * MB);
  expect([counted.circuit_queue_limit_killed, counted.oom_links_closed]).toEqual([0, 0]);
  expect(young.map(alive)).toEqual(young.map(() => CIRCUITS));
  await relay.logged(/\[warn\] Low on memory: .*MaxMemInQueues \(64\.00 MB\).* Ended \d+ circuits/);

  // Who reads never noticed, and a client that comes now is served.
  await reader.circuits[0]!.echo();
  const late = await client(1);
  await late.circuits[0]!.echo();

  // An old one that reads on hears of the end behind what was under way.
  const victim = old.find((one) => alive(one) < CIRCUITS)!;
  const destroyed = new Promise<number>((resolve) => {
    victim.link.onCell = ({ command, body }) => {
      if (command === Command.DESTROY) resolve(body[0]!);
      return true;
    };
  });
  victim.link.socket!.resume();
  expect(await destroyed).toBe(5);

  for (const { link } of [...old, ...young]) link.close();
  await waitUntil('memory to be given back', DEADLINE_MS, async () => (await held()) < 24 * MB);
  await reader.circuits[0]!.echo();
}, 240_000);
