/** The directory lock, between processes of ours and (in test/keys/c-tor.test.ts) with C tor. */

import { expect, test } from 'bun:test';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { lockDirectory, lockDirectoryPatiently } from '../../src/daemon/lock-file.ts';
import { setLogSink } from '../../src/log.ts';
import { refusal, scratch } from '../keys/scratch.ts';

test('a directory is locked once, and free after release', () => {
  const at = scratch();
  const lock = lockDirectory(at);
  expect(lock.path).toBe(join(at, 'lock'));
  expect(statSync(lock.path).mode & 0o777).toBe(0o600);
  const error = refusal(() => lockDirectory(at));
  expect(error.where).toBe(lock.path);
  expect(error.exitCode).toBe(1);
  expect(error.what).toContain('already runs with this DataDirectory');
  lock.release();
  lockDirectory(at).release();
});

test('another process that holds it is named, and its death frees it', async () => {
  const at = scratch();
  const source = join(import.meta.dir, '../../src/daemon/lock-file.ts');
  const script = `import { lockDirectory } from ${JSON.stringify(source)};
lockDirectory(${JSON.stringify(at)}); console.log('locked'); setInterval(() => {}, 1000);`;
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe', stderr: 'inherit' });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toContain('locked');
  expect(refusal(() => lockDirectory(at)).what).toStartWith(`process ${child.pid} `);
  child.kill('SIGKILL');
  await child.exited;
  lockDirectory(at).release();
});

test('a relay on its way out is waited for', async () => {
  const at = scratch();
  const lock = lockDirectory(at);
  const said: string[] = [];
  setLogSink((record) => void said.push(record.text));
  try {
    const waiting = lockDirectoryPatiently(at, 30_000);
    setTimeout(() => lock.release(), 150);
    (await waiting).release();
  } finally {
    setLogSink(null);
  }
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('waiting 30 seconds');
});

test('the wait ends, and so it does without a directory or with one named lock', async () => {
  const at = scratch();
  const lock = lockDirectory(at);
  setLogSink(() => {});
  await expect(lockDirectoryPatiently(at, 200)).rejects.toThrow('already runs');
  setLogSink(null);
  lock.release();
  expect(refusal(() => lockDirectory(join(at, 'none'))).what).toContain('ENOENT');
  mkdirSync(join(at, 'other', 'lock'), { recursive: true });
  expect(refusal(() => lockDirectory(join(at, 'other'))).where).toBe(join(at, 'other', 'lock'));
});
