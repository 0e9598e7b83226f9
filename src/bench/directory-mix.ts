/**
 * What a directory is asked for: microdescriptors of a network, one or several at once, in the encodings that clients
 * and relays ask for, in turn.
 *
 * Pure.
 */
import type { DirectoryRequest } from '../load/plan.ts';

/** Requests that differ. */
const KINDS = 96;
/** First of each line: how the answer must come from C tor, and from whoever does as it does. */
const ENCODINGS = ['identity', 'x-zstd, deflate, gzip, identity', 'deflate'];
/** How many are asked for at once, in turn. */
const COUNTS = [1, 1, 1, 8];

/** Make the requests, from microdescriptors by their digests. */
export function makeRequests(microdescriptors: ReadonlyMap<string, Uint8Array>): DirectoryRequest[] {
  const digests = [...microdescriptors.keys()];
  return Array.from({ length: KINDS }, (_, kind) => {
    const count = Math.min(COUNTS[Math.floor(kind / ENCODINGS.length) % COUNTS.length]!, digests.length);
    const from = (kind * 31) % (digests.length - count + 1);
    const asked = digests.slice(from, from + count);
    return {
      path: `/tor/micro/d/${asked.join('-')}`,
      encodings: ENCODINGS[kind % ENCODINGS.length]!,
      documents: asked.map((digest) => microdescriptors.get(digest)!),
    };
  });
}
