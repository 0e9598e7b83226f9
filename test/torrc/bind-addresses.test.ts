import { expect, test } from 'bun:test';
import { printIp } from '../../src/bytes/address.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function bind(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  const { outboundBindAddress } = buildOptions({
    layers: [parsed],
    torrcName: 'torrc',
    home: '/root',
  }).options;
  return Object.fromEntries(
    Object.entries(outboundBindAddress).map(([kind, { ipv4, ipv6 }]) => [
      kind,
      [ipv4, ipv6].map((host) => (host === null ? null : printIp(host))),
    ]),
  );
}

test('each kind has its own, one per family', () => {
  expect(
    bind(
      'OutboundBindAddress 192.0.2.1',
      'OutboundBindAddress [2001:db8::1]',
      'OutboundBindAddressExit 192.0.2.2',
    ),
  ).toEqual({
    any: ['192.0.2.1', '2001:db8::1'],
    exit: ['192.0.2.2', null],
    or: [null, null],
    pt: [null, null],
  });
});

test('refuses what is no address, and a second one', () => {
  expect(() => bind('OutboundBindAddressPT eth0')).toThrow(
    'torrc:2: OutboundBindAddressPT "eth0" is no IP address',
  );
  expect(() => bind('OutboundBindAddressOR ::1', 'OutboundBindAddressOR ::2')).toThrow('second IPv6 address');
});
