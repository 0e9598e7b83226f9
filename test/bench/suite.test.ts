/** The rows of the suite, and the plans that come of them. */
import { describe, expect, test } from 'bun:test';
import { planOf } from '../../src/bench/shape.ts';
import { pickRows, ROWS } from '../../src/bench/suite.ts';
import { OperatorError } from '../../src/fault.ts';
import { checkPlan } from '../../src/load/plan-check.ts';

const NO_BYTES = new Uint8Array();
const NOBODY = { host: '127.0.0.1', port: 1, rsaId: NO_BYTES, ed25519Id: NO_BYTES, ntorOnionKey: NO_BYTES };

test('names are unique', () => {
  expect(new Set(ROWS.map(({ name }) => name)).size).toBe(ROWS.length);
});

describe('every row', () => {
  for (const { name, shape, entries, bounds } of ROWS) {
    test(name, () => {
      for (const { placement } of entries) checkPlan(planOf(shape, placement), NOBODY);
      expect(new Set(entries.map((entry) => entry.name)).size).toBe(entries.length);
      // A ratio is to somebody.
      if (entries.length === 1) expect(bounds.every(({ of }) => of === 'figure')).toBe(true);
    });
  }
});

test('the bounds of the loads', () => {
  const limits = ROWS.filter(({ shape }) => shape.mode === 'flood' || shape.mode === 'paced').map(
    ({ name, bounds }): [string, number | undefined] => [name, bounds[0]?.limit],
  );
  expect(limits).toEqual([
    ['flood-500', 0.45],
    ['flood-500-20', 0.55],
    ['flood-64', 0.5],
    ['flood-8', 0.6],
    ['flood-1', 0.75],
    ['paced-60', 0.6],
    ['scaling', 1.15],
    ['gotor-250', undefined],
  ]);
});

test('rows are picked by name, or by the beginning of their names, in their order', () => {
  const names = (...picked: string[]) => pickRows(picked).map(({ name }) => name);
  expect(names()).toEqual(ROWS.map(({ name }) => name));
  expect(names('flood-500')).toEqual(['flood-500']);
  expect(names('latency', 'flood-1', 'latency-80')).toEqual(['flood-1', 'latency-idle', 'latency-80']);
  expect(() => pickRows(['flood-5'])).toThrow(OperatorError);
});
