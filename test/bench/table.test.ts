/** Tables and figures as text. */
import { expect, test } from 'bun:test';
import { printFigure, printTable } from '../../src/bench/table.ts';

test('columns are as wide as what stands in them, numbers on the right', () => {
  const columns = [{ head: '' }, { head: 'CPU', right: true }, { head: 'note' }];
  const rows = [
    ['ours 1', '2.05', 'fine'],
    ['C tor 1', '14.10', ''],
    ['x', '1'],
  ];
  expect(printTable(columns, rows).split('\n')).toEqual([
    '           CPU  note',
    'ours 1    2.05  fine',
    'C tor 1  14.10',
    'x            1',
    '',
  ]);
});

test('a table without rows has its heads', () => {
  expect(printTable([{ head: 'a' }, { head: 'b' }], [])).toBe('a  b\n');
});

test('figures have the digits that mean something', () => {
  expect(printFigure(0.4567)).toBe('0.46');
  expect(printFigure(19.996)).toBe('20.00');
  expect(printFigure(42.37)).toBe('42.4');
  expect(printFigure(12345.6)).toBe('12346');
  expect(printFigure(-42.37)).toBe('-42.4');
  for (const none of [null, Number.NaN, Number.POSITIVE_INFINITY]) expect(printFigure(none)).toBe('-');
});
