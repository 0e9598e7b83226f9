/**
 * A worker's directory: the shelf that it answers from, and every answer under way.
 *
 * A new generation of the shelf is for new requests; answers under way go on from the one that they began with, which
 * is kept until the last of them is through. Only so many old generations are kept: a client that takes its answer for
 * hours loses it. One per worker; streams over circuits and connections of the DirPort ask it for their answers.
 */
import { assert } from '../fault.ts';
import type { ParsedRequest } from '../netdoc/directory-request.ts';
import type { DirectoryOptions } from '../shm/letter.ts';
import { Counter } from '../shm/scoreboard.ts';
import { Shelf, type ShelfBlock } from '../shm/shelf.ts';
import { AnswerCache } from './answer-cache.ts';
import { answerRequest, type DirectoryAnswer } from './directory-answer.ts';
import {
  type AnswerBody,
  AT_ONCE_BYTES,
  AT_ONCE_PRESSED_BYTES,
  BytesBody,
  CompressedBody,
  type CompressedEvents,
  CompressorPool,
  compressAtOnce,
  RunBody,
  runBytes,
} from './directory-body.ts';

/** Compressors of one worker at a time. */
const COMPRESSORS_MOST = 32;
/** Answers that may wait for one; further ones are told that we are busy. */
const COMPRESSORS_WAITING_MOST = 1024;
/** While others wait for one, a reader that takes nothing for so long loses its answer. */
const STUCK_SEC = 15;
const SWEEP_MS = 1000;
/** Generations that are kept for answers under way, besides the newest. */
const OLD_GENERATIONS_MOST = 4;
/**
 * While the shelf is not filled, requests wait: so long after we started at most, and only so many; further ones are
 * answered from what is there. C tor opens its ports when it has read its documents.
 */
const FILLING_MS = 15_000;
const FILLING_WAITING_MOST = 512;
/** Compressed answers that a worker keeps. */
const KEPT_BYTES_MOST = 2 * 2 ** 20;

/** What the service stands in. */
export interface DirectorySurroundings {
  /** Seconds since 1970. */
  readonly wallSec: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly count: (counter: number, by: number) => void;
  readonly ownAddresses: () => readonly Uint8Array[];
  /** Whether the bandwidth limits leave no room for so many bytes to this address. */
  readonly isBusy: (bytes: number, host: Uint8Array) => boolean;
  /** Called when the oldest generation in use has changed. */
  readonly onGenerations: (oldest: number) => void;
}

/** Who asks. */
export interface Asker {
  readonly host: Uint8Array;
  readonly isTunnelled: boolean;
  readonly isAnonymous: boolean;
  /** There is something to pull again, or the end was reached. Not called within a call of the reply. */
  wake(): void;
  /** The answer to a request that had to wait. */
  takeReply(reply: Reply): void;
}

interface LivingGeneration {
  readonly shelf: Shelf;
  readonly replies: Set<Reply>;
}

/** The buffer over whose bytes heads were written last: the same for all streams, and costly to look at anew. */
let lastBytes: Uint8Array = new Uint8Array(0);
let lastBuffer: Buffer = Buffer.from(lastBytes.buffer);

