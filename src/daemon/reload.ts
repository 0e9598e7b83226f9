/**
 * Reading torrc again: all of it takes effect, or nothing does.
 */
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import { transition } from '../torrc/transition.ts';
import type { BuiltOptions } from '../torrc/validate.ts';
import type { Daemon } from './daemon.ts';

/**
 * Reload the configuration. Every refusal is logged with its place, and the old options stay in force. Reloads come
 * one after another, each compared with what the one before left.
 *
 * @param said notes and warnings that the log has had already; added to
 */
export function reload(
  daemon: Daemon,
  readOptions: () => BuiltOptions,
  said: Set<string> = new Set(),
): Promise<void> {
  return daemon.serially(async () => {
    try {
      if (daemon.options.reloadTorrcOnHup) await reread(daemon, readOptions, said);
      else await keep(daemon);
    } catch (error) {
      report(error);
    }
  });
}

async function keep(daemon: Daemon): Promise<void> {
  log.notice(
    'config',
    'Got HUP, but __ReloadTorrcOnSIGHUP is 0: the configuration stays; logs are opened anew and keys looked at.',
  );
  await daemon.apply(daemon.options, []);
}

async function reread(daemon: Daemon, readOptions: () => BuiltOptions, said: Set<string>): Promise<void> {
  log.notice('general', 'Received reload signal (hup). Reloading config and resetting internal state.');
  const built = readOptions();
  const { changes } = transition(daemon.options, built.options);
  await daemon.apply(built.options, changes);
  for (const text of built.warnings) log.warn('config', text);
  for (const text of built.notes) {
    if (!said.has(text)) log.notice('config', text);
    said.add(text);
  }
  const count = changes.length;
  const names = count === 0 ? '' : ` (${changes.join(', ')})`;
  log.notice('config', `Reloaded: ${count} option${count === 1 ? '' : 's'} changed${names}.`);
}

function report(error: unknown): void {
  if (!(error instanceof OperatorError)) throw error;
  log.warn('config', `Reload refused, the old configuration stays in force: ${error.message}`);
}
