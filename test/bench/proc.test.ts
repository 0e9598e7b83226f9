/** What /proc tells. */
import { expect, test } from 'bun:test';
import {
  findListener,
  listeningInodes,
  parseCpuSec,
  parseStatus,
  readProcess,
} from '../../src/bench/proc.ts';

test('CPU time is user and system, whatever the process is called', () => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 7 0';
  for (const name of ['tor', 'a b', 'x) S 1 (', ') ']) expect(parseCpuSec(`12 (${name}) ${rest}`)).toBe(1.75);
});

test('numbers of a status are found by their whole name', () => {
  const status = 'Name:\tVmRSS: 3\nVmHWM:\t  99 kB\nVmRSS:\t   1234 kB\nThreads:\t7\n';
  expect(parseStatus(status, 'VmRSS')).toBe(1234);
  expect(parseStatus(status, 'Threads')).toBe(7);
  expect(parseStatus(status, 'Nothing')).toBe(0);
});

test('this process has used time, memory, threads and files', () => {
  let reading = readProcess(process.pid);
  // The clock of CPU time ticks every 10 ms.
  while (reading.cpuSec === 0) reading = readProcess(process.pid);
  expect(reading.cpuSec).toBeLessThan(3600);
  expect(reading.rssBytes).toBeGreaterThan(1e6);
  expect(reading.threads).toBeGreaterThan(0);
  expect(reading.fds).toBeGreaterThan(2);
});

test('only listening sockets of the port count', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0',
    '   1: 0100007F:2329 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0',
    '   2: 0100007F:2330 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0',
    '',
  ].join('\n');
  expect([...listeningInodes(table, 0x2329)]).toEqual(['111']);
  expect([...listeningInodes(table, 1)]).toEqual([]);
});

test('who listens on a port is found', () => {
  const server = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  try {
    expect(findListener(server.port)).toBe(process.pid);
  } finally {
    server.stop(true);
  }
  expect(findListener(server.port)).toBeNull();
});
