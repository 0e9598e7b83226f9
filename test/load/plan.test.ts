import { describe, expect, test } from 'bun:test';
import { blemish, type LoadCheck } from '../../src/load/plan.ts';

const CLEAN: LoadCheck = { expected: 8, inStep: 8, lost: 0, corrupt: 0, sampled: 3, closed: [] };

describe('what is wrong with a check is said', () => {
  test('the worst first', () => {
    expect(blemish('flood', CLEAN)).toBeNull();
    expect(blemish('flood', { ...CLEAN, lost: 2, corrupt: 1, inStep: 1 })).toBe('2 cells lost');
    expect(blemish('flood', { ...CLEAN, corrupt: 1, closed: ['DESTROY'] })).toBe('1 cells changed');
    const closed = ['DESTROY: PROTOCOL'];
    expect(blemish('flood', { ...CLEAN, closed, inStep: 1 })).toBe('1 circuits closed (DESTROY: PROTOCOL)');
    expect(blemish('flood', { ...CLEAN, inStep: 5 })).toBe('3 circuits out of step');
  });

  test.each([
    ['latency', 'cells lost', 'cells changed', 'circuits closed', 'circuits out of step'],
    ['churn', 'cells lost', 'cells changed', 'circuits closed', 'circuits out of step'],
    ['idle', 'cells lost', 'cells changed', 'links closed', 'links without an answer'],
    ['exit', 'bytes lost', 'pieces changed', 'streams closed', 'streams not open'],
    ['directory', 'answers lost', 'answers changed', 'streams closed', 'requests not answered'],
  ] as const)('in what a load of mode %s counts', (mode, lost, corrupt, closed, amiss) => {
    expect(blemish(mode, CLEAN)).toBeNull();
    expect(blemish(mode, { ...CLEAN, lost: 2 })).toBe(`2 ${lost}`);
    expect(blemish(mode, { ...CLEAN, corrupt: 1 })).toBe(`1 ${corrupt}`);
    expect(blemish(mode, { ...CLEAN, closed: ['gone'] })).toBe(`1 ${closed} (gone)`);
    expect(blemish(mode, { ...CLEAN, inStep: 5 })).toBe(`3 ${amiss}`);
  });
});
