/**
 * `onionrelay run`, and what plain `onionrelay -f torrc` does: be a relay until a signal ends it.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { Daemon } from '../daemon/daemon.ts';
import { obeySignals } from '../daemon/signal.ts';
import { OperatorError } from '../fault.ts';
import { redirectFd } from '../libc.ts';
import { log } from '../log.ts';
import type { CommandLine } from '../torrc/command-line.ts';
import { standardInput } from '../torrc/torrc-file.ts';
import { ownCommand } from './own-command.ts';
import { loadOptions } from './verify-config.ts';

/** In the environment of the process that RunAsDaemon starts. */
const DETACHED = 'ONIONRELAY_DETACHED';
const READY = 'ready\n';
/** The exit code of a bug: no one of those that tell the operator what to mend. */
const EXIT_BUG = 70;

/** Run the relay; resolves with the exit code. @throws OperatorError when it cannot start */
export async function run(given: CommandLine, home: string | null): Promise<number> {
  const commandLine = absolute(given);
  const read = () => loadOptions(commandLine, home);
  const built = loadOptions(given, home);
  const { options, notes, warnings } = built;
  const isDetached = process.env[DETACHED] === '1';
  if (options.runAsDaemon && !isDetached) return detach();
  catchBugs();
  const daemon = new Daemon({ options, quiet: given.quiet, notes, warnings });
  const starting = Promise.withResolvers<void>();
  const ended = obeySignals(daemon, read, starting.promise, new Set(notes));
  daemon.start().then(starting.resolve, starting.reject);
  const early = await Promise.race([starting.promise.then(() => null), ended]);
  if (early !== null) return early;
  if (isDetached) letGo(options.dataDirectory);
  return ended;
}

/** A daemon changes its folder, and must find its torrc again on HUP. */
function absolute(given: CommandLine): CommandLine {
  const whole = (path: string | null) => (path === null || path === '-' ? path : resolve(path));
  return { ...given, torrcPath: whole(given.torrcPath), defaultsPath: whole(given.defaultsPath) };
}

/** A broken invariant on the main thread ends the relay: it must not go on in a state that nobody knows. */
function catchBugs(): void {
  const die = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.err('bug', text);
    try {
      writeSync(2, `onionrelay: bug: ${text}\n`);
    } finally {
      process.exit(EXIT_BUG);
    }
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

/** There is no fork here: start ourselves again in a session of our own, and wait until that one is up. */
async function detach(): Promise<number> {
  const child = Bun.spawn([...ownCommand(), ...process.argv.slice(2)], {
    env: { ...process.env, [DETACHED]: '1' },
    stdin: standardInput() ?? 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    detached: true,
  });
  let said = '';
  for await (const chunk of child.stdout) {
    said = (said + Buffer.from(chunk).toString('latin1')).slice(-READY.length);
    if (said !== READY) continue;
    child.unref();
    return 0;
  }
  const code = await child.exited;
  if (code === 0) throw new OperatorError('ended before it was ready', 'RunAsDaemon', 'look at its log');
  return code;
}

/** Tell who started us that we are up, then hold neither their terminal nor their folder. */
function letGo(folder: string): void {
  writeSync(1, READY);
  process.chdir(folder);
  const nowhere = openSync('/dev/null', 'r+');
  for (const fd of [0, 1, 2]) redirectFd(nowhere, fd);
  if (nowhere > 2) closeSync(nowhere);
}
