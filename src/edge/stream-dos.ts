/**
 * One circuit's bucket of new streams: how many BEGINs and RESOLVEs it may sasker.
 * @source C tor 0.4.9 dos.c "stream creation"
 */
import type { CircuitPlane } from '../circuit/plane.ts';
import type { Asker } from './asker.ts';

/** What becomes of a stream too many: nothing, it is refused, its circuit is closed. */
export const STREAM_DEFENCE_NONE = 1;
export const STREAM_DEFENCE_CLOSE = 3;

/** Take a token for a new stream. False when there is none left and the options say that this matters. */
export function takeStreamToken(plane: CircuitPlane, asker: Asker): boolean {
  const { streamsWatched, streamRate, streamBurst, streamDefence } = plane.options.dos;
  if (!streamsWatched) return true;
  const elapsedSec = (plane.nowMs - asker.streamTokensMs) / 1000;
  asker.streamTokensMs = plane.nowMs;
  asker.streamTokens = Math.min(streamBurst, asker.streamTokens + elapsedSec * streamRate);
  if (asker.streamTokens >= 1) {
    asker.streamTokens -= 1;
    return true;
  }
  return streamDefence === STREAM_DEFENCE_NONE;
}
