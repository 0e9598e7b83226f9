import { expect, test } from 'bun:test';
import { printEndpoint } from '../../src/bytes/address.ts';
import { parseDirAuthority, publicAuthorities, votingAuthorities } from '../../src/directory/authority.ts';
import { OperatorError } from '../../src/fault.ts';

const V3 = 'ED03BB616EB2F60BEC80151114BB25CEF515B226';
const RSA = 'F2044413DAC2E02E3D6BCF4735A19BCA1DE97281';

test('a full line is read, with the fingerprint in groups', () => {
  const { authority, warnings } = parseDirAuthority(
    `gabelmoo orport=443 no-v2 v3ident=${V3} ipv6=[2001:638::189]:443 weight=0.5 131.188.40.189:80 ${RSA.match(/..../g)!.join(' ')}`,
    'torrc:3',
  );
  expect(warnings).toEqual([]);
  expect(authority.nickname).toBe('gabelmoo');
  expect(authority.orPort).toBe(443);
  expect(Buffer.from(authority.v3Ident!).toString('hex').toUpperCase()).toBe(V3);
  expect(Buffer.from(authority.rsaId).toString('hex').toUpperCase()).toBe(RSA);
  expect(printEndpoint(authority.dir)).toBe('131.188.40.189:80');
  expect(printEndpoint(authority.ipv6!)).toBe('[2001:638::189]:443');
  expect(authority.weight).toBe(0.5);
  expect(authority.isBridgeAuthority).toBe(false);
});

test('a line without nickname is named by its fingerprint', () => {
  const { authority } = parseDirAuthority(`orport=5000 127.0.0.1:7000 ${RSA}`, 'torrc:1');
  expect(authority.nickname).toBe(RSA);
  expect(authority.v3Ident).toBeNull();
});

test('DirPorts for one purpose are read from their URLs', () => {
  const { authority } = parseDirAuthority(
    `a upload=http://10.0.0.1:80/ download=http://[::1]:81 vote=http://10.0.0.2:82/ 127.0.0.1:7000 ${RSA}`,
    'torrc:1',
  );
  expect(authority.uploadTo.map(printEndpoint)).toEqual(['10.0.0.1:80']);
  expect(authority.downloadFrom.map(printEndpoint)).toEqual(['[::1]:81']);
});

test('flags that make no sense warn, as in C tor', () => {
  const { authority, warnings } = parseDirAuthority(
    `a bridge hs orport=0 weight=x v3ident=12 shiny colour=red ipv6=[::1]:1 ipv6=[::1]:2 127.0.0.1:7000 ${RSA}`,
    'torrc:9',
  );
  expect(warnings.length).toBe(7);
  expect(warnings.every((text) => text.startsWith('torrc:9: '))).toBe(true);
  expect(authority.isBridgeAuthority).toBe(true);
  expect(authority.orPort).toBe(0);
  expect(authority.weight).toBe(1);
  expect(authority.ipv6!.port).toBe(1);
});

test.each([
  ['', 'empty'],
  ['a', 'lacks'],
  ['a 127.0.0.1:7000', 'lacks'],
  [`a 127.0.0.1 ${RSA}`, 'not IPv4:DirPort'],
  [`a 127.0.0.1:0 ${RSA}`, 'not IPv4:DirPort'],
  [`a 127.0.0.1:70000 ${RSA}`, 'not IPv4:DirPort'],
  [`a 127.0.0.1:7000 ${RSA.slice(1)}`, 'not 40 hex digits'],
  [`a 127.0.0.1:7000 ${RSA} 00`, 'not 40 hex digits'],
  [`a ipv6=::1:7000 127.0.0.1:7000 ${RSA}`, 'not [address]:port'],
  [`a upload=https://10.0.0.1:80/ 127.0.0.1:7000 ${RSA}`, 'not understood'],
])('%p is refused with its place', (line, why) => {
  const refusal = () => parseDirAuthority(line, 'torrc:5');
  expect(refusal).toThrow(OperatorError);
  expect(refusal).toThrow(why);
  expect(refusal).toThrow('torrc:5');
});

test('the public network has nine voters and one bridge authority, all distinct', () => {
  const all = publicAuthorities();
  expect(all.length).toBe(10);
  expect(votingAuthorities(all).length).toBe(9);
  expect(
    all.filter((authority) => authority.isBridgeAuthority).map((authority) => authority.nickname),
  ).toEqual(['Serge']);
  const ids = new Set(all.map((authority) => Buffer.from(authority.rsaId).toString('hex')));
  expect(ids.size).toBe(10);
});
