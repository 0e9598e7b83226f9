import { expect, test } from 'bun:test';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function build(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' }).options;
}

test('limits of relaying stand in for each other, and lift those of the process', () => {
  expect(build('RelayBandwidthRate 200 KBytes')).toMatchObject({
    relayBandwidthRate: 200 << 10,
    relayBandwidthBurst: 200 << 10,
  });
  expect(
    build('BandwidthRate 100 KBytes', 'BandwidthBurst 100 KBytes', 'RelayBandwidthBurst 300 KBytes'),
  ).toMatchObject({ bandwidthRate: 300 << 10, bandwidthBurst: 300 << 10, relayBandwidthRate: 300 << 10 });
});

test('two gigabytes are one byte too many, and taken', () => {
  expect(build('BandwidthRate 2 GBytes', 'BandwidthBurst 2 GBytes').bandwidthRate).toBe(2 ** 31 - 1);
  expect(() => build('BandwidthRate 3 GBytes')).toThrow('BandwidthRate is too large');
});

test('too low ones are refused, for a relay and for a bridge', () => {
  expect(() => build('BandwidthRate 60 KBytes')).toThrow('BandwidthRate is too low');
  expect(build('BandwidthRate 60 KBytes', 'BridgeRelay 1').bandwidthRate).toBe(60 << 10);
  expect(() => build('MaxAdvertisedBandwidth 30 KBytes')).toThrow('MaxAdvertisedBandwidth is too low');
});
