/**
 * The running relay of two workers under clients that ask for too much. The attacks come from other addresses of 127/8
 * than the honest client, who is served all the while.
 */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { DestroyReason } from '../../src/cell/reason.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { type Hop, Refused, TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
/** Addresses of the attackers, one per test, and that of everybody else. */
const MANY_LINKS = '127.0.0.66';
const FAST_LINKS = '127.0.0.67';
const MANY_CIRCUITS = '127.0.0.68';
const AUTHORITY = '127.0.0.69';
const AFTER_DEATH = '127.0.0.70';
const HONEST = '127.0.0.1';
const LINKS_MAX = 8;
const LINKS_BURST = 15;
const CIRCUITS_BURST = 20;
let relay: RelayProcess;
let hop: Hop;
let refusedForMark = 0;

beforeAll(async () => {
  relay = await RelayProcess.start([
    'DoSConnectionEnabled 1',
    `DoSConnectionMaxConcurrentCount ${LINKS_MAX}`,
    'DoSConnectionConnectRate 1',
    `DoSConnectionConnectBurst ${LINKS_BURST}`,
    'DoSConnectionConnectDefenseTimePeriod 1 hour',
    'DoSCircuitCreationEnabled 1',
    'DoSCircuitCreationMinConnections 2',
    'DoSCircuitCreationRate 1',
    `DoSCircuitCreationBurst ${CIRCUITS_BURST}`,
    'DoSCircuitCreationDefenseTimePeriod 1 hour',
    `DirAuthority spared orport=1 no-v2 ${AUTHORITY}:1 ${'B'.repeat(40)}`,
  ]);
  hop = { rsaId: relay.rsaId, ed25519Id: relay.ed25519Id, onionKey: relay.onionKey };
}, 120_000);

afterAll(async () => {
  await relay.stop();
});

/** Dial once and see whether the relay lets us in. */
async function dial(from: string): Promise<TestLink | null> {
  const link = dialTestLink({ port: relay.port(), credentials, from });
  return await link.opened.then(
    () => link,
    () => null,
  );
}

/** Dial so often, one after the other; the links that are open. */
async function dials(from: string, times: number): Promise<TestLink[]> {
  const links: TestLink[] = [];
  for (let i = 0; i < times; i++) {
    const link = await dial(from);
    if (link !== null) links.push(link);
  }
  return links;
}

/** Close links and wait until the relay has forgotten them. */
async function closeAll(links: readonly TestLink[]): Promise<void> {
  const before = (await relay.counters('channels_closed')).channels_closed;
  for (const link of links) link.close();
  await relay.counted('channels_closed', before + links.length);
}

/** Someone honest gets a link and a circuit. */
async function expectService(): Promise<void> {
  const link = await dial(HONEST);
  expect(link).not.toBeNull();
  await TestCircuit.createNtor(link!, hop);
  await closeAll([link!]);
}

test('too many links of one address are refused over both workers, and nobody else’s', async () => {
  const links = await dials(MANY_LINKS, LINKS_MAX + 5);
  expect(links.length).toBe(LINKS_MAX);
  const { workers } = await relay.dump();
  expect(workers.reduce((sum, { channels }) => sum + channels, 0)).toBe(LINKS_MAX);
  expect((await relay.counters('dos_link_refused_concurrent')).dos_link_refused_concurrent).toBe(5);
  await expectService();
  // Those that are open go on, and each that goes makes room.
  for (const link of links) await TestCircuit.createFast(link);
  await closeAll([links.pop()!]);
  const again = await dials(MANY_LINKS, 2);
  expect(again.length).toBe(1);
  await closeAll([...links, ...again]);
  relay.assertWell();
});

test('an address that opens links too fast is refused for its time, and nobody else is', async () => {
  const before = await relay.counters('dos_link_refused_concurrent');
  let admitted = 0;
  for (let round = 0; round < 20 && refusedForMark === 0; round++) {
    // As many at a time as it may have, so that only their rate can be wrong.
    const tried = await Promise.all(Array.from({ length: LINKS_MAX }, () => dial(FAST_LINKS)));
    const links = tried.filter((link) => link !== null);
    admitted += links.length;
    refusedForMark += LINKS_MAX - links.length;
    await closeAll(links);
  }
  expect(admitted).toBeGreaterThanOrEqual(LINKS_BURST);
  expect(refusedForMark).toBeGreaterThan(0);
  expect(await dial(FAST_LINKS)).toBeNull();
  refusedForMark++;
  expect(
    await relay.counters('dos_link_marks', 'dos_link_refused_marked', 'dos_link_refused_concurrent'),
  ).toEqual({ ...before, dos_link_marks: 1, dos_link_refused_marked: refusedForMark });
  await expectService();
  relay.assertWell();
});

