import { expect, test } from 'bun:test';
import { printEndpoint } from '../../src/bytes/address.ts';
import { parseResolvConf } from '../../src/dns/resolv-conf.ts';

const servers = (text: string) => parseResolvConf(text).nameservers.map(printEndpoint);

test('nameservers, with and without ports', () => {
  expect(
    servers(
      [
        '# written by hand',
        'nameserver 192.0.2.1',
        '\tnameserver\t192.0.2.2:5353\r',
        'nameserver 2001:db8::1 # the other one',
        'nameserver [2001:db8::2]:5353',
        'nameserver [2001:db8::3]',
      ].join('\n'),
    ),
  ).toEqual(['192.0.2.1:53', '192.0.2.2:5353', '[2001:db8::1]:53', '[2001:db8::2]:5353', '[2001:db8::3]:53']);
});

test('what does not read is skipped', () => {
  expect(
    servers(
      'nameserver\nnameserver localhost\nnameserver 1.2.3.4:0\nnameserver 1.2.3.4:65536\nNameserver 1.2.3.4',
    ),
  ).toEqual([]);
  expect(servers('')).toEqual([]);
});

test('no more than eight nameservers and sixteen domains', () => {
  const text = Array.from({ length: 20 }, (_, i) => `nameserver 192.0.2.${i}`).join('\n');
  expect(servers(text)).toHaveLength(8);
  const domains = Array.from({ length: 20 }, (_, i) => `d${i}.example`).join(' ');
  expect(parseResolvConf(`search ${domains}`).search).toHaveLength(16);
});

test('the last line of domains counts, the dots around them do not', () => {
  expect(parseResolvConf('search a.example b.example\ndomain .c.example. d.example').search).toEqual([
    'c.example',
  ]);
  expect(parseResolvConf('domain c.example\nsearch a.example . b.example').search).toEqual([
    'a.example',
    'b.example',
  ]);
});

test('ndots', () => {
  expect(parseResolvConf('').ndots).toBe(1);
  expect(parseResolvConf('options rotate ndots:3 timeout:9').ndots).toBe(3);
  expect(parseResolvConf('options ndots:200').ndots).toBe(15);
  expect(parseResolvConf('options ndots:x').ndots).toBe(1);
});
