/**
 * A directory request that came through a circuit: BEGIN_DIR opens it, DATA cells bring an HTTP request, and the answer
 * goes back in DATA cells, as many as the stream table finds room for.
 *
 * The stream ends with the answer. A request that C tor closes its connection upon (HEAD, PUT, a length that does not
 * read, a head without end) ends it without one. What a client sends behind its request is counted and forgotten.
 *
 * @source tor-spec "Opening a directory stream"
 */
import { EndReason } from '../cell/reason.ts';
import { Malformed } from '../fault.ts';
import { parseDirectoryRequest, RequestReader, readWholeRequest } from '../netdoc/directory-request.ts';
import type { Asker, DirectoryService, Reply } from './directory-service.ts';
import type { DirectoryFactory } from './edge.ts';
import type { StreamEnd, StreamWaker } from './stream-end.ts';

/** What a client may send behind its request. */
const SURPLUS_BYTES_MAX = 10 * 2 ** 20;
/** About what a stream takes beside the bytes of its request and answer: there may be many that ask nothing. */
const STREAM_BYTES = 1024;

/** What a request that was read takes, for each byte of its head: itself, and the keys that it asks for. */
const WAITING_FACTOR = 4;

/** What gathers a request and gives its answer's bytes, on a stream or on a connection. */
export class DirectoryStream implements StreamEnd, Asker {
  readonly host: Uint8Array;
  readonly isTunnelled: boolean;
  readonly isAnonymous: boolean;
  private readonly service: DirectoryService;
  private readonly waker: StreamWaker;
  /** The request is not complete. */
  private isAsking = true;
  /** Collects it, when it does not come in one piece. */
  private reader: RequestReader | null = null;
  private reply: Reply | null = null;
  /** Bytes, about, of a request that waits for its answer. */
  private waitingBytes = 0;
  private surplus = 0;
  private reason = 0;
  private bytesRead = 0;
  private bytesWritten = 0;
  /** What the service was told that we hold; since when nothing of it went. */
  private toldBytes = 0;
  private sinceMs: number;

  /** @param isTunnelled false for a connection of the DirPort */
  constructor(
    service: DirectoryService,
    waker: StreamWaker,
    clientHost: Uint8Array,
    prevIsRelay: boolean,
    isTunnelled = true,
  ) {
    this.service = service;
    this.waker = waker;
    this.host = clientHost;
    this.isTunnelled = isTunnelled;
    this.isAnonymous = isTunnelled && prevIsRelay;
    this.sinceMs = service.nowMs;
    this.tellBytes();
  }

  get endReason(): number {
    return this.reason;
  }

  get heldBytes(): number {
    return this.waitingBytes + (this.reader?.heldBytes ?? 0);
  }

  get storedBytes(): number {
    return this.toldBytes + (this.reply?.heldBytes ?? 0);
  }

  get waitsSinceMs(): number {
    return this.reason === 0 ? this.sinceMs : Number.POSITIVE_INFINITY;
  }

  /** Let the service know what we hold beside the answer. */
  private tellBytes(): void {
    const bytes = this.reason === 0 ? STREAM_BYTES + this.heldBytes : 0;
    this.service.askerBytes += bytes - this.toldBytes;
    this.toldBytes = bytes;
  }

  take(data: Uint8Array): void {
    if (this.reason !== 0) return;
    this.bytesRead += data.length;
    if (!this.isAsking) {
      this.surplus += data.length;
      if (this.surplus > SURPLUS_BYTES_MAX) this.refuse();
      return;
    }
    try {
      const head = this.collect(data);
      if (head === null) return;
      this.isAsking = false;
      this.reply = this.service.answer(parseDirectoryRequest(head), this);
      if (this.reply === null) {
        this.waitingBytes = WAITING_FACTOR * head.length;
        this.tellBytes();
        return;
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.refuse();
      return;
    }
    this.waker.wake();
  }

  takeReply(reply: Reply): void {
    this.waitingBytes = 0;
    this.tellBytes();
    this.reply = reply;
    this.waker.wake();
  }

  /** Take a piece of the request. Returns its head once it is complete. @throws Malformed */
  private collect(data: Uint8Array): string | null {
    if (this.reader === null) {
      const whole = readWholeRequest(data);
      if (whole !== null) return whole;
      this.reader = new RequestReader();
    }
    const received = this.reader.push(data);
    if (received !== null) this.reader = null;
    this.tellBytes();
    return received === null ? null : received.head;
  }

  private refuse(): void {
    this.isAsking = false;
    this.reader = null;
    this.service.countRefused();
    this.end(EndReason.DONE);
    this.waker.wake();
  }

  private end(reason: number): void {
    if (this.reason === 0) this.service.countTraffic(this.bytesRead, this.bytesWritten);
    this.reason = reason;
    if (this.waitingBytes > 0) this.service.forget(this);
    this.waitingBytes = 0;
    this.reply?.close();
    this.reply = null;
    this.tellBytes();
  }

  pull(bytes: Uint8Array, at: number, max: number): number {
    const { reply } = this;
    if (reply === null) return 0;
    const copied = reply.pull(bytes, at, max);
    this.bytesWritten += copied;
    if (copied > 0) this.sinceMs = this.service.nowMs;
    if (reply.isDone) this.end(reply.isAbandoned ? EndReason.RESOURCELIMIT : EndReason.DONE);
    return copied;
  }

  /** The reply has something again. */
  wake(): void {
    const { reply } = this;
    if (reply === null) return;
    if (reply.isDone) this.end(reply.isAbandoned ? EndReason.RESOURCELIMIT : EndReason.DONE);
    this.waker.wake();
  }

  close(): void {
    this.reader = null;
    this.end(this.reason === 0 ? EndReason.DONE : this.reason);
  }
}

/** The factory for one worker's streams. */
export function directoryFactory(service: DirectoryService): DirectoryFactory {
  return (waker, clientHost, prevIsRelay) => new DirectoryStream(service, waker, clientHost, prevIsRelay);
}
