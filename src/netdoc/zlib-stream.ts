/**
 * Short texts in the encodings that zlib reads, made in one call.
 *
 * The runtime's other library for DEFLATE takes half as long as zlib over a text of some kilobytes, and its output is
 * shorter; what it gives is the bare stream, without the frame that "deflate" means in HTTP.
 *
 * Pure.
 * @source RFC 1950 "Data format"
 */

/** DEFLATE with a window of 32 KiB; the level is told as the fastest there is, and nobody looks at it. */
const HEADER_0 = 0x78;
const HEADER_1 = 0x01;
const HEADER_BYTES = 2;
const CHECK_BYTES = 4;

export type ZlibLevel = 1 | 9;

/** Compress a text into a zlib stream. The text must lie in memory that is not shared. */
export function deflateAtOnce(text: Uint8Array<ArrayBuffer>, level: ZlibLevel): Uint8Array<ArrayBuffer> {
  const bare = Bun.deflateSync(text, { level, library: 'libdeflate' });
  const stream = new Uint8Array(HEADER_BYTES + bare.length + CHECK_BYTES);
  stream[0] = HEADER_0;
  stream[1] = HEADER_1;
  stream.set(bare, HEADER_BYTES);
  const check = Bun.hash.adler32(text);
  const at = HEADER_BYTES + bare.length;
  stream[at] = check >>> 24;
  stream[at + 1] = check >>> 16;
  stream[at + 2] = check >>> 8;
  stream[at + 3] = check;
  return stream;
}

/** Compress a text into one gzip member. */
export function gzipAtOnce(text: Uint8Array<ArrayBuffer>, level: ZlibLevel): Uint8Array<ArrayBuffer> {
  return Bun.gzipSync(text, { level, library: 'libdeflate' });
}
