/** Our published addresses: names looked up, IPv6 shown or not, private ones only where torrc lets them. */

import { afterEach, beforeEach, expect, test } from 'bun:test';
import { hostname } from 'node:os';
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
    dirAllowPrivateAddresses: false,
    ...change,
  };
}

function choose(own: OwnAddress, change: Partial<AddressOptions>, ...hosts: string[]): string {
  const interfaces = hosts.length > 0 ? hosts : ['198.51.100.4', '2001:db9::4'];
  const { ipv4, ipv6, problem } = own.choose(
    optionsOf(change),
    PORTS,
    interfaces.map((text) => parseIp(text)!),
  );
  if (problem !== null) return problem.why;
  return [ipv4!, ...(ipv6 === null ? [] : [ipv6])].map(printEndpoint).join(' ');
}

test('names are looked up; a lookup that fails keeps what the last one gave', async () => {
  const answers = new Map([['relay.example.org', ['198.51.100.7', '2001:db9::7']]]);
  const own = new OwnAddress([], async (name) => {
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

test('AddressDisableIPv6 leaves IPv6 out', () => {
  const own = new OwnAddress();
  expect(choose(own, {})).toBe('198.51.100.4:9001 [2001:db9::4]:9001');
  expect(choose(own, { addressDisableIpv6: true })).toBe('198.51.100.4:9001');
});

test('without Address lines the host’s own name is looked up; one that nobody knows is nothing to warn of', async () => {
  const asked: string[] = [];
  const own = new OwnAddress([], async (name) => {
    asked.push(name);
    if (asked.length > 1) throw new Error('ENOTFOUND');
    return ['198.51.100.8', '127.0.1.1', '2001:db9::8'];
  });
  await own.resolve([]);
  expect(asked).toEqual([hostname()]);
  expect(choose(own, {}, '10.0.0.1')).toBe('198.51.100.8:9001 [2001:db9::8]:9001');
  await own.resolve([]);
  expect(choose(own, {}, '10.0.0.1')).toBe('198.51.100.8:9001 [2001:db9::8]:9001');
  await own.resolve(['198.51.100.7']);
  expect(asked).toHaveLength(2);
  expect(said.filter((text) => text.includes('Address'))).toEqual([]);
});

test('an authority’s word counts, from its own address only, and never for private addresses or its own', () => {
  const authority = parseIp('203.0.113.1')!;
  const own = new OwnAddress([authority, parseIp('2001:db9:1::1')!]);
  const suggest = (host: string, from: string) => own.suggest(parseIp(host)!, parseIp(from)!);
  expect(suggest('198.51.100.6', '203.0.113.2')).toBe(false);
  expect(suggest('10.0.0.6', '203.0.113.1')).toBe(false);
  expect(suggest('203.0.113.1', '203.0.113.1')).toBe(false);
  expect(choose(own, {}, '10.0.0.1')).toContain('no public IPv4 address');
  expect(suggest('198.51.100.6', '203.0.113.1')).toBe(true);
  expect(suggest('198.51.100.6', '203.0.113.1')).toBe(false);
  expect(suggest('2001:db9::6', '2001:db9:1::1')).toBe(true);
  expect(choose(own, {}, '10.0.0.1')).toBe('198.51.100.6:9001 [2001:db9::6]:9001');
  expect(suggest('198.51.100.7', '203.0.113.1')).toBe(true);
  expect(choose(own, {}, '10.0.0.1')).toBe('198.51.100.7:9001 [2001:db9::6]:9001');
  expect(choose(own, {})).toBe('198.51.100.4:9001 [2001:db9::4]:9001');
});
