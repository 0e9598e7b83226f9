/** What a running relay says: heartbeats, addresses hidden or shown, breaches of the protocol, in torrc's form. */

import { expect, test } from 'bun:test';
import { folder, PATIENCE_MS, quietRelay, startRelay, writeTorrc } from './relay-process.ts';

/** Speak TLS to an ORPort, but not Tor's protocol. Resolves when we are thrown out. */
async function blunder(port: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: '127.0.0.1',
    port,
    tls: { rejectUnauthorized: false },
    socket: {
      handshake(socket) {
        socket.write('GET / HTTP/1.0\r\n\r\n'.repeat(50));
      },
      data() {},
      error() {},
      close: () => resolve(),
    },
  });
  await promise;
}

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
