/**
 * The lines of torrc that say whether a relay keeps directory documents for others, and which.
 *
 * A relay is a directory cache unless it is told not to be: C tor's least bandwidth for one is not above that of a
 * relay. One that could run out of its accounting period's bytes keeps documents, but does not offer them in its
 * descriptor.
 *
 * @source C tor's manual page, "DIRECTORY SERVER OPTIONS"; what C tor 0.4.9.11 makes of them
 */

import type { Values } from './values.ts';

const DAY_SEC = 24 * 3600;
/** Seconds in an accounting period, by the first word of AccountingStart. */
const PERIODS: Readonly<Record<string, number>> = { month: 30 * DAY_SEC, week: 7 * DAY_SEC, day: DAY_SEC };

/** What torrc wants of a directory cache. */
export interface CacheOptions {
  /** Keep all descriptors, and answer requests. */
  readonly isCache: boolean;
  /** Say so in the descriptor. */
  readonly isOffered: boolean;
  /** Why it is not, in a few words; null when it is. */
  readonly why: string | null;
  /** Fetch all server descriptors: a cache does. */
  readonly descriptors: boolean;
  /** Fetch the extra-infos of other relays too. */
  readonly extraInfo: boolean;
}

/** What decides beside the lines themselves: bytes per second, after the relay's own limits were merged in. */
export interface CacheBandwidth {
  readonly bandwidthRate: number;
  readonly relayBandwidthRate: number;
  readonly maxAdvertisedBandwidth: number;
}

/** Read what torrc says of being a directory cache. */
export function readCacheOptions(values: Values, bandwidth: CacheBandwidth): CacheOptions {
  const extraInfo = values.boolean('DownloadExtraInfo');
  const useless = values.boolean('FetchUselessDescriptors');
  const { bandwidthRate, relayBandwidthRate, maxAdvertisedBandwidth } = bandwidth;
  const rate = relayBandwidthRate > 0 ? Math.min(bandwidthRate, relayBandwidthRate) : bandwidthRate;
  if (!values.boolean('DirCache')) {
    return { isCache: false, isOffered: false, why: 'DirCache is 0', descriptors: useless, extraInfo };
  }
  const isScarce = isRunningOut(values, Math.min(rate, maxAdvertisedBandwidth));
  const why = isScarce ? 'AccountingMax could be used up' : null;
  return { isCache: true, isOffered: !isScarce, why, descriptors: true, extraInfo };
}

/** Whether sending at this rate could use up the bytes of an accounting period. */
function isRunningOut(values: Values, rate: number): boolean {
  const most = values.number('AccountingMax');
  const rule = values.text('AccountingRule');
  if (most === 0 || rule === 'in') return false;
  const period = /^[a-z]+/i.exec(values.text('AccountingStart') ?? '')?.[0].toLowerCase() ?? 'month';
  return rate >= (rule === 'sum' ? most / 2 : most) / (PERIODS[period] ?? PERIODS['month']!);
}
