import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MicrodescriptorStore } from '../../src/directory/microdescriptor-store.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { bytesOf } from '../netdoc/fixture.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';
import { MICRODESC_CONSENSUS, MICRODESCRIPTORS, NOW_SEC, VALID_SEC } from './chutney.ts';

const DAY = 86400;
let directory = '';
let changes = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'micro-'));
  changes = 0;
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const make = (): MicrodescriptorStore => new MicrodescriptorStore(directory, () => changes++);
const all = (): boolean => true;

test('what is missing is what the consensus lists and we lack', () => {
  const store = make();
  const missing = store.missing(MICRODESC_CONSENSUS);
  expect(missing.length).toBe(7);
  const wanted = new Set(missing.slice(0, 5).map((digest) => digest.toHex()));
  const { added, unwanted, bad } = store.add(
    MICRODESCRIPTORS,
    (digest) => wanted.has(digest.toHex()),
    VALID_SEC,
  );
  expect({ added, unwanted, bad, changes }).toEqual({ added: 5, unwanted: 2, bad: [], changes: 1 });
  expect(store.missing(MICRODESC_CONSENSUS)).toEqual(missing.slice(5));
  expect(store.get(missing[0]!)?.digest).toEqual(missing[0]!);
  expect(store.get(missing[6]!)).toBeNull();
  expect(store.add(MICRODESCRIPTORS, all, VALID_SEC).added).toBe(2);
  expect(store.add(MICRODESCRIPTORS, all, VALID_SEC).added).toBe(0);
  expect(changes).toBe(2);
  expect([...store.all()].reduce((sum, { document }) => sum + document.length, 0)).toBe(store.bytes);
});

test('the journal is as C tor writes it, and is read again', () => {
  const store = make();
  store.add(MICRODESCRIPTORS, all, VALID_SEC);
  const journal = readFileSync(join(directory, 'cached-microdescs.new'), 'utf8');
  expect(journal).toStartWith('@last-listed 2000-01-01 00:02:20\nonion-key\n');
  expect(journal.match(/^@last-listed/gm)!.length).toBe(7);
  const again = make();
  again.load();
  expect(again.size).toBe(7);
  expect(again.missing(MICRODESC_CONSENSUS)).toEqual([]);
});

test('what no consensus listed for a week goes, if the consensus is not too old itself', () => {
  const store = make();
  store.add(MICRODESCRIPTORS, all, VALID_SEC);
  const network = new SyntheticNetwork({ seed: 3, relays: 5, validAfterSec: VALID_SEC + 7 * DAY });
  const other = parseConsensus(network.consensus('microdesc'));
  store.review(other, VALID_SEC + 7 * DAY);
  expect(store.size).toBe(7);
  store.review(MICRODESC_CONSENSUS, VALID_SEC + 8 * DAY);
  expect(store.size).toBe(7);
  store.review(other, VALID_SEC + 7 * DAY + 1);
  expect([store.size, store.bytes]).toEqual([0, 0]);
  expect(changes).toBe(2);
});

test('a consensus keeps alive what it lists', () => {
  const store = make();
  writeFileSync(join(directory, 'cached-microdescs'), MICRODESCRIPTORS);
  store.load();
  // Without annotation nothing is known of when they were listed.
  store.review(MICRODESC_CONSENSUS, NOW_SEC);
  expect(store.size).toBe(7);
  store.review(MICRODESC_CONSENSUS, VALID_SEC + 7 * DAY);
  expect(store.size).toBe(7);
});

test('a grown journal is written into the main file, a damaged file costs only what is damaged', () => {
  const network = new SyntheticNetwork({ seed: 4, relays: 100 });
  const consensus = parseConsensus(network.consensus('microdesc'));
  const store = make();
  store.add(Buffer.concat(network.microdescriptors()), all, network.validAfterSec);
  expect(store.missing(consensus)).toEqual([]);
  const main = readFileSync(join(directory, 'cached-microdescs'));
  expect(main.length).toBeGreaterThan(store.bytes);
  expect(readFileSync(join(directory, 'cached-microdescs.new')).length).toBe(0);
  writeFileSync(join(directory, 'cached-microdescs'), main.subarray(0, main.length - 10));
  writeFileSync(join(directory, 'cached-microdescs.new'), bytesOf('onion-key\nnonsense\n'));
  const again = make();
  again.load();
  expect(again.missing(consensus).length).toBe(1);
});
