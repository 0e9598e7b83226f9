/**
 * Signals to verbs, as C tor has them: INT takes leave within ShutdownWaitLength, TERM at once, HUP reloads,
 * USR1 tells, USR2 logs everything.
 *
 * They are caught from the first moment: while the relay still starts, INT and TERM give the start up, and the
 * others wait for its end.
 */
import type { OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import type { BuiltOptions } from '../torrc/validate.ts';
import type { Daemon } from './daemon.ts';
import { reload } from './reload.ts';

/**
 * Obey signals.
 *
 * @param readOptions reads the configuration anew, for HUP
 * @param starting settles when the daemon has started
 * @param said what the log was told of the configuration already
 * @returns the exit code, once the relay has stopped
 */
export function obeySignals(
  daemon: Daemon,
  readOptions: () => BuiltOptions,
  starting: Promise<void>,
  said: Set<string>,
): Promise<number> {
  return new Promise((resolve) => {
    new SignalHandler(daemon, resolve).install(readOptions, starting, said);
  });
}

class SignalHandler {
  private readonly daemon: Daemon;
  private readonly ended: (exitCode: number) => void;
  private isUp = false;
  private isLeaving = false;
  private isGone = false;

  constructor(daemon: Daemon, ended: (exitCode: number) => void) {
    this.daemon = daemon;
    this.ended = ended;
  }

  install(readOptions: () => BuiltOptions, starting: Promise<void>, said: Set<string>): void {
    const { daemon } = this;
    const onceUp = (act: () => void): void => {
      // A start that fails ends the process; nobody is left to be told.
      starting.then(act, () => {});
    };
    onceUp(() => {
      this.isUp = true;
    });
    daemon.onFatal = (error) => this.fail(error);
    process.on('SIGTERM', () => {
      log.notice('general', 'Catching signal TERM, exiting cleanly.');
      this.end(0);
    });
    process.on('SIGINT', () => this.interrupt());
    process.on('SIGHUP', () => onceUp(() => void reload(daemon, readOptions, said)));
    process.on('SIGUSR1', () => onceUp(() => void daemon.dump()));
    process.on('SIGUSR2', () => onceUp(() => daemon.debug()));
  }

  private interrupt(): void {
    const waitSec = this.daemon.options.shutdownWaitLengthSec;
    if (this.isLeaving || waitSec === 0 || !this.isUp) {
      log.notice('general', 'Interrupted: exiting now.');
      this.end(0);
      return;
    }
    this.isLeaving = true;
    log.notice(
      'general',
      `Interrupt: we have stopped accepting new connections, and will shut down in ${waitSec} seconds. Interrupt again to exit now.`,
    );
    void this.daemon.closeListeners();
    setTimeout(() => this.end(0), waitSec * 1000);
  }

  private fail(error: OperatorError): void {
    log.err('general', `This relay cannot go on: ${error.message}`);
    this.end(error.exitCode);
  }

  private end(exitCode: number): void {
    if (this.isGone) return;
    this.isGone = true;
    if (!this.isUp) {
      this.daemon.abandon();
      this.ended(exitCode);
      return;
    }
    this.daemon.stop().then(
      () => this.ended(exitCode),
      (error: unknown) => {
        process.stderr.write(`onionrelay: while stopping: ${String(error)}\n`);
        this.ended(exitCode);
      },
    );
  }
}
