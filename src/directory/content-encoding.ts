/**
 * Content encodings of the directory protocol, read with bounds.
 *
 * A directory server chooses what we inflate, so the output is bounded twice: by what the asked document may
 * measure at most, and by a ratio to what came over the wire, counted over all concatenated streams together.
 * Inflation runs on the runtime's pool, not on the calling thread. A stream that is cut off gives nothing.
 *
 * @source dir-spec "Standards compliance"
 */

import { gunzip, inflate, zstdDecompress } from 'node:zlib';
import { joinAll } from '../bytes/join.ts';
import { Malformed } from '../fault.ts';
import { checkZstdFrames } from './zstd-frames.ts';

/** Value of our Accept-Encoding header: all that this file reads. */
export const ACCEPTED_ENCODINGS = 'deflate, gzip, x-zstd, identity';

/** A longer text per byte on the wire than this is taken for an attack; directory text stays below 20. */
const RATIO_MAX = 25;

/** Short bodies may exceed the ratio: up to here it costs nothing. */
const RATIO_FREE_BYTES = 1 << 16;

/** More concatenated streams than any server makes in one body. */
const STREAMS_MAX = 4096;

const NOUN = 'directory reply body';

/**
 * Decode a body.
 *
 * @param body as it came over the wire; not kept
 * @param encoding the Content-Encoding header, empty when there was none
 * @param bytesMax the most that the result may hold
 * @returns a new array, or `body` itself for identity
 * @throws Malformed on an unknown encoding, a broken or truncated stream, or more output than the bounds allow
 */
export async function decodeBody(body: Uint8Array, encoding: string, bytesMax: number): Promise<Uint8Array> {
  const name = encoding.trim().toLowerCase();
  const limit = Math.min(bytesMax, Math.max(RATIO_FREE_BYTES, body.length * RATIO_MAX));
  switch (name) {
    case '':
    case 'identity':
      if (body.length > bytesMax) throw new Malformed(NOUN, `longer than ${bytesMax} bytes`);
      return body;
    case 'deflate':
      return inflateAll(body, limit);
    case 'gzip':
    case 'x-gzip':
      return runBounded((done) => gunzip(body, { maxOutputLength: limit }, done), limit);
    case 'x-zstd':
      checkZstdFrames(body);
      return runBounded((done) => zstdDecompress(body, { maxOutputLength: limit }, done), limit);
    default:
      throw new Malformed(NOUN, `unknown Content-Encoding "${encoding}"`);
  }
}

/** Several zlib streams may stand one behind the other; the runtime stops after the first. */
async function inflateAll(body: Uint8Array, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let total = 0;
  let at = 0;
  do {
    if (parts.length === STREAMS_MAX) throw new Malformed(NOUN, 'too many concatenated streams', at);
    const room = limit - total;
    if (room <= 0) throw new Malformed(NOUN, `inflates to more than ${limit} bytes`, at);
    const { part, consumed } = await inflateOne(body.subarray(at), room, limit);
    parts.push(part);
    total += part.length;
    at += consumed;
  } while (at < body.length);
  return parts.length === 1 ? parts[0]! : joinAll(parts);
}

interface InflateInfo {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

async function inflateOne(
  bytes: Uint8Array,
  room: number,
  limit: number,
): Promise<{ part: Uint8Array; consumed: number }> {
  return new Promise((resolve, reject) => {
    // With `info` the runtime also says how much input the stream took; its type declarations do not know that.
    inflate(bytes, { maxOutputLength: room, info: true }, (error, result) => {
      if (error !== null) return reject(asMalformed(error, limit));
      const { buffer, engine } = result as unknown as InflateInfo;
      if (engine.bytesWritten <= 0) return reject(new Malformed(NOUN, 'a stream without bytes'));
      resolve({ part: buffer, consumed: engine.bytesWritten });
    });
  });
}

function runBounded(
  start: (done: (error: Error | null, result: Uint8Array) => void) => void,
  limit: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error !== null && error !== undefined) reject(asMalformed(error, limit));
      else resolve(result);
    });
  });
}

function asMalformed(error: Error, limit: number): Malformed {
  const code = (error as { code?: unknown }).code;
  if (code === 'ERR_BUFFER_TOO_LARGE') return new Malformed(NOUN, `inflates to more than ${limit} bytes`);
  return new Malformed(NOUN, `cannot be inflated (${error.message})`);
}
