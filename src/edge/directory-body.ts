/**
 * What follows the head of a directory answer: documents of the shelf, one behind the other, as they are or compressed.
 *
 * As they are, cells are filled straight from shared memory, and no document is copied for a request. What is to be
 * compressed and is short (any client's microdescriptors) is compressed at once into bytes of its own. What is long
 * passes through a compressor of the runtime's pool, piece by piece as the client takes it; there are only so many of
 * those at a time, and the rest wait for their turn.
 */
import { constants, createDeflate, createGunzip, createGzip, createZstdCompress } from 'node:zlib';
import { assert } from '../fault.ts';
import { deflateAtOnce, gzipAtOnce } from '../netdoc/zlib-stream.ts';
import type { Shelf } from '../shm/shelf.ts';

/** What a text may pass through on its way. */
export type Compression = 'deflate' | 'gzip' | 'zstd';
export type Passage = Compression | 'gunzip';

/** Words of a run for each document: segment, offset, length. */
export const RUN_WORDS = 3;
/** Texts up to here are compressed in one call: some 150 microseconds with zstd, 300 with the others. */
export const AT_ONCE_BYTES = 1 << 16;
/** The same while all compressors are taken: whoever takes its answer slowly keeps others' lists from nobody. */
export const AT_ONCE_PRESSED_BYTES = 1 << 18;
/** What a compressor takes in one piece, and about what it may have ready that nobody took. */
const PIECE_BYTES = 1 << 16;
/** Documents are alike, and the lowest level of zstd finds that; zlib's finds nothing. */
const ZSTD_LEVEL = 1;
const ZLIB_LEVEL = 2;
/** What compresses a text at once finds as much at its lowest level as zlib does at 6. */
const AT_ONCE_LEVEL = 1;
/** A compressor's own memory, about. */
const COMPRESSOR_BYTES = 300_000;

/** Gives the bytes of a body. */
export interface AnswerBody {
  /** Copy at most `max` bytes into `bytes` at `at`. Returns how many; 0 at the end, or when none are ready now. */
  pull(bytes: Uint8Array, at: number, max: number): number;
  readonly isDone: boolean;
  /** Whether it reads from the shelf still, so that the generation may not go. */
  readonly pins: boolean;
  /** Bytes of its own that it holds, to its end. */
  readonly heldBytes: number;
  close(): void;
}

/** Documents as they lie on the shelf. */
export class RunBody implements AnswerBody {
  private readonly shelf: Shelf;
  private readonly run: Uint32Array;
  readonly heldBytes: number;
  private document = 0;
  private done = 0;

  /**
   * @param run three words for each document, from an `Extent`; read, not changed
   * @param ownBytes those of the run that nobody else holds
   */
  constructor(shelf: Shelf, run: Uint32Array, ownBytes = 0) {
    this.shelf = shelf;
    this.run = run;
    this.heldBytes = ownBytes;
    this.skipEmpty();
  }

  get isDone(): boolean {
    return this.document >= this.run.length;
  }

  get pins(): boolean {
    return !this.isDone;
  }

  pull(bytes: Uint8Array, at: number, max: number): number {
    const { run } = this;
    let copied = 0;
    while (copied < max && this.document < run.length) {
      const { document } = this;
      const source = this.shelf.segment(run[document]!);
      const from = run[document + 1]! + this.done;
      const part = Math.min(max - copied, run[document + 2]! - this.done);
      source.copy(bytes, at + copied, from, from + part);
      copied += part;
      this.done += part;
      if (this.done < run[document + 2]!) break;
      this.document += RUN_WORDS;
      this.done = 0;
      this.skipEmpty();
    }
    return copied;
  }

  private skipEmpty(): void {
    while (this.document < this.run.length && this.run[this.document + 2] === 0) this.document += RUN_WORDS;
  }

  close(): void {
    this.document = this.run.length;
  }
}

/** Bytes that are ready: a page, or what was compressed at once. */
export class BytesBody implements AnswerBody {
  private readonly bytes: Uint8Array;
  private readonly owned: boolean;
  private done = 0;

