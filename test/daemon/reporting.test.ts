/** What a running relay says: heartbeats, addresses hidden or shown, breaches of the protocol, in torrc's form. */

import { expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import type { LiveLink } from '../net/live-link.ts';
import {
  folder,
  PATIENCE_MS,
  quietRelay,
  type RelayProcess,
  startRelay,
  writeTorrc,
} from './relay-process.ts';
import { createFast, openLink } from './test-client.ts';

const HTTP = 'GET / HTTP/1.0\r\n\r\n'.repeat(50);

/** Speak to an ORPort, over TLS or not, but not Tor's protocol. Resolves when we are thrown out. */
async function blunder(port: number, text = HTTP, localAddress = '127.0.0.1', overTls = true): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  // Bun takes `localAddress`; its type declarations do not know it.
  const from = { localAddress };
  await Bun.connect({
    ...from,
    hostname: '127.0.0.1',
    port,
    ...(overTls ? { tls: { rejectUnauthorized: false } } : {}),
    socket: {
      open(socket) {
        if (!overTls) socket.write(text);
      },
      handshake(socket) {
        socket.write(text);
      },
      data() {},
      error() {},
      close: () => resolve(),
    },
  });
  await promise;
}

const CLIENT = '127.0.0.77';
/** VERSIONS with a length that no link has, and cells that nobody may send on an open link. */
const MALFORMED = '\0\0\x07\0\x01\0';
const UNKNOWN_CIRCUIT = 0x80777777;

/** All that a client can do wrong, and a link with circuits that is in order. */
async function misbehave(relay: RelayProcess, port: number, data: string): Promise<LiveLink> {
  await blunder(port, HTTP, CLIENT);
  await blunder(port, MALFORMED, CLIENT);
  await blunder(port, HTTP, CLIENT, false);
  // Say nothing until the time is up: those of the first instant have C tor's minute yet.
  let isOver = false;
  while (!isOver) {
    void blunder(port, '', CLIENT).then(() => {
      isOver = true;
    });
    await Bun.sleep(300);
  }
  const link = await openLink(port, data, CLIENT);
  for (let i = 0; i < 3; i++) expect(await createFast(link)).toBe(Command.CREATED_FAST);
  const junk = crypto.getRandomValues(new Uint8Array(509));
  for (const command of [Command.RELAY, Command.RELAY_EARLY, Command.CREATED2, Command.DESTROY, 99]) {
    link.send(buildCell(UNKNOWN_CIRCUIT, command, junk));
  }
  link.send(buildCell(0, Command.CREATE2, junk));
  link.send(buildCell(0, Command.PADDING_NEGOTIATE, junk));
  expect(await createFast(link)).toBe(Command.CREATED_FAST);
  relay.signal('SIGUSR1');
  await relay.said(/Counters: /);
  return link;
}

test(
  'SafeLogging hides a client whatever it does, also from the debug log; SafeLogging 0 shows it',
  async () => {
    for (const mode of ['1', 'relay', '0']) {
      const at = folder();
      const lines = quietRelay(at, 'Log debug stdout', 'ProtocolWarnings 1', `SafeLogging ${mode}`);
      const relay = startRelay(at, lines, {
        env: { ONIONRELAY_TEST_HOOKS: '1' },
        stdin: new TextEncoder().encode('worker-option handshakeTimeoutMs 2000\n'),
      });
      const link = await misbehave(relay, await relay.up(), `${at}/data`);
      link.close();
      relay.signal('SIGUSR2');
      await relay.said(/Logging everything/);
      await relay.stop();
      const counted = /Counters: (.*)\./.exec(relay.out)![1]!;
      for (const name of ['link_handshake_before_versions', 'link_tls_failed', 'link_handshake_timeout']) {
        expect([mode, counted]).toEqual([mode, expect.stringContaining(`${name} `)]);
      }
      for (const name of ['link_handshake_malformed', 'circuits_created 4', 'circuit_unknown_cell']) {
        expect(counted).toContain(name);
      }
      const closing = new RegExp(`Closing a link to ${mode === '0' ? `${CLIENT}:` : '\\[scrubbed\\]: '}`);
      expect(relay.out).toMatch(closing);
      expect([mode, relay.out.includes(CLIENT)]).toEqual([mode, mode === '0']);
      expect(relay.err).not.toContain(CLIENT);
    }
  },
  PATIENCE_MS,
);

test(
  'SafeLogging, ProtocolWarnings and log formats change while running, in every worker',
  async () => {
    const at = folder();
    const lines = [...quietRelay(at).filter((line) => !line.startsWith('NumCPUs')), 'NumCPUs 2'];
    const relay = startRelay(at, [...lines, 'Log info stdout']);
    const port = await relay.up();
    for (let i = 0; i < 4; i++) await blunder(port);
    await relay.said(/\[info\] Closing a link to \[scrubbed\]: /, 4);
    expect(relay.out).not.toMatch(/link to 127\./);

    writeTorrc(at, [
      ...lines,
      'Log notice stdout',
      'SafeLogging 0',
      'ProtocolWarnings 1',
      'LogMessageDomains 1',
      'LogTimeGranularity 1 msec',
    ]);
    relay.signal('SIGHUP');
    await relay.said(
      /Reloaded: 5 options changed \(Log, LogMessageDomains, LogTimeGranularity, ProtocolWarnings, SafeLogging\)/,
    );
    for (let i = 0; i < 8; i++) await blunder(port);
    await relay.said(/\[warn\] \{PROTOCOL\} Closing a link to 127\.0\.0\.1:\d+: /);
    const stamps = [...relay.out.matchAll(/^\w{3} \d\d \d\d:\d\d:\d\d\.(\d{3}) \[\w+\] \{/gm)].map(
      (match) => match[1],
    );
    expect(stamps.some((ms) => ms !== '000')).toBe(true);
    // A flood of blunders is no flood of lines.
    expect(relay.out.split('{PROTOCOL}').length - 1).toBeLessThanOrEqual(2);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'the heart beats every HeartbeatPeriod, which HUP may change; 0 stills it',
  async () => {
    const at = folder();
    const lines = quietRelay(at);
    const relay = startRelay(at, [...lines, 'HeartbeatPeriod 1 second']);
    await relay.said(/Heartbeat: up /, 2);
    writeTorrc(at, [...lines, 'HeartbeatPeriod 0']);
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 1 option changed \(HeartbeatPeriod\)/);
    const beats = relay.out.split('Heartbeat: up').length;
    await Bun.sleep(2500);
    expect(relay.out.split('Heartbeat: up')).toHaveLength(beats);
    writeTorrc(at, [...lines, 'HeartbeatPeriod 1 second', 'Log [heartbeat]notice stdout']);
    relay.signal('SIGHUP');
    await relay.said(/Heartbeat: up /, beats);
    relay.signal('SIGTERM');
    expect(await relay.ended()).toBe(0);
    // Its domain alone was wanted in the end.
    expect(relay.out).not.toContain('Stopped.');
  },
  PATIENCE_MS,
);
