/**
 * Connections to the running relay that never finish their handshake: bounded per address and in total, closed after
 * their time. The attacks come from other addresses of 127/8 than the links that must not suffer.
 */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Socket } from 'bun';
import { DestroyReason } from '../../src/cell/reason.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { Refused, TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const PER_ADDRESS = 10;
const IN_ALL = 25;
let relay: RelayProcess;

beforeAll(async () => {
  relay = await RelayProcess.start();
  await relay.setOption('halfOpenPerAddressMax', PER_ADDRESS);
  await relay.setOption('halfOpenMax', IN_ALL);
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  await relay.stop();
});

/** A TCP connection that says nothing; keeps what it hears. */
class Mute {
  closed = false;
  heard = 0;
  readonly #socket: Promise<Socket>;

  constructor(from: string) {
    const options = {
      hostname: '127.0.0.1',
      port: relay.port(),
      localAddress: from,
      socket: {
        data: (_socket: Socket, bytes: Uint8Array) => {
          this.heard += bytes.length;
        },
        close: () => {
          this.closed = true;
        },
        error() {},
      },
    };
    this.#socket = Bun.connect(options as unknown as Parameters<typeof Bun.connect>[0]) as Promise<Socket>;
    this.#socket.catch(() => {
      this.closed = true;
    });
  }

  async stop(): Promise<void> {
    (await this.#socket.catch(() => null))?.terminate();
  }
}

async function halfOpen(): Promise<number> {
  const { workers } = await relay.dump();
  return workers.reduce((sum, worker) => sum + worker.halfOpen, 0);
}

async function serves(from = '127.0.0.1'): Promise<TestLink> {
  const link = dialTestLink({ port: relay.port(), credentials, from });
  await link.opened;
  await TestCircuit.createFast(link);
  return link;
}

const living = (mutes: readonly Mute[]): number => mutes.filter(({ closed }) => !closed).length;

test('one address has its bound over both workers, and is refused before TLS costs anything', async () => {
  const before = await relay.counters('link_refused_per_address');
  const mutes = Array.from({ length: 30 }, () => new Mute('127.0.0.31'));
  await waitUntil('the rest to be refused', 60_000, () => living(mutes) === PER_ADDRESS);
  expect(await halfOpen()).toBe(PER_ADDRESS);
  const after = await relay.counters('link_refused_per_address');
  expect(after.link_refused_per_address).toBe(before.link_refused_per_address + 20);
  for (const { heard } of mutes) expect(heard).toBe(0);
  // Others are served, the same address is not, until its connections are gone.
  (await serves()).close();
  const refused = dialTestLink({ port: relay.port(), credentials, from: '127.0.0.31' });
  await refused.closed;
  await Promise.all(mutes.map((mute) => mute.stop()));
  await waitUntil('the half-open links to go', 60_000, async () => (await halfOpen()) === 0);
  (await serves('127.0.0.31')).close();
});

test('all together have a bound, and what is open lives on', async () => {
  const open = await serves();
  const mutes = Array.from({ length: 60 }, (_, i) => new Mute(`127.0.1.${1 + (i % 20)}`));
  // Each worker counts on its own turn: within one per worker of the bound.
  await waitUntil('the rest to be refused', 60_000, () => living(mutes) <= IN_ALL + 2);
  expect(living(mutes)).toBeGreaterThanOrEqual(IN_ALL);
  const refused = dialTestLink({ port: relay.port(), credentials });
  await refused.closed;
  await TestCircuit.createFast(open);
  expect((await relay.counters('link_refused_total')).link_refused_total).toBeGreaterThanOrEqual(30);
  await Promise.all(mutes.map((mute) => mute.stop()));
  await waitUntil('the half-open links to go', 60_000, async () => (await halfOpen()) === 0);
  open.close();
  (await serves()).close();
});

test('silence at any step ends after the time for handshakes, and service goes on', async () => {
  // All of them must be seen half open before the first has had its time.
  await relay.setOption('handshakeTimeoutMs', 4000);
  const before = await relay.counters('link_handshake_timeout');
  const filesBefore = relay.openFiles();
  const mutes = Array.from({ length: PER_ADDRESS }, () => new Mute('127.0.0.32'));
  const never = new Promise<void>(() => {});
  const silent = Array.from({ length: PER_ADDRESS }, () =>
    dialTestLink({ port: relay.port(), credentials, from: '127.0.0.33', hold: never }),
  );
  await Promise.all(silent.map((link) => link.secured));
  await waitUntil('all to be half open', 60_000, async () => (await halfOpen()) === 2 * PER_ADDRESS);
  await Promise.all(silent.map((link) => link.closed));
  await waitUntil('silent connections to be closed', 60_000, () => living(mutes) === 0);
  expect(await halfOpen()).toBe(0);
  const after = await relay.counters('link_handshake_timeout');
  expect(after.link_handshake_timeout).toBe(before.link_handshake_timeout + 2 * PER_ADDRESS);
  await waitUntil('their descriptors to be closed', 60_000, () => relay.openFiles() <= filesBefore);
  await relay.setOption('handshakeTimeoutMs', 60_000);
  for (const from of ['127.0.0.32', '127.0.0.33']) (await serves(from)).close();
}, 120_000);

test('a link that opened is half open no more, nor is one that broke off', async () => {
  const links = await Promise.all(Array.from({ length: PER_ADDRESS }, () => serves('127.0.0.34')));
  for (let i = 0; i < 2 * PER_ADDRESS; i++) (await serves('127.0.0.34')).close();
  for (const link of links) link.close();
  for (let i = 0; i < 2 * PER_ADDRESS; i++) {
    const broken = dialTestLink({ port: relay.port(), credentials, from: '127.0.0.35' });
    await broken.secured;
    broken.close();
    await broken.closed;
  }
  await waitUntil('the half-open links to go', 60_000, async () => (await halfOpen()) === 0);
  (await serves('127.0.0.35')).close();
}, 120_000);

test('a worker takes and makes no more links than it has descriptors for', async () => {
  const next = new EchoRelay();
  await relay.setOption('linksMax', 8);
  const links: TestLink[] = [];
  for (let i = 0; i < 40; i++) {
    const link = dialTestLink({ port: relay.port(), credentials });
    if ((await link.opened.catch(() => null)) !== null) links.push(link);
  }
  expect(links.length).toBe(16);
  expect((await relay.dump()).workers.map(({ channels }) => channels)).toEqual([8, 8]);
  expect((await relay.counters('link_refused_too_many')).link_refused_too_many).toBe(24);
  const circuit = await TestCircuit.createFast(links[0]!);
  const there = { host: Uint8Array.of(127, 0, 0, 1), port: next.port };
  const refusal = await circuit.extend(next.hop, there).catch((error) => error);
  expect(refusal).toEqual(new Refused(DestroyReason.CONNECTFAILED));
  expect((await relay.counters('link_dial_refused')).link_dial_refused).toBe(1);
  for (const link of links) link.close();
  await waitUntil('the links to go', 60_000, async () =>
    (await relay.dump()).workers.every(({ channels }) => channels === 0),
  );
  const again = await TestCircuit.createFast(await serves());
  await again.extend(next.hop, there);
  await again.echo();
  again.link.close();
  next.stop();
}, 120_000);
