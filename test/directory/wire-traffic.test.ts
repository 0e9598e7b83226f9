import { expect, test } from 'bun:test';
import { WireTraffic } from '../../src/directory/wire-traffic.ts';

test('bytes over IPv6 are told apart', () => {
  const traffic = new WireTraffic();
  traffic.add({ host: new Uint8Array(4), port: 80 }, 10, 20);
  traffic.add({ host: new Uint8Array(16), port: 80 }, 1, 2);
  expect({ ...traffic }).toEqual({ read: 11, written: 22, ipv6Read: 1, ipv6Written: 2 });
});
