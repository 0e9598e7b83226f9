/**
 * Letters between main and the thread of a client: the SOCKS port of a test network.
 *
 * Main knows the network and chooses paths; the client's thread has links, circuits and streams. A circuit is named by
 * a number of the client's, which is never used twice.
 */
import type { LogRecord } from '../log.ts';
import type { LetterToWorker } from './letter.ts';
import type { OriginHop } from './origin-letter.ts';

/** What a worker starts with; a client has no listeners. */
export type ClientStart = Extract<LetterToWorker, { kind: 'start' }>;

/** Where a circuit shall lead: an exit that lets connections to this port out. */
export interface PathWish {
  readonly port: number;
  readonly isIpv6: boolean;
}

/** How a circuit is. */
export type ClientCircuitState = 'choosing' | 'building' | 'open' | 'closed';

/** One circuit, as it is now. */
export interface ClientCircuitReport {
  readonly circuit: number;
  readonly state: ClientCircuitState;
  readonly streams: number;
  /** Bytes that streams brought and took, over its whole life. */
  readonly received: number;
  readonly sent: number;
}

/** From main to the client. */
export type LetterToClient =
  | { readonly kind: 'start'; readonly start: ClientStart; readonly host: string; readonly port: number }
  /** The path that was asked for; null: there is none now. */
  | { readonly kind: 'path'; readonly circuit: number; readonly path: readonly OriginHop[] | null }
  | { readonly kind: 'stop' };

/** From the client to main. */
export type LetterFromClient =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'want-path'; readonly circuit: number; readonly wish: PathWish }
  /** Circuits that changed since the last letter. */
  | { readonly kind: 'circuits'; readonly circuits: readonly ClientCircuitReport[] }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'log'; readonly record: LogRecord }
  | { readonly kind: 'bug'; readonly text: string };
