/**
 * The listening sockets of one worker, lent by the main thread.
 *
 * A listener serves one generation of link credentials, each on a duplicate of the lent descriptor; the lent one
 * stays as it is, and connections wait in its queue while one listener takes over from another. Connections bring
 * the credentials of their listener along, so that a listener that stays behind does no harm.
 *
 * Bun accepts until nobody waits any more, and while it does no cell moves: who connects as fast as we accept would
 * stop everything else. So after a few connections in one turn the listeners are taken away until the next; those who
 * wait meanwhile do so in the kernel. Few, because each may be followed by a TLS handshake's signature. They come back
 * in turns of who is first, since the first to be heard may use up the few.
 */
import { printEndpoint } from '../bytes/address.ts';
import type { Listening } from '../channel/tls.ts';
import { EXIT_PORTS, OperatorError } from '../fault.ts';
import { dupFd, isFault } from '../libc.ts';
import { log } from '../log.ts';
import type { LentListener } from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';

/** Accepts connections on a descriptor, which is its own from then on; `onConnection` hears of each one, refused or not. */
export type Listen = (fd: number, credentials: LinkCredentials, onConnection: () => void) => Listening;

/** Connections that are accepted in one turn. At half a millisecond for a handshake, a few milliseconds. */
export const CONNECTIONS_PER_TURN = 8;

/** What of a lent socket matters here. */
type Lent = Pick<LentListener, 'fd' | 'endpoint'>;

interface OpenListener {
  readonly lent: Lent;
  /** Null while it accepts nothing. */
  listening: Listening | null;
}

/** A worker's listeners. */
export class Listeners {
  private readonly listen: Listen;
  private readonly duplicate: typeof dupFd;
  private readonly onPaused: () => void;
  private readonly open: OpenListener[] = [];
  private credentials: LinkCredentials | null = null;
  private connections = 0;
  private paused = false;
  private readonly onConnection = (): void => {
    this.connections++;
    if (this.connections === CONNECTIONS_PER_TURN) this.pause();
  };

  /** @param onPaused enough were accepted: there must be a turn, whose end calls `nextTurn` */
  constructor(listen: Listen, onPaused: () => void, duplicate: typeof dupFd = dupFd) {
    this.listen = listen;
    this.onPaused = onPaused;
    this.duplicate = duplicate;
  }

  /** A turn is over: accept again. */
  nextTurn(): void {
    this.connections = 0;
    if (!this.paused || this.credentials === null) return;
    this.paused = false;
    // Whichever listens first again may be heard first: a flood on one address must not shut the others.
    const first = this.open.shift();
    if (first !== undefined) this.open.push(first);
    for (const entry of this.open) {
      if (entry.listening !== null) continue;
      const copy = this.duplicate(entry.lent.fd);
      // No descriptor is left. One turn later there may be.
      if (isFault(copy)) this.paused = true;
      else entry.listening = this.listen(copy, this.credentials, this.onConnection);
    }
  }

  private pause(): void {
    this.paused = true;
    for (const entry of this.open) {
      entry.listening?.stop();
      entry.listening = null;
    }
    this.onPaused();
  }

  /**
   * Begin to accept on lent sockets.
   * @throws OperatorError (`EXIT_PORTS`) when the process has no descriptor left
   */
  take(listeners: readonly Lent[], credentials: LinkCredentials): void {
    this.credentials = credentials;
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
      this.open.push({ lent, listening: this.listen(copy, credentials, this.onConnection) });
    }
  }

  /** Give later connections other credentials; where that cannot be, the old ones serve on until the next call. */
  renew(credentials: LinkCredentials): void {
    this.credentials = credentials;
    for (const entry of this.open) {
      if (entry.listening === null) continue;
      const copy = this.duplicate(entry.lent.fd);
      if (isFault(copy)) {
        log.warn(
          'net',
          `Could not duplicate the listening socket of ${printEndpoint(entry.lent.endpoint)}: ${copy.text}. ` +
            'It keeps its present link key until the next rotation.',
        );
        continue;
      }
      const fresh = this.listen(copy, credentials, this.onConnection);
      entry.listening.stop();
      entry.listening = fresh;
    }
  }

  /** Accept nothing more. */
  close(): void {
    for (const { listening } of this.open) listening?.stop();
    this.open.length = 0;
  }
}
