/**
 * The bytes that streams carry: one long pattern without a short period, begun at another place by every stream, so
 * that a byte that is lost, doubled or put into another stream shows at the end that receives it.
 */

const PATTERN_BYTES = 65_536;
/** Prime, so that no two streams of a load begin at the same place. */
const STREAM_STEP = 4099;
const MULTIPLIER = 1664525;
const INCREMENT = 1013904223;

const PATTERN = createPattern();

/** Twice the pattern, so that any piece up to its length is one view. */
function createPattern(): Uint8Array {
  const bytes = new Uint8Array(2 * PATTERN_BYTES);
  let state = 1;
  for (let i = 0; i < PATTERN_BYTES; i++) {
    state = (Math.imul(state, MULTIPLIER) + INCREMENT) >>> 0;
    bytes[i] = state >>> 24;
  }
  bytes.copyWithin(PATTERN_BYTES, 0, PATTERN_BYTES);
  return bytes;
}

/** What stream `index` carries from byte `offset` on: a view of at most `most` bytes, and at most 65,536. */
export function patternAt(index: number, offset: number, most: number): Uint8Array {
  const from = (index * STREAM_STEP + offset) % PATTERN_BYTES;
  return PATTERN.subarray(from, from + Math.min(most, PATTERN_BYTES));
}

/** Whether `bytes` are what stream `index` carries from `offset` on. */
export function isPattern(index: number, offset: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; ) {
    const expected = patternAt(index, offset + at, bytes.length - at);
    if (Buffer.compare(expected, bytes.subarray(at, at + expected.length)) !== 0) return false;
    at += expected.length;
  }
  return true;
}
