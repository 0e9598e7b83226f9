import { expect, test } from 'bun:test';
import { sum, Tally } from '../../src/load/tally.ts';

test('two views of one memory share every column and none overlaps', () => {
  const memory = Tally.create(3);
  const writer = new Tally(memory);
  const reader = new Tally(memory);
  expect(reader.circuits).toBe(3);
  const columns = [
    'forwardSent',
    'forwardReceived',
    'backwardSent',
    'backwardReceived',
    'forwardControl',
    'backwardControl',
  ] as const;
  for (const [i, name] of columns.entries()) writer[name].fill(i + 1);
  for (const [i, name] of columns.entries()) expect(sum(reader[name])).toBe(3 * (i + 1));
});
