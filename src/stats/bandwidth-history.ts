/**
 * How much was read and written: the history lines of the extra-info document, and the observed bandwidth of
 * the server descriptor.
 *
 * Bytes are counted per second into a window of 10 s; the best window of a period is that period's maximum. A
 * period lasts 24 hours, so that nobody reads a user's traffic out of the history, and five of them are kept.
 * Everything published is rounded down to 1024 bytes. The `BWHistory*` lines in `state` are C tor's, so that
 * either program goes on where the other stopped; those of the directory traffic that C tor serves
 * (`BWHistoryDir*`) are left as they stand, as we serve none.
 *
 * @source dir-spec "Extra-info documents" (read-history, write-history); "Server descriptors" (bandwidth)
 */

import type { BandwidthHistory as PublishedHistory } from '../netdoc/extra-info.ts';
import { parseTime, printTime } from '../netdoc/field.ts';

/** Seconds of one period. */
export const PERIOD_SEC = 24 * 60 * 60;
/** Periods kept. */
export const PERIODS_MAX = 5;
/** Seconds of the window whose best sum counts. */
const WINDOW_SEC = 10;
/** More values than any program ever kept: a quarter of an hour each, for ten days. */
const VALUES_MAX = 960;
/** Granularity of every number that leaves. */
const ROUND_BYTES = 1024;

/** Lines of the `state` file, by keyword. */
export interface StateLines {
  get(key: string): string | null | undefined;
  set(key: string, value: string): void;
}

/** Totals since the start, in bytes; they never fall. */
export interface TrafficTotals {
  readonly read: number;
  readonly written: number;
  readonly ipv6Read: number;
  readonly ipv6Written: number;
}

interface Period {
  /** Bytes in it. */
  readonly total: number;
  /** Bytes of its best window. */
  readonly best: number;
}

/** One direction of one kind of traffic. */
class Series {
  /** Oldest first, at most PERIODS_MAX. */
  #done: Period[] = [];
  /** The second being filled, and when the period that it belongs to ends. */
  #second: number;
  #periodEnd: number;
  #total = 0;
  #best = 0;
  readonly #window = new Float64Array(WINDOW_SEC);
  #windowAt = 0;
  #windowSum = 0;

  constructor(nowSec: number) {
    this.#second = nowSec;
    this.#periodEnd = nowSec + PERIOD_SEC;
  }

  /** End of the last complete period. */
  get lastEndSec(): number {
    return this.#periodEnd - PERIOD_SEC;
  }

