/** Our published addresses: names looked up, IPv6 shown or not, private ones only where torrc lets them. */

import { afterEach, beforeEach, expect, test } from 'bun:test';
import { parseIp, printEndpoint } from '../../src/bytes/address.ts';
import { type AddressOptions, OwnAddress } from '../../src/daemon/own-address.ts';
import { setLogSink } from '../../src/log.ts';

const said: string[] = [];

beforeEach(() => {
  said.length = 0;
  setLogSink((record) => void said.push(record.text));
});

afterEach(() => setLogSink(null));

const PORTS = ['0.0.0.0', '::'].map((host) => ({ host: parseIp(host)!, port: 9001, advertise: true }));

function optionsOf(change: Partial<AddressOptions>): AddressOptions {
  return {
    addresses: [],
    addressDisableIpv6: false,
    assumeReachable: true,
    assumeReachableIpv6: true,
    dirAllowPrivateAddresses: false,
    ...change,
  };
}

function choose(own: OwnAddress, change: Partial<AddressOptions>, assumeIpv6 = false): string {
  const interfaces = ['198.51.100.4', '2001:db9::4'].map((text) => parseIp(text)!);
  const { ipv4, ipv6, problem } = own.choose(optionsOf(change), PORTS, assumeIpv6, interfaces);
  if (problem !== null) return problem.why;
  return [ipv4!, ...(ipv6 === null ? [] : [ipv6])].map(printEndpoint).join(' ');
}

test('names are looked up; a lookup that fails keeps what the last one gave', async () => {
  const answers = new Map([['relay.example.org', ['198.51.100.7', '2001:db9::7']]]);
  const own = new OwnAddress(async (name) => {
    const found = answers.get(name);
    if (found === undefined) throw new Error('ENOTFOUND');
    return found;
  });
  const addresses = ['relay.example.org'];
  expect(choose(own, { addresses })).toContain('is a name for which no address is known');
  await own.resolve(addresses);
  expect(choose(own, { addresses })).toBe('198.51.100.7:9001 [2001:db9::7]:9001');
  answers.set('relay.example.org', ['198.51.100.8']);
  await own.resolve(addresses);
  expect(choose(own, { addresses })).toBe('198.51.100.8:9001 [2001:db9::4]:9001');
  answers.clear();
  expect(said).toEqual([]);
  await own.resolve(addresses);
  expect(choose(own, { addresses })).toBe('198.51.100.8:9001 [2001:db9::4]:9001');
  expect(said).toEqual([
    'Address relay.example.org cannot be looked up (ENOTFOUND); going on with 198.51.100.8.',
  ]);
  await own.resolve([]);
  await own.resolve(['198.51.100.9']);
  expect(said).toHaveLength(1);
  expect(choose(own, { addresses })).toContain('no address is known');
});

test('localhost is known to every system', async () => {
  const own = new OwnAddress();
  await own.resolve(['localhost']);
  const change = { addresses: ['localhost'], dirAllowPrivateAddresses: true };
  expect(choose(own, change)).toMatch(/^127\.0\.0\.1:9001/);
  expect(choose(own, { addresses: ['localhost'] })).toContain('is not a public address');
});

test('IPv6 is shown when it may be assumed to be reachable, and AddressDisableIPv6 allows it', () => {
  const own = new OwnAddress();
  const both = '198.51.100.4:9001 [2001:db9::4]:9001';
  const unsure = { assumeReachable: false, assumeReachableIpv6: false };
  expect(choose(own, {})).toBe(both);
  expect(choose(own, unsure)).toBe('198.51.100.4:9001');
  expect(choose(own, unsure, true)).toBe(both);
  expect(choose(own, { ...unsure, assumeReachableIpv6: true })).toBe(both);
  expect(choose(own, { addressDisableIpv6: true }, true)).toBe('198.51.100.4:9001');
});
