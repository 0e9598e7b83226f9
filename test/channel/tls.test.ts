/** The edges of OR sockets that no live link shows; the rest is tried on the running relay in `test/net`. */

import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { dial, type LinkEvents, listenOn, type TlsSession } from '../../src/channel/tls.ts';
import { UNSENT_FIRST } from '../../src/channel/unsent-limit.ts';
import type { Wire } from '../../src/channel/wire.ts';
import { getSocketOption, isFault, listenTcp, SocketOption } from '../../src/libc.ts';
import { makeTestRelay } from './credentials.ts';

const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));

interface Heard {
  readonly wires: Wire[];
  readonly sessions: TlsSession[];
  gone: number;
}

function heard(): Heard {
  return { wires: [], sessions: [], gone: 0 };
}

/** Events that are written down. `accept` false: everybody is refused. */
function eventsInto(log: Heard, accept = true): LinkEvents<Heard> {
  return {
    onAccept(wire) {
      log.wires.push(wire);
      return accept ? log : null;
    },
    onSecured: (link, session) => link.sessions.push(session),
    onData() {},
    onDrain() {},
    onGone(link) {
      link.gone++;
    },
  };
}

function listen(events: LinkEvents<Heard>): { readonly port: number; stop(): void } {
  const made = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort: false });
  if (isFault(made)) throw new Error(made.text);
  const listening = listenOn(made.fd, credentials, events);
  return { port: made.port, stop: () => listening.stop() };
}

/** Dial, and say what came of it. */
function dialInto(log: Heard, port: number): { ups: number; failures: number } {
  const came = { ups: 0, failures: 0 };
  const request = { link: log, host: '127.0.0.1', port, bind: null, serverName: 'www.example.com' };
  dial(
    request,
    eventsInto(log),
    (wire) => {
      log.wires.push(wire);
      came.ups++;
      return true;
    },
    () => {
      came.failures++;
    },
  );
  return came;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(5);
}

test('both sides learn the certificate that the responder served, and the same keying material', async () => {
  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there));
  dialInto(here, server.port);
  await until(() => here.sessions.length === 1 && there.sessions.length === 1);
  const context = new Uint8Array(32).fill(7);
  const keys = [here, there].map(({ sessions }) =>
    sessions[0]!.exportKeyingMaterial('EXPORTER test', context, 32),
  );
  expect(keys[0]).toEqual(keys[1]!);
  expect(here.sessions[0]!.responderCertDer).toEqual(credentials.tlsCertDer);
  expect(there.sessions[0]!.responderCertDer).toEqual(credentials.tlsCertDer);
  here.wires[0]!.close();
  await until(() => here.gone === 1 && there.gone === 1);
  server.stop();
});

test('a closed wire is gone even when the peer stays', async () => {
  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there));
  dialInto(here, server.port);
  await until(() => here.sessions.length === 1 && there.sessions.length === 1);
  here.wires[0]!.pause();
  there.wires[0]!.close();
  await until(() => there.gone === 1);
  server.stop();
});

test('a dial that connect(2) refuses at once fails after it returned', async () => {
  const log = heard();
  const came = { failures: 0 };
  dial(
    { link: log, host: '255.255.255.255', port: 9, bind: null, serverName: 'www.example.com' },
    eventsInto(log),
    () => true,
    () => {
      came.failures++;
    },
  );
  expect(came.failures).toBe(0);
  await until(() => came.failures > 0);
  expect(came.failures).toBe(1);
});

test('peers that connect and reset at once hurt nobody', async () => {
  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there));
  // Resets reach us before we accept, because this thread is busy meanwhile.
  const script = [
    'import socket, struct',
    'for _ in range(300):',
    '    s = socket.socket()',
    "    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))",
    `    s.connect(('127.0.0.1', ${server.port}))`,
    '    s.close()',
  ].join('\n');
  const ended = Bun.spawnSync(['python3', '-c', script]);
  expect(ended.exitCode).toBe(0);
  dialInto(here, server.port);
  await until(() => here.sessions.length === 1);
  here.wires[0]!.close();
  await until(() => here.gone === 1);
  server.stop();
});

test('a dial that fails says so once; who is refused hears no TLS', async () => {
  const nobody = listen(eventsInto(heard()));
  nobody.stop();
  const failed = dialInto(heard(), nobody.port);
  await until(() => failed.failures > 0);
  await Bun.sleep(20);
  expect(failed).toEqual({ ups: 0, failures: 1 });

  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there, false));
  const came = dialInto(here, server.port);
  await until(() => here.gone === 1);
  expect(came).toEqual({ ups: 1, failures: 0 });
  expect([here.sessions.length, there.sessions.length, there.gone]).toEqual([0, 0, 0]);
  server.stop();
});

test('a bug in a handler is an uncaught exception, not a fault of the peer', async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'tls-thrower.ts')], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'ignore',
  });
  let said = '';
  void (async () => {
    for await (const chunk of child.stdout) said += Buffer.from(chunk).toString();
  })();
  await until(() => said.endsWith('\n'));
  const here = heard();
  dialInto(here, Number(said));
  await until(() => here.sessions.length === 1);
  here.wires[0]!.write(new Uint8Array(10), 0, 10);
  await until(() => child.exitCode !== null);
  expect(said.split('\n')[1]).toBe('Error: a bug');
}, 60_000);

test('the kernel keeps little of a link whose peer does not read, either way', async () => {
  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there));
  dialInto(here, server.port);
  await until(() => here.sessions.length === 1 && there.sessions.length === 1);
  const buffer = new Uint8Array(32 * 1024);
  for (const [writer, reader] of [
    [here, there],
    [there, here],
  ] as const) {
    reader.wires[0]!.pause();
    let taken = 0;
    // What the reader's kernel takes in comes to well under a megabyte; without a bound ours would take four more.
    for (let quietMs = 0; quietMs < 300; quietMs += 10) {
      for (let n = 1; n > 0; ) {
        n = writer.wires[0]!.write(buffer, 0, buffer.length);
        taken += n;
        if (n > 0) quietMs = 0;
        expect(taken).toBeLessThan(3 * 2 ** 20);
      }
      await Bun.sleep(10);
    }
    expect(taken).toBeGreaterThan(UNSENT_FIRST / 2);
    reader.wires[0]!.resume();
  }
  here.wires[0]!.abort();
  server.stop();
});

test('what came is acknowledged at once when asked for, though the kernel waits for something to send along', async () => {
  const [here, there] = [heard(), heard()];
  const server = listen(eventsInto(there));
  dialInto(here, server.port);
  await until(() => here.sessions.length === 1 && there.sessions.length === 1);
  const wire = here.wires[0]!;
  const { fd } = Reflect.get(wire, 'socket') as { readonly fd: number };
  const isQuick = () => getSocketOption(fd, SocketOption.IPPROTO_TCP, SocketOption.TCP_QUICKACK);
  // Both sides talk: then the kernel takes it for a dialogue.
  while (isQuick() !== 0) {
    there.wires[0]!.write(new Uint8Array(514), 0, 514);
    await Bun.sleep(1);
    wire.write(new Uint8Array(514), 0, 514);
  }
  wire.acknowledge();
  expect(isQuick()).toBe(1);
  wire.abort();
  server.stop();
  await until(() => here.gone === 1);
  wire.acknowledge();
});
