/** Files are wholly written or not at all, with the mode asked for, and failures name the path. */

import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  createFile,
  fileFault,
  placeLeftover,
  removeTemporaries,
  replaceFile,
  stageFile,
  watchSteps,
} from '../src/atomic-file.ts';
import { refusal, scratch } from './keys/scratch.ts';

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

test('a file is replaced whole, and nothing else is left', () => {
  const at = scratch();
  const path = join(at, 'state');
  replaceFile(path, 'first');
  replaceFile(path, Uint8Array.of(50, 0, 255));
  expect(new Uint8Array(readFileSync(path))).toEqual(Uint8Array.of(50, 0, 255));
  expect(mode(path)).toBe(0o600);
  expect(readdirSync(at)).toEqual(['state']);
});

test('the mode does not depend on the umask', () => {
  const at = scratch();
  const before = process.umask(0o077);
  try {
    replaceFile(join(at, 'open'), 'x', { mode: 0o640 });
  } finally {
    process.umask(before);
  }
  expect(mode(join(at, 'open'))).toBe(0o640);
});

test('a leftover temporary file is replaced, a link in its place is not followed', () => {
  const at = scratch();
  const path = join(at, 'state');
  writeFileSync(`${path}.tmp`, 'half', { mode: 0o644 });
  replaceFile(path, 'whole');
  expect(mode(path)).toBe(0o600);
  writeFileSync(join(at, 'victim'), 'untouched');
  symlinkSync(join(at, 'victim'), `${path}.tmp`);
  replaceFile(path, 'again');
  expect(readFileSync(join(at, 'victim'), 'latin1')).toBe('untouched');
  expect(readFileSync(path, 'latin1')).toBe('again');
});

test('a file is created once and never overwritten', () => {
  const at = scratch();
  const path = join(at, 'key');
  createFile(path, 'first');
  const error = refusal(() => createFile(path, 'second', { exitCode: 2 }));
  expect(error.where).toBe(path);
  expect(error.what).toContain('EEXIST');
  expect(error.exitCode).toBe(2);
  expect(readFileSync(path, 'latin1')).toBe('first');
  expect(mode(path)).toBe(0o600);
  expect(readdirSync(at)).toEqual(['key']);
});

test('a staged file has no name until it is placed, and none when it is discarded', () => {
  const at = scratch();
  const path = join(at, 'key');
  stageFile(path, 'first').discard();
  expect(readdirSync(at)).toEqual([]);
  const staged = stageFile(path, 'second');
  expect(readdirSync(at)).toEqual(['key.tmp']);
  staged.place();
  staged.discard();
  expect([readFileSync(path, 'latin1'), mode(path)]).toEqual(['second', 0o600]);
  const late = stageFile(path, 'third', { exitCode: 2 });
  expect(refusal(() => late.place()).exitCode).toBe(2);
  expect(readFileSync(path, 'latin1')).toBe('second');
  expect(readdirSync(at)).toEqual(['key']);
});

test('a failure names the path and leaves the old file and no temporary one', () => {
  const at = scratch();
  const missing = join(at, 'none', 'state');
  const error = refusal(() => replaceFile(missing, 'x'));
  expect(error.where).toBe(missing);
  expect(error.hint).toContain('make the directory');
  mkdirSync(join(at, 'taken'));
  expect(refusal(() => replaceFile(join(at, 'taken'), 'x')).hint).toContain('directory');
  expect(readdirSync(at)).toEqual(['taken']);
});

test('a full disk is told with its remedy', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const error = fileFault(full, 'writing the file', '/var/lib/tor/state');
  expect(error.message).toBe(
    '/var/lib/tor/state: writing the file failed: ENOSPC: no space left on device, write: free some space on that disk',
  );
  expect(error.exitCode).toBe(1);
});

test('what a writer that died has left is removed by name, or gets its name', () => {
  const at = scratch();
  for (const name of ['state.tmp', 'other.tmp', 'state']) writeFileSync(join(at, name), name);
  mkdirSync(join(at, 'folder.tmp'));
  expect(removeTemporaries(at, ['state', 'folder', 'absent'])).toEqual([join(at, 'state.tmp')]);
  expect(readdirSync(at).sort()).toEqual(['folder.tmp', 'other.tmp', 'state']);
  placeLeftover(join(at, 'other'));
  expect(readFileSync(join(at, 'other'), 'latin1')).toBe('other.tmp');
  writeFileSync(join(at, 'state.tmp'), 'late');
  expect(refusal(() => placeLeftover(join(at, 'state'))).where).toBe(join(at, 'state'));
  expect(readFileSync(join(at, 'state'), 'latin1')).toBe('state');
});

test('at every step on disk a file is the old one or the new one', () => {
  const at = scratch();
  const path = join(at, 'state');
  const [before, after] = ['old'.repeat(9), 'new'.repeat(9)];
  replaceFile(path, before);
  const seen: string[] = [];
  watchSteps(() => seen.push(readFileSync(path, 'latin1')));
  replaceFile(path, after);
  watchSteps(() => {});
  expect(seen).toEqual([before, before, before, before, after]);
});
