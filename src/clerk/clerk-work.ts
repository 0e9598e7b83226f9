/**
 * The clerk's work: compressing documents and making consensus diffs, each once, beside everybody else's work.
 *
 * Runs in the clerk's thread, whose entry is `clerk.ts`; it keeps nothing between jobs but the lines of the consensus
 * that the last diff led to, as the next one leads there, too. Files are only read.
 */
import { readFileSync } from 'node:fs';
import { constants, deflateSync, gzipSync, inflateSync, zstdCompressSync } from 'node:zlib';
import { sha3_256 } from '../crypto/digest.ts';
import { Malformed } from '../fault.ts';
import { DIFFED_BYTES_MAX, signedSha3 } from '../netdoc/consensus-diff.ts';
import { ConsensusDiffer } from '../netdoc/consensus-differ.ts';
import { deflateAtOnce } from '../netdoc/zlib-stream.ts';
import type { ClerkAnswer, ClerkJob, LaidOut, StoredText } from '../shm/clerk-letter.ts';

/** What C tor takes for documents that are compressed once. */
const ZLIB_LEVEL = 9;
const ZSTD_LEVEL = 9;
const NOUN = 'stored consensus';

/** Does jobs. */
export class ClerkWork {
  private differ: ConsensusDiffer | null = null;
  private targetNumber = -1;

  /** @throws Malformed for a document, or an Error for a file, that does not read */
  do(job: ClerkJob): ClerkAnswer {
    if (job.kind === 'diff') return this.diff(job);
    return job.kind === 'pack'
      ? pack(new Uint8Array(job.text))
      : squeeze(new Uint8Array(job.text), job.lengths);
  }

  private diff(job: Extract<ClerkJob, { kind: 'diff' }>): ClerkAnswer {
    if (this.differ === null || this.targetNumber !== job.targetNumber) {
      this.differ = new ConsensusDiffer(new Uint8Array(job.target));
      this.targetNumber = job.targetNumber;
    }
    const base = textOf(job.base);
    const diff = this.differ.from(base);
    return {
      kind: 'diffed',
      gzip: shared(gzipSync(diff, { level: ZLIB_LEVEL })),
      zstd: shared(zstd(diff)),
      baseDigest: signedSha3(base),
    };
  }
}

function pack(text: Uint8Array): ClerkAnswer {
  return {
    kind: 'packed',
    deflate: shared(deflateSync(text, { level: ZLIB_LEVEL })),
    zstd: shared(zstd(text)),
    digest: sha3_256(text),
    signedDigest: signedSha3(text),
  };
}

function squeeze(text: Uint8Array, lengths: Uint32Array): ClerkAnswer {
  const pieces = { zstd: [] as Uint8Array[], deflate: [] as Uint8Array[] };
  let at = 0;
  for (const length of lengths) {
    const document = new Uint8Array(text.subarray(at, at + length));
    pieces.zstd.push(zstd(document));
    pieces.deflate.push(deflateAtOnce(document, ZLIB_LEVEL));
    at += length;
  }
  return { kind: 'squeezed', zstd: laidOut(pieces.zstd), deflate: laidOut(pieces.deflate) };
}

function laidOut(pieces: readonly Uint8Array[]): LaidOut {
  return { bytes: shared(Buffer.concat(pieces)), lengths: Uint32Array.from(pieces, ({ length }) => length) };
}

function zstd(text: Uint8Array): Uint8Array {
  return zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
}

function textOf(stored: StoredText): Uint8Array {
  const deflated =
    stored.kind === 'memory'
      ? new Uint8Array(stored.deflated)
      : readFileSync(stored.path).subarray(stored.offset);
  try {
    return inflateSync(deflated, { maxOutputLength: DIFFED_BYTES_MAX });
  } catch (error) {
    throw new Malformed(NOUN, error instanceof Error ? error.message : String(error));
  }
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const sab = new SharedArrayBuffer(bytes.length);
  new Uint8Array(sab).set(bytes);
  return sab;
}
