/** Relays that are started for a benchmark. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchTorrc, findTor, killStarted, parsePort, readIds, startTarget } from '../../src/bench/target.ts';
import { OperatorError } from '../../src/fault.ts';

const MAIN = join(import.meta.dir, '../../src/main.ts');
const PATIENCE_MS = 90_000;

afterAll(killStarted);

function faultOf(action: () => unknown): OperatorError {
  try {
    action();
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('a C tor that is not installed is named, with how to install it', () => {
  const fault = faultOf(() => findTor('no-such-tor'));
  expect(fault.exitCode).toBe(2);
  expect(fault.message).toContain('"no-such-tor"');
  expect(fault.message).toContain('apt install tor');
  expect(findTor('sh')).toStartWith('/');
});

test('the relay listens on loopback only, and publishes nothing', () => {
  const config = {
    kind: 'ours',
    command: [],
    workers: 3,
    torrc: ['HeartbeatPeriod 0'],
    cores: null,
  } as const;
  const lines = benchTorrc(config, '/somewhere').split('\n');
  const named = (name: string) => lines.filter((line) => line.startsWith(`${name} `));
  expect(named('ORPort')).toEqual(['ORPort 127.0.0.1:auto']);
  expect(named('PublishServerDescriptor')).toEqual(['PublishServerDescriptor 0']);
  expect(named('NumCPUs')).toEqual(['NumCPUs 3']);
  expect(lines).toContain('HeartbeatPeriod 0');
});

test('the port is read from the log of either relay', () => {
  expect(parsePort('x [notice] Listening for OR connections on 127.0.0.1:45001\n')).toBe(45001);
  const opening = 'Opening OR listener on 127.0.0.1:0\n';
  expect(parsePort(opening)).toBeNull();
  expect(parsePort(`${opening}Opened OR listener connection (ready) on 127.0.0.1:45869`)).toBe(45869);
});

test('a folder without keys has no ids', () => {
  const folder = mkdtempSync(join(tmpdir(), 'onionrelay-'));
  try {
    expect(readIds(folder, 1)).toBeNull();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test(
  'a relay that ends at once is told with its log',
  async () => {
    const config = { kind: 'ours', command: [process.execPath, MAIN], workers: 1, cores: null } as const;
    const fault = await startTarget({ ...config, torrc: ['NoSuchOption 1'] }).catch(
      (error: unknown) => error,
    );
    expect(fault).toBeInstanceOf(OperatorError);
    expect((fault as OperatorError).exitCode).toBe(2);
    expect((fault as OperatorError).message).toContain('NoSuchOption');
  },
  PATIENCE_MS,
);

test(
  'a relay of ours starts, tells its links, and leaves nothing behind',
  async () => {
    const command = [process.execPath, MAIN];
    const target = await startTarget({ kind: 'ours', command, workers: 2, torrc: [], cores: null });
    try {
      expect(target.load.host).toBe('127.0.0.1');
      expect([target.load.rsaId.length, target.load.ntorOnionKey.length]).toEqual([20, 32]);
      expect(target.read().cpuSec).toBeGreaterThan(0);
      const held = async () => (await target.links!()).flatMap(({ from }) => [...from]);
      const sockets = await Promise.all(
        [0, 1, 2].map(() =>
          Bun.connect({ hostname: '127.0.0.1', port: target.load.port, socket: { data() {} } }),
        ),
      );
      const ports = sockets.map((socket) => socket.localPort).sort();
      const deadlineMs = performance.now() + PATIENCE_MS / 2;
      let found: number[] = [];
      while (!ports.every((port) => found.includes(port)) && performance.now() < deadlineMs)
        found = await held();
      expect(found).toEqual(expect.arrayContaining(ports));
      expect((await target.links!()).map(({ worker }) => worker)).toEqual([0, 1]);
      for (const socket of sockets) socket.end();
    } finally {
      await target.stop();
    }
    expect(existsSync(`/proc/${target.pid}`)).toBe(false);
  },
  PATIENCE_MS,
);
