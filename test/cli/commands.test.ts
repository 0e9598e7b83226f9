/** The command line from outside: help, subcommands, printed documents, exit codes. */

import { describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { findUser } from '../../src/libc.ts';
import { OPTIONS } from '../../src/torrc/option-table.ts';
import { VERSION } from '../../src/version.ts';
import { folder, PATIENCE_MS, quietRelay, runToEnd, textOf, writeTorrc } from '../daemon/relay-process.ts';

const SUBCOMMANDS = [
  'run',
  'verify-config',
  'fingerprint',
  'keygen',
  'hash-password',
  'dump-config',
  'print',
  'bench',
];

async function good(...argv: string[]): Promise<string> {
  const { code, out, err } = await runToEnd(argv);
  expect([code, err]).toEqual([0, '']);
  return out;
}

async function bad(...argv: string[]): Promise<string> {
  const { code, out, err } = await runToEnd(argv);
  expect([code, out]).toEqual([1, '']);
  expect(err).toStartWith('onionrelay: ');
  expect(err).not.toContain('    at ');
  return err;
}

describe('help', () => {
  test(
    'names subcommands, switches and options, without colours in a pipe',
    async () => {
      const help = await good('--help');
      for (const name of SUBCOMMANDS) expect(help).toMatch(new RegExp(`^ +${name} {4}\\S`, 'm'));
      for (const word of ['--verify-config', '--list-fingerprint', 'ORPort', 'ContactInfo']) {
        expect(help).toContain(word);
      }
      expect(help).not.toContain('\u001b');
      expect(await good('-h')).toBe(help);
    },
    PATIENCE_MS,
  );

  test(
    'of each subcommand says what follows it',
    async () => {
      for (const name of SUBCOMMANDS) {
        const help = await good(name, '--help');
        expect(help).toContain(`USAGE onionrelay ${name}`);
        expect(help).not.toContain('\u001b');
      }
      expect(await good('run', '-h')).toContain('--torrc-file=<FILE>');
      expect(await good('print', '-h')).toContain('man, unit, torrc');
    },
    PATIENCE_MS,
  );
});

describe('refuses', () => {
  test(
    'a word that is neither subcommand nor option',
    async () => {
      expect(await bad('frobnicate')).toContain('there is no subcommand "frobnicate": write one of run, ');
      expect(await bad('runn', '-f', 'x')).toContain('there is no subcommand "runn"');
      expect(await bad('--frobnicate', '1')).toContain('command line: ');
    },
    PATIENCE_MS,
  );

  test(
    'missing and unknown arguments',
    async () => {
      expect(await bad('print')).toContain('write onionrelay print man|unit|torrc');
      expect(await bad('print', 'money')).toContain('cannot print "money": write one of man, unit, torrc');
      expect(await bad('hash-password')).toContain('write onionrelay hash-password PASSWORD');
      expect(await bad('run', '-f')).toContain('-f has no value');
      expect(await bad('run', '-f', '/nonexistent/torrc')).toContain(
        '/nonexistent/torrc: there is no such file',
      );
      expect(await bad('dump-config', 'medium')).toContain('medium');
    },
    PATIENCE_MS,
  );
});

describe('subcommands take what C tor takes', () => {
  test(
    'switches and options anywhere behind the name',
    async () => {
      const at = folder();
      const torrc = writeTorrc(at, ['ContactInfo test@example.org', 'ORPort 9001', 'AssumeReachable 1']);
      expect(await good('verify-config', '-f', torrc)).toBe('Configuration was valid\n');
      expect(await good('--verify-config', '-f', torrc)).toBe('Configuration was valid\n');
      const wrong = await runToEnd(['verify-config', '-f', torrc, '--ShutdownWaitLength', 'long']);
      expect([wrong.code, wrong.out]).toEqual([1, '']);
      expect(wrong.err).toContain('command line: ');
      const dumped = await good('dump-config', '-f', torrc, '--NumCPUs', '3', 'short');
      expect(dumped).toContain('NumCPUs 3\n');
      expect(dumped).not.toContain('SafeLogging');
      expect(await good('dump-config', 'full', '-f', torrc)).toContain('SafeLogging 1\n');
      expect(await good('--dump-config', 'short', '-f', torrc, '--NumCPUs', '3')).toBe(dumped);
    },
    PATIENCE_MS,
  );

  test(
    'keygen and both fingerprints, which agree with the files',
    async () => {
      const at = folder();
      const torrc = writeTorrc(at, quietRelay(at));
      expect(await good('keygen', '-f', torrc)).toContain(`made ${at}/data/keys/ed25519_signing_cert\n`);
      const rsa = await good('fingerprint', '-f', torrc);
      expect(rsa).toMatch(/^Unnamed( [0-9A-F]{4}){10}\n$/);
      expect(await good('--list-fingerprint', '-f', torrc)).toBe(rsa);
      expect(textOf(`${at}/data/fingerprint`)).toBe(`Unnamed ${rsa.slice(8).replaceAll(' ', '')}`);
      const ed25519 = await good('fingerprint', '--quiet', 'ed25519', '-f', torrc);
      expect(ed25519).toBe(textOf(`${at}/data/fingerprint-ed25519`)!);
      expect(await good('fingerprint', '-f', torrc, 'ed25519')).toBe(ed25519);
      expect(await good('--list-fingerprint', 'ed25519', '-f', torrc)).toBe(ed25519);
    },
    PATIENCE_MS,
  );

  test.skipIf(process.getuid!() !== 0)(
    'keys that root makes for User belong to that user',
    async () => {
      const at = folder();
      const user = findUser('debian-tor') ?? findUser('nobody')!;
      mkdirSync(`${at}/home`);
      chmodSync(at, 0o755);
      chownSync(`${at}/home`, user.uid, user.gid);
      const torrc = writeTorrc(at, quietRelay(`${at}/home`, `User ${user.name}`));
      const name = await good('fingerprint', '-f', torrc);
      expect(name).toMatch(/^Unnamed /);
      for (const file of ['data', 'data/keys/secret_id_key', 'data/fingerprint']) {
        expect(statSync(`${at}/home/${file}`).uid).toBe(user.uid);
      }
      expect(await good('fingerprint', '-f', torrc)).toBe(name);
    },
    PATIENCE_MS,
  );

  test(
    'keys that are damaged end the tools with 2, too',
    async () => {
      const at = folder();
      const torrc = writeTorrc(at, quietRelay(at));
      await good('keygen', '-f', torrc);
      writeFileSync(`${at}/data/keys/secret_id_key`, 'x');
      const { code, err } = await runToEnd(['fingerprint', '-f', torrc]);
      expect(code).toBe(2);
      expect(err).toContain(`${at}/data/keys/secret_id_key: is damaged`);
    },
    PATIENCE_MS,
  );

  test(
    'print, version and option names',
    async () => {
      expect(await good('print', 'man')).toStartWith('.TH ONIONRELAY 1');
      expect(await good('print', 'torrc')).toContain('#ORPort 9001\n');
      const unit = await good('print', 'unit');
      expect(unit).toContain(
        'UnsetEnvironment=BUN_BE_BUN BUN_OPTIONS NODE_OPTIONS NODE_TLS_REJECT_UNAUTHORIZED\n',
      );
      // What the unit starts is what printed it.
      const words = /^ExecStart=(.*) -f \/etc\/tor\/torrc$/m.exec(unit)![1]!.split(' ');
      const again = Bun.spawnSync([...words, '--version']);
      expect(again.stdout.toString()).toStartWith(`onionrelay version ${VERSION} (`);
      expect((await good('--list-torrc-options')).trimEnd().split('\n')).toHaveLength(OPTIONS.length);
      expect(await good('hash-password', 'x')).toMatch(/^16:[0-9A-F]{58}\n$/);
    },
    PATIENCE_MS,
  );
});
