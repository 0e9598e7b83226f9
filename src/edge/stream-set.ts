/**
 * The streams of one client on one circuit, or on one conflux set of circuits: by number, and in line to send.
 *
 * What carries them is changed by whoever joins circuits; streams stay. Streams with something to send stand in a ring
 * and each gets its share of what the carrier has room for.
 */
import type { Carrier } from './carrier.ts';
import type { Stream } from './stream.ts';

/** Streams that share their numbers. */
export class StreamSet {
  carrier: Carrier;
  /** The circuits have congestion control: streams have no windows, but XON and XOFF. */
  readonly usesXon: boolean;
  /** Listed among the sets with streams that are ready. */
  isListed = false;
  /** Full cells until one must leave room for random bytes, and whether a cell since then did. */
  cellsToRandom = 0;
  hasRandom = false;
  /** A stream that was no directory stream has been asked for. */
  hasExited = false;
  private readonly byId = new Map<number, Stream>();
  private ready: Stream[] = [];
  private readyFrom = 0;
  /** Streams in the line that are not here any more. */
  private readyGone = 0;
  /** The stream that was found last: bulk finds it again and again. */
  private last: Stream | null = null;

  constructor(carrier: Carrier, usesXon: boolean) {
    this.carrier = carrier;
    this.usesXon = usesXon;
  }

  /** Streams that there are. */
  get count(): number {
    return this.byId.size;
  }

  /** Streams in line to send. */
  get readyCount(): number {
    return this.ready.length - this.readyFrom;
  }

  /** All of them, as they are now. */
  all(): Stream[] {
    return [...this.byId.values()];
  }

  find(id: number): Stream | null {
    if (this.last !== null && this.last.id === id) return this.last;
    const stream = this.byId.get(id) ?? null;
    this.last = stream;
    return stream;
  }

  add(stream: Stream): void {
    this.byId.set(stream.id, stream);
  }

  remove(stream: Stream): void {
    this.byId.delete(stream.id);
    if (this.last === stream) this.last = null;
    // One that stands in line stays there, but not for ever: a client that takes nothing may end ever new ones.
    if (stream.isReady && ++this.readyGone * 2 > this.readyCount) this.thinReady();
  }

  private thinReady(): void {
    this.ready = this.ready.slice(this.readyFrom).filter((stream) => !stream.isGone);
    this.readyFrom = 0;
    this.readyGone = 0;
  }

  /** Go on at the end of the line. */
  pushReady(stream: Stream): void {
    stream.isReady = true;
    this.ready.push(stream);
  }

  /** Take the first in line; null when none is. */
  shiftReady(): Stream | null {
    if (this.readyFrom === this.ready.length) return null;
    const stream = this.ready[this.readyFrom++]!;
    stream.isReady = false;
    if (stream.isGone) this.readyGone--;
    // Amortised: each entry is moved at most once more.
    if (this.readyFrom * 2 >= this.ready.length) {
      this.ready.splice(0, this.readyFrom);
      this.readyFrom = 0;
    }
    return stream;
  }

  /** All streams, and none of them is here any more. */
  takeAll(): Stream[] {
    const all = [...this.byId.values()];
    this.byId.clear();
    this.ready.length = 0;
    this.readyFrom = 0;
    this.readyGone = 0;
    this.last = null;
    return all;
  }
}
