/**
 * The same messages to C tor as an exit and to ours, over an authenticated link: both give the same answers.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelayCommand, relayCommandName } from '../../src/cell/relay-message.ts';
import {
  BeginFlag,
  encodeBegin,
  encodeResolve,
  encodeXoff,
  encodeXon,
} from '../../src/cell/stream-message.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { type CTor, orPortOf, QUIET_RELAY, startCTor } from './c-tor.ts';
import { freePorts } from './free-ports.ts';
import { needsCTor, waitUntil } from './network.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink } from './test-link.ts';

const { BEGIN, BEGIN_DIR, RESOLVE, DATA, END, SENDME, XON, XOFF, CONNECTED, RESOLVED } = RelayCommand;
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const SILENCE_MS = 700;

interface Message {
  readonly command: number;
  readonly streamId: number;
  readonly data: Uint8Array;
}

const say = (command: number, streamId: number, data: Uint8Array = new Uint8Array(0)): Message => ({
  command,
  streamId,
  data,
});

/** Send messages on a new circuit, and tell in words what comes back until nothing does. */
async function answers(port: number, messages: readonly Message[], authenticate: boolean): Promise<string[]> {
  const link = dialTestLink({ port, credentials, authenticate });
  await link.opened;
  try {
    const circuit = await TestCircuit.createFast(link);
    for (const { command, streamId, data } of messages) circuit.send(command, data, { streamId });
    const heard: string[] = [];
    for (;;) {
      const received = await circuit.receive(SILENCE_MS).catch(() => null);
      if (received === null) return heard;
      if ('destroyed' in received) return [...heard, `DESTROY ${received.destroyed}`];
      const { command, streamId, data } = received;
      heard.push(`${relayCommandName(command)} ${streamId} ${data.toHex()}`);
    }
  } finally {
    link.close();
  }
}

