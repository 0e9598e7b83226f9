/** Silent links of the running relay: padded, kept alive, closed; with times of a second in place of minutes. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodePaddingNegotiate, PaddingCommand } from '../../src/cell/padding.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { type DialOptions, dialTestLink, type TestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const LOW_MS = 300;
const HIGH_MS = 600;
const next = new EchoRelay();
let relay: RelayProcess;

beforeAll(async () => {
  relay = await RelayProcess.start();
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  next.stop();
  await relay.stop();
});

/** A link that notes when padding came. */
async function open(more: Partial<DialOptions> = {}): Promise<{ link: TestLink; padding: number[] }> {
  const link = dialTestLink({ port: relay.port(), credentials, ...more });
  const padding: number[] = [];
  link.onCell = ({ command }) => {
    if (command === Command.PADDING) padding.push(performance.now());
    return command === Command.PADDING;
  };
  await link.opened;
  return { link, padding };
}

/** A circuit of two hops, which is what padding hides. */
async function cross(link: TestLink): Promise<TestCircuit> {
  const circuit = await TestCircuit.createFast(link);
  await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
  return circuit;
}

function negotiate(link: TestLink, command: 1 | 2, itoLowMs = 0, itoHighMs = 0): void {
  const body = encodePaddingNegotiate({ command, itoLowMs, itoHighMs });
  link.send(buildCell(0, Command.PADDING_NEGOTIATE, body));
}

/** Time enough for a padding cell that is due to come. */
const SILENCE_MS = HIGH_MS + 500;
const WAIT_MS = 60_000;

/**
 * Each padding cell ends a silence that is not shorter than the lower bound. The relay's silences are added up from
 * a moment before the first, because this end sees cells late at times, and then the next ones in close order; an
 * upper bound would measure this machine.
 */
function expectNoneTooSoon(padding: readonly number[], quietAfterMs: number): void {
  for (const [i, at] of padding.entries()) {
    expect(at - quietAfterMs).toBeGreaterThanOrEqual((i + 1) * (LOW_MS - 20));
  }
}

describe('padding', () => {
  beforeAll(async () => {
    await relay.setOption('paddingLowMs', LOW_MS);
    await relay.setOption('paddingHighMs', HIGH_MS);
  });

  test('comes to a client whose circuit crosses two hops, in silence of the length that the consensus has', async () => {
    const { link, padding } = await open();
    const circuit = await cross(link);
    const quietAfter = performance.now();
    await circuit.echo();
    padding.length = 0;
    await waitUntil('three padding cells', WAIT_MS, () => padding.length >= 3);
    expectNoneTooSoon(padding, quietAfter);
    // Traffic puts it off, as long as it comes in time.
    let allowed = padding.length + 1;
    let last = performance.now();
    for (const until = last + 2 * LOW_MS; last < until; ) {
      await circuit.echo();
      await Bun.sleep(20);
      const now = performance.now();
      if (now - last >= LOW_MS / 2) allowed++;
      last = now;
    }
    expect(padding.length).toBeLessThanOrEqual(allowed);
    link.close();
  }, 120_000);

  test('comes to nobody else: no circuit, one hop, link protocol 4, a relay, one who said no', async () => {
    const before = await relay.counters('channel_padding_sent');
    const bare = await open();
    const oneHop = await open();
    await TestCircuit.createFast(oneHop.link);
    const old = await open({ linkProtocols: [4] });
    await cross(old.link);
    const own = makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
    const other = await open({ credentials: own, authenticate: true });
    await cross(other.link);
    const unwilling = await open();
    negotiate(unwilling.link, PaddingCommand.STOP);
    await cross(unwilling.link);
    await Bun.sleep(2 * SILENCE_MS);
    for (const { padding, link } of [bare, oneHop, old, other, unwilling]) {
      expect(padding).toEqual([]);
      link.close();
    }
    expect(await relay.counters('channel_padding_sent')).toEqual(before);
    expect(next.links.flatMap((link) => link.pending(0))).toEqual([0]);
  }, 120_000);

  test('comes no more to one who says no late', async () => {
    const { link, padding } = await open();
    const circuit = await cross(link);
    negotiate(link, PaddingCommand.STOP);
    await circuit.echo();
    const had = padding.length;
    await Bun.sleep(2 * SILENCE_MS);
    expect(padding.length).toBe(had);
    link.close();
  }, 120_000);

  test('can be asked for again, and for less of it, but not for more', async () => {
    const again = await open();
    const againAfter = performance.now();
    await cross(again.link);
    negotiate(again.link, PaddingCommand.STOP);
    negotiate(again.link, PaddingCommand.START, 0, 0);
    const greedy = await open();
    negotiate(greedy.link, PaddingCommand.START, 1, 2);
    const greedyAfter = performance.now();
    await cross(greedy.link);
    const modest = await open();
    negotiate(modest.link, PaddingCommand.START, 20_000, 30_000);
    await cross(modest.link);
    await waitUntil('padding', WAIT_MS, () => again.padding.length >= 2 && greedy.padding.length >= 2);
    expectNoneTooSoon(again.padding, againAfter);
    expectNoneTooSoon(greedy.padding, greedyAfter);
    expect(modest.padding).toEqual([]);
    for (const { link } of [again, greedy, modest]) link.close();
  }, 120_000);

  test('stops when the last circuit is gone and begins again with the next', async () => {
    const { link, padding } = await open();
    const circuit = await cross(link);
    await waitUntil('padding', 60_000, () => padding.length > 0);
    circuit.destroy();
    // Circuits of links that other tests closed may still be going.
    await waitUntil('the circuit to go', WAIT_MS, async () =>
      (await relay.dump()).workers.every(({ circuits }) => circuits === 0),
    );
    const had = padding.length;
    await Bun.sleep(SILENCE_MS);
    expect(padding.length).toBe(had);
    await cross(link);
    await waitUntil('padding', 60_000, () => padding.length > had);
    link.close();
  }, 120_000);
});

