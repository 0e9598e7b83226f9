/** PidFile: written for us alone to end, never through what somebody else put in its place. */

import { expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { removePidFile, writePidFile } from '../../src/daemon/pid-file.ts';
import { refusal, scratch } from '../keys/scratch.ts';

test('it has our process number, also where an older, longer one was', () => {
  const path = join(scratch(), 'pid');
  for (const before of [null, 'a much longer line than a process number\n']) {
    if (before !== null) writeFileSync(path, before);
    writePidFile(path, 'torrc:3');
    expect(readFileSync(path, 'latin1')).toBe(`${process.pid}\n`);
    expect(lstatSync(path).mode & 0o133).toBe(0);
  }
  removePidFile(path);
  expect(existsSync(path)).toBe(false);
  removePidFile(path);
});

test('a symbolic link is refused, and what it points to is left alone', () => {
  const at = scratch();
  const path = join(at, 'pid');
  const target = join(at, 'target');
  symlinkSync(target, path);
  for (const content of [null, 'precious']) {
    if (content !== null) writeFileSync(target, content);
    const error = refusal(() => writePidFile(path, 'torrc:3'));
    expect(error.message).toStartWith(`torrc:3: PidFile ${path} cannot be written`);
    expect(error.hint).toContain('symbolic link');
    expect(existsSync(target) ? readFileSync(target, 'latin1') : null).toBe(content);
  }
});

test('a folder that is a symbolic link will do', () => {
  const at = scratch();
  mkdirSync(join(at, 'run'));
  symlinkSync(join(at, 'run'), join(at, 'var-run'));
  writePidFile(join(at, 'var-run', 'pid'), 'torrc:3');
  expect(readFileSync(join(at, 'run', 'pid'), 'latin1')).toBe(`${process.pid}\n`);
});

test('a folder that is missing, a folder in its place and a FIFO are refused at once', () => {
  const at = scratch();
  mkdirSync(join(at, 'folder'));
  execFileSync('mkfifo', [join(at, 'fifo')]);
  for (const name of ['none/pid', 'folder', 'fifo']) {
    const error = refusal(() => writePidFile(join(at, name), 'torrc:3'));
    expect(error.message).toStartWith(`torrc:3: PidFile ${join(at, name)} cannot be written`);
    expect(error.exitCode).toBe(1);
  }
});
