import { expect, test } from 'bun:test';
import { WireTraffic } from '../../src/directory/wire-traffic.ts';

test('bytes over IPv6 and those with private addresses are told apart', () => {
  const traffic = new WireTraffic();
  traffic.add({ host: Uint8Array.of(192, 0, 2, 1), port: 80 }, 10, 20);
  traffic.add({ host: Uint8Array.of(127, 0, 0, 1), port: 80 }, 100, 200);
  traffic.add({ host: new Uint8Array(16).fill(32), port: 80 }, 1, 2);
  expect({ ...traffic }).toEqual({
    read: 111,
    written: 222,
    ipv6Read: 1,
    ipv6Written: 2,
    privateRead: 100,
    privateWritten: 200,
  });
});
