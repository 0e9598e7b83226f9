/** Running: quiet or loud, without a torrc, and in the background. */

import { afterEach, expect, test } from 'bun:test';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { closeFd, isFault, listenTcp } from '../../src/libc.ts';
import {
  folder,
  PATIENCE_MS,
  quietRelay,
  RelayProcess,
  startRelay,
  textOf,
  until,
  writeTorrc,
} from '../daemon/relay-process.ts';

const daemons: number[] = [];

afterEach(() => {
  for (const pid of daemons.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test(
  '--quiet says nothing, --hush only warnings',
  async () => {
    for (const [flag, wanted] of [
      ['--quiet', /^$/],
      ['--hush', /^.*\[warn\] .*TestingTorNetwork.*\n$/],
    ] as const) {
      const at = folder();
      const torrc = writeTorrc(at, quietRelay(at, `PidFile ${at}/pid`));
      const relay = new RelayProcess([flag, '-f', torrc]);
      await until(() => existsSync(`${at}/data/state`));
      await relay.stop();
      expect(relay.out).toMatch(wanted);
      expect(relay.err).toBe('');
    }
  },
  PATIENCE_MS,
);

test(
  'options of the command line are stronger than torrc, also after HUP, which may not change them',
  async () => {
    const at = folder();
    const torrc = writeTorrc(at, quietRelay(at, 'Nickname torrc'));
    const relay = new RelayProcess(['run', '-f', torrc, '--Nickname', 'line', '--NumCPUs', '2']);
    await relay.said(/starting with 2 worker/);
    await relay.said(/fingerprint is line /);
    await relay.up();
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 0 options changed/);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'without a torrc it is a local relay that publishes nothing, and says which lines change that',
  async () => {
    const at = folder();
    const argv = ['-f', `${at}/none`, '--ignore-missing-torrc', '--Log', 'info stdout'];
    const relay = new RelayProcess(argv, { env: { HOME: at } });
    const heard = await relay.said(/Listening for OR connections on (\S+):\d+/);
    expect(heard[1]).toBe('127.0.0.1');
    for (const line of ['ORPort 9001', 'ContactInfo you@example.org']) {
      expect(relay.out).toContain(`"${line}"`);
    }
    expect(textOf(`${at}/.tor/fingerprint`)).toMatch(/^Unnamed /);
    await relay.stop();
    expect(relay.out).not.toMatch(/Asking|Fetching|\[warn\]/);
  },
  PATIENCE_MS,
);

function statusOf(pid: number): { parent: number; session: number } {
  const words = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return { parent: Number(words[1]), session: Number(words[3]) };
}

test(
  'RunAsDaemon: the parent ends with 0 once the relay is up; the relay has a session and a folder of its own',
  async () => {
    const at = folder();
    const log = `${at}/log`;
    const lines = quietRelay(
      at,
      'RunAsDaemon 1',
      // Its files in /proc are looked at.
      'DisableDebuggerAttachment 0',
      `PidFile ${at}/pid`,
      `Log notice file ${log}`,
      'Log info stdout',
    );
    writeTorrc(at, lines);
    // A relative path that the relay must find again from its own folder.
    const parent = new RelayProcess(['-f', 'torrc'], { cwd: at });
    expect(await parent.ended()).toBe(0);
    const pid = Number(textOf(`${at}/pid`));
    daemons.push(pid);
    expect(textOf(log)).toContain('Listening for OR connections');
    expect(pid).not.toBe(parent.pid);
    expect(statusOf(pid)).toEqual({ parent: expect.any(Number), session: pid });
    expect(statusOf(pid).parent).not.toBe(parent.pid);
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(`${at}/data`);
    for (const fd of [0, 1, 2]) expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe('/dev/null');
    expect(parent.out).toBe('');

    process.kill(pid, 'SIGHUP');
    await until(() => textOf(log)!.includes('Reloaded: 0 options changed'));
    process.kill(pid, 'SIGTERM');
    await until(() => !isAlive(pid));
    expect(textOf(log)).toContain('Stopped.');
    expect(existsSync(`${at}/pid`)).toBe(false);
  },
  PATIENCE_MS,
);

test(
  'RunAsDaemon: what goes wrong in the child is the exit code of the parent, and told on its terminal',
  async () => {
    const at = folder();
    const socket = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort: false });
    if (isFault(socket)) throw new Error(socket.text);
    const inUse = startRelay(at, quietRelay(at, 'RunAsDaemon 1', `+ORPort 127.0.0.1:${socket.port}`));
    expect(await inUse.ended()).toBe(3);
    expect(inUse.err).toContain(`torrc:10: cannot listen on 127.0.0.1:${socket.port}`);
    closeFd(socket.fd);
    const badLine = startRelay(at, quietRelay(at, 'RunAsDaemon 1', 'NumCPUs many'));
    expect(await badLine.ended()).toBe(1);
    const noPid = startRelay(at, quietRelay(at, 'RunAsDaemon 1', `PidFile ${at}/none/pid`));
    expect(await noPid.ended()).toBe(1);
    expect(noPid.err).toContain('torrc:10: PidFile');
  },
  PATIENCE_MS,
);
