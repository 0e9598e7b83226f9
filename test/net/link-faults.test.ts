/** Peers of the running relay that break the rules of a link: that link closes and is counted, the others live on. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { buildCell, buildVariableCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeVersions } from '../../src/cell/link-handshake.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { CounterName } from '../../src/shm/counter.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const never = new Promise<void>(() => {});
const next = new EchoRelay();
let relay: RelayProcess;
let bystander: TestCircuit;

beforeAll(async () => {
  relay = await RelayProcess.start();
  const link = dialTestLink({ port: relay.port(), credentials });
  await link.opened;
  bystander = await TestCircuit.createFast(link);
  await bystander.extend(next.hop, { host: LOOPBACK, port: next.port });
}, 120_000);

afterEach(async () => {
  await bystander.echo();
});

afterAll(async () => {
  relay.assertWell();
  next.stop();
  await relay.stop();
});

const bytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
const VERSIONS = buildVariableCell(0, Command.VERSIONS, encodeVersions([4, 5]), 2);

/** Send this when TLS is up, in place of a handshake: the link closes, and the counter goes up by one. */
function breaksHandshake(what: string, counter: CounterName, ...chunks: readonly Uint8Array[]): void {
  test(what, async () => {
    const before = (await relay.counters(counter))[counter];
    const link = dialTestLink({ port: relay.port(), credentials, hold: never });
    await link.secured;
    for (const chunk of chunks) {
      link.socket!.write(chunk);
      await Bun.sleep(1);
    }
    await link.closed;
    expect((await relay.counters(counter))[counter]).toBe(before + 1);
  });
}

describe('before the link is open', () => {
  const fixed = (command: number): Uint8Array => buildCell(0, command, new Uint8Array(0));
  const variable = (command: number, length: number): Uint8Array =>
    buildVariableCell(0, command, new Uint8Array(length), 4);

  breaksHandshake('an HTTP request', 'link_handshake_before_versions', Buffer.from('GET / HTTP/1.0\r\n\r\n'));
  breaksHandshake(
    'CERTS before VERSIONS',
    'link_handshake_before_versions',
    Uint8Array.of(0, 0, 129, 0, 1, 0),
  );
  breaksHandshake(
    'VERSIONS with a circuit id',
    'link_handshake_nonzero_circuit_id',
    Uint8Array.of(1, 1, 7, 0, 2, 0, 5),
  );
  breaksHandshake(
    'VERSIONS of an odd length',
    'link_handshake_malformed',
    Uint8Array.of(0, 0, 7, 0, 3, 0, 5, 0),
  );
  breaksHandshake(
    'only link protocols that nobody speaks any more',
    'link_handshake_no_common_version',
    buildVariableCell(0, Command.VERSIONS, encodeVersions([1, 2, 3]), 2),
  );
  breaksHandshake(
    'VERSIONS of 65,535 bytes',
    'link_handshake_oversized_cell',
    Uint8Array.of(0, 0, 7, 255, 255),
  );
  breaksHandshake(
    'VERSIONS twice',
    'link_handshake_unexpected_cell',
    VERSIONS,
    variable(Command.VERSIONS, 4),
  );
  breaksHandshake('PADDING', 'link_handshake_unexpected_cell', VERSIONS, fixed(Command.PADDING));
  breaksHandshake('CREATE_FAST', 'link_handshake_unexpected_cell', VERSIONS, fixed(Command.CREATE_FAST));
  breaksHandshake('an unknown command', 'link_handshake_unexpected_cell', VERSIONS, fixed(99));
  breaksHandshake(
    'AUTHENTICATE without CERTS',
    'link_handshake_unexpected_cell',
    VERSIONS,
    variable(Command.AUTHENTICATE, 300),
  );
  breaksHandshake(
    'CERTS of 40,000 bytes, by their head alone',
    'link_handshake_oversized_cell',
    VERSIONS,
    variable(Command.CERTS, 40_000).subarray(0, 7),
  );
  breaksHandshake(
    'CERTS that say more than they hold',
    'link_handshake_malformed',
    VERSIONS,
    buildVariableCell(0, Command.CERTS, Uint8Array.of(3, 2, 255, 255, 1), 4),
  );
  breaksHandshake(
    'VPADDING without end',
    'link_handshake_too_long',
    VERSIONS,
    ...Array.from({ length: 8 }, () => variable(Command.VPADDING, 16_000)),
  );
  breaksHandshake(
    'NETINFO with an address of no known kind',
    'link_handshake_malformed',
    VERSIONS,
    buildCell(0, Command.NETINFO, Uint8Array.of(0, 0, 0, 0, 9, 200)),
  );

  for (const [what, garbage] of [
    ['random bytes', bytes(3000)],
    ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['a TLS alert', Uint8Array.of(21, 3, 1, 0, 2, 2, 40)],
    ['a ClientHello cut short', Uint8Array.of(22, 3, 1, 255, 255, 1, 0, 255, 251, 3, 3)],
  ] as const) {
    test(`${what} in place of TLS`, async () => {
      const before = await relay.counters('link_tls_failed');
      let closed = false;
      const socket = await Bun.connect({
        hostname: '127.0.0.1',
        port: relay.port(),
        socket: {
          data() {},
          close() {
            closed = true;
          },
        },
      });
      socket.write(garbage);
      await Bun.sleep(50);
      socket.end();
      await waitUntil('the link to close', 60_000, () => closed);
      await relay.counted('link_tls_failed', before.link_tls_failed + 1);
    });
  }
});