function bufferOf(bytes: Uint8Array): Buffer {
  if (bytes !== lastBytes) {
    lastBytes = bytes;
    lastBuffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return lastBuffer;
}

/** One answer on its way: the head, then the body. */
export class Reply {
  private readonly service: DirectoryService;
  private readonly generation: number;
  private readonly asker: Asker;
  private readonly isNetworkStatus: boolean;
  /** Latin-1. */
  private readonly head: string;
  private headDone = 0;
  private body: AnswerBody | null;
  private pinned = false;
  /** It was taken away before its end. */
  isAbandoned = false;

  constructor(
    service: DirectoryService,
    generation: number,
    asker: Asker,
    answer: DirectoryAnswer,
    body: AnswerBody | null,
  ) {
    this.service = service;
    this.generation = generation;
    this.asker = asker;
    this.isNetworkStatus = answer.isNetworkStatus;
    this.head = answer.head;
    this.body = body;
    if (body === null) return;
    service.bodyBytes += body.heldBytes;
    if (!body.pins) return;
    this.pinned = true;
    service.pin(generation, this);
  }

  get isDone(): boolean {
    return this.headDone === this.head.length && this.body === null;
  }

  /** Bytes of its own that the body holds. */
  get heldBytes(): number {
    return this.body?.heldBytes ?? 0;
  }

  /** Copy at most `max` bytes into `bytes` at `at`. Returns how many; 0 when none are ready, or at the end. */
  pull(bytes: Uint8Array, at: number, max: number): number {
    let copied = Math.min(max, this.head.length - this.headDone);
    if (copied > 0) {
      const { head, headDone } = this;
      const part = copied === head.length ? head : head.slice(headDone, headDone + copied);
      bufferOf(bytes).write(part, at, copied, 'latin1');
      this.headDone += copied;
    }
    const { body } = this;
    if (body !== null && copied < max) {
      const before = body.heldBytes;
      copied += body.pull(bytes, at + copied, max - copied);
      this.service.bodyBytes += body.heldBytes - before;
    }
    this.settle();
    return copied;
  }

  /** The head alone was the answer, or the body came to its end. */
  private settle(): void {
    const { body } = this;
    if (body === null) return;
    if (this.pinned && !body.pins) this.unpin();
    if (!body.isDone) return;
    this.body = null;
    this.service.bodyBytes -= body.heldBytes;
    if (this.isNetworkStatus) this.service.countFinished(this.asker.isTunnelled);
  }

  /** A compressor brought so many bytes, or came to its end. */
  onReady(bytes: number): void {
    this.service.bodyBytes += bytes;
    this.settle();
    this.asker.wake();
  }

  private unpin(): void {
    this.pinned = false;
    this.service.unpin(this.generation, this);
  }

  /** Its generation must go. */
  abandon(): void {
    this.isAbandoned = true;
    this.close();
    this.headDone = this.head.length;
    this.asker.wake();
  }

  /** The asker is gone. */
  close(): void {
    const { body } = this;
    if (body === null) return;
    this.body = null;
    this.service.bodyBytes -= body.heldBytes;
    body.close();
    if (this.pinned) this.unpin();
  }
}

/** One worker's directory. */
export class DirectoryService {
  /** Bytes that answers under way hold beside the shelf. */
  bodyBytes = 0;
  /** Bytes of those who ask: what came of requests, and what it takes to ask. */
  askerBytes = 0;
  /** Connections of the DirPort. */
  connections = 0;
  private readonly around: DirectorySurroundings;
  private readonly pool = new CompressorPool(COMPRESSORS_MOST);
  private readonly kept = new AnswerCache(KEPT_BYTES_MOST);
  private readonly living = new Map<number, LivingGeneration>();
  private newest: LivingGeneration;
  private options: DirectoryOptions;
  /** Requests that wait for the shelf to be filled. */
  private readonly waiting = new Map<Asker, ParsedRequest>();
  private readonly fillingUntilMs: number;
  private nextSweepMs = 0;

  constructor(around: DirectorySurroundings, options: DirectoryOptions, block: ShelfBlock) {
    this.around = around;
    this.options = options;
    const shelf = new Shelf(block);
    this.newest = { shelf, replies: new Set() };
    this.living.set(shelf.generation, this.newest);
    this.fillingUntilMs = around.nowMs() + FILLING_MS;
  }

  /** Whether directory requests are taken at all. */
  get isOpen(): boolean {
    return this.options.isCache;
  }

  get shelf(): Shelf {
    return this.newest.shelf;
  }

  /** Bytes of our own that requests and answers hold. */
  get heldBytes(): number {
    return this.askerBytes + this.bodyBytes + this.pool.heldBytes + this.kept.heldBytes;
  }

  /** Of these, what is only kept to be quicker. */
  get keptBytes(): number {
    return this.kept.heldBytes;
  }

  dropKept(): void {
    this.kept.clear();
  }

  get nowMs(): number {
    return this.around.nowMs();
  }

  setOptions(options: DirectoryOptions): void {
    this.options = options;
  }

  /** Answer from this generation from now on. */
  setShelf(block: ShelfBlock): void {
    const before = this.newest;
    const shelf = new Shelf(block);
    assert(!this.living.has(shelf.generation), 'shelf: every generation comes once');
    this.newest = { shelf, replies: new Set() };
    this.living.set(shelf.generation, this.newest);
    // Whatever is not in a list may have come since, and what was may have gone.
    const known = before.shelf.table('microdescriptor');
    if (!shelf.table('microdescriptor').hasKeysOf(known)) this.kept.clear();
    if (before.replies.size === 0) this.living.delete(before.shelf.generation);
    while (this.living.size > OLD_GENERATIONS_MOST + 1) this.abandonOldest();
    this.around.onGenerations(this.oldest);
    this.turn();
  }

  /**
   * The part of a turn: answer those who waited for the shelf, once it is filled or was waited for long enough, and take
   * compressors from those who do nothing with them.
   */
  turn(): void {
    const nowMs = this.around.nowMs();
    if (nowMs >= this.nextSweepMs) {
      this.nextSweepMs = nowMs + SWEEP_MS;
      for (const body of this.pool.findStuck(STUCK_SEC)) body.giveUp();
    }
    if (this.waiting.size === 0 || this.isFilling) return;
    const list = [...this.waiting];
    this.waiting.clear();
    for (const [asker, request] of list) asker.takeReply(this.answerNow(request, asker));
  }

  private get isFilling(): boolean {
    return !this.shelf.isFilled && this.around.nowMs() < this.fillingUntilMs;
  }

  /** Who waits for an answer is gone. */
  forget(asker: Asker): void {
    this.waiting.delete(asker);
  }

  /** The oldest generation that an answer still reads from. */
  private get oldest(): number {
    for (const generation of this.living.keys()) return generation;
    return this.shelf.generation;
  }

  private abandonOldest(): void {
    for (const [generation, { replies }] of this.living) {
      for (const reply of [...replies]) {
        this.around.count(Counter.directory_abandoned, 1);
        reply.abandon();
      }
      this.living.delete(generation);
      return;
    }
  }

  pin(generation: number, reply: Reply): void {
    this.living.get(generation)!.replies.add(reply);
  }

  unpin(generation: number, reply: Reply): void {
    const living = this.living.get(generation);
    if (living === undefined) return;
    living.replies.delete(reply);
    if (living.replies.size > 0 || living === this.newest) return;
    this.living.delete(generation);
    this.around.onGenerations(this.oldest);
  }

  /** A stream is at its end, after so many bytes either way. */
  countTraffic(read: number, written: number): void {
    this.around.count(Counter.directory_bytes_read, read);
    this.around.count(Counter.directory_bytes_written, written);
  }

  /** A request that gets no answer. */
  countRefused(): void {
    this.around.count(Counter.directory_request_refused, 1);
  }

  countFinished(isTunnelled: boolean): void {
    this.around.count(
      isTunnelled ? Counter.directory_tunnelled_finished : Counter.directory_direct_finished,
      1,
    );
  }

  /** Answer a request; null: the asker gets its reply later. */
  answer(request: ParsedRequest, asker: Asker): Reply | null {
    if (!this.shelf.isFilled && this.waiting.size < FILLING_WAITING_MOST && this.isFilling) {
      this.waiting.set(asker, request);
      return null;
    }
    return this.answerNow(request, asker);
  }

  private answerNow(request: ParsedRequest, asker: Asker): Reply {
    const { around, options } = this;
    const { shelf } = this.newest;
    const answer = answerRequest(request, {
      shelf,
      nowSec: around.wallSec(),
      forwardedFor: request.forwardedFor,
      clientHost: asker.host,
      isTunnelled: asker.isTunnelled,
      isAnonymous: asker.isAnonymous,
      ownAddresses: around.ownAddresses(),
      frontPage: options.frontPage,
      isBridge: options.isBridge,
      isBusy: (bytes, toPass = 0) => this.isBusy(bytes, toPass, asker),
      kept: (name) => this.kept.find(name),
      count: (counter) => around.count(counter, 1),
    });
    return this.reply(answer, shelf, asker);
  }

  /** As C tor, streams over circuits are not refused for bandwidth: their circuit goes by the limits. */
  private isBusy(bytes: number, toPass: number, asker: Asker): boolean {
    if (toPass > AT_ONCE_PRESSED_BYTES && this.pool.waitingCount >= COMPRESSORS_WAITING_MOST) return true;
    return !asker.isTunnelled && this.around.isBusy(bytes, asker.host);
  }

  private reply(answer: DirectoryAnswer, shelf: Shelf, asker: Asker): Reply {
    let reply: Reply | null = null;
    const body = this.bodyOf(answer, shelf, {
      onReady: (bytes) => reply?.onReady(bytes),
      onStuck: () => {
        this.around.count(Counter.directory_abandoned, 1);
        reply?.abandon();
      },
    });
    reply = new Reply(this, shelf.generation, asker, answer, body);
    return reply;
  }

  private bodyOf({ content }: DirectoryAnswer, shelf: Shelf, events: CompressedEvents): AnswerBody | null {
    if (content === null) return null;
    if (content.kind === 'bytes') return new BytesBody(content.bytes, content.isKept === true);
    const { run, passage, keepAs, isShared = false } = content;
    const ownBytes = isShared ? 0 : run.byteLength;
    if (passage === null) return new RunBody(shelf, run, ownBytes);
    const most = this.pool.isFull ? AT_ONCE_PRESSED_BYTES : AT_ONCE_BYTES;
    if (passage === 'gunzip' || runBytes(run) > most) {
      return new CompressedBody(shelf, run, passage, this.pool, events, ownBytes);
    }
    const bytes = compressAtOnce(shelf, run, passage);
    if (keepAs !== undefined) this.kept.keep(keepAs, bytes);
    return new BytesBody(bytes, true);
  }
}
