/**
 * What tests need to do to a running relay and nobody else may: lines on standard input, only with
 * ONIONRELAY_TEST_HOOKS=1 in the environment.
 * - `kill-worker N` ends a worker as a crash would.
 * - `rotate-link-key`, `rotate-onion-key` do now what else takes hours and weeks.
 * - `worker-option NAME NUMBER` changes a bound or a time limit of the workers that torrc has no line for.
 * - `save-state` writes the state file, which else waits for a change.
 * - `die-at-step N` kills the process, as kill -9 does, behind the n-th step on disk from now: a temporary file made,
 *   half of it written, all, synced, renamed. ONIONRELAY_TEST_DIE_AT_STEP=N counts from the start.
 * - `links` has every worker write to the log which links over loopback it holds.
 */

import { watchSteps } from '../atomic-file.ts';
import { log } from '../log.ts';

/** What the lines do. */
export interface TestHooks {
  kill(worker: number): void;
  rotateLinkKey(): void;
  rotateOnionKey(): void;
  saveState(): void;
  setWorkerOption(name: string, value: number): void;
  tellLinks(): void;
}

function areAllowed(): boolean {
  return process.env['ONIONRELAY_TEST_HOOKS'] === '1';
}

/** Die early if the environment asks for it: called before anything is written. */
export function armTestDeath(): void {
  const step = process.env['ONIONRELAY_TEST_DIE_AT_STEP'];
  if (areAllowed() && step !== undefined) dieAtStep(Number(step));
}

function dieAtStep(step: number): void {
  let left = step;
  watchSteps(() => {
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
  });
}

/** Listen for hooks if the environment asks for it. */
export function listenForTestHooks(hooks: TestHooks): void {
  if (!areAllowed()) return;
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
  else if (verb === 'save-state') hooks.saveState();
  else if (verb === 'die-at-step') dieAtStep(Number(first));
  else if (verb === 'worker-option') hooks.setWorkerOption(first, Number(second));
  else if (verb === 'links') hooks.tellLinks();
  log.info('general', `Test hook obeyed: ${line}.`);
}
