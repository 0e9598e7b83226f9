import { expect, test } from 'bun:test';
import { blemish, type LoadCheck } from '../../src/load/plan.ts';

const CLEAN: LoadCheck = { expected: 8, inStep: 8, lost: 0, corrupt: 0, sampled: 3, closed: [] };

test('what is wrong with a check is said, the worst first', () => {
  expect(blemish(CLEAN)).toBeNull();
  expect(blemish({ ...CLEAN, lost: 2, inStep: 1 })).toBe('2 cells lost');
  expect(blemish({ ...CLEAN, corrupt: 1 })).toBe('1 cells changed');
  expect(blemish({ ...CLEAN, closed: ['DESTROY: PROTOCOL'] })).toBe('1 circuits closed (DESTROY: PROTOCOL)');
  expect(blemish({ ...CLEAN, inStep: 5 })).toBe('3 circuits out of step');
});
