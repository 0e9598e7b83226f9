/**
 * A stream's end at its destination: bytes of a TCP connection in both directions, whatever cells carry them.
 *
 * Bytes from the destination wait as the chunks in which they came until cells are made of them; while many do, its
 * socket is paused. Bytes of the client are gathered in borrowed buffers and offered to the socket once per turn, so
 * that many cells make one write; what it refuses waits for its drain. A stream that the client ended passes on what it
 * holds and then closes, unless the destination takes nothing for long.
 * Invariants: all buffers but the last are full; none is held while nothing waits; a socket is paused exactly while
 * `pausedBy` is not 0.
 */
import { isInternalIp } from '../bytes/address.ts';
import { giveBack } from '../bytes/chunk.ts';
import { EndReason } from '../cell/reason.ts';
import { endReasonOf } from './end-reason.ts';
import type { ExitPlane } from './exit-plane.ts';
import type { ExitSocket, ExitSocketEvents } from './exit-socket.ts';
import type { Lookup } from './resolver.ts';
import type { StreamEnd } from './stream-end.ts';

/** `Buffer`'s copy takes places instead of views, which cost more than the copy. */
const copyBytes = Buffer.prototype.copy;
/** Bytes of a borrowed buffer. */
export const EXIT_BUFFER_BYTES = 32_768;
/** The socket is paused while so much waits for cells, and read again when so little does. */
const INCOMING_HIGH = 65_536;
const INCOMING_LOW = 16_384;
const CHUNKS_LOW = 64;
/** What a chunk costs beside its bytes: a destination may send them one by one. */
const CHUNK_OVERHEAD = 256;
/** How long the destination of a stream that is gone may take nothing. */
export const LINGER_MS = 15_000;

const PAUSED_BY_CLIENT = 1;
const PAUSED_BY_BANDWIDTH = 2;

/** Hears that a stream is connected, has failed, has bytes or room. */
export interface ExitWaker {
  wake(): void;
  /** So many bytes went to the destination; more may be taken. */
  drained(bytes: number): void;
  /** The connection is there. */
  onConnected(): void;
}

/** When a connection must be there. Forgets its stream as soon as that no longer matters. */
export interface ConnectDeadline {
  stream: ExitStream | null;
  readonly atMs: number;
}

/** One connection to a destination. */
export class ExitStream implements StreamEnd, ExitSocketEvents {
  /** Where it is connected, or is being connected, to. Null until that is known. */
  host: Uint8Array | null = null;
  port = 0;
  /** The destination has an address that bandwidth limits do not count. */
  isPrivate = false;
  /** Its name is being looked up. */
  lookup: Lookup | null = null;
  /** When it was given up to pass on its last bytes. */
  lingerSinceMs = 0;
  heldBytes = 0;
  private readonly plane: ExitPlane;
  private readonly waker: ExitWaker;
  private socket: ExitSocket | null = null;
  private isConnecting = false;
  private deadline: ConnectDeadline | null = null;
  /** No stream has it any more. */
  private isGone = false;
  private reason = 0;
  private pausedBy = 0;
  private chunks: Uint8Array[] = [];
  private chunkFrom = 0;
  /** Bytes to be pulled, and of the chunks that they lie in. */
  private incoming = 0;
  private chunkBytes = 0;
  private incomingSinceMs = 0;
  private outgoingSinceMs = 0;
  private buffers: Uint8Array<ArrayBuffer>[] = [];
  private sendFrom = 0;
  private sendTo = 0;
  private isDirty = false;
  /** The socket refused bytes: it tells when it takes them again. */
  private isRefused = false;

  constructor(plane: ExitPlane, waker: ExitWaker) {
    this.plane = plane;
    this.waker = waker;
  }

  /** Bytes of what is held in both directions, and of the buffers and chunks that it lies in. */
  get storedBytes(): number {
    return this.chunkBytes + this.buffers.length * EXIT_BUFFER_BYTES;
  }

  /** Since when the first of them has waited, or the one before it went; plus infinity when none waits. */
  get waitsSinceMs(): number {
    const incoming = this.incoming > 0 ? this.incomingSinceMs : Number.POSITIVE_INFINITY;
    return this.heldBytes > 0 ? Math.min(incoming, this.outgoingSinceMs) : incoming;
  }

