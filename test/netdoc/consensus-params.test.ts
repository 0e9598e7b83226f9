/** Consensus parameters: defaults and clamping, and the table against what C tor's binary says. */
import { describe, expect, test } from 'bun:test';
import type { ParamName } from '../../src/netdoc/consensus-params.ts';
import { NO_PARAMS, PARAMETERS, paramValue } from '../../src/netdoc/consensus-params.ts';
import { readVector, textOf } from './fixture.ts';

function withParam(name: string, value: number): ReadonlyMap<string, number> {
  return new Map([[name, value]]);
}

describe('paramValue', () => {
  test('gives the default without a consensus', () => {
    expect(paramValue(NO_PARAMS, 'circwindow')).toBe(1000);
    expect(paramValue(NO_PARAMS, 'cc_sendme_inc')).toBe(31);
  });

  test('gives the value of the consensus, clamped', () => {
    expect(paramValue(withParam('circwindow', 500), 'circwindow')).toBe(500);
    expect(paramValue(withParam('circwindow', 1), 'circwindow')).toBe(100);
    expect(paramValue(withParam('circwindow', 9999), 'circwindow')).toBe(1000);
    expect(paramValue(withParam('circwindow', -5), 'circwindow')).toBe(100);
  });

  test('takes a fallback where the configuration decides', () => {
    expect(paramValue(NO_PARAMS, 'perconnbwrate', 5_000_000)).toBe(5_000_000);
    expect(paramValue(withParam('perconnbwrate', 7), 'perconnbwrate', 5_000_000)).toBe(7);
    expect(paramValue(NO_PARAMS, 'perconnbwrate', 0)).toBe(1);
  });

  test('follows limits and defaults that are other parameters', () => {
    expect(paramValue(NO_PARAMS, 'circ_max_cell_queue_size_out')).toBe(2500);
    expect(paramValue(withParam('circ_max_cell_queue_size', 60), 'circ_max_cell_queue_size_out')).toBe(60);
    expect(paramValue(withParam('nf_ito_low', 20000), 'nf_ito_high')).toBe(20000);
    expect(paramValue(withParam('onion-key-rotation-days', 3), 'onion-key-grace-period-days')).toBe(3);
  });

  test('never leaves the range of any parameter', () => {
    for (const name of Object.keys(PARAMETERS) as ParamName[]) {
      const values = [-2147483648, -1, 0, 1, 2147483647].map((value) =>
        paramValue(withParam(name, value), name),
      );
      for (const value of [...values, paramValue(NO_PARAMS, name)]) {
        expect(Number.isInteger(value) && value >= 0 && value <= 2147483647).toBeTrue();
      }
    }
  });
});

describe('the table', () => {
  const rows = textOf(readVector('c-tor-consensus-params.txt'))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' ') as [string, string, string, string]);
  const fromBinary = new Map(rows.map((row) => [row[0], row.slice(1).map(Number)]));

  test('agrees with C tor 0.4.9.11', () => {
    for (const [name, [standard, min, max]] of fromBinary) {
      const rule = PARAMETERS[name as ParamName];
      expect(rule, name).toBeDefined();
      expect([name, rule.default, rule.min, rule.max]).toEqual([name, standard!, min!, max!]);
    }
  });

  test('was compared in most of its rows', () => {
    const names = Object.keys(PARAMETERS);
    expect(names.filter((name) => fromBinary.has(name)).length).toBeGreaterThan(names.length * 0.8);
  });
});
