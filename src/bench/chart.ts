/**
 * A bar chart of a report as SVG: CPU per 1e9 bytes, ours beside C tor's, one pair of bars per load.
 *
 * Pure. Colours and strokes stand out on light and on dark ground; no font, script or picture is fetched.
 */
import type { Report } from './report.ts';
import type { RowResult } from './run-row.ts';
import type { Spread } from './statistics.ts';
import { OURS } from './suite.ts';
import { printFigure } from './table.ts';

/** One bar. */
export interface Bar {
  readonly name: string;
  readonly spread: Spread;
}

/** Bars that belong together. */
export interface BarGroup {
  readonly label: string;
  readonly bars: readonly Bar[];
}

export interface Chart {
  readonly title: string;
  /** Says what is measured, on what. */
  readonly note: string;
  /** What the axis counts. */
  readonly axis: string;
  readonly groups: readonly BarGroup[];
}

const WIDTH = 820;
const LABEL_WIDTH = 300;
const RIGHT = 70;
const TOP = 92;
const BAR = 15;
const BAR_GAP = 3;
const GROUP_GAP = 16;
const FOOT = 46;
const TICKS = 6;
/** One colour per place in a group. */
const COLOURS = ['#2a9d8f', '#e07a3f', '#7b6fd0', '#b0893b'];

/** A grey that can be read on white and on black: a page may be the one and its reader's browser set to the other. */
const STYLE = `text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#6e7781}
.title{font-size:17px;font-weight:600}.small{font-size:11px}
.grid{stroke:#8c959f;stroke-opacity:.35}.axis{stroke:#8c959f}.spread{stroke:#6e7781;stroke-width:1.5}`;

/** Escape text for XML; characters that XML cannot hold are dropped. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** The distance of ticks for an axis up to `most`: 1, 2 or 5 times a power of ten. */
export function tickStep(most: number): number {
  if (!(most > 0)) return 1;
  const rough = most / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

/** Take the rows of a report that measured CPU per bytes of ours and of something beside it. */
export function chartOf(report: Report): Chart {
  const rows = report.rows.filter(
    ({ summaries }) =>
      summaries.length === 2 && summaries.every(({ figures }) => figures.cpuPerGb !== undefined),
  );
  const { machine, versions, date } = report;
  return {
    title: 'CPU seconds per gigabyte relayed',
    note: `onionrelay ${versions.onionrelay}, ${versions.tor ?? 'no C tor'} · ${machine.cpu}, ${machine.cores} cores · ${date.slice(0, 10)}`,
    axis: 'CPU seconds of the relay per 1e9 bytes of cells, both directions together; less is better',
    groups: rows.map(groupOf),
  };
}

/** What readers who are not at this keyboard call it. */
function nameOf(contender: string): string {
  return contender === OURS.name ? 'onionrelay' : contender;
}

function groupOf({ title, summaries, ratios }: RowResult): BarGroup {
  const ratio = ratios[0]?.figures.cpuPerGb;
  return {
    label:
      ratio === undefined
        ? title
        : `${title}\n${Math.round(ratio * 100)} % of ${nameOf(summaries[1]!.contender)}`,
    bars: summaries.map(({ contender, figures }) => ({ name: nameOf(contender), spread: figures.cpuPerGb! })),
  };
}

/** Draw a chart. */
export function printChart({ title, note, axis, groups }: Chart): string {
  const names = [...new Set(groups.flatMap(({ bars }) => bars.map(({ name }) => name)))];
  const most = Math.max(0, ...groups.flatMap(({ bars }) => bars.map(({ spread }) => spread.high)));
  const step = tickStep(most);
  const end = Math.max(step, Math.ceil(most / step - 1e-9) * step);
  const x = (value: number) => LABEL_WIDTH + (value / end) * (WIDTH - LABEL_WIDTH - RIGHT);
  const heights = groups.map(({ bars }) => bars.length * (BAR + BAR_GAP) + GROUP_GAP);
  const bottom = TOP + heights.reduce((total, height) => total + height, 0);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + FOOT}" width="${WIDTH}" height="${bottom + FOOT}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="16" y="28">${escapeXml(title)}</text>`,
    `<text class="small" x="16" y="46">${escapeXml(note)}</text>`,
    ...legend(names),
  ];
  for (let tick = 0; tick <= Math.round(end / step); tick++) {
    const at = x(tick * step).toFixed(1);
    out.push(
      `<line class="${tick === 0 ? 'axis' : 'grid'}" x1="${at}" y1="${TOP - 8}" x2="${at}" y2="${bottom}"/>`,
      `<text class="small" x="${at}" y="${bottom + 15}" text-anchor="middle">${Number((tick * step).toPrecision(6))}</text>`,
    );
  }
  let y = TOP;
  for (const [i, group] of groups.entries()) {
    out.push(...drawGroup(group, y, names, x));
    y += heights[i]!;
  }
  out.push(`<text class="small" x="16" y="${bottom + 36}">${escapeXml(axis)}</text>`, '</svg>', '');
  return out.join('\n');
}

function colourOf(names: readonly string[], name: string): string {
  return COLOURS[names.indexOf(name) % COLOURS.length]!;
}

function legend(names: readonly string[]): string[] {
  return names.flatMap((name, i) => {
    const x = 16 + i * 150;
    return [
      `<rect x="${x}" y="57" width="12" height="12" rx="2" fill="${colourOf(names, name)}"/>`,
      `<text x="${x + 18}" y="68">${escapeXml(name)}</text>`,
    ];
  });
}

function drawGroup(
  { label, bars }: BarGroup,
  top: number,
  names: readonly string[],
  x: (value: number) => number,
): string[] {
  const height = bars.length * (BAR + BAR_GAP);
  const lines = label.split('\n');
  const first = top + height / 2 + 4 - ((lines.length - 1) * 16) / 2;
  const out = lines.map(
    (line, i) =>
      `<text${i > 0 ? ' class="small"' : ''} x="${LABEL_WIDTH - 10}" y="${first + i * 16}" text-anchor="end">${escapeXml(line)}</text>`,
  );
  for (const [i, { name, spread }] of bars.entries()) {
    const y = top + i * (BAR + BAR_GAP);
    const middle = y + BAR / 2;
    const width = Math.max(0, x(spread.median) - x(0));
    out.push(
      `<rect x="${x(0).toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${colourOf(names, name)}"/>`,
      `<line class="spread" x1="${x(spread.low).toFixed(1)}" y1="${middle}" x2="${x(spread.high).toFixed(1)}" y2="${middle}"/>`,
      `<text class="small" x="${(x(Math.max(spread.high, spread.median)) + 6).toFixed(1)}" y="${middle + 4}">${printFigure(spread.median)}</text>`,
    );
  }
  return out;
}
