/** The load generator itself, on small loads: through ours and through C tor, every cell arrives as it should. */

import { describe, expect, test } from 'bun:test';
import { createAesCtr } from '../../src/crypto/aes.ts';
import { HAS_C_TOR } from '../net/c-tor.ts';
import { cryptAt, FLOOD_BODY, isFloodBody } from './keystream.ts';
import { Load } from './load.ts';
import { startTarget, type TargetKind } from './target.ts';

const SHAPE = { circuits: 40, connections: 4, nextHops: 3, window: 30, burst: 2 };
const FLOOD_BYTES = 6e6;
const DEADLINE_MS = 60_000;

test('seeking in a keystream finds what passing through it finds', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  const cipher = createAesCtr(key);
  for (let cell = 0; cell < 50; cell++) {
    const passed = new Uint8Array(cipher.update(FLOOD_BODY));
    const sought = FLOOD_BODY.slice();
    cryptAt(key, cell, sought, 0);
    expect(sought).toEqual(passed);
    expect(isFloodBody(key, cell, passed, 0)).toBe(true);
    expect(isFloodBody(key, cell + 1, passed, 0)).toBe(false);
  }
});

async function flood(kind: TargetKind): Promise<void> {
  const target = await startTarget({ kind, workers: 2 });
  let load: Load | null = null;
  try {
    load = await Load.open(target, SHAPE);
    for (const direction of ['forward', 'backward', 'both'] as const) {
      const { cells } = await load.flood(direction, FLOOD_BYTES);
      expect(cells).toBeGreaterThan(10_000);
      const check = await load.check();
      expect(check).toMatchObject({ inStep: SHAPE.circuits, lost: 0, corrupt: 0, closed: [] });
      expect(check.sampled).toBeGreaterThan(0);
    }
    expect(target.cpuSec()).toBeGreaterThan(0);
    expect(target.rssBytes()).toBeGreaterThan(1e6);
  } catch (fault) {
    process.stderr.write(`the log of ${kind} ends:\n${target.log().slice(-2000)}\n`);
    throw fault;
  } finally {
    load?.close();
    await target.stop();
  }
}

describe('a flood, forward, backward and both', () => {
  test('passes through ours whole', () => flood('ours'), DEADLINE_MS);

  test.skipIf(!HAS_C_TOR)('passes through C tor whole', () => flood('tor'), DEADLINE_MS);
});
