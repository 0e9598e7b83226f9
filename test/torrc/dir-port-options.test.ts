/** What torrc says of the DirPort. */
import { describe, expect, test } from 'bun:test';
import { printRule } from '../../src/netdoc/exit-policy.ts';
import type { DirPortOptions } from '../../src/torrc/dir-port-options.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { orPortEndpoints } from '../../src/torrc/port.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const noInclude = (): never => {
  throw new Error('nothing is included here');
};

function read(text: string): { dirPort: DirPortOptions; warnings: readonly string[] } {
  const lines = parseTorrc(`ORPort 9001\n${text}`, 'torrc', noInclude);
  const { options, warnings } = buildOptions({ layers: [lines], torrcName: 'torrc', home: '/home/x' });
  return { dirPort: options.dirPort, warnings };
}

const endpoints = (text: string): string[] =>
  orPortEndpoints(read(text).dirPort.ports).map(
    ({ host, port, listen, advertise }) =>
      `${host.join('.')}:${port}${listen ? ' listen' : ''}${advertise ? ' advertise' : ''}`,
  );

describe('DirPort', () => {
  test('is none by default, and with 0', () => {
    expect(read('').dirPort.ports).toEqual([]);
    expect(read('DirPort 0').dirPort.ports).toEqual([]);
  });

  test('listens on IPv4 unless an address says otherwise', () => {
    expect(endpoints('DirPort 9030')).toEqual(['0.0.0.0:9030 listen advertise']);
    expect(endpoints('DirPort auto')).toEqual(['0.0.0.0:auto listen advertise']);
    expect(endpoints('DirPort 127.0.0.1:9030 NoAdvertise')).toEqual(['127.0.0.1:9030 listen']);
    expect(endpoints('DirPort 80 NoListen\nDirPort 127.0.0.1:9091 NoAdvertise')).toEqual([
      '0.0.0.0:80 advertise',
      '127.0.0.1:9091 listen',
    ]);
    expect(endpoints('DirPort [::1]:9030 NoAdvertise\nDirPort 9030')).toEqual([
      '0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1:9030 listen',
      '0.0.0.0:9030 listen advertise',
    ]);
  });

  test('that does not read is refused by its own name', () => {
    expect(() => read('DirPort 192.0.2.1')).toThrow('DirPort "192.0.2.1" has no port that reads');
    expect(() => read('DirPort unix:/x')).toThrow('DirPort cannot be');
    expect(() => read('DirPort 9030 NoListen NoAdvertise')).toThrow(
      'DirPort with both NoAdvertise and NoListen',
    );
    expect(read('DirPort 9030 Fast').warnings.join()).toContain('DirPort has the unknown flag Fast');
  });
});

test('DirPolicy is a policy', () => {
  const { policy } = read('DirPolicy accept 192.0.2.0/24, reject *:*').dirPort;
  expect(policy.map((rule) => printRule(rule, 'torrc'))[0]).toBe('accept 192.0.2.0/24:*');
  expect(() => read('DirPolicy nonsense')).toThrow('DirPolicy entry "nonsense" does not read');
});

test('the front page and the age of diffs', () => {
  const { dirPort } = read('DirPortFrontPage ~/page.html\nMaxConsensusAgeForDiffs 6 hours');
  expect([dirPort.frontPage, dirPort.maxConsensusAgeForDiffsSec]).toEqual(['/home/x/page.html', 6 * 3600]);
  expect(read('').dirPort).toMatchObject({ frontPage: null, maxConsensusAgeForDiffsSec: null, policy: [] });
});
