/**
 * How often the bandwidth limits of the whole process were hit, as the extra-info document tells it.
 *
 * Looked at once a second; what it says is coarse on purpose: the hour of the last time, and for each way the number
 * of minutes in which it happened. Only the limit of all traffic counts, as in C tor; not that of relayed traffic.
 *
 * @source proposal 328, "overload-ratelimits"; counted as C tor 0.4.9 does
 */
import { printTime } from '../netdoc/field.ts';

const VERSION = 1;
const HOUR_SEC = 3600;
/** A limit that is hit again within a minute is not counted again. */
const COUNT_SEC = 60;
/** How long it is told. */
const RECENT_SEC = 24 * HOUR_SEC;

/** One way's count. */
interface Way {
  hits: number;
  counted: number;
  countedSec: number;
}

/** The rate limits as they were hit since the start. */
export class RateLimitOverload {
  private readonly read: Way = { hits: 0, counted: 0, countedSec: Number.NEGATIVE_INFINITY };
  private readonly written: Way = { hits: 0, counted: 0, countedSec: Number.NEGATIVE_INFINITY };
  private lastSec = Number.NEGATIVE_INFINITY;

  /** Take note of how often the limits were hit so far: totals that never fall. */
  sample(nowSec: number, readHits: number, writeHits: number): void {
    this.note(this.read, nowSec, readHits);
    this.note(this.written, nowSec, writeHits);
  }

  private note(way: Way, nowSec: number, hits: number): void {
    if (hits <= way.hits) return;
    way.hits = hits;
    this.lastSec = nowSec - (nowSec % HOUR_SEC);
    if (nowSec < way.countedSec + COUNT_SEC) return;
    way.counted++;
    way.countedSec = nowSec;
  }

  /** The line of the extra-info document, without a newline; null when no limit was hit in the last day. */
  line(nowSec: number, rate: number, burst: number): string | null {
    if (this.lastSec <= nowSec - RECENT_SEC) return null;
    const counts = `${this.read.counted} ${this.written.counted}`;
    return `overload-ratelimits ${VERSION} ${printTime(this.lastSec)} ${rate} ${burst} ${counts}`;
  }
}
