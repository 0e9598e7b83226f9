/**
 * One circuit's bucket of new streams: how many BEGINs and RESOLVEs it may send.
 * @source C tor 0.4.9 dos.c "stream creation"
 */
import { DestroyReason } from '../cell/reason.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { Violation } from '../fault.ts';
import type { Asker } from './asker.ts';

/** What becomes of a stream too many: nothing, its circuit is closed; anything else: it is refused. */
const STREAM_DEFENCE_NONE = 1;
const STREAM_DEFENCE_CLOSE = 3;

/**
 * Take a token for a new stream. False when there is none left and the stream is to be refused.
 * @throws Violation when its circuit has to close for it
 */
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
  if (streamDefence !== STREAM_DEFENCE_CLOSE) return streamDefence === STREAM_DEFENCE_NONE;
  throw new Violation(
    'circuit',
    DestroyReason.RESOURCELIMIT,
    'dos_stream_circuits_closed',
    'too many streams',
  );
}
