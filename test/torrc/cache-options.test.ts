import { expect, test } from 'bun:test';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function cacheOf(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/home/relay' }).options.cache;
}

const OFFERED = { isCache: true, isOffered: true, why: null, descriptors: true, extraInfo: false };

test('a relay is a directory cache unless it is told not to be', () => {
  expect(cacheOf()).toEqual(OFFERED);
  const not = {
    isCache: false,
    isOffered: false,
    why: 'DirCache is 0',
    descriptors: false,
    extraInfo: false,
  };
  expect(cacheOf('DirCache 0')).toEqual(not);
  expect(cacheOf('DirCache 0', 'FetchUselessDescriptors 1', 'DownloadExtraInfo 1')).toEqual({
    ...not,
    descriptors: true,
    extraInfo: true,
  });
  expect(cacheOf('DownloadExtraInfo 1')).toEqual({ ...OFFERED, extraInfo: true });
});

test('a bridge at its least rate is one still', () => {
  const rates = ['BandwidthRate 50 KBytes', 'BandwidthBurst 50 KBytes', 'MaxAdvertisedBandwidth 50 KBytes'];
  expect(cacheOf('BridgeRelay 1', ...rates)).toEqual(OFFERED);
});

test('one whose bytes could run out keeps documents, and does not offer them', () => {
  const why = 'AccountingMax could be used up';
  const held = { ...OFFERED, isOffered: false, why };
  // A rate of 1 MByte sends 2.5 TBytes in a month, and 86 GBytes in a day.
  const rate = ['BandwidthRate 1 MByte', 'BandwidthBurst 1 MByte'];
  expect(cacheOf(...rate, 'AccountingMax 1 TByte')).toEqual(held);
  expect(cacheOf(...rate, 'AccountingMax 3 TBytes')).toEqual(OFFERED);
  expect(cacheOf(...rate, 'AccountingMax 3 TBytes', 'AccountingRule sum')).toEqual(held);
  expect(cacheOf(...rate, 'AccountingMax 1 TByte', 'AccountingRule in')).toEqual(OFFERED);
  expect(cacheOf(...rate, 'AccountingMax 1 TByte', 'AccountingStart week 1 00:00')).toEqual(OFFERED);
  expect(cacheOf(...rate, 'AccountingMax 100 GBytes', 'AccountingStart Day 00:00')).toEqual(OFFERED);
  expect(cacheOf(...rate, 'AccountingMax 80 GBytes', 'AccountingStart day 00:00')).toEqual(held);
  expect(
    cacheOf('RelayBandwidthRate 75 KBytes', 'RelayBandwidthBurst 1 MByte', 'AccountingMax 1 TByte'),
  ).toEqual(OFFERED);
  expect(cacheOf('MaxAdvertisedBandwidth 75 KBytes', 'AccountingMax 1 TByte')).toEqual(OFFERED);
});
