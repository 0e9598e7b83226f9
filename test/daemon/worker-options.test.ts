/** What workers act on, from torrc and the consensus. */

import { expect, test } from 'bun:test';
import { totalmem } from 'node:os';
import { parseIp } from '../../src/bytes/address.ts';
import { workerOptions } from '../../src/daemon/worker-options.ts';
import type { ParamName } from '../../src/netdoc/consensus-params.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function make(lines: string[], params: Partial<Record<ParamName, number>> = {}, files = 4096) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  const { options } = buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' });
  return workerOptions(options, {
    generation: 3,
    lowestSeverity: 'info',
    param: (name, fallback = 7) => params[name] ?? fallback,
    ownAddresses: [parseIp('192.0.2.1')!],
    ipv6Extends: true,
    files,
    workers: 2,
  });
}

test('torrc decides what it names, the consensus the rest', () => {
  const lines = ['SafeLogging 0', 'ProtocolWarnings 1', 'MaxOnionQueueDelay 900 msec'];
  const options = make([...lines, 'ExtendAllowPrivateAddresses 1'], { circ_max_cell_queue_size: 5000 });
  expect(options).toMatchObject({
    generation: 3,
    logThreshold: 1,
    safeLogging: '0',
    protocolWarnings: true,
    maxOnionQueueDelayMs: 900,
    extendAllowPrivateAddresses: true,
    circQueueCellsMax: 5000,
    paddingEnabled: true,
    ipv6Extends: true,
  });
  expect(make([], { MaxOnionQueueDelay: 1750 }).maxOnionQueueDelayMs).toBe(1750);
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

test('the memory of waiting cells is shared by the workers, and small beside the machine’s', () => {
  const { parkedBytesMax } = make([]);
  expect(parkedBytesMax).toBeGreaterThan(2 ** 20);
  expect(parkedBytesMax).toBeLessThanOrEqual(Math.min(2 ** 29, totalmem() / 8));
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
