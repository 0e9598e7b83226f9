import { expect, test } from 'bun:test';
import { printDocument, printHelp, printOptionNames } from '../../src/cli/print.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

test('the unit unsets what would change the executable, and hides nothing that it needs', () => {
  const unit = printDocument('unit', '1.0', '/usr/bin/onionrelay');
  const unset = /^UnsetEnvironment=(.*)$/m.exec(unit)![1]!.split(' ');
  expect(unset).toEqual(['BUN_BE_BUN', 'BUN_OPTIONS', 'NODE_OPTIONS', 'NODE_TLS_REJECT_UNAUTHORIZED']);
  expect(unit).toContain('ExecStart=/usr/bin/onionrelay -f /etc/tor/torrc\n');
  expect(unit).toMatch(/^ExecReload=\/bin\/kill -HUP \$\{MAINPID\}$/m);
  expect(unit).toContain('LimitNOFILE=1048576\n');
  expect(unit).not.toMatch(/MemoryDenyWriteExecute|ProtectProc|ProcSubset|PrivateUsers/);
});

test('the sample torrc reads as no configuration, and as one with every default written out', () => {
  const sample = printDocument('torrc', '1.0', '');
  expect(parseTorrc(sample, 'torrc', () => 'none')).toEqual([]);
  const written = sample
    .split('\n')
    .filter((line) => /^#[A-Za-z_]+ ./.test(line) && !/^#(ORPort|ContactInfo) /.test(line))
    .map((line) => line.slice(1));
  const lines = parseTorrc(written.join('\n'), 'torrc', () => 'none');
  const { options, warnings } = buildOptions({ layers: [lines], torrcName: 'torrc', home: '/root' });
  expect(warnings.filter((text) => !text.includes('deprecated'))).toEqual([]);
  expect(options.publishServerDescriptor).toBe('none');
});

test('the man page has only requests that begin a line on purpose', () => {
  const man = printDocument('man', '1.0', '');
  const requests = new Set(
    man
      .split('\n')
      .filter((line) => line.startsWith('.'))
      .map((line) => line.split(' ')[0]),
  );
  expect([...requests].sort()).toEqual(['.B', '.SH', '.TH', '.TP', '.br']);
});

test('help names every switch and every option that acts', () => {
  const help = printHelp();
  expect(help).toContain('  --hash-password PASSWORD');
  expect(help).toMatch(/^ {2}ORPort \[ADDRESS:\]PORT\|auto$/m);
  expect(help).not.toContain('SocksPort');
});

test('option names are printed one per line', () => {
  expect(printOptionNames().split('\n')).toHaveLength(373);
});
