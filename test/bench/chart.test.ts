/** The chart is XML that holds its figures. */
import { expect, test } from 'bun:test';
import { type Chart, chartOf, escapeXml, printChart, tickStep } from '../../src/bench/chart.ts';
import type { Report } from '../../src/bench/report.ts';
import { spreadOf } from '../../src/bench/statistics.ts';

const bar = (name: string, ...values: number[]) => ({ name, spread: spreadOf(values)! });

const CHART: Chart = {
  title: 'CPU <per> "gigabyte" & more',
  note: 'a\u0000note',
  axis: 'seconds',
  groups: [
    { label: 'one <load>\n47 %', bars: [bar('onionrelay', 1.81, 1.9, 2), bar('C tor', 4.25)] },
    { label: 'two', bars: [bar('onionrelay', 0.5), bar('C tor', 12.5)] },
  ],
};

/** See that tags nest and that text is escaped. Returns the tags' names. */
function parseXml(text: string): string[] {
  const open: string[] = [];
  const seen: string[] = [];
  let rest = text;
  while (rest !== '') {
    const match =
      /^(?:<(\/?)([a-z]+)((?: [a-zA-Z:]+\d?(?:-[a-z]+)?="[^"<]*")*)(\/?)>|(?:[^<&]|&(?:amp|lt|gt|quot);)+)/.exec(
        rest,
      );
    if (match === null) throw new Error(`not XML: ${rest.slice(0, 60)}`);
    rest = rest.slice(match[0].length);
    const [, closing, name, , empty] = match;
    if (name === undefined) continue;
    if (closing === '/') expect(open.pop()).toBe(name);
    else {
      seen.push(name);
      if (empty !== '/') open.push(name);
    }
  }
  expect(open).toEqual([]);
  return seen;
}

test('is well-formed, with a bar for each figure', () => {
  const svg = printChart(CHART);
  const tags = parseXml(svg);
  // Four bars and a legend of two.
  expect(tags.filter((tag) => tag === 'rect').length).toBe(6);
  for (const text of ['>1.90<', '>4.25<', '>0.50<', '>12.50<', '>47 %<', '>C tor<', '>seconds<']) {
    expect(svg).toContain(text);
  }
  expect(svg).toContain('CPU &lt;per&gt; &quot;gigabyte&quot; &amp; more');
  expect(svg).not.toContain('\u0000');
});

test('fetches nothing', () => {
  const svg = printChart(CHART).replace('http://www.w3.org/2000/svg', '');
  expect(svg).not.toMatch(/https?:|url\(|@import|<script|<image/);
});

test('bars are as long as their figures', () => {
  const svg = printChart(CHART);
  const widths = [...svg.matchAll(/<rect x="[\d.]+" y="\d+" width="([\d.]+)" height="15"/g)].map(([, w]) =>
    Number(w),
  );
  expect(widths.length).toBe(4);
  expect(widths[0]! / widths[1]!).toBeCloseTo(1.9 / 4.25, 2);
  expect(widths[3]! / widths[2]!).toBeCloseTo(25, 0);
  const right = Number(/viewBox="0 0 (\d+)/.exec(svg)![1]);
  expect(Math.max(...widths)).toBeLessThan(right - 300);
});

test('a chart of nothing is still one', () => {
  parseXml(printChart({ ...CHART, groups: [] }));
});

test('ticks are round numbers', () => {
  expect(tickStep(6.1)).toBe(2);
  expect(tickStep(30)).toBe(5);
  expect(tickStep(0.9)).toBeCloseTo(0.2);
  expect(tickStep(0)).toBe(1);
});

test('what XML cannot hold is dropped, the rest escaped', () => {
  expect(escapeXml('a<b>&"c"\u0007\uffff’é')).toBe('a&lt;b&gt;&amp;&quot;c&quot;’é');
});

test('only rows with CPU per bytes of two relays are drawn', () => {
  const row = (title: string, ...figures: object[]) => ({
    title,
    summaries: figures.map((each, i) => ({ contender: i === 0 ? 'ours' : 'C tor', figures: each })),
    ratios: [{ contender: 'ours', beside: 'C tor', figures: { cpuPerGb: 0.47 } }],
  });
  const cpu = { cpuPerGb: spreadOf([2])! };
  const report = {
    date: '2026-11-22T00:00:00Z',
    machine: { cpu: 'some <CPU>', cores: 2, kernel: '6' },
    versions: { onionrelay: '1', bun: '1', tor: null },
    rows: [row('both', cpu, cpu), row('alone', cpu), row('other', {}, {}), row('three', cpu, cpu, cpu)],
  } as unknown as Report;
  const chart = chartOf(report);
  expect(chart.groups.map(({ label }) => label)).toEqual(['both\n47 % of C tor']);
  expect(chart.groups[0]!.bars.map(({ name }) => name)).toEqual(['onionrelay', 'C tor']);
  expect(chart.note).toContain('some <CPU>');
});
