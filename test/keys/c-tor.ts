/** The real C tor, run for a moment on a DataDirectory of its own: no network, free port, ended by its pid. */

import { closeFd, isFault, listenTcp } from '../../src/libc.ts';

const TOR = Bun.which('tor');

/** Whether these tests can run. Under CI they must. */
export const HAS_TOR = TOR !== null || process.env['CI'] === 'true';
if (TOR === null)
  console.warn('tor is not installed: the tests against C tor are SKIPPED (CI=true makes this a failure)');

function freePort(): number {
  const socket = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort: false });
  if (isFault(socket)) throw new Error(socket.text);
  closeFd(socket.fd);
  return socket.port;
}

function commandLine(dataDirectory: string, extra: readonly string[]): string[] {
  if (TOR === null) throw new Error('tor is not installed, and CI=true requires it');
  const options = {
    '--defaults-torrc': '/nonexistent',
    '--DataDirectory': dataDirectory,
    '--ORPort': `127.0.0.1:${freePort()}`,
    '--Nickname': 'unnamed1',
    '--SocksPort': '0',
    '--DisableNetwork': '1',
    '--PublishServerDescriptor': '0',
    '--AssumeReachable': '1',
    '--Address': '127.0.0.1',
    '--ExitRelay': '0',
    '--Log': 'info stdout',
  };
  const torrc = ['-f', '/nonexistent', '--ignore-missing-torrc'];
  return [TOR, ...torrc, ...Object.entries(options).flat(), ...extra];
}

/** A running C tor. */
export interface RunningTor {
  readonly pid: number;
  /** End it with TERM, wait for it, and return all that it logged. */
  stop(): Promise<string>;
}

/** Start C tor as a relay and wait until its keys are loaded. */
export async function startTor(dataDirectory: string): Promise<RunningTor> {
  const child = Bun.spawn(commandLine(dataDirectory, []), { stdout: 'pipe', stderr: 'pipe' });
  let log = '';
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      log += text;
      if (log.includes('identity key ed25519 fingerprint is')) resolve();
    }
    resolve();
  })();
  await ready;
  return {
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await Promise.all([child.exited, reading]);
      return log;
    },
  };
}

/** Run C tor to its own end and return its exit code and all that it printed. */
export async function runTor(
  dataDirectory: string,
  extra: readonly string[],
): Promise<{ code: number; out: string }> {
  const child = Bun.spawn(commandLine(dataDirectory, extra), { stdout: 'pipe', stderr: 'pipe' });
  const out = await new Response(child.stdout).text();
  return { code: await child.exited, out };
}

const EXPECTED =
  /ContactInfo config option is not set|You are running Tor as root|Your log may contain sensitive/;

/** The warnings and errors in a log, short of those about ContactInfo, root and verbose logs. */
export function complaints(log: string): string[] {
  return log
    .split('\n')
    .filter((line) => /\[(warn|err)\]/.test(line))
    .filter((line) => !EXPECTED.test(line));
}
