/**
 * Giving the memory of a long chunk back at once.
 * @hot
 *
 * What sockets bring and ciphers give lies in buffers of its own, and the collector frees those only long after they were used: by then
 * a busy link has filled many megabytes of other memory, cold and often not even mapped any more. A buffer that is
 * detached gives its memory back at once, and the next chunk gets the same, still in the cache.
 */

/**
 * Shorter chunks are not worth the call. In a loop that does nothing else both cost the same at 16 KiB; with pauses
 * between, in which freed memory is unmapped, eight cells are less to give back than to map anew, and four as much.
 */
export const GIVE_BACK_BYTES = 4000;
/** What a cipher gives has room for a block more, less a byte. */
const SLACK_BYTES = 16;

/**
 * Give back the memory of a chunk that nobody looks at any more: it has no bytes afterwards. Does nothing with short
 * chunks, with views of a part of a buffer, and with shared memory.
 */
export function giveBack(chunk: Uint8Array): void {
  if (chunk.length < GIVE_BACK_BYTES) return;
  const { buffer } = chunk;
  if (buffer.byteLength < chunk.length + SLACK_BYTES && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
