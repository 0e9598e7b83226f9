import { expect, test } from 'bun:test';
import { heartbeatLines, printBytes, printUptime } from '../../src/stats/heartbeat.ts';

const COUNTERS = {
  uptimeSec: 6 * 3600 + 120,
  circuits: 1,
  channels: 12,
  bytesRead: 3 * 2 ** 30,
  bytesWritten: 2 ** 20 * 1.5,
  acceptedIpv4: 7,
  acceptedIpv6: 1,
  dialledIpv4: 4,
  dialledIpv6: 0,
  cellsRelayed: 1000,
  handshakes: [
    { name: 'ntor', asked: 10, answered: 9 },
    { name: 'ntor_v3', asked: 0, answered: 0 },
  ],
  defences: {
    watchesCircuits: false,
    watchesLinks: false,
    circuitsRefused: 0,
    circuitMarks: 0,
    queueMarks: 0,
    linkMarks: 0,
    linksRefusedConcurrent: 0,
    linksRefusedMarked: 0,
    circuitsKilledByQueue: 1,
  },
  listed: null,
  workers: 2,
  workersRestarted: 0,
};

test('the heartbeat says what an operator asks first', () => {
  expect(heartbeatLines(COUNTERS)).toEqual([
    'Heartbeat: up 6:02 hours, with 1 circuit and 12 links open. Sent 1.50 MB and received 3.00 GB; ' +
      'relayed 1000 cells. Links accepted: 7 over IPv4 and 1 over IPv6; made: 4 over IPv4 and 0 over IPv6.',
    'Heartbeat: onion handshakes answered since the last heartbeat: 9/10 ntor.',
    'Heartbeat: DoS defences since the start: 1 circuit killed with too many cells; ' +
      'DoSCircuitCreationEnabled is off; DoSConnectionEnabled is off.',
  ]);
});

test('not being listed and workers that died get lines of their own', () => {
  const lines = heartbeatLines({ ...COUNTERS, handshakes: [], listed: false, workersRestarted: 1 });
  expect(lines[0]).toContain('does not list this relay');
  expect(lines[3]).toContain('1 worker of 2 died and was started again');
});

test('durations and sizes are printed for people', () => {
  expect(printUptime(59)).toBe('0:00 hours');
  expect(printUptime(86400 + 1800)).toBe('1 day 0:30 hours');
  expect(printUptime(12 * 86400 + 3 * 3600 + 300)).toBe('12 days 3:05 hours');
  expect(printBytes(2047)).toBe('1 kB');
  expect(printBytes(2 ** 30 * 2.25)).toBe('2.25 GB');
});
