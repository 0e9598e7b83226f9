import { describe, expect, test } from 'bun:test';
import { orPortEndpoints, parseOrPorts } from '../../src/torrc/port.ts';

function parse(...values: string[]) {
  const warnings: string[] = [];
  const lines = values.map((value, i) => ({
    key: 'ORPort',
    value,
    prefix: '' as const,
    file: 'torrc',
    line: i + 1,
  }));
  return { ports: parseOrPorts(lines, (text) => warnings.push(text)), warnings };
}

describe('parseOrPorts', () => {
  test('reads address, port and flags in any case', () => {
    expect(parse('192.0.2.1:443 noadvertise', '443 IPV4ONLY NoListen').ports).toEqual([
      {
        host: Uint8Array.of(192, 0, 2, 1),
        port: 443,
        noAdvertise: true,
        noListen: false,
        ipv4Only: false,
        ipv6Only: false,
        where: 'torrc:1',
      },
      {
        host: null,
        port: 443,
        noAdvertise: false,
        noListen: true,
        ipv4Only: true,
        ipv6Only: false,
        where: 'torrc:2',
      },
    ]);
  });

  test('gives none for ORPort 0', () => {
    expect(parse('0').ports).toEqual([]);
  });

  test('takes auto with and without address', () => {
    expect(parse('auto').ports[0]).toMatchObject({ host: null, port: 'auto' });
    expect(parse('127.0.0.1:AUTO').ports[0]).toMatchObject({
      host: Uint8Array.of(127, 0, 0, 1),
      port: 'auto',
    });
  });

  for (const value of [
    '',
    'x',
    '-1',
    '65536',
    '1.2.3.4',
    '1.2.3.4:0',
    '1.2.3.4:',
    ':9001',
    '[::1]',
    '::1:9001',
  ]) {
    test(`refuses "${value}"`, () => expect(() => parse(value)).toThrow('torrc:1: ORPort'));
  }
});

describe('orPortEndpoints', () => {
  test('splits a line without address into both families', () => {
    const endpoints = orPortEndpoints(parse('9001').ports);
    expect(endpoints.map((each) => each.host.length)).toEqual([4, 16]);
  });

  test('keeps listening on every address when the advertised one does not listen', () => {
    const endpoints = orPortEndpoints(parse('9001 NoAdvertise', '192.0.2.1:9001 NoListen').ports);
    expect(endpoints.map(({ host, listen, advertise }) => [host[0], host.length, listen, advertise])).toEqual(
      [
        [0, 4, true, false],
        [0, 16, true, false],
        [192, 4, false, true],
      ],
    );
  });

  test('lets a named address supersede its family only', () => {
    const endpoints = orPortEndpoints(parse('9001', '[::1]:9001').ports);
    expect(endpoints.map(({ host, explicit }) => [host.length, explicit])).toEqual([
      [4, false],
      [16, true],
    ]);
  });

  test('never merges auto ports', () => {
    expect(orPortEndpoints(parse('auto', 'auto').ports)).toHaveLength(4);
  });
});
