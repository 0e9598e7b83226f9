/**
 * `onionrelay run`, and what plain `onionrelay -f torrc` does: be a relay until a signal ends it.
 */
import { Daemon } from '../daemon/daemon.ts';
import { obeySignals } from '../daemon/signal.ts';
import { OperatorError } from '../fault.ts';
import type { CommandLine } from '../torrc/command-line.ts';
import { loadOptions } from './verify-config.ts';

/** In the environment of the process that RunAsDaemon starts. */
const DETACHED = 'ONIONRELAY_DETACHED';

/** Run the relay; resolves with the exit code. @throws OperatorError when it cannot start */
export async function run(commandLine: CommandLine, home: string | null): Promise<number> {
  const read = () => loadOptions(commandLine, home);
  const { options, notes, warnings } = read();
  if (options.runAsDaemon && process.env[DETACHED] !== '1') return detach();
  const daemon = new Daemon({ options, quiet: commandLine.quiet, notes, warnings });
  await daemon.start();
  if (process.env[DETACHED] === '1') process.stdout.write('ready\n');
  await obeySignals(daemon, read);
  return 0;
}

/** There is no fork here: start ourselves again in a session of our own, and wait until that one is up. */
async function detach(): Promise<number> {
  const child = Bun.spawn([process.execPath, ...process.argv.slice(isCompiled() ? 2 : 1)], {
    env: { ...process.env, [DETACHED]: '1' },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    detached: true,
  });
  const reader = child.stdout.getReader();
  let said = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const text = Buffer.from(value).toString();
    said = (said + text).slice(-64);
    if (said.endsWith('ready\n')) {
      child.unref();
      return 0;
    }
    process.stdout.write(text);
  }
  const code = await child.exited;
  if (code === 0) throw new OperatorError('ended before it was ready', 'RunAsDaemon', 'look at its log');
  return code;
}

/** In the executable argv[1] is a name inside it, not a file to run. */
function isCompiled(): boolean {
  return import.meta.url.includes('/$bunfs/') || import.meta.url.includes('B:/~BUN/');
}
