/**
 * What the relay moves, second by second: into its histories, into the signs of overload, and, as far as it is our own
 * directory traffic, off the bandwidth limits.
 */
import type { WireTraffic } from '../directory/wire-traffic.ts';
import type { BandwidthHistory as PublishedHistory } from '../netdoc/extra-info.ts';
import { type Bandwidth, READ, WRITE } from '../shm/bandwidth.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { BandwidthHistory } from '../stats/bandwidth-history.ts';
import { RateLimitOverload } from '../stats/overload.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import type { StateFile } from './state-file.ts';

/** Watches bandwidth. One per process. */
export class BandwidthWatch {
  private readonly history: BandwidthHistory;
  private readonly overload = new RateLimitOverload();
  /** Directory traffic that the bandwidth limits have been told of. */
  private spent = { read: 0, written: 0 };

  /** Go on with the histories of the state file. */
  constructor(state: StateFile, nowSec: number) {
    this.history = new BandwidthHistory(nowSec);
    this.history.load(state, nowSec);
  }

  /** Once a second. @param countPrivate the limits hold for private addresses, too */
  sample(
    nowSec: number,
    shared: { readonly scoreboard: Scoreboard; readonly bandwidth: Bandwidth },
    traffic: WireTraffic,
    countPrivate: boolean,
  ): void {
    const { scoreboard, bandwidth } = shared;
    const counted = {
      read: traffic.read - (countPrivate ? 0 : traffic.privateRead),
      written: traffic.written - (countPrivate ? 0 : traffic.privateWritten),
    };
    bandwidth.spendTotal(READ, Math.max(0, counted.read - this.spent.read));
    bandwidth.spendTotal(WRITE, Math.max(0, counted.written - this.spent.written));
    this.spent = counted;
    this.overload.sample(
      nowSec,
      scoreboard.total(Counter.bandwidth_read_limit_hit),
      scoreboard.total(Counter.bandwidth_write_limit_hit),
    );
    this.history.sample(nowSec, {
      read: scoreboard.total(Counter.bytes_read) + traffic.read,
      written: scoreboard.total(Counter.bytes_written) + traffic.written,
      ipv6Read: scoreboard.total(Counter.bytes_read_ipv6) + traffic.ipv6Read,
      ipv6Written: scoreboard.total(Counter.bytes_written_ipv6) + traffic.ipv6Written,
    });
  }

  /** The best that was seen lately, in bytes per second. */
  observed(options: RelayOptions): number {
    return this.history.observedBytesPerSec(options.testing.minTimeToReportBandwidthSec);
  }

  /** Histories for extra-info. */
  published(options: RelayOptions): PublishedHistory[] {
    return this.history.published(options.relayBandwidthRate);
  }

  /** Lines for extra-info about limits that were hit. */
  overloadLines(nowSec: number, { bandwidthRate, bandwidthBurst, values }: RelayOptions): string[] {
    const line = this.overload.line(nowSec, bandwidthRate, bandwidthBurst);
    return line === null || values['OverloadStatistics']?.[0] === '0' ? [] : [line];
  }

  save(state: StateFile): void {
    this.history.save(state);
  }
}
