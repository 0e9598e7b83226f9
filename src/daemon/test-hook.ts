/**
 * A way for tests to end a worker as a crash would: lines `kill-worker N` on standard input, only with
 * ONIONRELAY_TEST_HOOKS=1 in the environment.
 */

/** Listen for hooks if the environment asks for it. */
export function listenForTestHooks(kill: (worker: number) => void): void {
  if (process.env['ONIONRELAY_TEST_HOOKS'] !== '1') return;
  let rest = '';
  process.stdin.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const match = /^kill-worker ([0-9]+)$/.exec(line);
      if (match !== null) kill(Number(match[1]));
    }
  });
}