describe('an idle link', () => {
  test('of a client is closed before one of a relay; one with circuits is not', async () => {
    const own = makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
    const { link: other } = await open({ credentials: own, authenticate: true });
    const { link: used } = await open();
    const circuit = await cross(used);
    await relay.setOption('idleClientTimeoutMs', 700);
    const { link: client } = await open();
    await client.closed;
    await Bun.sleep(1500);
    expect([other.isClosed, used.isClosed]).toEqual([false, false]);
    expect((await relay.counters('channel_idle_closed')).channel_idle_closed).toBe(1);
    circuit.destroy();
    await used.closed;
    await relay.setOption('idleRelayTimeoutMs', 700);
    await other.closed;
    // So is the link to the next hop, which we dialled.
    await waitUntil('the dialled link to close', 60_000, () => next.links.every(({ isClosed }) => isClosed));
  }, 120_000);

  test('is gone for us even when the peer reads nothing and keeps its end', async () => {
    await waitUntil('all links to go', 60_000, async () =>
      (await relay.dump()).workers.every(({ channels }) => channels === 0),
    );
    await waitUntil('their sockets to go', 60_000, () => next.links.every(({ isClosed }) => isClosed));
    await relay.setOption('idleClientTimeoutMs', 3000);
    const files = relay.openFiles();
    const links = await Promise.all(Array.from({ length: 5 }, () => open()));
    for (const { link } of links) link.socket!.pause();
    expect(relay.openFiles()).toBeGreaterThanOrEqual(files + 5);
    await waitUntil('the channels to go', 60_000, async () =>
      (await relay.dump()).workers.every(({ channels }) => channels === 0),
    );
    await waitUntil('the sockets to go', 60_000, () => relay.openFiles() <= files);
    for (const { link } of links) link.close();
  }, 120_000);
});

describe('a link that carries circuits', () => {
  beforeAll(async () => {
    await relay.setOption('idleClientTimeoutMs', 60_000);
    await relay.setOption('idleRelayTimeoutMs', 60_000);
    await relay.setOption('paddingHighMs', 0);
    await relay.setOption('keepaliveMs', 300);
  });

  test('gets a padding cell when nothing was written for long, which finds peers that vanished', async () => {
    const { link, padding } = await open({ linkProtocols: [4] });
    await TestCircuit.createFast(link);
    await waitUntil('two padding cells', 60_000, () => padding.length >= 2);
    expect((await relay.counters('channel_keepalive_sent')).channel_keepalive_sent).toBeGreaterThanOrEqual(2);
    link.close();
  }, 120_000);

  test('is closed when it took no byte for ten times as long', async () => {
    const { link } = await open();
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    const { link: nextLink, circId } = next.creates.at(-1)!;
    link.socket!.pause();
    // Not as many cells as kill a circuit or overflow a queue: only as many as fill the socket.
    const cell = buildCell(circId, Command.RELAY, new Uint8Array(509));
    const wave = new Uint8Array(514 * 2000);
    for (let i = 0; i < 2000; i++) wave.set(cell, i * 514);
    await waitUntil('the socket to be full', 60_000, async () => {
      const { bytes_written: before } = await relay.counters('bytes_written');
      nextLink.send(wave);
      await Bun.sleep(100);
      return (await relay.counters('bytes_written')).bytes_written - before < 1000 * 514;
    });
    await relay.counted('channel_stuck_closed', 1);
    link.close();
  }, 120_000);
});
