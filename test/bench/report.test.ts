/** Rows judged, printed and kept. */
import { describe, expect, test } from 'bun:test';
import { parseBound } from '../../src/bench/bounds.ts';
import type { NamedRun } from '../../src/bench/compare.ts';
import { summarise } from '../../src/bench/compare.ts';
import type { Figures } from '../../src/bench/figure.ts';
import {
  makeReport,
  parseReport,
  printJson,
  printRow,
  printRun,
  printSuite,
} from '../../src/bench/report.ts';
import { judgeRow, type RowResult } from '../../src/bench/run-row.ts';
import { type Entry, pickRows, type Row } from '../../src/bench/suite.ts';
import { OperatorError } from '../../src/fault.ts';

const FLOOD = pickRows(['flood-500'])[0]!;
const READING = { cpuSec: 0, rssBytes: 0, threads: 1, fds: 1 };

function run(contender: string, n: number, figures: Figures, fault: string | null = null): NamedRun {
  return {
    contender,
    run: n,
    figures,
    fault,
    report: { mode: 'flood', cells: 1, bytes: 514, seconds: 1, bytesPerSec: 514 },
    check: { expected: 500, inStep: 500, lost: 0, corrupt: 0, sampled: 1, closed: [] },
    before: READING,
    begin: READING,
    end: READING,
    placement: null,
  };
}

function judged(row: Row, runs: readonly NamedRun[]): RowResult {
  return judgeRow(row, row.shape, {
    runs,
    summaries: row.entries.map(({ name }) => summarise(name, runs)),
    clean: runs.every(({ fault }) => fault === null),
  });
}

const pair = (ours: number, tor: number, fault: string | null = null) => [
  run('ours', 1, { cpuPerGb: ours, rate: 200, rss: 90 }, fault),
  run('C tor', 1, { cpuPerGb: tor, rate: 100, rss: 50 }),
  run('ours', 2, { cpuPerGb: ours * 1.1, rate: 210, rss: 91 }),
  run('C tor', 2, { cpuPerGb: tor * 1.1, rate: 110, rss: 51 }),
];

describe('a row', () => {
  test('holds when every bound does and no run is at fault', () => {
    expect(judged(FLOOD, pair(1.8, 4.2)).held).toBe(true);
    expect(judged(FLOOD, pair(2, 4.2)).held).toBe(false);
    const faulty = judged(FLOOD, pair(1.8, 4.2, '3 cells lost'));
    expect([faulty.clean, faulty.held, faulty.verdicts[0]!.held]).toEqual([false, false, true]);
  });

  test('has ratios to the last entry', () => {
    const { ratios, verdicts } = judged(FLOOD, pair(2.1, 4.2));
    expect(ratios).toEqual([{ contender: 'ours', beside: 'C tor', figures: expect.anything() }]);
    expect(ratios[0]!.figures.cpuPerGb).toBeCloseTo(0.5);
    expect(ratios[0]!.figures.rate).toBeCloseTo(205 / 105);
    expect(verdicts[0]!.measured).toBeCloseTo(0.5);
  });

  test('judges each of several beside the last', () => {
    const entry = (name: string): Entry => ({ name, kind: 'ours', workers: 2, placement: null });
    const row = {
      ...FLOOD,
      entries: [entry('a'), entry('b'), entry('one')],
      bounds: [parseBound('1.15', 'cpuPerGb')],
    };
    const runs = [
      run('a', 1, { cpuPerGb: 1 }),
      run('b', 1, { cpuPerGb: 1.3 }),
      run('one', 1, { cpuPerGb: 1 }),
    ];
    const { verdicts, held } = judged(row, runs);
    expect(verdicts.map(({ contender, held: its }) => [contender, its])).toEqual([
      ['a', true],
      ['b', false],
    ]);
    expect(held).toBe(false);
  });

  test('alone is judged by itself', () => {
    const row = { ...FLOOD, entries: [FLOOD.entries[0]!], bounds: [parseBound('rss<100', 'cpuPerGb')] };
    const { verdicts, ratios } = judged(row, [run('ours', 1, { rss: 90 })]);
    expect(ratios).toEqual([]);
    expect(verdicts[0]).toMatchObject({ contender: 'ours', measured: 90, held: true });
  });

  test('is printed with every run, medians, ratio and verdict', () => {
    const text = printRow(judged(FLOOD, pair(1.8, 4.2)));
    for (const line of [
      /^500 circuits, /m,
      /^ours 1 +1\.80 +200 /m,
      /^C tor median +4\.41/m,
      /^ours \/ C tor +0\.43/m,
    ]) {
      expect(text).toMatch(line);
    }
    expect(text).toContain('500 of 500 in step');
    expect(text).toContain('ours: CPU s/GB 0.43, bound ≤ 0.45: held\n');
  });

  test('tells where connections lay', () => {
    const placement = {
      workers: [
        { worker: 0, clients: [1], nextHops: [3] },
        { worker: 1, clients: [2], nextHops: [4] },
      ],
      crossing: 0.5,
    };
    const runs = pair(1, 4).map((each) => (each.contender === 'ours' ? { ...each, placement } : each));
    expect(printRow(judged(FLOOD, runs))).toContain(
      'ours, run 2: worker 0: clients 1, next hops 3; worker 1: clients 2, next hops 4; 50 % of circuits cross workers\n',
    );
  });
});

test('a run reads in one line', () => {
  const good = run('ours', 3, { cpuPerGb: 1.8, rate: 200 });
  expect(printRun('flood', good)).toBe('ours, run 3: 1.80 CPU s/GB, 200 MB/s');
  expect(printRun('flood', { ...good, fault: '3 cells lost' })).toEndWith('; 3 cells lost');
});

describe('a report', () => {
  const report = makeReport(
    [judged(FLOOD, pair(1.8, 4.2)), judged({ ...FLOOD, name: 'second' }, pair(3, 4.2, '3 cells lost'))],
    'Tor version 0.4.9.11',
    Date.UTC(2026, 10, 22),
  );

  test('holds when all rows do', () => {
    expect(report.held).toBe(false);
    expect(makeReport([report.rows[0]!], null, 0).held).toBe(true);
    // A row that broke has no result, and is no bound that holds.
    expect(makeReport([report.rows[0]!], null, 0, undefined, false).held).toBe(false);
  });

  test('comes back from its JSON as it was', () => {
    const text = printJson(report);
    expect(parseReport(text, 'x')).toEqual(JSON.parse(JSON.stringify(report)));
    expect(JSON.parse(text).rows[0].runs.length).toBe(4);
    expect(JSON.parse(text).date).toBe('2026-11-22T00:00:00.000Z');
  });

  test.each(['', 'x', '[]', 'null', '{"format":"other"}', '{"format":"onionrelay bench 1"}'])(
    '"%s" is none',
    (text) => {
      expect(() => parseReport(text, 'x')).toThrow(OperatorError);
    },
  );

  test('is a table with a verdict per bound', () => {
    const text = printSuite(report);
    expect(text).toMatch(
      /^flood-500 +CPU s\/GB +1\.89 \(1\.80-1\.98\) +4\.41 \(4\.20-4\.62\) +0\.43 +≤ 0\.45 +held$/m,
    );
    expect(text).toMatch(/^second .*≤ 0\.45 +a run at fault$/m);
    expect(text).toContain('ours, run 1: 3 cells lost');
    expect(text).toContain('Not all bounds hold.');
    expect(text).toContain('Tor version 0.4.9.11');
  });
});
