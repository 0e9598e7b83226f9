/**
 * One stream of a client: its windows, what it was told to stop or go on, and the end that its bytes go to.
 *
 * Without congestion control each direction has a window of 500 cells, 50 of which a SENDME gives back; with it, XON
 * and XOFF. A stream is compact state and no more: `stream-table` moves its cells.
 * @source tor-spec "Stream-level flow control", proposal 324
 */
import type { StreamEnd, StreamWaker } from './stream-end.ts';
import type { StreamRate } from './stream-rate.ts';
import type { StreamSet } from './stream-set.ts';
import type { StreamTable } from './stream-table.ts';
import type { XonXoff } from './xon-xoff.ts';

/** Cells of a stream's window, and of a stream SENDME. */
export const STREAM_WINDOW = 500;
export const STREAM_INCREMENT = 50;

/** One stream. */
export class Stream implements StreamWaker {
  readonly set: StreamSet;
  readonly id: number;
  /** Set right after it was made, by whoever makes the stream. */
  end: StreamEnd;
  /** CONNECTED was sent, or is to be sent in this turn, before anything else. */
  isOpen = false;
  owesConnected = false;
  /** Its END was sent or came, or its circuit is gone. */
  isGone = false;
  /** Among those of its set that have something to send. */
  isReady = false;
  /** Cells that may be sent, and that may come, without congestion control. */
  packageWindow = STREAM_WINDOW;
  deliverWindow = STREAM_WINDOW;
  /** What the client is told; null without congestion control. */
  readonly xonXoff: XonXoff | null;
  /** The client told us to stop. */
  isStopped = false;
  /** How fast it wants to be sent bytes; null for as fast as can be. */
  rate: StreamRate | null = null;
  /** Waits for `rate`. */
  isThrottled = false;
  private readonly table: StreamTable;

  constructor(table: StreamTable, set: StreamSet, id: number, end: StreamEnd, xonXoff: XonXoff | null) {
    this.table = table;
    this.set = set;
    this.id = id;
    this.end = end;
    this.xonXoff = xonXoff;
  }

  /** There is something to pull, or the end has come to its end. */
  wake(): void {
    this.table.wake(this);
  }

  /** The end passed on so many bytes that the client sent. */
  drained(bytes: number): void {
    this.table.onDrained(this, bytes);
  }

  /** The stream is connected: tell the client, with this CONNECTED. */
  connected(data: Uint8Array): void {
    this.table.connected(this, data);
  }

  /** The stream is connected: tell the client in this turn, together with whatever comes then. */
  connectedSoon(): void {
    this.table.connectedSoon(this);
  }

  /** It was only a question: answer it, and it is over. */
  answer(command: number, data: Uint8Array): void {
    this.table.answer(this, command, data);
  }

  /** Whether a DATA cell of it may be sent, as far as the stream itself is concerned. */
  get maySend(): boolean {
    return this.packageWindow > 0 && !this.isStopped && !this.isThrottled;
  }
}
