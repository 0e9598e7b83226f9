/**
 * Walks the frames of a zstd stream without inflating it, to find out whether the last one is whole.
 *
 * The runtime gives back what a truncated stream holds so far, and skips what stands behind a frame, without a word.
 *
 * @source RFC 8878 "Zstandard Frames", "Skippable Frames"
 */
import { Malformed } from '../fault.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const NOUN = 'zstd stream';

/** Block types. */
const RLE = 1;
const RESERVED = 3;

/**
 * Check that the bytes are whole frames and nothing else. What the frames hold is for the decompressor to judge.
 * @throws Malformed
 */
export function checkZstdFrames(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new Malformed(NOUN, 'is empty');
  for (let at = 0; at < bytes.length; ) at = skipFrame(bytes, at);
}

/** Give the offset behind the frame that begins at `at`. */
function skipFrame(bytes: Uint8Array, at: number): number {
  const magic = readLittle(bytes, at, 4);
  if (magic >>> 4 === SKIPPABLE >>> 4) return behind(bytes, at + 8 + readLittle(bytes, at + 4, 4));
  if (magic !== MAGIC) throw new Malformed(NOUN, 'has no frame here', at);
  const descriptor = readLittle(bytes, at + 4, 1);
  const isSingle = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  let next = at + 5 + (isSingle ? 0 : 1) + dictionaryBytes + sizeBytes;
  for (let isLast = false; !isLast; ) {
    const header = readLittle(bytes, next, 3);
    const type = (header >> 1) & 3;
    if (type === RESERVED) throw new Malformed(NOUN, 'has a block of no known type', next);
    isLast = (header & 1) === 1;
    next = behind(bytes, next + 3 + (type === RLE ? 1 : header >> 3));
  }
  return behind(bytes, next + (hasChecksum ? 4 : 0));
}

function readLittle(bytes: Uint8Array, at: number, length: number): number {
  behind(bytes, at + length);
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + bytes[at + i]!;
  return value;
}

function behind(bytes: Uint8Array, at: number): number {
  if (at > bytes.length) throw new Malformed(NOUN, 'is truncated', bytes.length);
  return at;
}
