/**
 * Signals to verbs, as C tor has them: INT takes leave within ShutdownWaitLength, TERM at once, HUP reloads,
 * USR1 tells, USR2 logs everything.
 */
import { log } from '../log.ts';
import type { BuiltOptions } from '../torrc/validate.ts';
import type { Daemon } from './daemon.ts';
import { reload } from './reload.ts';

/** Catch the signals. `readOptions` reads the configuration anew for HUP; resolves when the relay has stopped. */
export function obeySignals(daemon: Daemon, readOptions: () => BuiltOptions): Promise<void> {
  return new Promise((resolve) => {
    let leaving = false;
    let gone = false;
    const leave = (): void => {
      if (gone) return;
      gone = true;
      daemon.stop().then(resolve, (error: unknown) => {
        process.stderr.write(`onionrelay: while stopping: ${String(error)}\n`);
        resolve();
      });
    };
    process.on('SIGTERM', () => {
      log.notice('general', 'Catching signal TERM, exiting cleanly.');
      leave();
    });
    process.on('SIGINT', () => {
      const waitSec = daemon.options.shutdownWaitLengthSec;
      if (leaving || waitSec === 0) {
        log.notice('general', 'Interrupted: exiting now.');
        leave();
        return;
      }
      leaving = true;
      log.notice(
        'general',
        `Interrupt: closing listeners and refusing new circuits; exiting in ${waitSec} seconds. Interrupt again to exit now.`,
      );
      void daemon.closeListeners();
      setTimeout(leave, waitSec * 1000);
    });
    process.on('SIGHUP', () => reload(daemon, readOptions));
    process.on('SIGUSR1', () => void daemon.dump());
    process.on('SIGUSR2', () => daemon.debug());
  });
}
