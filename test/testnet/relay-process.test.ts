/** Relays as children: a script stands for one. */
import { afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelayProcess } from '../../src/testnet/relay-process.ts';
import { waitUntil } from '../net/network-node.ts';

const PART = { nickname: 'middle1', role: 'middle', workers: 1 } as const;
const folder = mkdtempSync(join(tmpdir(), 'relay-process-'));
let process: RelayProcess | null = null;
afterEach(async () => {
  process?.kill();
  await process?.ended;
  rmSync(folder, { recursive: true, force: true });
});

const SCRIPT = `
process.on('SIGUSR1', () => {
  console.log('t [notice] Worker 0: 3 channels (0 half open), 4 circuits, 0 cells waiting.');
  console.log('t [notice] Worker 1: 3 channels (0 half open), 5 circuits, 0 cells waiting.');
  console.log('t [notice] Counters: bytes_read 1000, links_accepted 2, bytes_written 2000.');
});
process.on('SIGTERM', () => { if (process.argv[1] !== 'stubborn') process.exit(7); });
while (process.cpuUsage().user < 50000);
console.log('t [notice] Listening for OR connections on 127.0.0.1:4321.');
for (let i = 0; i < 300; i++) console.log('line ' + i);
setInterval(() => {}, 1000);
`;

function start(...args: string[]): RelayProcess {
  process = new RelayProcess(PART, [globalThis.process.execPath, '-e', SCRIPT, ...args], tmpdir());
  return process;
}

test('a child tells its port and, when asked, how it is', async () => {
  const child = start();
  expect(child.orPort).toBeNull();
  await waitUntil('its port', 20_000, () => child.orPort === 4321);
  child.ask();
  await waitUntil('its vitals', 20_000, () => child.read().circuits === 9);
  expect(child.read()).toMatchObject({ read: 1000, written: 2000 });
  expect(child.read().cpuSec).toBeGreaterThan(0);
  await waitUntil('its log', 20_000, () => child.log.includes('line 299'));
  expect(child.log.split('\n').length).toBe(200);
  expect(child.log).not.toContain('Counters');
  await child.stop();
  expect(child.isRunning).toBe(false);
  expect(await child.ended).toBe(7);
  // What it took stays what it took.
  expect(child.read().cpuSec).toBeGreaterThan(0);
  child.ask();
  await child.stop();
});

test('one that does not end is ended', async () => {
  const child = start('stubborn');
  await waitUntil('its port', 20_000, () => child.orPort === 4321);
  await child.stop();
  expect(child.isRunning).toBe(false);
});
