/** Signals to a running relay: INT takes its leave, TERM goes at once, HUP, USR1 and USR2 change what it says. */

import { expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { lockDirectory } from '../../src/daemon/lock-file.ts';
import { folder, makeFolder, PATIENCE_MS, quietRelay, startRelay, textOf } from './relay-process.ts';
import { accepts, createFast, openLink } from './test-client.ts';

test(
  'INT: new connections and circuits are refused, links live on; a second INT ends it',
  async () => {
    const at = folder();
    const lines = quietRelay(at, `PidFile ${at}/pid`, 'ShutdownWaitLength 1000');
    const relay = startRelay(at, [...lines.filter((line) => line !== 'NumCPUs 1'), 'NumCPUs 2']);
    const port = await relay.up();
    const link = await openLink(port, `${at}/data`);
    expect(await createFast(link)).toBe(Command.CREATED_FAST);
    relay.signal('SIGINT');
    await relay.said(/will shut down in 1000 seconds/);
    // The link answers, and it does so with a refusal.
    while ((await createFast(link)) !== Command.DESTROY);
    while (await accepts(port)) await Bun.sleep(20);
    relay.signal('SIGUSR1');
    await relay.said(/Worker [01]: 1 channels/);
    relay.signal('SIGINT');
    expect(await relay.ended()).toBe(0);
    expect(relay.out).toContain('Interrupted: exiting now.');
    expect(textOf(`${at}/pid`)).toBeNull();
    link.close();
  },
  PATIENCE_MS,
);

test(
  'INT: the relay ends by itself when its time is over',
  async () => {
    const at = folder();
    const relay = startRelay(at, quietRelay(at, 'ShutdownWaitLength 1'));
    await relay.up();
    relay.signal('SIGINT');
    expect(await relay.ended()).toBe(0);
    expect(relay.out).toContain('will shut down in 1 seconds');
    expect(relay.out).toContain('Stopped.');
  },
  PATIENCE_MS,
);

test(
  'INT with ShutdownWaitLength 0 and TERM end it at once, with links open',
  async () => {
    const at = folder();
    for (const [signal, wait] of [
      ['SIGINT', 0],
      ['SIGTERM', 1000],
    ] as const) {
      const relay = startRelay(at, quietRelay(at, `ShutdownWaitLength ${wait}`));
      const link = await openLink(await relay.up(), `${at}/data`);
      relay.signal(signal);
      expect(await relay.ended()).toBe(0);
      expect(relay.out).toContain('Stopped.');
      link.close();
    }
    expect(textOf(`${at}/data/state`)).toContain('LastWritten');
    lockDirectory(`${at}/data`).release();
  },
  PATIENCE_MS,
);

test(
  'TERM while it still starts gives up; HUP then is no reason to die',
  async () => {
    const at = folder();
    makeFolder(`${at}/data`, 0o700);
    const lock = lockDirectory(`${at}/data`);
    const relay = startRelay(at, quietRelay(at, `PidFile ${at}/pid`));
    await relay.said(/waiting 5 seconds/);
    relay.signal('SIGHUP');
    relay.signal('SIGUSR1');
    relay.signal('SIGTERM');
    expect(await relay.ended()).toBe(0);
    lock.release();
  },
  PATIENCE_MS,
);

test(
  'USR1 tells of links, circuits and counters; USR2 logs everything until HUP',
  async () => {
    const at = folder();
    const relay = startRelay(at, quietRelay(at));
    const link = await openLink(await relay.up(), `${at}/data`);
    expect(await createFast(link)).toBe(Command.CREATED_FAST);
    relay.signal('SIGUSR1');
    await relay.said(/Heartbeat: up 0:00 hours, with 1 circuit and 1 link open\./);
    await relay.said(/Worker 0: 1 channels \(0 half open\), 1 circuits/);
    await relay.said(/Counters: .*circuits_created 1/);
    expect(relay.out).not.toMatch(/\[(info|debug)\]/);
    relay.signal('SIGUSR2');
    await relay.said(/Logging everything/);
    await relay.said(/\[debug\]/);
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 0 options changed/);
    const quietFrom = relay.out.length;
    relay.signal('SIGUSR1');
    await relay.said(/Counters: /, 2);
    expect(relay.out.slice(quietFrom)).not.toMatch(/\[(info|debug)\]/);
    link.close();
    await relay.stop();
  },
  PATIENCE_MS,
);
