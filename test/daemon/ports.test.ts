/** ORPort lines to listening sockets: shared among workers, told apart by family, refused with line and remedy. */

import { afterEach, expect, test } from 'bun:test';
import { printEndpoint } from '../../src/bytes/address.ts';
import { type OpenPorts, openPorts } from '../../src/daemon/ports.ts';
import { closeFd, isFault, listenTcp } from '../../src/libc.ts';
import { parseOrPorts } from '../../src/torrc/port.ts';
import { refusal } from '../keys/scratch.ts';
import { freePort } from './relay-process.ts';

const opened: OpenPorts[] = [];

afterEach(() => {
  for (const { sockets } of opened.splice(0))
    for (const { fds } of sockets) for (const fd of fds) closeFd(fd);
});

function open(workers: number, ...values: string[]): OpenPorts {
  const lines = values.map((value, i) => ({
    key: 'ORPort',
    value,
    prefix: '' as const,
    file: 'torrc',
    line: i + 1,
  }));
  const ports = openPorts(
    parseOrPorts(lines, () => {}),
    workers,
  );
  opened.push(ports);
  return ports;
}

test('one socket per worker and line; auto finds a port', () => {
  const { sockets, advertised } = open(3, '127.0.0.1:auto', '[::1]:auto');
  expect(sockets.map(({ fds }) => fds.length)).toEqual([3, 3]);
  for (const { endpoint } of sockets) expect(endpoint.port).toBeGreaterThan(0);
  expect(advertised.map(({ port }) => port)).toEqual(sockets.map(({ endpoint }) => endpoint.port));
});

test('a port without an address listens over both families, each on its own', () => {
  const port = freePort();
  const { sockets, notes } = open(1, String(port));
  expect(sockets.map(({ endpoint }) => printEndpoint(endpoint))).toEqual([`0.0.0.0:${port}`, `[::]:${port}`]);
  expect(notes).toEqual([]);
});

test('NoListen is advertised without a socket, NoAdvertise the other way round', () => {
  const { sockets, advertised } = open(1, '127.0.0.1:auto NoAdvertise', '192.0.2.7:443 NoListen');
  expect(sockets).toHaveLength(1);
  expect(advertised.map(({ advertise, port }) => [advertise, port === 443])).toEqual([
    [false, false],
    [true, true],
  ]);
});

test('an IPv6 port that somebody has is refused, also when the line names no address; nothing stays open', () => {
  const port = freePort();
  const other = listenTcp({ host: new Uint8Array(16), port, reusePort: false });
  if (isFault(other)) throw new Error(other.text);
  const error = refusal(() => open(1, String(port)));
  expect(error.message).toStartWith(`torrc:1: cannot listen on [::]:${port} (EADDRINUSE`);
  expect(error.exitCode).toBe(3);
  closeFd(other.fd);
  expect(open(1, String(port)).sockets).toHaveLength(2);
});

test('an address that this host lacks has another remedy', () => {
  expect(refusal(() => open(1, '192.0.2.1:9001')).hint).toContain('this host has no such address');
});
