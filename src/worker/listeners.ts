/**
 * The listening sockets of one worker, lent by the main thread.
 *
 * A listener serves one generation of link credentials, each on a duplicate of the lent descriptor; the lent one
 * stays as it is, and connections wait in its queue while one listener takes over from another. Connections bring
 * the credentials of their listener along, so that a listener that stays behind does no harm.
 */
import { printEndpoint } from '../bytes/address.ts';
import type { Listening } from '../channel/tls.ts';
import { EXIT_PORTS, OperatorError } from '../fault.ts';
import { dupFd, isFault } from '../libc.ts';
import { log } from '../log.ts';
import type { LentListener } from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';

/** Accepts connections on a descriptor, which is its own from then on. */
export type Listen = (fd: number, credentials: LinkCredentials) => Listening;

/** A worker's listeners. */
export class Listeners {
  private readonly listen: Listen;
  private readonly duplicate: typeof dupFd;
  private readonly open: { lent: LentListener; listening: Listening }[] = [];

  constructor(listen: Listen, duplicate: typeof dupFd = dupFd) {
    this.listen = listen;
    this.duplicate = duplicate;
  }

  /**
   * Begin to accept on lent sockets.
   * @throws OperatorError (`EXIT_PORTS`) when the process has no descriptor left
   */
  take(listeners: readonly LentListener[], credentials: LinkCredentials): void {
    for (const lent of listeners) {
      const copy = this.duplicate(lent.fd);
      if (isFault(copy)) {
        throw new OperatorError(
          `could not duplicate the listening socket: ${copy.text}`,
          printEndpoint(lent.endpoint),
          'raise the limit of open files (ulimit -n)',
          EXIT_PORTS,
        );
      }
      this.open.push({ lent, listening: this.listen(copy, credentials) });
    }
  }

  /** Give later connections other credentials; where that cannot be, the old ones serve on until the next call. */
  renew(credentials: LinkCredentials): void {
    for (const entry of this.open) {
      const copy = this.duplicate(entry.lent.fd);
      if (isFault(copy)) {
        log.warn(
          'net',
          `Could not duplicate the listening socket of ${printEndpoint(entry.lent.endpoint)}: ${copy.text}. ` +
            'It keeps its present link key until the next rotation.',
        );
        continue;
      }
      const fresh = this.listen(copy, credentials);
      entry.listening.stop();
      entry.listening = fresh;
    }
  }

  /** Accept nothing more. */
  close(): void {
    for (const { listening } of this.open) listening.stop();
    this.open.length = 0;
  }
}
