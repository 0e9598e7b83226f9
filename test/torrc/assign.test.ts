import { describe, expect, test } from 'bun:test';
import { assignLayers, canonicalValue, checkValue } from '../../src/torrc/assign.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { OPTIONS, optionSpec } from '../../src/torrc/option-table.ts';

function assign(...layers: string[]) {
  const { settings, warnings } = assignLayers(
    layers.map((text, i) => parseTorrc(text, `f${i}`, () => 'none')),
  );
  const values = [...settings].map(([name, lines]) => [name, lines.map((line) => line.value)]);
  return { values: Object.fromEntries(values), warnings };
}

describe('assignLayers', () => {
  test('a stronger layer replaces a list, + appends, / clears', () => {
    expect(assign('Log err\nLog warn', 'Log info\nLog notice').values).toEqual({ Log: ['info', 'notice'] });
    expect(assign('Log err', '+Log info\nLog notice').values).toEqual({ Log: ['err', 'info', 'notice'] });
    expect(assign('Log err', '/Log').values).toEqual({});
    expect(assign('Log err', '/Log x\nLog info').values).toEqual({ Log: ['info'] });
  });

  test('of one value the last line counts, with a warning only inside a layer', () => {
    expect(assign('Nickname a', 'Nickname b')).toEqual({ values: { Nickname: ['b'] }, warnings: [] });
    expect(assign('Nickname a\nnickname b')).toEqual({
      values: { Nickname: ['b'] },
      warnings: ['f0:2: Nickname is set more than once: only this last line counts'],
    });
  });

  test('an empty value puts the default back', () => {
    expect(assign('Nickname a', 'Nickname').values).toEqual({});
  });

  test('a value is checked only where it counts', () => {
    expect(assign('NumCPUs two', 'NumCPUs 2').values).toEqual({ NumCPUs: ['2'] });
  });
});

describe('values', () => {
  test('every type refuses something and says what to write', () => {
    const refused: Record<string, string> = {
      boolean: 'yes',
      'auto-boolean': 'yes',
      integer: 'x',
      count: '-1',
      count64: '-1',
      memory: 'x',
      interval: 'x',
      'msec-interval': 'x',
      'interval-list': 'x',
      number: 'x',
      routers: '!',
    };
    for (const [type, value] of Object.entries(refused)) {
      const spec = OPTIONS.find((each) => each.type === type)!;
      const line = { key: spec.name, value, prefix: '' as const, file: 'torrc', line: 9 };
      expect(() => checkValue(spec, line)).toThrow(`torrc:9: ${spec.name} "${value}" `);
    }
  });

  test('are printed in base units', () => {
    expect(canonicalValue(optionSpec('BandwidthRate'), '1.5 MB')).toBe('1572864');
    expect(canonicalValue(optionSpec('KISTSchedRunInterval'), '1 second')).toBe('1000');
    expect(canonicalValue(optionSpec('CircuitPriorityHalflife'), '-1')).toBe('-1.000000');
    expect(canonicalValue(optionSpec('ExitRelay'), 'AUTO')).toBe('auto');
    expect(canonicalValue(optionSpec('LongLivedPorts'), '21, 22')).toBe('21,22');
    expect(canonicalValue(optionSpec('__OwningControllerFD'), '18446744073709551615')).toBe(
      '18446744073709551615',
    );
  });
});
