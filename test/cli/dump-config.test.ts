import { expect, test } from 'bun:test';
import { dumpConfig } from '../../src/cli/dump-config.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function build(text: string) {
  const layer = parseTorrc(text, 'torrc', () => 'none');
  return buildOptions({ layers: [layer], torrcName: 'torrc', home: '/root' });
}

test('short holds what differs from the defaults, by name, in base units', () => {
  const built = build(
    'ORPort 9001\nNumCPUs 0\nContactInfo "a # \\"b\\""\nShutdownWaitLength 1 minute\nLog err\nLog info',
  );
  expect(dumpConfig(built, 'short').split('\n')).toEqual([
    'ContactInfo "a # \\"b\\""',
    'Log err',
    'Log info',
    'Nickname Unnamed',
    'ORPort 9001',
    'ShutdownWaitLength 60',
    '',
  ]);
});

test('a dump is a torrc that dumps to itself', () => {
  const once = dumpConfig(build('ORPort 9001\nContactInfo "x\\ty\\303\\251#"\nSocksPort 9050'), 'full');
  expect(dumpConfig(build(once), 'full')).toBe(once);
});

test('what only controllers set is not dumped', () => {
  expect(dumpConfig(build('__ORPort 9001'), 'short')).toBe('');
});
