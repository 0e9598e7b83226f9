/**
 * What a stream ends in here: a TCP connection of an exit, or the answer to a directory request.
 *
 * The stream table moves cells and knows windows; a `StreamEnd` moves bytes and knows neither. Nothing here waits or
 * throws: an end that cannot go on says so by `endReason`.
 */

/** One stream's end. Made by a factory that is given the stream's `StreamWaker`. */
export interface StreamEnd {
  /** Bytes of the client's DATA cells; a view, valid during the call. */
  take(data: Uint8Array): void;
  /** Copy at most `max` bytes that are to be sent into `bytes` at `at`. Returns how many; 0 when there are none now. */
  pull(bytes: Uint8Array, at: number, max: number): number;
  /** Once nothing more will come by `pull`: the reason of the END to send. 0 while it goes on. */
  readonly endReason: number;
  /** Bytes given by `take` that are not passed on yet (for XOFF). */
  readonly heldBytes: number;
  /** Bytes that it holds in both directions, and since when it has got rid of none; plus infinity: it holds none. */
  readonly storedBytes: number;
  readonly waitsSinceMs: number;
  /** The stream is gone: let go of everything. */
  close(): void;
}

/** Given to a StreamEnd at birth: `wake` says that there is something to pull, or that endReason changed. */
export interface StreamWaker {
  wake(): void;
}
