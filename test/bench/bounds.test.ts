/** Bounds: how they are written, and when they hold. */
import { expect, test } from 'bun:test';
import { type Bound, judge, parseBound, printBound } from '../../src/bench/bounds.ts';
import { spreadOf } from '../../src/bench/statistics.ts';
import { OperatorError } from '../../src/fault.ts';

const figure = (value: number) => spreadOf([value])!;

test('a number alone bounds the ratio of CPU', () => {
  const bound: Bound = { figure: 'cpuPerGb', of: 'ratio', limit: 0.45, side: 'most' };
  for (const text of ['0.45', '.45', 'cpu=0.45', 'CPU=.45', 'cpuPerGb=0.45', 'cpupergb=0.45'])
    expect(parseBound(text, 'cpuPerGb')).toEqual(bound);
  expect(parseBound('0.8', 'cpuPerCircuit').figure).toBe('cpuPerCircuit');
});

test('signs bound the figure itself; of some figures more is better', () => {
  expect(parseBound('rss<200', 'cpuPerGb')).toEqual({
    figure: 'rss',
    of: 'figure',
    limit: 200,
    side: 'most',
  });
  expect(parseBound('rate>100', 'cpuPerGb')).toEqual({
    figure: 'rate',
    of: 'figure',
    limit: 100,
    side: 'least',
  });
  expect(parseBound('rate=1', 'cpuPerGb')).toEqual({ figure: 'rate', of: 'ratio', limit: 1, side: 'least' });
});

test.each(['', 'x', 'rss', 'rss=', '=1', 'rss<=3', '-1', 'cpu=1e3', 'frob=1', '1,5', 'rss < 3'])(
  '"%s" is no bound',
  (text) => {
    expect(() => parseBound(text, 'cpuPerGb')).toThrow(OperatorError);
  },
);

test('a ratio holds up to its limit', () => {
  const bound = parseBound('0.5', 'cpuPerGb');
  const judged = (ours: number) => judge(bound, { cpuPerGb: figure(ours) }, { cpuPerGb: figure(4) });
  expect(judged(2)).toEqual({ bound, measured: 0.5, held: true });
  expect(judged(2.1).held).toBe(false);
});

test('what was not measured does not hold', () => {
  const bound = parseBound('p99=1', 'cpuPerGb');
  expect(judge(bound, { p99: figure(1) }, null)).toEqual({ bound, measured: null, held: false });
  expect(judge(bound, {}, { p99: figure(1) }).held).toBe(false);
  expect(judge(parseBound('rss<9', 'cpuPerGb'), {}, null).held).toBe(false);
});

test('a limit of a figure needs nothing beside', () => {
  expect(judge(parseBound('rss<200', 'cpuPerGb'), { rss: figure(200) }, null).held).toBe(true);
  expect(judge(parseBound('rate>100', 'cpuPerGb'), { rate: figure(99) }, null).held).toBe(false);
});

test('bounds read as they are meant', () => {
  expect(printBound(parseBound('0.45', 'cpuPerGb'))).toBe('≤ 0.45');
  expect(printBound(parseBound('rate>100', 'cpuPerGb'))).toBe('≥ 100 MB/s');
  expect(printBound(parseBound('rss<150', 'cpuPerGb'))).toBe('≤ 150 RSS MB');
});
