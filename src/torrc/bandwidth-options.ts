/**
 * The lines of torrc that limit bandwidth, merged into what holds for the process, for relaying and for links.
 *
 * @source C tor's manual page; limits of C tor 0.4.9.11
 */

import type { Values } from './values.ts';

/** What C tor demands of a relay, and of a bridge, in bytes per second. */
const RELAY_BANDWIDTH_LEAST = 75 * 1024;
const BRIDGE_BANDWIDTH_LEAST = 50 * 1024;
const BANDWIDTH_MOST = 2147483647;

/** Read the limits. @throws {OperatorError} on one that is out of range, or contradicts another */
export function bandwidthFields(values: Values) {
  const read = (name: string) => {
    const written = values.number(name);
    // "2 GB" is one byte too many, and everybody writes it.
    const value = written === BANDWIDTH_MOST + 1 ? BANDWIDTH_MOST : written;
    if (value > BANDWIDTH_MOST) {
      values.refuse(`${name} is too large`, `write ${name} ${BANDWIDTH_MOST} bytes, or less`, name);
    }
    return value;
  };
  let rate = read('BandwidthRate');
  let burst = read('BandwidthBurst');
  const advertised = read('MaxAdvertisedBandwidth');
  const ownRate = read('RelayBandwidthRate');
  const ownBurst = read('RelayBandwidthBurst');
  const relayRate = ownRate || ownBurst;
  const relayBurst = ownBurst || ownRate;
  const least = values.boolean('BridgeRelay') ? BRIDGE_BANDWIDTH_LEAST : RELAY_BANDWIDTH_LEAST;
  const refuseLow = (name: string, most: number) =>
    values.refuse(`${name} is too low for a relay`, `write ${name} ${most} bytes, or more`, name);
  if (rate < least) refuseLow('BandwidthRate', least);
  if (advertised < least / 2) refuseLow('MaxAdvertisedBandwidth', least / 2);
  if (relayRate > 0 && relayRate < least)
    refuseLow(ownRate > 0 ? 'RelayBandwidthRate' : 'RelayBandwidthBurst', least);
  if (relayRate > relayBurst) {
    values.refuse(
      'RelayBandwidthBurst is below RelayBandwidthRate',
      `write RelayBandwidthBurst ${relayRate} bytes`,
      'RelayBandwidthBurst',
    );
  }
  rate = Math.max(rate, relayRate);
  burst = Math.max(burst, relayBurst);
  if (rate > burst) {
    values.refuse(
      'BandwidthBurst is below BandwidthRate',
      `write BandwidthBurst ${rate} bytes`,
      'BandwidthBurst',
      'BandwidthRate',
    );
  }
  return {
    bandwidthRate: rate,
    bandwidthBurst: burst,
    relayBandwidthRate: relayRate,
    relayBandwidthBurst: relayBurst,
    maxAdvertisedBandwidth: advertised,
    perConnBwRate: read('PerConnBWRate'),
    perConnBwBurst: read('PerConnBWBurst'),
    countPrivateBandwidth: values.boolean('CountPrivateBandwidth'),
  };
}