  /** @param owned they count as the answer's: it may be the last that holds them */
  constructor(bytes: Uint8Array, owned: boolean) {
    this.bytes = bytes;
    this.owned = owned;
  }

  get isDone(): boolean {
    return this.done >= this.bytes.length;
  }

  get pins(): boolean {
    return false;
  }

  get heldBytes(): number {
    return this.owned ? this.bytes.length : 0;
  }

  pull(bytes: Uint8Array, at: number, max: number): number {
    const part = Math.min(max, this.bytes.length - this.done);
    bytes.set(this.bytes.subarray(this.done, this.done + part), at);
    this.done += part;
    return part;
  }

  close(): void {
    this.done = this.bytes.length;
  }
}

/** Bytes of a run. */
export function runBytes(run: Uint32Array): number {
  let sum = 0;
  for (let i = RUN_WORDS - 1; i < run.length; i += RUN_WORDS) sum += run[i]!;
  return sum;
}

let scratch = new Uint8Array(AT_ONCE_BYTES);

/** Compress a run of at most `AT_ONCE_PRESSED_BYTES` in one call. */
export function compressAtOnce(shelf: Shelf, run: Uint32Array, encoding: Compression): Uint8Array {
  const source = new RunBody(shelf, run);
  if (runBytes(run) > scratch.length) scratch = new Uint8Array(AT_ONCE_PRESSED_BYTES);
  const length = source.pull(scratch, 0, scratch.length);
  assert(source.isDone, 'only short runs are compressed at once');
  const text = scratch.subarray(0, length);
  // Half the cost of the same call of node:zlib.
  if (encoding === 'zstd') return Bun.zstdCompressSync(text, { level: ZSTD_LEVEL });
  return encoding === 'gzip' ? gzipAtOnce(text, AT_ONCE_LEVEL) : deflateAtOnce(text, AT_ONCE_LEVEL);
}

function makeCompressor(passage: Passage) {
  switch (passage) {
    case 'zstd':
      return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
    case 'gzip':
      return createGzip({ level: ZLIB_LEVEL });
    case 'deflate':
      return createDeflate({ level: ZLIB_LEVEL });
    case 'gunzip':
      return createGunzip();
  }
}

/** The compressors of one worker: how many run, and who waits for one. */
export class CompressorPool {
  private readonly most: number;
  private readonly running = new Set<CompressedBody>();
  private readonly waiting: CompressedBody[] = [];

  constructor(most: number) {
    this.most = most;
  }

  /** Bytes that the running compressors hold, about. */
  get heldBytes(): number {
    return this.running.size * COMPRESSOR_BYTES;
  }

  /** How many bodies wait for a compressor. */
  get waitingCount(): number {
    return this.waiting.length;
  }

  get isFull(): boolean {
    return this.running.size >= this.most;
  }

  /** True when one may start now; else it is started in its turn. */
  ask(body: CompressedBody): boolean {
    if (!this.isFull) {
      this.running.add(body);
      return true;
    }
    this.waiting.push(body);
    return false;
  }

  /** A body is done with its compressor, or waits no more. */
  leave(body: CompressedBody): void {
    if (!this.running.delete(body)) {
      const at = this.waiting.indexOf(body);
      if (at >= 0) this.waiting.splice(at, 1);
      return;
    }
    const next = this.waiting.shift();
    if (next === undefined) return;
    this.running.add(next);
    next.start();
  }

  /**
   * While others wait, once a second: find those whose readers have taken nothing for so many rounds that they keep
   * their compressors no longer; as many as wait, the longest stuck.
   */
  findStuck(roundsMost: number): CompressedBody[] {
    if (this.waiting.length === 0) return [];
    const stuck = [...this.running].filter((body) => body.isIdle && ++body.idleRounds >= roundsMost);
    return stuck.sort((a, b) => b.idleRounds - a.idleRounds).slice(0, this.waiting.length);
  }
}

