import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printMan, printTorrc } from '../../src/cli/print.ts';
import { canonicalValue, parseValue } from '../../src/torrc/assign.ts';
import { findOption, OBSOLETE_OPTIONS, OPTIONS, optionSpec } from '../../src/torrc/option-table.ts';

const LISTED = readFileSync(join(import.meta.dir, '../vectors/torrc-options.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

describe('the option table', () => {
  test('has exactly the 372 names of C tor 0.4.9.11, in its order', () => {
    expect(LISTED).toHaveLength(372);
    expect(OPTIONS.map((spec) => spec.name)).toEqual(LISTED);
  });

  test('has defaults that read as their own type', () => {
    for (const spec of OPTIONS) {
      for (const text of [spec.default, spec.testingDefault]) {
        if (text !== null && text !== '')
          expect([spec.name, parseValue(spec, text).ok]).toEqual([spec.name, true]);
      }
    }
  });

  test('says one sentence about each option', () => {
    for (const spec of OPTIONS) {
      expect(spec.text).toMatch(/^[A-Z1].{8,}\.$/);
      expect(spec.text.length).toBeLessThan(220);
    }
  });

  test('knows no obsolete name as a living one', () => {
    const living = new Set(LISTED.map((name) => name.toLowerCase()));
    expect(OBSOLETE_OPTIONS.filter((name) => living.has(name.toLowerCase()))).toEqual([]);
    expect(OBSOLETE_OPTIONS).toHaveLength(73);
  });

  test('changes these defaults in a test network', () => {
    const changed = OPTIONS.filter((spec) => spec.testingDefault !== spec.default);
    const listed = changed.map((spec) => [spec.name, canonicalValue(spec, spec.testingDefault ?? '')]);
    expect(Object.fromEntries(listed)).toMatchObject({
      AuthDirMaxServersPerAddr: '0',
      CountPrivateBandwidth: '1',
      DirAllowPrivateAddresses: '1',
      EnforceDistinctSubnets: '0',
      ExitPolicyRejectPrivate: '0',
      ExtendAllowPrivateAddresses: '1',
      MinUptimeHidServDirectoryV2: '0',
      TestingAuthDirTimeToLearnReachability: '0',
      TestingDirConnectionMaxStall: '30',
      TestingMinTimeToReportBandwidth: '0',
      TestingV3AuthInitialVotingInterval: '150',
      V3AuthDistDelay: '20',
      V3AuthVoteDelay: '20',
      V3AuthVotingInterval: '300',
    });
  });

  test('is what the man page and the sample torrc hold, each name once', () => {
    const man = printMan('1.0').split('\n');
    const sample = printTorrc().split('\n');
    for (const name of LISTED) {
      expect(man.filter((line) => line.startsWith(`.B ${name} `))).toHaveLength(1);
      expect(sample.filter((line) => new RegExp(`^#${name}( |$)`).test(line)).length).toBeGreaterThanOrEqual(
        1,
      );
    }
  });
});

describe('findOption', () => {
  test('finds a name in any case', () => {
    expect(findOption('orport')).toEqual({ kind: 'option', spec: optionSpec('ORPort'), warning: null });
  });

  test('knows aliases, some of them only on the command line', () => {
    expect(findOption('DirServer')).toMatchObject({ spec: { name: 'DirAuthority' }, warning: null });
    expect(findOption('l').kind).toBe('ambiguous');
    expect(findOption('l', true)).toMatchObject({ spec: { name: 'Log' } });
    expect(findOption('HashedControlPassword', true)).toMatchObject({
      spec: { name: '__HashedControlSessionPassword' },
    });
    expect(findOption('HashedControlPassword')).toMatchObject({ spec: { name: 'HashedControlPassword' } });
    expect(findOption('TestingServerDownloadSchedule')).toMatchObject({
      spec: { name: 'TestingServerDownloadInitialDelay' },
      warning: 'TestingServerDownloadSchedule is an old name: write TestingServerDownloadInitialDelay',
    });
  });

  test('knows obsolete options, through aliases too', () => {
    expect(findOption('tor2webmode')).toEqual({ kind: 'obsolete', name: 'Tor2webMode' });
    expect(findOption('ORBindAddress')).toEqual({ kind: 'obsolete', name: 'ORListenAddress' });
  });

  test('suggests the nearest name, or none', () => {
    expect(findOption('ContactInof')).toEqual({ kind: 'unknown', nearest: 'ContactInfo' });
    expect(findOption('zzzzzzzz')).toEqual({ kind: 'unknown', nearest: null });
    expect(findOption('x'.repeat(10_000))).toEqual({ kind: 'unknown', nearest: null });
  });
});
