import { expect, test } from 'bun:test';
import { Tally } from '../../src/load/tally.ts';

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
  for (const [i, name] of columns.entries()) expect([...reader[name]]).toEqual([i + 1, i + 1, i + 1]);
  expect([reader.sent, reader.received]).toEqual([3 + 9, 6 + 12]);
});
