/** The executable: made in a copy of the sources that is then gone, started where traps lie. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from '../../src/cell/command.ts';
import { VERSION } from '../../src/version.ts';
import {
  folder,
  PATIENCE_MS,
  quietRelay,
  RelayProcess,
  runToEnd,
  textOf,
  until,
  writeTorrc,
} from '../daemon/relay-process.ts';
import { createFast, openLink } from '../daemon/test-client.ts';

const ROOT = join(import.meta.dir, '../..');
const BUILD_MS = 300_000;

let at = '';
let executable = '';
let commit = '';

function run(cwd: string, ...command: string[]): string {
  const done = Bun.spawnSync(command, { cwd, stderr: 'pipe' });
  if (!done.success) throw new Error(`${command.join(' ')}: ${done.stderr.toString()}`);
  return done.stdout.toString().trim();
}

beforeAll(() => {
  at = mkdtempSync(join(tmpdir(), 'onionrelay-build-'));
  const copy = join(at, 'copy');
  mkdirSync(copy);
  for (const name of ['src', 'build.ts', 'package.json', 'tsconfig.json']) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  run(copy, 'git', 'init', '-q');
  run(copy, 'git', 'add', 'build.ts', 'package.json');
  run(copy, 'git', '-c', 'user.name=t', '-c', 'user.email=t@example.org', 'commit', '-qm', 't');
  commit = run(copy, 'git', 'rev-parse', '--short=12', 'HEAD');
  // Started from elsewhere, to see that it finds its way.
  run(at, process.execPath, join(copy, 'build.ts'));
  executable = join(at, 'onionrelay');
  expect(statSync(join(copy, 'onionrelay.map')).size).toBeGreaterThan(0);
  expect(existsSync(join(copy, 'onionrelay.new'))).toBe(false);
  renameSync(join(copy, 'onionrelay'), executable);
  rmSync(copy, { recursive: true });
}, BUILD_MS);

afterAll(() => rmSync(at, { recursive: true, force: true }));

describe('the executable', () => {
  test(
    'names its version and commit, and has help',
    async () => {
      const { code, out } = await runToEnd(['--version'], { command: [executable] });
      expect([code, out]).toEqual([0, `onionrelay version ${VERSION} (${commit}), on Bun ${Bun.version}.\n`]);
      const help = await runToEnd(['run', '--help'], { command: [executable] });
      expect(help.out).toContain('USAGE onionrelay run');
      const unit = await runToEnd(['print', 'unit'], { command: [executable] });
      expect(unit.out).toContain(`ExecStart=${executable} -f /etc/tor/torrc\n`);
    },
    PATIENCE_MS,
  );

  test(
    'is a relay without its sources, and does not read .env, bunfig.toml or tsconfig.json where it starts',
    async () => {
      const here = folder();
      writeFileSync(join(here, '.env'), `HOME=/nonexistent\nONIONRELAY_DETACHED=1\n`);
      writeFileSync(join(here, 'bunfig.toml'), 'preload = ["./trap.ts"]\n');
      writeFileSync(join(here, 'trap.ts'), 'console.log("trapped"); process.exit(9);\n');
      const lines = quietRelay(here).map((line) => (line === 'NumCPUs 1' ? 'NumCPUs 2' : line));
      const torrc = writeTorrc(here, lines);
      const relay = new RelayProcess(['-f', torrc], { command: [executable], cwd: here });
      const port = await relay.up();
      const link = await openLink(port, `${here}/data`);
      expect(await createFast(link)).toBe(Command.CREATED_FAST);
      link.close();
      relay.signal('SIGHUP');
      await relay.said(/Reloaded: 0 options changed/);
      await relay.stop();
      expect(relay.out).not.toContain('trapped');
      expect(relay.out).not.toContain('ready\n');
    },
    PATIENCE_MS,
  );

  test(
    'goes to the background by itself',
    async () => {
      const here = folder();
      const torrc = writeTorrc(
        here,
        quietRelay(here, 'RunAsDaemon 1', `PidFile ${here}/pid`, `Log notice file ${here}/log`),
      );
      const { code, out, err } = await runToEnd(['-f', torrc], { command: [executable] });
      expect([code, out, err]).toEqual([0, '', '']);
      const pid = Number(textOf(`${here}/pid`));
      process.kill(pid, 'SIGTERM');
      await until(() => !existsSync(`${here}/pid`));
      await until(() => textOf(`${here}/log`)!.includes('Stopped.'));
    },
    PATIENCE_MS,
  );

  test(
    'would be another program under BUN_BE_BUN, which is why the unit unsets it',
    async () => {
      const { out } = await runToEnd(['--version'], { command: [executable], env: { BUN_BE_BUN: '1' } });
      expect(out).toBe(`${Bun.version}\n`);
    },
    PATIENCE_MS,
  );
});