  get endReason(): number {
    return this.incoming > 0 ? 0 : this.reason;
  }

  /** A connection is being made, and must be there by then. */
  beginConnect(host: Uint8Array, port: number, deadlineMs: number): ConnectDeadline {
    this.host = host;
    this.port = port;
    this.isPrivate = isInternalIp(host);
    this.isConnecting = true;
    this.plane.sockets++;
    this.deadline = { stream: this, atMs: deadlineMs };
    return this.deadline;
  }

  private dropDeadline(): void {
    if (this.deadline !== null) this.deadline.stream = null;
    this.deadline = null;
  }

  /** It will not be: end the stream for this reason, if it has none yet. */
  fail(reason: number): void {
    if (this.reason !== 0) return;
    this.reason = reason;
    this.waker.wake();
  }

  /** End it for this reason if it is not connected yet. Returns whether that was so. */
  giveUp(reason: number): boolean {
    if (this.isGone || !this.isConnecting || this.reason !== 0) return false;
    this.fail(reason);
    return true;
  }

  take(data: Uint8Array): void {
    this.takeAt(data, 0, data.length);
  }

  /** As `take`, without a view: `bytes` from `at` on. */
  takeAt(bytes: Uint8Array, at: number, total: number): void {
    let from = at;
    const end = at + total;
    while (from < end) {
      if (this.buffers.length === 0 || this.sendTo === EXIT_BUFFER_BYTES) {
        this.buffers.push(this.plane.buffers.take());
        this.sendTo = 0;
      }
      const length = Math.min(EXIT_BUFFER_BYTES - this.sendTo, end - from);
      copyBytes.call(bytes, this.buffers[this.buffers.length - 1]!, this.sendTo, from, from + length);
      this.sendTo += length;
      from += length;
    }
    if (this.heldBytes === 0) this.outgoingSinceMs = this.plane.now();
    this.heldBytes += total;
    this.markDirty();
  }

  private markDirty(): void {
    if (this.isDirty || this.isRefused || this.socket === null) return;
    this.isDirty = true;
    this.plane.dirty.push(this);
    this.plane.wake();
  }

  /** Offer the destination what waits for it. */
  flush(): void {
    this.isDirty = false;
    const { socket, plane, buffers } = this;
    if (socket === null || this.isRefused) return;
    let written = 0;
    while (buffers.length > 0) {
      if (!plane.mayWrite(this.isPrivate)) {
        this.isRefused = true;
        plane.writeWaiting.push(this);
        break;
      }
      const to = buffers.length === 1 ? this.sendTo : EXIT_BUFFER_BYTES;
      const length = to - this.sendFrom;
      const taken = socket.write(buffers[0]!, this.sendFrom, length);
      if (taken > 0) plane.onWritten(taken, this.isPrivate);
      written += taken;
      // The write may have closed the connection.
      if (this.socket !== socket) return;
      if (taken < length) {
        this.sendFrom += taken;
        this.isRefused = true;
        break;
      }
      this.sendFrom = 0;
      plane.buffers.give(buffers.shift()!);
    }
    this.heldBytes -= written;
    if (written > 0) this.outgoingSinceMs = plane.now();
    if (this.isGone) this.lingerOn(written);
    else this.waker.drained(written);
  }

  /** The last bytes of a stream that is gone. */
  private lingerOn(written: number): void {
    if (written > 0) this.lingerSinceMs = this.plane.now();
    if (this.heldBytes === 0) this.dispose();
  }

  pull(bytes: Uint8Array, at: number, max: number): number {
    let length = 0;
    while (length < max && this.chunks.length > 0) {
      const chunk = this.chunks[0]!;
      const part = Math.min(max - length, chunk.length - this.chunkFrom);
      copyBytes.call(chunk, bytes, at + length, this.chunkFrom, this.chunkFrom + part);
      length += part;
      this.chunkFrom += part;
      if (this.chunkFrom < chunk.length) break;
      this.chunks.shift();
      this.chunkFrom = 0;
      this.incomingSinceMs = this.plane.now();
      this.free(chunk);
    }
    this.incoming -= length;
    const isLow = this.incoming <= INCOMING_LOW && this.chunks.length <= CHUNKS_LOW;
    if (isLow && (this.pausedBy & PAUSED_BY_CLIENT) !== 0) {
      this.setPaused(PAUSED_BY_CLIENT, false);
    }
    return length;
  }