describe.skipIf(!needsCTor('test/net/exit-messages'))('C tor and ours as exits', () => {
  let directory: string;
  let server: Server;
  let server6: Server;
  let open = 0;
  let open6 = 0;
  let closed = 0;
  const tors: CTor[] = [];
  const relays: RelayProcess[] = [];
  /** Ports of C tor and ours: as exits, as exits that refuse unknown relays, and as relays that are no exits. */
  const exits: number[] = [];
  const strict: number[] = [];
  const middles: number[] = [];

  async function start(ports: number[], lines: readonly string[]): Promise<void> {
    const common = [
      ...lines,
      'DirCache 0',
      'ExitPolicyRejectPrivate 0',
      `ServerDNSResolvConfFile ${join(directory, 'resolv')}`,
    ];
    const tor = await startCTor([...QUIET_RELAY, 'ServerDNSAllowBrokenConfig 1', ...common]);
    tors.push(tor);
    const relay = await RelayProcess.start(common);
    relays.push(relay);
    ports.push(await orPortOf(tor), relay.port());
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'exit-messages-'));
    // Nobody answers there.
    writeFileSync(join(directory, 'resolv'), 'nameserver 127.0.0.1\n');
    server = createServer((peer) => peer.end('hi')).listen(0, '127.0.0.1');
    server6 = createServer((peer) => peer.end('hi')).listen(0, '::1');
    await Promise.all(
      [server, server6].map((one) => new Promise((resolve) => one.once('listening', resolve))),
    );
    open = (server.address() as { port: number }).port;
    open6 = (server6.address() as { port: number }).port;
    [closed] = freePorts(1) as [number];
    const exit = ['ExitRelay 1', 'IPv6Exit 1', 'ExitPolicy reject 127.0.0.7:*', 'ExitPolicy accept *:*'];
    await start(exits, [...exit, 'RefuseUnknownExits 0']);
    // C tor listens a moment before it has made its own policy, and lets nothing out until then.
    const begin = [say(BEGIN, 5, encodeBegin(`127.0.0.1:${open}`))];
    await waitUntil(
      'C tor to let streams out',
      60_000,
      async () => (await answers(exits[0]!, begin, true))[0]?.startsWith('CONNECTED') === true,
    );
    await start(strict, [...exit, 'RefuseUnknownExits 1']);
    await start(middles, ['ExitRelay 0', 'RefuseUnknownExits 0']);
  }, 120_000);

  afterAll(async () => {
    server?.close();
    server6?.close();
    await Promise.all([...tors.map((tor) => tor.stop()), ...relays.map((relay) => relay.stop())]);
    rmSync(directory, { recursive: true, force: true });
  }, 120_000);

  /** Both answer these messages alike; with what, for whoever reads the test. */
  async function same(
    ports: readonly number[],
    messages: readonly Message[],
    authenticate = true,
  ): Promise<string[]> {
    const [theirs, ours] = await Promise.all(ports.map((port) => answers(port, messages, authenticate)));
    expect(ours).toEqual(theirs!);
    return ours!;
  }

  const end = (streamId: number, hex: string): string => `END ${streamId} ${hex}`;

  test('a connection: CONNECTED with address and TTL, DATA, END', async () => {
    const connected = 'CONNECTED 5 7f00000100000708';
    expect(await same(exits, [say(BEGIN, 5, encodeBegin(`127.0.0.1:${open}`))])).toEqual([
      connected,
      'DATA 5 6869',
      end(5, '06'),
    ]);
    expect(await same(exits, [say(BEGIN, 5, encodeBegin(`[::1]:${open6}`, BeginFlag.IPV6_OK))])).toEqual([
      'CONNECTED 5 00000000060000000000000000000000000000000100000708',
      'DATA 5 6869',
      end(5, '06'),
    ]);
  }, 60_000);

  test('what cannot be connected to', async () => {
    // C tor means to say CONNECTREFUSED, too, and looks at an errno that is stale by then.
    const refused = [say(BEGIN, 5, encodeBegin(`127.0.0.1:${closed}`))];
    const [theirs, ours] = await Promise.all(exits.map((port) => answers(port, refused, true)));
    expect(['01', '03'].map((reason) => end(5, reason))).toContain(theirs![0]!);
    expect(ours).toEqual([end(5, '03')]);
    expect(await same(exits, [say(BEGIN, 5, encodeBegin(`127.0.0.7:${open}`))])).toEqual([
      end(5, '047f00000700000708'),
    ]);
    // No host has such a name.
    for (const target of ['a b.example:80', '4.3.2.1.in-addr.arpa:80']) {
      expect(await same(exits, [say(BEGIN, 5, encodeBegin(target))])).toEqual([end(5, '02')]);
    }
  }, 60_000);

  test('BEGINs that are none', async () => {
    for (const data of [
      '127.0.0.1:80',
      '127.0.0.1\0',
      '127.0.0.1:0\0',
      '127.0.0.1:70000\0',
      '::1\0',
      '\0',
      '',
    ]) {
      expect(await same(exits, [say(BEGIN, 5, text(data))])).toEqual([end(5, '0d')]);
    }
    expect(await same(exits, [say(BEGIN_DIR, 5)])).toEqual([end(5, '0e')]);
  }, 60_000);

  test('who may not ask', async () => {
    const begin = say(BEGIN, 5, encodeBegin(`127.0.0.1:${open}`));
    expect(await same(strict, [begin])).toEqual([end(5, '01')]);
    expect(await same(exits, [begin], false)).toEqual([end(5, '0d')]);
    expect(await same(middles, [begin])).toEqual([end(5, '047f00000100000708')]);
    expect(await same(middles, [say(BEGIN, 5, encodeBegin('www.example:80'))])).toEqual([end(5, '02')]);
  }, 60_000);

  test('RESOLVE of what needs no nameserver', async () => {
    const error = `RESOLVED 5 f118${Buffer.from('Error resolving hostname').toString('hex')}0000003c`;
    for (const name of ['192.0.2.1', '2001:db8::1', 'a!b.example', '1.0.0.127.in-addr.arpa']) {
      expect(await same(exits, [say(RESOLVE, 5, encodeResolve(name))])).toEqual([error]);
    }
    expect(await same(middles, [say(RESOLVE, 5, encodeResolve('www.example'))])).toEqual([error]);
  }, 60_000);

  test('messages that nothing asked for', async () => {
    const begin = say(BEGIN, 5, encodeBegin(`127.0.0.7:${open}`));
    const still = [end(5, '047f00000700000708')];
    for (const odd of [
      say(DATA, 9, text('late')),
      say(DATA, 0, text('zero')),
      say(SENDME, 9),
      say(END, 9, Uint8Array.of(6)),
      say(XOFF, 9, encodeXoff()),
      say(XON, 9, encodeXon(5)),
      say(CONNECTED, 9),
      say(RESOLVED, 9),
      say(BEGIN, 0, encodeBegin(`127.0.0.1:${open}`)),
      say(RESOLVE, 0, encodeResolve('192.0.2.1')),
      say(BEGIN_DIR, 0),
      say(END, 0, Uint8Array.of(6)),
      say(99, 9),
    ]) {
      expect([odd.command, await same(exits, [odd, begin])]).toEqual([odd.command, still]);
    }
    for (const deadly of [
      say(END, 9),
      say(SENDME, 0),
      say(SENDME, 0, Uint8Array.of(1, 0, 20, ...new Uint8Array(20))),
    ]) {
      expect(await same(exits, [deadly, begin])).toEqual(['DESTROY 1']);
    }
  }, 120_000);
});
