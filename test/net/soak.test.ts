/**
 * A short soak: everything at once for the better part of a minute, and then nothing is left of it. The long one is
 * `test/bench/soak.ts`.
 */

import { expect, test } from 'bun:test';
import { type SoakSample, soak } from '../bench/soak-run.ts';
import { startTarget, type Target } from '../bench/target.ts';
import { slope } from '../bench/vitals.ts';

const SECONDS = 45;
/** The first part finds the sizes of heap and buffers; the rest is compared with itself. */
const WARM_UP_SEC = 15;
/**
 * What the collector's moods may make of two medians, 15 s apart. A thousand links and several thousand circuits come
 * and go in between: a few kilobytes kept of each would be more.
 */
const GROWTH_MAX = 8e6;
/** A slow machine may find its sizes later than that. What leaks grows in each round. */
const ROUNDS = 3;
const PLAN = {
  bytesPerSec: 2e6,
  circuitsPerSec: 150,
  linksPerSec: 40,
  resetsPerSec: 40,
  slowReaders: 2,
};

function medianRss(samples: readonly SoakSample[]): number {
  const sorted = samples.map(({ rssBytes }) => rssBytes).sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

/** Soak it once; nothing may go wrong or be left. Returns by how much memory grew between two parts of it, bytes. */
async function growthOf(target: Target): Promise<number> {
  const { report, leftovers, samples } = await soak(target, PLAN, { seconds: SECONDS, sampleMs: 500 });
  expect(report.faults).toEqual([]);
  expect(leftovers).toEqual([]);
  expect(report.circuits).toBeGreaterThan(500);
  expect(report.links).toBeGreaterThan(100);
  expect(report.slowCells).toBeGreaterThan(1000);
  const warm = samples.filter(({ seconds }) => seconds >= WARM_UP_SEC);
  const half = warm.length >> 1;
  return medianRss(warm.slice(half)) - medianRss(warm.slice(0, half));
}

test('under everything at once memory stands still, and nothing is left when it is over', async () => {
  const target = await startTarget({ kind: 'ours', workers: 2, torrc: ['DisableDebuggerAttachment 0'] });
  try {
    let growth = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS && growth >= GROWTH_MAX; round++) growth = await growthOf(target);
    expect(growth).toBeLessThan(GROWTH_MAX);
    expect(target.exitCode).toBeNull();
    expect(target.log()).not.toMatch(/\[err\]|Worker \d+ died/);
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-3000)}\n`);
    throw fault;
  } finally {
    await target.stop();
  }
}, 600_000);

test('a line is fitted by least squares', () => {
  const points = [0, 1, 2, 3, 4].map((x) => ({ x, y: 100 + 3 * x + (x % 2 === 0 ? 0.5 : -0.5) }));
  expect(slope(points)).toBeCloseTo(3, 6);
  expect(slope([{ x: 1, y: 5 }])).toBe(0);
});
