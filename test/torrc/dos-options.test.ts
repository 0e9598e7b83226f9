/** The DoS lines of torrc: what is set, what follows the consensus. */

import { expect, test } from 'bun:test';
import { DOS_OPTIONS } from '../../src/torrc/dos-options.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { optionSpec } from '../../src/torrc/option-table.ts';
import { transition } from '../../src/torrc/transition.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function build(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' });
}

test('nothing, 0 and auto follow the consensus', () => {
  const { dos } = build().options;
  expect(Object.keys(dos)).toEqual([...DOS_OPTIONS]);
  expect(new Set(Object.values(dos))).toEqual(new Set([null]));
  const lines = DOS_OPTIONS.map((name) => `${name} ${name.endsWith('Enabled') ? 'auto' : '0'}`);
  expect(build(...lines).options.dos).toEqual(dos);
});

test('what is set is read in its unit, and nothing is said to lack an effect', () => {
  const { options, notes, warnings } = build(
    'DoSCircuitCreationEnabled 1',
    'DoSCircuitCreationMinConnections 4',
    'DoSCircuitCreationRate 5',
    'DoSCircuitCreationBurst 6',
    'DoSCircuitCreationDefenseType 1',
    'DoSCircuitCreationDefenseTimePeriod 2 minutes',
    'DoSConnectionEnabled 0',
    'DoSConnectionMaxConcurrentCount 7',
    'DoSConnectionConnectRate 8',
    'DoSConnectionConnectBurst 9',
    'DoSConnectionDefenseType 2',
    'DoSConnectionConnectDefenseTimePeriod 1 hour',
    'DoSStreamCreationEnabled 1',
    'DoSStreamCreationRate 10',
    'DoSStreamCreationBurst 11',
    'DoSStreamCreationDefenseType 3',
  );
  expect(options.dos).toEqual({
    DoSCircuitCreationEnabled: 1,
    DoSCircuitCreationMinConnections: 4,
    DoSCircuitCreationRate: 5,
    DoSCircuitCreationBurst: 6,
    DoSCircuitCreationDefenseType: 1,
    DoSCircuitCreationDefenseTimePeriod: 120,
    DoSConnectionEnabled: 0,
    DoSConnectionMaxConcurrentCount: 7,
    DoSConnectionConnectRate: 8,
    DoSConnectionConnectBurst: 9,
    DoSConnectionDefenseType: 2,
    DoSConnectionConnectDefenseTimePeriod: 3600,
    DoSStreamCreationEnabled: 1,
    DoSStreamCreationRate: 10,
    DoSStreamCreationBurst: 11,
    DoSStreamCreationDefenseType: 3,
  });
  expect([...notes, ...warnings].filter((text) => text.includes('DoS'))).toEqual([]);
});

test('a type of defence that there is not refuses nothing, and is said so', () => {
  const { options, warnings } = build('DoSConnectionDefenseType 3');
  expect(options.dos.DoSConnectionDefenseType).toBe(3);
  expect(warnings).toContain(
    'torrc:2: DoSConnectionDefenseType 3 is unknown and refuses nothing: write DoSConnectionDefenseType 2 to refuse',
  );
});

test('all of them may change while the relay runs; those for onion services do nothing yet', () => {
  for (const name of DOS_OPTIONS) {
    expect([optionSpec(name).effect, optionSpec(name).reload]).toEqual(['acts', 'live']);
  }
  const { changes } = transition(build().options, build('DoSConnectionMaxConcurrentCount 7').options);
  expect(changes).toEqual(['DoSConnectionMaxConcurrentCount']);
  expect(build('DoSRefuseSingleHopClientRendezvous 1').notes.join()).toContain('has no effect yet');
});
