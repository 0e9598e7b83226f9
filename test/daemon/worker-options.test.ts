/** What workers act on, from torrc and the consensus. */

import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { defaultQueueMemory, queueMemory, workerOptions } from '../../src/daemon/worker-options.ts';
import type { ParamName } from '../../src/netdoc/consensus-params.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const MB = 2 ** 20;
const GB = 2 ** 30;

function make(lines: string[], params: Partial<Record<ParamName, number>> = {}, files = 4096) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  const { options } = buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' });
  return workerOptions(options, {
    generation: 3,
    lowestSeverity: 'info',
    param: (name, fallback = 7) => params[name] ?? fallback,
    ownAddresses: [parseIp('192.0.2.1')!],
    publishedHosts: [],
    authorityIds: [],
    ipv6Extends: true,
    exit: NO_EXIT,
    files,
    workers: 2,
    machineBytes: 4 * GB,
    directory: { isCache: true, isBridge: false, frontPage: null, policy: [] },
  });
}

test('torrc decides what it names, the consensus the rest', () => {
  const lines = ['SafeLogging 0', 'ProtocolWarnings 1', 'MaxOnionQueueDelay 900 msec'];
  const options = make([...lines, 'ExtendAllowPrivateAddresses 1'], {
    circ_max_cell_queue_size: 5000,
    CircuitPriorityHalflifeMsec: 20_000,
  });
  expect(options).toMatchObject({
    generation: 3,
    logThreshold: 1,
    safeLogging: '0',
    protocolWarnings: true,
    maxOnionQueueDelayMs: 900,
    extendAllowPrivateAddresses: true,
    circQueueCellsMax: 5000,
    circuitPriorityHalfLifeMs: 20_000,
    paddingEnabled: true,
    ipv6Extends: true,
  });
  expect(make([], { MaxOnionQueueDelay: 1750 }).maxOnionQueueDelayMs).toBe(1750);
  expect(make(['CircuitPriorityHalflife 0.5']).circuitPriorityHalfLifeMs).toBe(500);
  expect(Object.isFrozen(options)).toBe(true);
});

test('OutboundBindAddressOR is stronger than OutboundBindAddress, each family for itself', () => {
  const both = [
    'OutboundBindAddress 192.0.2.1',
    'OutboundBindAddress 2001:db8::1',
    'OutboundBindAddressOR 192.0.2.2',
  ];
  expect(make(both)).toMatchObject({ bindIpv4: '192.0.2.2', bindIpv6: '2001:db8::1' });
  expect(make([])).toMatchObject({ bindIpv4: null, bindIpv6: null });
});

test('limits of a link follow torrc, else the consensus, else those of the process', () => {
  const all = ['BandwidthRate 200 KB', 'BandwidthBurst 400 KB'];
  const KB = 1024;
  expect(make(all)).toMatchObject({
    bandwidthRate: 200 * KB,
    bandwidthBurst: 400 * KB,
    relayBandwidthRate: 0,
    perConnBwRate: 200 * KB,
    perConnBwBurst: 400 * KB,
    countPrivateBandwidth: false,
  });
  const consensus = { perconnbwrate: 5000, perconnbwburst: 6000 };
  expect(make(all, consensus)).toMatchObject({ perConnBwRate: 5000, perConnBwBurst: 6000 });
  const own = ['PerConnBWRate 3 KB', 'RelayBandwidthRate 90 KB', 'CountPrivateBandwidth 1'];
  expect(make([...all, ...own], consensus)).toMatchObject({
    perConnBwRate: 3 * KB,
    perConnBwBurst: 6000,
    relayBandwidthRate: 90 * KB,
    relayBandwidthBurst: 90 * KB,
    countPrivateBandwidth: true,
  });
});

describe('MaxMemInQueues', () => {
  test('0 follows the machine as in C tor: 0.4 of 8 GB and more, 0.75 of less, 256 MB to 8 GB', () => {
    expect(make([]).maxMemInQueues).toBe(3 * GB);
    expect(make(['MaxMemInQueues 0']).maxMemInQueues).toBe(3 * GB);
    expect([64 * GB, 20 * GB, 8 * GB].map(defaultQueueMemory)).toEqual([
      8 * GB,
      8 * GB,
      Math.floor(3.2 * GB),
    ]);
    expect([8 * GB - 4, GB, 300 * MB, 64 * MB].map(defaultQueueMemory)).toEqual([
      6 * GB - 3,
      768 * MB,
      256 * MB,
      256 * MB,
    ]);
  });

  test('what torrc says holds, raised to 64 MB', () => {
    expect(make(['MaxMemInQueues 300 MB']).maxMemInQueues).toBe(300 * MB);
    expect(make(['MaxMemInQueues 20 GB']).maxMemInQueues).toBe(20 * GB);
    expect(make(['MaxMemInQueues 1 MB']).maxMemInQueues).toBe(64 * MB);
  });

  test('the rings of many workers leave room for what waits', () => {
    expect(queueMemory(64 * MB, GB, 2)).toBe(64 * MB);
    expect(queueMemory(64 * MB, GB, 30)).toBeGreaterThan(90 * MB);
  });
});

test('half-open links never fill the places of all links', () => {
  const few = make([], {}, 1024);
  expect(few.linksMax).toBe(432);
  expect(few.halfOpenMax).toBe(216);
  expect(make([], {}, 1_000_000).halfOpenMax).toBe(8192);
  // Even with hardly any descriptors somebody is let in.
  expect(make([], {}, 64).halfOpenMax).toBe(8);
});

test('it can be lettered', () => {
  expect(structuredClone(make([]))).toEqual(make([]));
});

test('conflux is as torrc says, else as the consensus does, within its bounds', () => {
  expect(make([], { cfx_enabled: 1, cfx_max_legs_set: 5, cfx_max_oooq_bytes: 1000 })).toMatchObject({
    confluxEnabled: true,
    confluxLegsMax: 5,
    confluxHeldBytesMax: 1000,
  });
  expect(make([], { cfx_enabled: 0 }).confluxEnabled).toBe(false);
  expect(make(['ConfluxEnabled auto'], { cfx_enabled: 0 }).confluxEnabled).toBe(false);
  expect(make(['ConfluxEnabled 1'], { cfx_enabled: 0 }).confluxEnabled).toBe(true);
  expect(make(['ConfluxEnabled 0'], { cfx_enabled: 1 }).confluxEnabled).toBe(false);
});
