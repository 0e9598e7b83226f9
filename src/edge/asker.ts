/**
 * Who asks for a stream: a circuit that ends here, or a conflux set of them.
 */
import type { StreamSet } from './stream-set.ts';

/** What decides whether it gets one. */
export interface Asker {
  readonly streams: StreamSet;
  /** The circuit comes over a link from a client. */
  readonly overClient: boolean;
  /** The circuit comes over a link from a relay of the consensus. */
  readonly overListed: boolean;
  /** What is left of the bucket of new streams, and when that was. */
  streamTokens: number;
  streamTokensMs: number;
}
