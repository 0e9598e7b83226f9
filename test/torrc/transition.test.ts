import { describe, expect, test } from 'bun:test';
import { parseTorrc } from '../../src/torrc/line.ts';
import { transition } from '../../src/torrc/transition.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function build(...lines: string[]) {
  const parsed = parseTorrc(lines.join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/home/relay' }).options;
}

describe('transition', () => {
  const base = ['ORPort 9001', 'Nickname alice', 'Log notice stdout'];

  test('sees nothing in the same values written otherwise', () => {
    const next = build(
      'nickname alice',
      'orport 9001',
      'Log notice stdout',
      'HeartbeatPeriod 360 minutes',
      'SafeLogging 1',
    );
    expect(transition(build(...base), next)).toEqual({ changes: [] });
  });

  test('names what changes, by option', () => {
    const next = build('ORPort 9001', 'Nickname bob', 'Log notice stdout', 'Log err stderr', 'ContactInfo x');
    expect(transition(build(...base), next)).toEqual({ changes: ['ContactInfo', 'Log', 'Nickname'] });
  });

  test('refuses what may not change while running, by name and line, with the line to write', () => {
    const next = build('Nickname bob', 'ORPort 9002', 'DataDirectory /srv/tor');
    expect(() => transition(build(...base), next)).toThrow(
      "torrc:3: DataDirectory can't change while running; torrc:2: ORPort can't change while running: " +
        'restart the relay, or remove DataDirectory, write ORPort 9001; the old configuration stays in force',
    );
  });

  test('a removed line is named where it was', () => {
    const old = build('Nickname alice', 'PidFile /run/a', 'ORPort 9001', 'ORPort [2001:db8::1]:9001');
    expect(() =>
      transition(old, build('Nickname alice', 'ORPort 9001', 'ORPort [2001:db8::1]:9001')),
    ).toThrow(
      /^torrc:2: PidFile was removed, but can't change while running: restart the relay, or write PidFile \/run\/a;/,
    );
    expect(() => transition(old, build('PidFile /run/a', 'ORPort 9001'))).toThrow(
      /^torrc:2: ORPort can't .*: restart the relay, or write ORPort 9001 and ORPort \[2001:db8::1\]:9001;/,
    );
  });

  test('counts the removal of a line as a change', () => {
    expect(transition(build(...base), build('ORPort 9001', 'Log notice stdout'))).toEqual({
      changes: ['Nickname'],
    });
  });
});
