/**
 * One circuit's bucket of new streams: how many BEGINs and RESOLVEs it may send.
 * @source C tor 0.4.9 dos.c "stream creation"
 */
import type { CircuitPlane } from '../circuit/plane.ts';
import type { CircuitEnd } from './circuit-end.ts';

/** What becomes of a stream too many: nothing, it is refused, its circuit is closed. */
export const STREAM_DEFENCE_NONE = 1;
export const STREAM_DEFENCE_CLOSE = 3;

/** Take a token for a new stream. False when there is none left and the options say that this matters. */
export function takeStreamToken(plane: CircuitPlane, end: CircuitEnd): boolean {
  const { streamsWatched, streamRate, streamBurst, streamDefence } = plane.options.dos;
  if (!streamsWatched) return true;
  const elapsedSec = (plane.nowMs - end.streamTokensMs) / 1000;
  end.streamTokensMs = plane.nowMs;
  end.streamTokens = Math.min(streamBurst, end.streamTokens + elapsedSec * streamRate);
  if (end.streamTokens >= 1) {
    end.streamTokens -= 1;
    return true;
  }
  return streamDefence === STREAM_DEFENCE_NONE;
}
