/** Bugs in handlers: they end the thread instead of looking like faults of a socket. */
import { expect, test } from 'bun:test';

const FILE = new URL('../src/fault.ts', import.meta.url).href;

test.each([
  'orDie(() => { throw new Error("ours"); })',
  'guarded((socket, x) => { throw new Error("ours " + socket + x); })(1, 2)',
])('what %s throws ends the thread', (call) => {
  const code = `import { guarded, orDie } from '${FILE}'; ${call}; setTimeout(() => {}, 60_000);`;
  const done = Bun.spawnSync([process.execPath, '-e', code]);
  expect([done.exitCode, done.stderr.toString().includes('ours')]).toEqual([1, true]);
});
