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

  test('refuses by name what may not change while running, all or nothing', () => {
    const next = build('ORPort 9002', 'Nickname bob', 'DataDirectory /srv/tor');
    expect(() => transition(build(...base), next)).toThrow(
      "reload: DataDirectory, ORPort can't change while running",
    );
  });

  test('counts the removal of a line as a change', () => {
    expect(transition(build(...base), build('ORPort 9001', 'Log notice stdout'))).toEqual({
      changes: ['Nickname'],
    });
  });
});