  /** Add bytes of second `nowSec`. Of a second in the past only the period's total learns. */
  add(nowSec: number, bytes: number): void {
    this.#advance(nowSec);
    this.#total += bytes;
    if (nowSec < this.#second) return;
    this.#window[this.#windowAt]! += bytes;
    this.#windowSum += bytes;
  }

  #advance(nowSec: number): void {
    while (this.#second < nowSec) {
      this.#best = Math.max(this.#best, this.#windowSum);
      if (this.#windowSum === 0) {
        // Nothing to push out: a sleep of years must not cost a step per second.
        this.#second = Math.min(nowSec, this.#periodEnd);
      } else {
        this.#second++;
        this.#windowAt = (this.#windowAt + 1) % WINDOW_SEC;
        this.#windowSum -= this.#window[this.#windowAt]!;
        this.#window[this.#windowAt] = 0;
      }
      if (this.#second >= this.#periodEnd) this.#closePeriod(nowSec);
    }
  }

  #closePeriod(nowSec: number): void {
    this.#push({ total: this.#total, best: this.#best });
    this.#total = 0;
    this.#best = 0;
    this.#periodEnd += PERIOD_SEC;
    // After a jump of more than the history's length only empty periods would follow: keep the last of them.
    const skip = Math.floor((nowSec - this.#periodEnd) / PERIOD_SEC) - PERIODS_MAX;
    if (skip > 0 && this.#windowSum === 0) {
      this.#periodEnd += skip * PERIOD_SEC;
      this.#second += skip * PERIOD_SEC;
    }
  }

  #push(period: Period): void {
    this.#done.push(period);
    if (this.#done.length > PERIODS_MAX) this.#done.shift();
  }

  /** Best window in bytes; the running period counts only once it was watched for longer than `minWatchedSec`. */
  best(minWatchedSec: number): number {
    const watched = this.#second - this.lastEndSec;
    let best = watched > minWatchedSec ? Math.max(this.#best, this.#windowSum) : 0;
    for (const period of this.#done) best = Math.max(best, period.best);
    return best;
  }

  /** Totals of the complete periods, rounded, none above `capBytes`. */
  history(capBytes: number): number[] {
    return this.#done.map((period) => Math.min(roundDown(period.total), capBytes));
  }

  /** What `state` keeps: the complete periods and the running one. */
  save(): { ends: number; values: number[]; maxima: number[] } {
    const all = [...this.#done, { total: this.#total, best: Math.max(this.#best, this.#windowSum) }];
    return {
      ends: this.#periodEnd,
      values: all.map((period) => roundDown(period.total)),
      maxima: all.map((period) => roundDown(period.best / WINDOW_SEC)),
    };
  }

  /**
   * Go on from what `state` kept. Periods of another length, as older programs wrote them, are spread over ours.
   */
  load(saved: SavedSeries, nowSec: number): void {
    const { endsSec, intervalSec, values, maxima } = saved;
    let start = endsSec - intervalSec * values.length;
    if (values.length === 0 || start > nowSec || endsSec < nowSec - PERIOD_SEC * PERIODS_MAX) return;
    this.#done = [];
    this.#second = start;
    this.#periodEnd = start + PERIOD_SEC;
    for (const [i, value] of values.entries()) {
      if (start >= nowSec) break;
      const length = Math.min(intervalSec, nowSec - start);
      const best = (maxima[i] ?? value / intervalSec) * WINDOW_SEC;
      this.#loadSpan(start + length, value / length, best);
      start += length;
    }
    this.#window.fill(0);
    this.#windowSum = 0;
  }

  /** Fill up to `endSec` at a steady rate, closing each period that ends within. */
  #loadSpan(endSec: number, bytesPerSec: number, best: number): void {
    while (this.#second < endSec) {
      const until = Math.min(endSec, this.#periodEnd);
      this.#total += bytesPerSec * (until - this.#second);
      this.#best = Math.max(this.#best, best);
      this.#second = until;
      if (until === this.#periodEnd) this.#closePeriod(until);
    }
  }
}

interface SavedSeries {
  readonly endsSec: number;
  readonly intervalSec: number;
  readonly values: readonly number[];
  readonly maxima: readonly number[];
}

/** keyword in the extra-info document, name in `state`, field of the totals; in C tor's order. */
const SERIES = [
  ['write-history', 'Write', 'written'],
  ['read-history', 'Read', 'read'],
  ['ipv6-write-history', 'IPv6Write', 'ipv6Written'],
  ['ipv6-read-history', 'IPv6Read', 'ipv6Read'],
] as const satisfies readonly (readonly [string, string, keyof TrafficTotals])[];

/** The relay's traffic over the last days. */
export class BandwidthHistory {
  #series: Series[];
  #lastTotals: TrafficTotals | null = null;

  constructor(nowSec: number) {
    this.#series = SERIES.map(() => new Series(nowSec));
  }

  /**
   * Note the counters; to be called once a second. They start at zero with the process.
   */
  sample(nowSec: number, totals: TrafficTotals): void {
    const last = this.#lastTotals;
    this.#lastTotals = totals;
    for (const [i, [, , field]] of SERIES.entries()) {
      // A worker that died takes its counters along; a fall is not negative traffic.
      const bytes = last === null ? totals[field] : Math.max(0, totals[field] - last[field]);
      this.#series[i]!.add(nowSec, bytes);
    }
  }

  /**
   * The bandwidth that we have shown to sustain, bytes per second: the lesser of the best windows of both directions.
   *
   * @param minWatchedSec TestingMinTimeToReportBandwidth: how long the running period must have been watched
   */
  observedBytesPerSec(minWatchedSec: number): number {
    const written = this.#series[0]!.best(minWatchedSec);
    const read = this.#series[1]!.best(minWatchedSec);
    return Math.floor(Math.min(written, read) / WINDOW_SEC);
  }

  /**
   * List what the extra-info document says; series without a complete period are left out.
   *
   * @param rateBytesPerSec RelayBandwidthRate, or 0: no period may show more than it allows
   */
  published(rateBytesPerSec: number): PublishedHistory[] {
    const cap = rateBytesPerSec > 0 ? rateBytesPerSec * PERIOD_SEC : Number.POSITIVE_INFINITY;
    return SERIES.flatMap(([keyword], i) => {
      const series = this.#series[i]!;
      const values = series.history(cap);
      return values.length === 0
        ? []
        : [{ keyword, endSec: series.lastEndSec, intervalSec: PERIOD_SEC, values }];
    });
  }

  /** Write the `BWHistory*` lines. */
  save(state: StateLines): void {
    for (const [i, [, name]] of SERIES.entries()) {
      const { ends, values, maxima } = this.#series[i]!.save();
      state.set(`BWHistory${name}Ends`, printTime(ends));
      state.set(`BWHistory${name}Interval`, String(PERIOD_SEC));
      state.set(`BWHistory${name}Values`, values.join(','));
      state.set(`BWHistory${name}Maxima`, maxima.join(','));
    }
  }

  /**
   * Read the `BWHistory*` lines. A series whose lines do not fit together starts anew.
   *
   * @returns the keywords that could not be read
   */
  load(state: StateLines, nowSec: number): string[] {
    const bad: string[] = [];
    for (const [i, [, name]] of SERIES.entries()) {
      const ends = state.get(`BWHistory${name}Ends`);
      const values = state.get(`BWHistory${name}Values`);
      if (!ends || !values) continue;
      const saved = readSaved(
        ends,
        state.get(`BWHistory${name}Interval`) ?? '900',
        values,
        state.get(`BWHistory${name}Maxima`) ?? '',
      );
      if (saved === null) bad.push(`BWHistory${name}`);
      else this.#series[i]!.load(saved, nowSec);
    }
    return bad;
  }
}

function readSaved(ends: string, interval: string, values: string, maxima: string): SavedSeries | null {
  const endsSec = parseTime(ends);
  const intervalSec = Number(interval);
  const numbers = readNumbers(values);
  if (numbers === null || numbers.length > VALUES_MAX || endsSec === null) return null;
  if (!Number.isInteger(intervalSec) || intervalSec < 1 || intervalSec > PERIOD_SEC) return null;
  const bests = readNumbers(maxima);
  // Maxima count only when there is one for each value; otherwise the average stands in for them.
  return { endsSec, intervalSec, values: numbers, maxima: bests?.length === numbers.length ? bests : [] };
}

function readNumbers(text: string): number[] | null {
  const out: number[] = [];
  for (const part of text.split(',')) {
    const digits = part.trim();
    if (!/^[0-9]{1,20}$/.test(digits)) return null;
    out.push(Number(digits));
  }
  return out;
}

function roundDown(bytes: number): number {
  return Math.floor(bytes / ROUND_BYTES) * ROUND_BYTES;
}
