/**
 * What main asks of a worker about circuits that we start ourselves, and what it is told of them.
 *
 * Main chooses paths and numbers circuits; a number means nothing to other workers and is never used twice. A worker
 * that dies takes its circuits along: main closes them on its side.
 */
import type { Endpoint } from '../bytes/address.ts';

/** One hop of a path, as the consensus or an authority's line has it. */
export interface OriginHop {
  /** SHA-1 of its RSA identity, 20 bytes. */
  readonly rsaId: Uint8Array;
  /** 32 bytes; null when it is not known, and then it is not asked for. */
  readonly ed25519Id: Uint8Array | null;
  /** Its ntor onion key, 32 bytes; null allows CREATE_FAST only, so only a first hop may lack it. */
  readonly onionKey: Uint8Array | null;
  readonly ipv4: Endpoint | null;
  readonly ipv6: Endpoint | null;
  /** It answers ntor-v3 (Relay=4). */
  readonly ntorV3: boolean;
  /** It does congestion control (FlowCtrl=2). */
  readonly congestionControl: boolean;
}

/** From main to a worker. */
export type OriginOrder =
  /** Build a circuit along a path. `timeoutMs` is for building it. */
  | {
      readonly kind: 'open';
      readonly circuit: number;
      readonly path: readonly OriginHop[];
      readonly timeoutMs: number;
    }
  /** Open a directory stream (BEGIN_DIR) on an open circuit, send the request, and tell what comes back. */
  | {
      readonly kind: 'ask';
      readonly circuit: number;
      readonly stream: number;
      readonly request: Uint8Array;
    }
  /** End a directory stream early. */
  | { readonly kind: 'end'; readonly circuit: number; readonly stream: number }
  /** Send DROP cells to the last hop, as fast as the link takes them. */
  | { readonly kind: 'drop'; readonly circuit: number; readonly cells: number }
  | { readonly kind: 'close'; readonly circuit: number };

/** From a worker to main. */
export type OriginNews =
  | { readonly kind: 'opened'; readonly circuit: number }
  /** It ended, for this reason of DESTROY; `hops` were built. */
  | { readonly kind: 'closed'; readonly circuit: number; readonly reason: number; readonly hops: number }
  /** A stream's bytes, in order; the array is the receiver's. */
  | {
      readonly kind: 'bytes';
      readonly circuit: number;
      readonly stream: number;
      readonly bytes: Uint8Array;
    }
  /** A stream ended, for this reason of END. */
  | {
      readonly kind: 'ended';
      readonly circuit: number;
      readonly stream: number;
      readonly reason: number;
    };