/** What a long run tells of. */
export interface CompressedEvents {
  /** So many bytes more can be pulled, or (0) the end was reached. Never within a call. */
  onReady(bytes: number): void;
  /** Others want its compressor, which its reader does nothing with: it is to be closed. */
  onStuck(): void;
}

/** A long run, compressed (or inflated) piece by piece while it is taken. */
export class CompressedBody implements AnswerBody {
  private readonly source: RunBody;
  private readonly passage: Passage;
  private readonly pool: CompressorPool;
  private readonly events: CompressedEvents;
  /** Rounds in which others waited and nothing of this was taken. */
  idleRounds = 0;
  private compressor: ReturnType<typeof makeCompressor> | null = null;
  private readonly ready: Uint8Array[] = [];
  private readyBytes = 0;
  /** Bytes of the first ready piece that were taken. */
  private taken = 0;
  private state: 'waits' | 'feeds' | 'idles' | 'ended' | 'closed' = 'waits';

  constructor(
    shelf: Shelf,
    run: Uint32Array,
    passage: Passage,
    pool: CompressorPool,
    events: CompressedEvents,
    ownBytes = 0,
  ) {
    this.source = new RunBody(shelf, run, ownBytes);
    this.passage = passage;
    this.pool = pool;
    this.events = events;
    if (pool.ask(this)) this.start();
  }

  get isDone(): boolean {
    return this.state === 'closed' || (this.state === 'ended' && this.readyBytes === 0);
  }

  get pins(): boolean {
    return this.source.pins;
  }

  get heldBytes(): number {
    return this.readyBytes + this.source.heldBytes;
  }

  /** It waits for its reader. */
  get isIdle(): boolean {
    return this.state === 'idles';
  }

  /** Our turn for a compressor. */
  start(): void {
    const compressor = makeCompressor(this.passage);
    this.compressor = compressor;
    compressor.on('data', (piece: Uint8Array) => {
      if (this.state === 'closed') return;
      this.ready.push(piece);
      this.readyBytes += piece.length;
      this.events.onReady(piece.length);
    });
    compressor.on('end', () => {
      if (this.state === 'closed') return;
      this.state = 'ended';
      this.release();
      this.events.onReady(0);
    });
    this.feed();
  }

  private feed(): void {
    const { compressor } = this;
    if (compressor === null) return;
    this.state = 'feeds';
    const piece = new Uint8Array(PIECE_BYTES);
    const length = this.source.pull(piece, 0, piece.length);
    const text = piece.subarray(0, length);
    if (this.source.isDone) compressor.end(text);
    else compressor.write(text, () => this.onFed());
  }

  private onFed(): void {
    if (this.state !== 'feeds') return;
    if (this.readyBytes < PIECE_BYTES) this.feed();
    else this.state = 'idles';
  }

  pull(bytes: Uint8Array, at: number, max: number): number {
    let copied = 0;
    while (copied < max && this.ready.length > 0) {
      const piece = this.ready[0]!;
      const part = Math.min(max - copied, piece.length - this.taken);
      bytes.set(piece.subarray(this.taken, this.taken + part), at + copied);
      copied += part;
      this.taken += part;
      if (this.taken < piece.length) break;
      this.ready.shift();
      this.taken = 0;
    }
    this.readyBytes -= copied;
    if (copied > 0) this.idleRounds = 0;
    if (this.state === 'idles' && this.readyBytes < PIECE_BYTES) this.feed();
    return copied;
  }

  private release(): void {
    this.compressor = null;
    this.pool.leave(this);
  }

  close(): void {
    if (this.state === 'closed') return;
    const { compressor } = this;
    const ended = this.state === 'ended';
    this.state = 'closed';
    this.source.close();
    this.ready.length = 0;
    this.readyBytes = 0;
    compressor?.destroy();
    if (!ended) this.release();
  }

  /** See `CompressorPool.findStuck`. */
  giveUp(): void {
    this.events.onStuck();
  }
}
