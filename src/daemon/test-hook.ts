/**
 * What tests need to do to a running relay and nobody else may: lines on standard input, only with
 * ONIONRELAY_TEST_HOOKS=1 in the environment.
 * - `kill-worker N` ends a worker as a crash would.
 * - `rotate-link-key`, `rotate-onion-key` do now what else takes hours and weeks.
 * - `worker-option NAME NUMBER` changes a bound or a time limit of the workers that torrc has no line for.
 * - `links` has every worker write to the log which links over loopback it holds.
 */

import { log } from '../log.ts';

/** What the lines do. */
export interface TestHooks {
  kill(worker: number): void;
  rotateLinkKey(): void;
  rotateOnionKey(): void;
  setWorkerOption(name: string, value: number): void;
  tellLinks(): void;
}

/** Listen for hooks if the environment asks for it. */
export function listenForTestHooks(hooks: TestHooks): void {
  if (process.env['ONIONRELAY_TEST_HOOKS'] !== '1') return;
  let rest = '';
  process.stdin.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) obey(line, hooks);
  });
}

function obey(line: string, hooks: TestHooks): void {
  const [verb, first = '', second = ''] = line.split(' ');
  if (verb === 'kill-worker') hooks.kill(Number(first));
  else if (verb === 'rotate-link-key') hooks.rotateLinkKey();
  else if (verb === 'rotate-onion-key') hooks.rotateOnionKey();
  else if (verb === 'worker-option') hooks.setWorkerOption(first, Number(second));
  else if (verb === 'links') hooks.tellLinks();
  log.info('general', `Test hook obeyed: ${line}.`);
}