  /** A chunk is used up, all of which was held until now. */
  private free(chunk: Uint8Array): void {
    this.chunkBytes -= chunk.length + CHUNK_OVERHEAD;
    this.plane.incomingBytes -= chunk.length + CHUNK_OVERHEAD;
    giveBack(chunk);
  }

  private setPaused(reason: number, paused: boolean): void {
    const before = this.pausedBy;
    this.pausedBy = paused ? before | reason : before & ~reason;
    if (this.socket === null || before === this.pausedBy) return;
    if (before === 0) this.socket.pause();
    else if (this.pausedBy === 0) this.socket.resume();
  }

  close(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.dropDeadline();
    this.lookup?.cancel();
    this.lookup = null;
    this.dropIncoming();
    // Nothing is to be passed on before there is a connection, or after it broke.
    if (this.socket === null || this.heldBytes === 0) {
      this.dispose();
      return;
    }
    // What comes now is thrown away; but the socket must be read for its end to be seen.
    this.setPaused(PAUSED_BY_CLIENT, false);
    this.lingerSinceMs = this.plane.now();
    this.plane.lingering.push(this);
    this.markDirty();
  }

  /** The stream is about to go: pass nothing on any more. */
  abandon(): void {
    this.close();
    this.dispose();
  }

  private dropIncoming(): void {
    for (const chunk of this.chunks) this.free(chunk);
    this.incoming = 0;
    this.chunks.length = 0;
    this.chunkFrom = 0;
  }

  /** Let go of everything. */
  dispose(): void {
    const { socket } = this;
    this.socket = null;
    this.dropIncoming();
    for (const buffer of this.buffers) this.plane.buffers.give(buffer);
    this.buffers.length = 0;
    this.heldBytes = 0;
    this.sendFrom = 0;
    this.sendTo = 0;
    if (socket === null) return;
    this.plane.sockets--;
    socket.end();
  }

  /** It has a connection, whose last bytes are to be passed on. */
  get isLingering(): boolean {
    return this.isGone && this.socket !== null;
  }

  /** Bandwidth that reading waited for is there. */
  resumeReading(): void {
    this.setPaused(PAUSED_BY_BANDWIDTH, false);
  }

  onConnected(socket: ExitSocket): boolean {
    this.isConnecting = false;
    this.dropDeadline();
    if (this.isGone || this.reason !== 0) {
      this.plane.sockets--;
      return false;
    }
    this.socket = socket;
    this.waker.onConnected();
    // Telling the client may have ended the circuit.
    if (this.socket === socket && this.heldBytes > 0) this.markDirty();
    return true;
  }

  onConnectFailed(code: string): void {
    if (!this.isConnecting) return;
    this.isConnecting = false;
    this.dropDeadline();
    this.plane.sockets--;
    if (!this.isGone) this.fail(endReasonOf(code));
  }

  onData(chunk: Uint8Array): void {
    const mayRead = this.plane.onRead(chunk.length, this.isPrivate);
    if (!mayRead && (this.pausedBy & PAUSED_BY_BANDWIDTH) === 0) {
      this.setPaused(PAUSED_BY_BANDWIDTH, true);
      this.plane.readWaiting.push(this);
    }
    if (this.isGone) return;
    if (this.incoming === 0) this.incomingSinceMs = this.plane.now();
    this.chunks.push(chunk);
    this.incoming += chunk.length;
    this.chunkBytes += chunk.length + CHUNK_OVERHEAD;
    this.plane.incomingBytes += chunk.length + CHUNK_OVERHEAD;
    const waiting = this.incoming + this.chunks.length * CHUNK_OVERHEAD;
    if (waiting >= INCOMING_HIGH) this.setPaused(PAUSED_BY_CLIENT, true);
    this.waker.wake();
  }

  onDrain(): void {
    if (!this.isRefused) return;
    this.isRefused = false;
    this.markDirty();
  }

  onFinished(): void {
    if (!this.isGone) this.fail(EndReason.DONE);
  }

  onClosed(code: string | null): void {
    if (this.socket === null) return;
    this.socket = null;
    this.plane.sockets--;
    if (this.isGone) this.dispose();
    else this.fail(code === null ? EndReason.DONE : endReasonOf(code));
  }
}
