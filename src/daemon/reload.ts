/**
 * Reading torrc again: all of it takes effect, or nothing does.
 */
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import { transition } from '../torrc/transition.ts';
import type { BuiltOptions } from '../torrc/validate.ts';
import type { Daemon } from './daemon.ts';

/** Reload the configuration; every refusal is logged with its place, and the old options stay in force. */
export function reload(daemon: Daemon, readOptions: () => BuiltOptions): void {
  if (!daemon.options.reloadTorrcOnHup) {
    log.notice(
      'config',
      'Got HUP, but __ReloadTorrcOnSIGHUP is 0: the configuration stays, keys and logs are looked at.',
    );
    void daemon.apply(daemon.options, []).catch(report);
    return;
  }
  log.notice('general', 'Received reload signal (hup). Reloading config and resetting internal state.');
  try {
    const built = readOptions();
    const { changes } = transition(daemon.options, built.options);
    for (const text of built.warnings) log.warn('config', text);
    daemon
      .apply(built.options, changes)
      .then(() => {
        const count = changes.length;
        log.notice(
          'config',
          `Reloaded: ${count} option${count === 1 ? '' : 's'} changed${count === 0 ? '' : ` (${changes.join(', ')})`}.`,
        );
      })
      .catch(report);
  } catch (error) {
    report(error);
  }
}

function report(error: unknown): void {
  if (!(error instanceof OperatorError)) throw error;
  log.warn('config', `Reload refused, the old configuration stays in force: ${error.message}`);
}
