import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyConfig } from '../../src/cli/verify-config.ts';
import { parseCommandLine } from '../../src/torrc/command-line.ts';
import { loadLayers, readIncludes, readTorrcFile } from '../../src/torrc/torrc-file.ts';

const root = mkdtempSync(join(tmpdir(), 'onionrelay-file-'));
const torrc = join(root, 'torrc');
const defaults = join(root, 'defaults');
mkdirSync(join(root, 'conf.d', 'nested'), { recursive: true });
writeFileSync(torrc, `Nickname alice\n%include ${root}/conf.d/*.conf\nORPort 9001\nContactInfo x\n`);
writeFileSync(defaults, 'Nickname fallback\nHeartbeatPeriod 1 hour\n');
writeFileSync(join(root, 'conf.d', 'b.conf'), 'NumCPUs 2\n');
writeFileSync(join(root, 'conf.d', 'a.conf'), 'NumCPUs 1\n');
writeFileSync(join(root, 'conf.d', '.c.conf'), 'NumCPUs 3\n');
writeFileSync(join(root, 'conf.d', 'empty'), '');

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('readIncludes', () => {
  const names = (pattern: string) => {
    const files = readIncludes(pattern);
    return typeof files === 'string' ? files : files.map((file) => file.name.replace(`${root}/`, ''));
  };

  test('reads a file, a folder, a pattern', () => {
    expect(names(defaults)).toEqual(['defaults']);
    expect(names(join(root, 'conf.d'))).toEqual(['conf.d/a.conf', 'conf.d/b.conf', 'conf.d/empty']);
    expect(names(join(root, '*.d', '?.conf'))).toEqual(['conf.d/a.conf', 'conf.d/b.conf']);
    expect(names(join(root, 'conf.d', '.*'))).toEqual(['conf.d/.c.conf']);
    expect(names(join(root, 'no*'))).toEqual([]);
  });

  test('says why a file cannot be read', () => {
    expect(names(join(root, 'none'))).toBe('there is no such file');
    expect(names(join(torrc, 'x'))).toBe('a part of the path is no folder');
  });
});

describe('loadLayers', () => {
  const load = (...argv: string[]) => loadLayers(parseCommandLine(argv), root);

  test('reads defaults, torrc and command line', () => {
    const { layers, torrcName } = load('-f', torrc, '--defaults-torrc', defaults, '--NumCPUs', '4');
    expect(torrcName).toBe(torrc);
    expect(layers.map((layer) => layer.map((line) => line.key))).toEqual([
      ['Nickname', 'HeartbeatPeriod'],
      ['Nickname', 'NumCPUs', 'NumCPUs', 'ORPort', 'ContactInfo'],
      ['NumCPUs'],
    ]);
  });

  test('refuses a named file that is missing, unless told', () => {
    expect(() => load('-f', join(root, 'none'))).toThrow('/none: there is no such file');
    expect(() => load('--defaults-torrc', join(root, 'none'))).toThrow('/none: there is no such file');
    expect(load('-f', join(root, 'none'), '--ignore-missing-torrc').torrcName).toBeNull();
  });

  test('refuses a folder as torrc', () => {
    expect(() => readTorrcFile(root)).toThrow('cannot be read (it is a folder)');
  });
});

describe('verifyConfig', () => {
  const verify = (...argv: string[]) =>
    verifyConfig(parseCommandLine(['-f', torrc, '--verify-config', ...argv]), root);

  test('ends with the line that scripts look for', () => {
    expect(verify('--hush')).toBe('Configuration was valid\n');
    expect(verify('--quiet')).toBe('');
    const lines = verify().split('\n');
    expect(lines.at(-2)).toBe('Configuration was valid');
    expect(lines[0]).toBe(
      `[warn] ${root}/conf.d/b.conf:1: NumCPUs is set more than once: only this last line counts`,
    );
  });

  test('throws the fault by its place', () => {
    expect(() => verify('--NumCPUs', 'two')).toThrow('command line: NumCPUs "two" is no whole number');
  });
});
