import { expect, test } from 'bun:test';
import { parseIp, printEndpoint } from '../../src/bytes/address.ts';
import { type AdvertisedPort, choosePublishedAddress } from '../../src/directory/published-address.ts';

function port(host: string, number: number, advertise = true): AdvertisedPort {
  return { host: parseIp(host)!, port: number, advertise };
}

const BOTH = [port('0.0.0.0', 9001), port('::', 9001)];

function choose(
  address: string[],
  ports: AdvertisedPort[],
  interfaces: string[] = [],
  testing = false,
  hostName: string[] = [],
  suggested: string[] = [],
): string {
  const sources = {
    interfaces: interfaces.map((text) => parseIp(text)!),
    hostName: hostName.map((text) => parseIp(text)!),
    suggested: suggested.map((text) => parseIp(text)!),
  };
  const { ipv4, ipv6, problem } = choosePublishedAddress(address, ports, sources, testing);
  if (problem !== null) return `${problem.why} | ${problem.line}`;
  return [ipv4!, ...(ipv6 === null ? [] : [ipv6])].map(printEndpoint).join(' ');
}

test('an Address line decides, each family for itself', () => {
  expect(choose(['198.51.100.7'], BOTH)).toBe('198.51.100.7:9001');
  expect(choose(['198.51.100.7', '2001:db9::7'], BOTH)).toBe('198.51.100.7:9001 [2001:db9::7]:9001');
  expect(choose(['[2001:db9::7]', '198.51.100.7'], [port('0.0.0.0', 9001)])).toBe('198.51.100.7:9001');
  expect(choose(['198.51.100.7'], [port('198.51.100.9', 443)])).toBe('198.51.100.7:443');
});

test("without it the ORPort's own address counts, then a public one of the host", () => {
  expect(choose([], [port('198.51.100.9', 443), port('2001:db9::9', 444)])).toBe(
    '198.51.100.9:443 [2001:db9::9]:444',
  );
  expect(choose([], BOTH, ['127.0.0.1', '10.0.0.3', '198.51.100.4', 'fe80::1', '2001:db9::4'])).toBe(
    '198.51.100.4:9001 [2001:db9::4]:9001',
  );
});

test('NoAdvertise ports are passed over for the next one', () => {
  expect(choose(['198.51.100.7'], [port('10.0.0.1', 9001, false), port('0.0.0.0', 443)])).toBe(
    '198.51.100.7:443',
  );
});

test('what cannot be published says which line to write', () => {
  expect(choose([], BOTH, ['127.0.0.1'])).toMatch(/no public IPv4 address .* \| Address 203\.0\.113\.5/);
  expect(choose(['10.1.2.3'], BOTH)).toMatch(/^10\.1\.2\.3 is not a public address \| Address/);
  expect(choose(['relay.example.org'], BOTH)).toMatch(
    /"relay\.example\.org" is a name for which no address is known \| Address/,
  );
  expect(choose(['198.51.100.7'], [port('::', 9001)])).toMatch(/no ORPort is advertised over IPv4 \| ORPort/);
});

test('a name that nobody knows is not replaced by what the host has', () => {
  expect(choose(['relay.example.org'], BOTH, ['198.51.100.4'])).toMatch(/is a name for which no address/);
});

test('a private IPv6 address beside a good IPv4 one is left out', () => {
  expect(choose(['198.51.100.7', 'fd00::1'], BOTH)).toBe('198.51.100.7:9001');
});

test('a testing network takes private addresses, loopback too', () => {
  expect(choose(['127.0.0.1', '::1'], BOTH, [], true)).toBe('127.0.0.1:9001 [::1]:9001');
  expect(choose([], [port('127.0.0.1', 5000)], [], true)).toBe('127.0.0.1:5000');
});

test('failing torrc: interfaces, then the host name, then what authorities say; public ones only', () => {
  const inside = ['127.0.0.1', '10.0.0.3', 'fd00::1'];
  const name = ['198.51.100.5', '2001:db9::5'];
  const said = ['198.51.100.6', '2001:db9::6'];
  const of = (interfaces: string[], hostName: string[], suggested: string[]) =>
    choose([], BOTH, interfaces, false, hostName, suggested);
  expect(of(['198.51.100.4', ...inside], name, said)).toBe('198.51.100.4:9001 [2001:db9::5]:9001');
  expect(of(inside, name, said)).toBe('198.51.100.5:9001 [2001:db9::5]:9001');
  expect(of(inside, ['127.0.1.1', '2001:db9::5'], said)).toBe('198.51.100.6:9001 [2001:db9::5]:9001');
  expect(of(inside, inside, said)).toBe('198.51.100.6:9001 [2001:db9::6]:9001');
  expect(of(inside, inside, inside)).toMatch(/no public IPv4 address/);
  expect(choose(['198.51.100.7'], BOTH, [], false, name, said)).toBe('198.51.100.7:9001 [2001:db9::5]:9001');
});

test('each address tells whom it is known from', () => {
  const sources = {
    interfaces: [parseIp('198.51.100.4')!],
    hostName: [],
    suggested: [parseIp('2001:db9::6')!],
  };
  expect(choosePublishedAddress([], BOTH, sources, false)).toMatchObject({
    ipv4Origin: 'interface',
    ipv6Origin: 'authority',
  });
  expect(choosePublishedAddress(['198.51.100.7'], BOTH, sources, false).ipv4Origin).toBe('torrc');
  expect(choosePublishedAddress([], [port('198.51.100.9', 1)], sources, false)).toMatchObject({
    ipv4Origin: 'torrc',
    ipv6Origin: null,
  });
});
