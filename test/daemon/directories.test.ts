/** Directories that torrc names: made, or refused with the torrc line. */

import { afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectories, openKeys } from '../../src/daemon/directories.ts';
import { EXIT_KEYS, OperatorError } from '../../src/fault.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const folders: string[] = [];

afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'onionrelay-'));
  folders.push(path);
  return path;
}

function options(home: string | null, ...lines: string[]) {
  const parsed = parseTorrc(lines.join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home }).options;
}

function refusal(home: string | null, ...lines: string[]): OperatorError {
  try {
    openDirectories(options(home, ...lines), () => {});
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('each is made, and closed to others', () => {
  const at = folder();
  const store = openDirectories(
    options(null, `DataDirectory ${at}/d`, `KeyDirectory ${at}/k`, `CacheDirectory ${at}/c`),
    () => {},
  );
  expect(store.keyDirectory).toBe(`${at}/k`);
  for (const name of ['d', 'k', 'c']) expect(statSync(join(at, name)).mode & 0o777).toBe(0o700);
  expect(openKeys(options(null, `DataDirectory ${at}/d`), () => {}).keyDirectory).toBe(`${at}/d/keys`);
});

test('what cannot be made is refused with line, option and path', () => {
  const at = folder();
  writeFileSync(`${at}/file`, '');
  const data = `DataDirectory ${at}/d`;
  for (const [name, ...lines] of [
    ['DataDirectory', 'ORPort 9001', 'DataDirectory /proc/y'],
    ['KeyDirectory', data, 'KeyDirectory /proc/y'],
    ['CacheDirectory', data, 'CacheDirectory /proc/y'],
  ] as const) {
    const error = refusal(null, ...lines);
    expect(error.message).toStartWith(`torrc:2: ${name} /proc/y: making the directory failed: `);
    expect(error.exitCode).toBe(EXIT_KEYS);
  }
  expect(refusal(null, `DataDirectory ${at}/file`).message).toStartWith(
    `torrc:1: DataDirectory ${at}/file: opening the directory failed: `,
  );
});

test('where no line names it, the option is the place', () => {
  const at = folder();
  writeFileSync(`${at}/keys`, '');
  expect(refusal(null, `DataDirectory ${at}`).message).toStartWith(
    `torrc:1: DataDirectory ${at}/keys: opening`,
  );
  expect(refusal('/proc').message).toStartWith('DataDirectory: DataDirectory /proc/.tor: making');
});
