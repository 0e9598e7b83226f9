/** A new TLS key on the running relay: for later connections only. */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { type DialOptions, dialTestLink, type TestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const next = new EchoRelay();
let relay: RelayProcess;
let rotations = 0;

beforeAll(async () => {
  relay = await RelayProcess.start();
}, 120_000);

afterAll(async () => {
  next.stop();
  await relay.stop();
});

async function rotate(): Promise<void> {
  const from = relay.log().length;
  relay.hook('rotate-link-key');
  await relay.logged(/Link key \d+ is in use/, from);
  rotations++;
}

function dial(more: Partial<DialOptions> = {}): TestLink {
  return dialTestLink({ port: relay.port(), credentials, ...more });
}

/** Links enough that each worker serves some. */
const MANY = 12;

for (const authenticate of [false, true]) {
  const who = authenticate ? 'a relay' : 'a client';

  test(`handshakes of ${who} that span a rotation end well, with the certificate that they began with`, async () => {
    let begin = (): void => {};
    const hold = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const expected = { rsaId: relay.rsaId, ed25519Id: relay.ed25519Id };
    const before = Array.from({ length: MANY }, () => {
      const own = authenticate ? makeTestRelay(Math.floor(Date.now() / 1000)).credentials : credentials;
      return dial({ credentials: own, authenticate, hold, expected });
    });
    await Promise.all(before.map((link) => link.secured));
    await rotate();
    begin();
    for (const link of before) expect((await link.opened).peer).toEqual(expected);
    const after = Array.from({ length: MANY }, () => dial({ expected }));
    await Promise.all(after.map((link) => link.opened));
    const servedBefore = new Set(before.map((link) => Buffer.from(link.servedCertDer).toString('hex')));
    const servedAfter = new Set(after.map((link) => Buffer.from(link.servedCertDer).toString('hex')));
    expect([servedBefore.size, servedAfter.size]).toEqual([1, 1]);
    expect(servedAfter).not.toEqual(servedBefore);
    for (const link of [...before, ...after]) {
      await TestCircuit.createFast(link);
      link.close();
    }
  }, 120_000);
}

test('open links live through many rotations, also those that we dialled, and nothing piles up', async () => {
  const link = dial();
  await link.opened;
  const circuit = await TestCircuit.createFast(link);
  await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
  await rotate();
  const filesBefore = relay.openFiles();
  for (let i = 0; i < 8; i++) {
    await rotate();
    await circuit.echo();
    const fresh = dial();
    await fresh.opened;
    fresh.close();
    await fresh.closed;
  }
  expect(relay.openFiles()).toBeLessThanOrEqual(filesBefore + 2);
  expect(rotations).toBe(11);
  link.close();
}, 120_000);

test('a worker that dies comes back with the newest certificate', async () => {
  relay.assertWell();
  await rotate();
  const newest = dial();
  await newest.opened;
  for (const worker of [0, 1]) {
    const from = relay.log().length;
    relay.hook(`kill-worker ${worker}`);
    await relay.logged(new RegExp(`Worker ${worker} is back`), from);
  }
  for (let i = 0; i < MANY; i++) {
    const link = dial();
    await link.opened;
    expect(link.servedCertDer).toEqual(newest.servedCertDer);
    link.close();
  }
}, 120_000);