describe('on an open link', () => {
  async function open(linkProtocols?: readonly number[]): Promise<TestLink> {
    const link = dialTestLink({
      port: relay.port(),
      credentials,
      ...(linkProtocols === undefined ? {} : { linkProtocols }),
    });
    await link.opened;
    return link;
  }

  for (const command of [Command.VERSIONS, Command.CERTS, Command.AUTH_CHALLENGE, Command.AUTHENTICATE]) {
    test(`a second handshake begun with command ${command} closes it`, async () => {
      const before = await relay.counters('channel_unexpected_cell');
      const link = await open();
      const circuit = await TestCircuit.createFast(link);
      await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
      const ends = next.destroys.length;
      link.send(buildVariableCell(0, command, bytes(200), 4));
      await link.closed;
      expect(await relay.counters('channel_unexpected_cell')).toEqual({
        channel_unexpected_cell: before.channel_unexpected_cell + 1,
      });
      await waitUntil('its circuit to end', 60_000, () => next.destroys.length > ends);
    });
  }

  test('unknown commands, late NETINFO, padding of all kinds: counted, and the link lives on', async () => {
    const names = ['channel_unknown_cell', 'channel_unexpected_cell', 'channel_padding_received'] as const;
    const before = await relay.counters(...names);
    const link = await open();
    link.send(buildCell(0, 99, bytes(509)));
    link.send(buildCell(7, 33, bytes(509)));
    link.send(buildVariableCell(0, 200, bytes(3000), 4));
    link.send(buildVariableCell(0, Command.AUTHORIZE, bytes(10), 4));
    link.send(buildCell(0, Command.NETINFO, bytes(509)));
    link.send(buildCell(0, Command.PADDING, bytes(509)));
    for (let i = 0; i < 300; i++) link.send(buildVariableCell(0, Command.VPADDING, bytes(i * 50), 4));
    link.send(buildVariableCell(0, Command.VPADDING, bytes(65_535), 4));
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    await circuit.echo();
    expect(await relay.counters(...names)).toEqual({
      channel_unknown_cell: before.channel_unknown_cell + 4,
      channel_unexpected_cell: before.channel_unexpected_cell + 1,
      channel_padding_received: before.channel_padding_received + 302,
    });
    link.close();
  });

  test('cells for circuits that are not there, in great number, cost nobody a thing', async () => {
    const before = await relay.counters('circuit_unknown_cell');
    const link = await open();
    const flood = new Uint8Array(514 * 500);
    for (let i = 0; i < 500; i++) flood.set(buildCell(0x80000001 + i, Command.RELAY, bytes(509)), i * 514);
    for (let i = 0; i < 4; i++) link.send(flood);
    await TestCircuit.createFast(link);
    const after = await relay.counters('circuit_unknown_cell');
    expect(after.circuit_unknown_cell).toBe(before.circuit_unknown_cell + 2000);
    link.close();
  });

  test('a cell cut off by the end of the link is dropped', async () => {
    const link = await open([4]);
    const circuit = await TestCircuit.createFast(link);
    const ends = next.destroys.length;
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    link.socket!.write(buildCell(circuit.circId, Command.RELAY, bytes(509)).subarray(0, 300));
    await Bun.sleep(20);
    link.close();
    await waitUntil('its circuit to end', 60_000, () => next.destroys.length > ends);
  });

  test('PADDING_NEGOTIATE that is none, on the wrong protocol or from the wrong side: counted', async () => {
    const before = await relay.counters('channel_bad_padding_negotiate');
    const link = await open();
    link.send(buildCell(0, Command.PADDING_NEGOTIATE, Uint8Array.of(9, 9)));
    link.send(buildCell(0, Command.PADDING_NEGOTIATE, Uint8Array.of(0, 7)));
    const old = await open([4]);
    old.send(buildCell(0, Command.PADDING_NEGOTIATE, Uint8Array.of(0, 2)));
    const nextLink = next.links[0]!;
    nextLink.send(buildCell(0, Command.PADDING_NEGOTIATE, Uint8Array.of(0, 2)));
    await relay.counted('channel_bad_padding_negotiate', before.channel_bad_padding_negotiate + 4);
    await TestCircuit.createFast(link);
    await TestCircuit.createFast(old);
    link.close();
    old.close();
  });

  test('a peer that never reads is closed when its control cells pile up, and its socket with it', async () => {
    const link = await open();
    const files = relay.openFiles();
    link.socket!.pause();
    // Each circuit that is refused costs a DESTROY, which nobody reads.
    const body = new Uint8Array(509);
    const wave = new Uint8Array(514 * 1000);
    for (let round = 0; round < 40 && !link.isClosed; round++) {
      for (let i = 0; i < 1000; i++) {
        wave.set(buildCell(0x80000000 + round * 1000 + i + 1, Command.CREATE, body), i * 514);
      }
      link.send(wave);
      await Bun.sleep(10);
    }
    await waitUntil('the socket to go', 60_000, () => relay.openFiles() < files);
    const { channel_control_queue_overflow } = await relay.counters('channel_control_queue_overflow');
    expect(channel_control_queue_overflow).toBe(1);
    link.close();
  }, 120_000);

  test('a message from the next hop that comes before its CREATED2 is passed back, a stray CREATED2 is dropped', async () => {
    const before = await relay.counters('extend_created_unexpected');
    next.links[0]!.send(buildCell(0x7abcdef1, Command.CREATED2, bytes(509)));
    next.links[0]!.send(buildCell(0x7abcdef1, Command.CREATED_FAST, bytes(509)));
    await relay.counted('extend_created_unexpected', before.extend_created_unexpected + 2);
    bystander.send(RelayCommand.DROP, new Uint8Array(0));
  });
});
