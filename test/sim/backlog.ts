/**
 * The listening socket of one worker in a simulated world: who connects waits in its queue, as in the kernel's, until the
 * worker's `Listeners` take him. It outlives its worker, whose successor takes over those who wait; where none comes,
 * they are turned away.
 */
import type { Endpoint } from '../../src/bytes/address.ts';
import type { Listening } from '../../src/channel/tls.ts';
import type { WireEnd, WireEvents } from './wire.ts';
import type { Actor } from './world.ts';

/** Takes a connection: returns whom its events go to, or null to refuse it. */
export type Accept = (wire: WireEnd, remote: Endpoint) => WireEvents | null;

interface Waiting {
  readonly wire: WireEnd;
  readonly remote: Endpoint;
}

const NOBODY: WireEvents = { onData() {}, onDrain() {}, onGone() {} };

export class Backlog implements Actor {
  readonly soonMs = Number.POSITIVE_INFINITY;
  /** The worker's part, while it accepts. */
  private accept: Accept | null = null;
  private onConnection: () => void = () => {};
  private isClosed = false;
  private readonly canAccept: () => boolean;
  private readonly waiting: Waiting[] = [];

  /** @param canAccept whether the worker has time for it */
  constructor(canAccept: () => boolean) {
    this.canAccept = canAccept;
  }

  /** Whether somebody accepts. */
  get isServed(): boolean {
    return this.accept !== null;
  }

  push(wire: WireEnd, remote: Endpoint): void {
    this.waiting.push({ wire, remote });
  }

  /** Begin to accept, as `listenOn` does on a lent descriptor. */
  listen(accept: Accept, onConnection: () => void): Listening {
    this.accept = accept;
    this.onConnection = onConnection;
    this.isClosed = false;
    return {
      stop: () => {
        if (this.accept === accept) this.accept = null;
      },
    };
  }

  /** The worker died. Unless `listen` is called again, nobody is accepted any more. */
  leave(): void {
    this.accept = null;
    this.isClosed = true;
  }

  /** A successor is to come. */
  keep(): void {
    this.isClosed = false;
  }

  ready(): boolean {
    if (this.waiting.length === 0) return false;
    return this.isClosed || (this.accept !== null && this.canAccept());
  }

  /** Take one after the other until nobody waits or the worker has stopped listening, as the runtime does. */
  turn(): void {
    while (this.waiting.length > 0 && (this.isClosed || this.accept !== null)) {
      const { wire, remote } = this.waiting.shift()!;
      const events = this.accept === null ? null : this.accept(wire, remote);
      wire.events = events ?? NOBODY;
      if (events === null) wire.abort();
      if (!this.isClosed) this.onConnection();
    }
  }
}
