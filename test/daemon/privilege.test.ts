/** `User`: root becomes another user for good, in every thread; others are told how. */

import { expect, test } from 'bun:test';
import { join } from 'node:path';

import { becomeUser, lookUpUser, raiseFileLimit } from '../../src/daemon/privilege.ts';
import { findUser, getFileLimit, isFault, setFileLimit } from '../../src/libc.ts';
import { refusal } from '../keys/scratch.ts';

const ROOT = process.getuid!() === 0;
const SOURCE = join(import.meta.dir, '../../src/daemon/privilege.ts');

test('a user that does not exist is refused with its line', () => {
  const error = refusal(() => lookUpUser('no-such-user-here', 'torrc:7'));
  expect(error.message).toStartWith('torrc:7: there is no user "no-such-user-here"');
  expect(error.exitCode).toBe(1);
});

async function run(script: string): Promise<string> {
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe', stderr: 'pipe' });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return out + err;
}

test.skipIf(!ROOT)('root becomes the user in all threads and cannot go back', async () => {
  const out = await run(`
import { readdirSync, readFileSync } from 'node:fs';
import { becomeUser } from ${JSON.stringify(SOURCE)};
import { setUid } from ${JSON.stringify(join(import.meta.dir, '../../src/libc.ts'))};
becomeUser('nobody', 'torrc:1');
const lines = new Set();
for (const task of readdirSync('/proc/self/task')) {
  const status = readFileSync('/proc/self/task/' + task + '/status', 'latin1');
  lines.add(status.match(/^Uid:.*$/m)[0] + status.match(/^Gid:.*$/m)[0] + status.match(/^Groups:.*$/m)[0]);
}
console.log(JSON.stringify([...lines]), setUid(0)?.text, process.getuid(), process.getgid());
becomeUser('nobody', 'torrc:1');
try { becomeUser('root', 'torrc:2'); } catch (error) { console.log(error.message); }
`);
  const user = findUser('nobody')!;
  const ids = (id: number) => [id, id, id, id].join('\\t');
  expect(out).toContain(`["Uid:\\t${ids(user.uid)}Gid:\\t${ids(user.gid)}Groups:\\t${user.gid} "]`);
  expect(out).toContain(`EPERM: Operation not permitted ${user.uid} ${user.gid}`);
  expect(out).toContain('torrc:2: only root can become "root", and this process runs as nobody');
});

/** A script that does `body` in a process of its own and prints what prctl(PR_GET_DUMPABLE) says then. */
function dumpableAfter(body: string): Promise<string> {
  return run(`
import { dlopen } from 'bun:ffi';
import { becomeUser, keepDebuggersOff } from ${JSON.stringify(SOURCE)};
const prctl = { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' };
let libc;
for (const name of ['libc.so.6', 'libc.so']) try { libc ??= dlopen(name, { prctl }).symbols; } catch {}
${body}
console.log(libc.prctl(3, 0n, 0n, 0n, 0n));
`);
}

const options = (value: string | null, user: string | null = null) =>
  JSON.stringify({ user, values: value === null ? {} : { DisableDebuggerAttachment: [value] } });

test('debuggers are kept off unless DisableDebuggerAttachment is 0', async () => {
  expect(await dumpableAfter('')).toBe('1\n');
  for (const value of ['1', null]) {
    expect(await dumpableAfter(`keepDebuggersOff(${options(value)})`)).toBe('0\n');
  }
  expect(await dumpableAfter(`keepDebuggersOff(${options('0')})`)).toBe('1\n');
});

test.skipIf(!ROOT)('a change of user does not let debuggers in, unless it was asked for', async () => {
  for (const [value, expected] of [
    ['1', '0\n'],
    ['0', '1\n'],
  ] as const) {
    const body = `becomeUser('nobody', 'torrc:1'); keepDebuggersOff(${options(value, 'nobody')})`;
    expect(await dumpableAfter(body)).toBe(expected);
  }
});

test.skipIf(ROOT)('someone else cannot become anyone', () => {
  expect(refusal(() => becomeUser('root', 'torrc:2')).message).toContain('only root can become');
});

test('the limit of open files is raised as far as it goes', () => {
  const limit = getFileLimit();
  if (isFault(limit)) throw new Error(limit.text);
  expect(setFileLimit(limit.soft - 10)).toBeNull();
  expect(raiseFileLimit(1)).toBe(limit.soft - 10);
  expect(raiseFileLimit(limit.soft)).toBe(limit.soft);
  expect(raiseFileLimit(limit.hard + 1000)).toBe(limit.hard);
  expect(setFileLimit(limit.soft)).toBeNull();
});
