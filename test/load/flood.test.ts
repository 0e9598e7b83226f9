import { describe, expect, test } from 'bun:test';
import { CELL_BYTES, getCircId } from '../../src/cell/cell.ts';
import { Flood, type FloodCourse } from '../../src/load/flood.ts';
import type { LoadLink } from '../../src/load/link.ts';

/** A link that takes what it may and notes whose cells come. */
class PaperLink {
  gone = false;
  readonly circIds: number[] = [];
  readonly writes: number[] = [];
  #bytes = 0;
  readonly #most: number;

  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  write(bytes: Uint8Array, from: number, length: number): number {
    const taken = Math.min(length, this.#most);
    this.writes.push(length);
    for (let i = 0; i < taken; i++) {
      if ((this.#bytes + i) % CELL_BYTES === 0) this.circIds.push(getCircId(bytes, from + i));
    }
    this.#bytes += taken;
    return taken;
  }

  get link(): LoadLink {
    return this as unknown as LoadLink;
  }
}

const COURSE: FloodCourse = { cells: 10, window: 1000, burst: 1, cellsPerSec: null };

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !condition(); i++) await Bun.sleep(1);
  expect(condition()).toBe(true);
}

function columns(circuits: number) {
  return { sent: new Uint32Array(circuits), received: new Uint32Array(circuits) };
}

describe('as fast as it goes', () => {
  test('circuits of a link take turns, in bursts', async () => {
    const paper = new PaperLink();
    const flood = new Flood(columns(2));
    flood.add(paper.link, 0, 7);
    flood.add(paper.link, 1, 8);
    flood.start({ ...COURSE, cells: 4, burst: 2 });
    await until(() => paper.circIds.length === 8);
    expect(paper.circIds).toEqual([7, 7, 8, 8, 7, 7, 8, 8]);
  });

  test('no more than a window is under way', async () => {
    const paper = new PaperLink();
    const at = columns(1);
    const flood = new Flood(at);
    flood.add(paper.link, 0, 7);
    flood.start({ ...COURSE, window: 3 });
    await until(() => at.sent[0] === 3);
    await Bun.sleep(10);
    expect(at.sent[0]).toBe(3);
    at.received[0] = 2;
    await until(() => at.sent[0] === 5);
    at.received[0] = 10;
    await until(() => paper.circIds.length === 10);
  });

  test('what a socket does not take goes out later, in order', async () => {
    const paper = new PaperLink(300);
    const flood = new Flood(columns(2));
    flood.add(paper.link, 0, 7);
    flood.add(paper.link, 1, 8);
    flood.start({ ...COURSE, cells: 5 });
    await until(() => paper.circIds.length === 10);
    expect(paper.circIds).toEqual([7, 8, 7, 8, 7, 8, 7, 8, 7, 8]);
  });

  test('a link that is gone holds up nobody', async () => {
    const dead = new PaperLink();
    dead.gone = true;
    const paper = new PaperLink();
    const flood = new Flood(columns(2));
    flood.add(dead.link, 0, 7);
    flood.add(paper.link, 1, 8);
    flood.start(COURSE);
    await until(() => paper.circIds.length === 10);
    expect(dead.circIds).toEqual([]);
  });

  test('halted, it sends what it had counted as sent and no more', async () => {
    const paper = new PaperLink();
    const at = columns(1);
    const flood = new Flood(at);
    flood.add(paper.link, 0, 7);
    flood.start({ ...COURSE, cells: null, window: 600 });
    await until(() => at.sent[0] === 600);
    flood.halt();
    at.received[0] = 600;
    await until(() => paper.circIds.length === 600);
    await Bun.sleep(10);
    expect(at.sent[0]).toBe(600);
    flood.start({ ...COURSE, cells: 3 });
    await until(() => paper.circIds.length === 603);
  });
});

describe('paced', () => {
  test('every link gets its part, in whole bursts', async () => {
    const papers = [new PaperLink(), new PaperLink(), new PaperLink()];
    const flood = new Flood(columns(6));
    for (const [i, { link }] of papers.entries()) {
      flood.add(link, 2 * i, 2 * i);
      flood.add(link, 2 * i + 1, 2 * i + 1);
    }
    flood.start({ ...COURSE, cells: 8, burst: 4, cellsPerSec: 100_000 });
    await until(() => papers.every(({ circIds }) => circIds.length === 16));
    for (const [i, { circIds }] of papers.entries()) {
      expect(circIds.filter((id) => id === 2 * i)).toHaveLength(8);
      for (let at = 0; at < 16; at += 4) expect(new Set(circIds.slice(at, at + 4)).size).toBe(1);
    }
  });

  test('it is never ahead of its rate', async () => {
    const paper = new PaperLink();
    const at = columns(1);
    const flood = new Flood(at);
    flood.add(paper.link, 0, 7);
    const startMs = performance.now();
    flood.start({ ...COURSE, cells: 200, cellsPerSec: 1000 });
    await until(() => at.sent[0] === 200);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(199);
  });
});