test('too many circuits of one address are refused on all its links; what it has goes on', async () => {
  const links = await dials(MANY_CIRCUITS, 3);
  const circuits: TestCircuit[] = [];
  let refused = 0;
  for (let i = 0; i < 4 * CIRCUITS_BURST && refused < 6; i++) {
    const make = i % 2 === 0 ? TestCircuit.createFast : (link: TestLink) => TestCircuit.createNtor(link, hop);
    const made = await make(links[i % 3]!).catch((fault) => fault);
    if (made instanceof TestCircuit) circuits.push(made);
    else {
      expect(made).toBeInstanceOf(Refused);
      expect(made.reason).toBe(DestroyReason.RESOURCELIMIT);
      refused++;
    }
  }
  expect(refused).toBe(6);
  expect(circuits.length).toBeGreaterThanOrEqual(CIRCUITS_BURST - 1);
  const { dos_circuit_marks, dos_circuit_refused } = await relay.counters(
    'dos_circuit_marks',
    'dos_circuit_refused',
  );
  expect([dos_circuit_marks, dos_circuit_refused]).toEqual([1, 6]);
  await expectService();
  const { workers } = await relay.dump();
  expect(workers.reduce((sum, worker) => sum + worker.circuits, 0)).toBeGreaterThanOrEqual(circuits.length);
  await closeAll(links);
  relay.assertWell();
});

test('the address of an authority is spared', async () => {
  const links = await dials(AUTHORITY, LINKS_MAX + 4);
  expect(links.length).toBe(LINKS_MAX + 4);
  for (let i = 0; i < 2 * CIRCUITS_BURST; i++) await TestCircuit.createFast(links[i % 2]!);
  await closeAll(links);
  relay.assertWell();
});

test('the heartbeat tells of it without naming anyone', async () => {
  await relay.dump();
  const line = relay
    .log()
    .match(/.*Heartbeat: DoS defences since the start: .*/g)!
    .at(-1)!;
  expect(line).toContain('6 circuits refused, 1 mark for too many circuits');
  expect(line).toContain(`1 mark for opening links too fast, ${refusedForMark} link`);
  expect(line).not.toContain('127.0.0');
});

test('HUP changes the limits, both ways', async () => {
  const reload = async (line: string): Promise<void> => {
    const from = relay.log().length;
    appendFileSync(join(relay.directory, 'torrc'), `${line}\n`);
    process.kill(relay.pid, 'SIGHUP');
    await relay.logged(/Reloaded: .*(DoSConnectionMaxConcurrentCount|DoSConnectionEnabled)/, from);
    // Workers answer it after the new options.
    await relay.dump();
  };
  const links = await dials(MANY_LINKS, 2);
  await reload('DoSConnectionMaxConcurrentCount 3');
  links.push(...(await dials(MANY_LINKS, 3)));
  expect(links.length).toBe(3);
  await reload('DoSConnectionEnabled 0');
  // Also for who was marked.
  links.push(...(await dials(MANY_LINKS, 3)), ...(await dials(FAST_LINKS, 1)));
  expect(links.length).toBe(7);
  await reload('DoSConnectionEnabled 1');
  expect(await dials(FAST_LINKS, 1)).toEqual([]);
  await closeAll(links);
  relay.assertWell();
});

test('a worker that dies takes its links out of the count', async () => {
  const links = await dials(AFTER_DEATH, 4);
  expect(links.length).toBe(3);
  for (const worker of [0, 1]) {
    const from = relay.log().length;
    relay.hook(`kill-worker ${worker}`);
    await relay.logged(new RegExp(`Worker ${worker} is back`), from);
  }
  await waitUntil('all links to be cut', 60_000, () => links.every(({ isClosed }) => isClosed));
  const again = await dials(AFTER_DEATH, 4);
  expect(again.length).toBe(3);
  await closeAll(again);
});
