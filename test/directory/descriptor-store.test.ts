import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DescriptorStore } from '../../src/directory/descriptor-store.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { textOf } from '../netdoc/fixture.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';
import { CONSENSUS, DESCRIPTORS, NOW_SEC, VALID_SEC } from './chutney.ts';

const DAY = 86400;
let directory = '';
let changes = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'descriptors-'));
  changes = 0;
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const make = (): DescriptorStore => new DescriptorStore(directory, () => changes++);
const all = (): boolean => true;
const rsaIds = Array.from({ length: CONSENSUS.routers.count }, (_, row) => CONSENSUS.routers.rsaId(row));
const currentDigests = (store: DescriptorStore): (Uint8Array | undefined)[] =>
  rsaIds.map((id) => store.ofRelay(id)?.digest);
const listed = rsaIds.map((_, row) => CONSENSUS.routers.digest(row));

function filled(): DescriptorStore {
  const store = make();
  store.review(CONSENSUS, NOW_SEC);
  const { added, bad, unwanted, problems } = store.add(DESCRIPTORS, all, '127.0.0.1', NOW_SEC);
  expect({ added, bad, unwanted, problems }).toEqual({ added: 20, bad: [], unwanted: 0, problems: [] });
  return store;
}

test('what the consensus lists is current, the others are old', () => {
  const store = make();
  store.review(CONSENSUS, NOW_SEC);
  expect(store.missing(CONSENSUS)).toEqual(listed);
  const wanted = new Set(listed.map((digest) => digest.toHex()));
  const { added, unwanted } = store.add(DESCRIPTORS, (digest) => wanted.has(digest.toHex()), 'x', NOW_SEC);
  expect([added, unwanted]).toEqual([7, 13]);
  expect(currentDigests(store)).toEqual(listed);
  expect(store.missing(CONSENSUS)).toEqual([]);
  expect(store.add(DESCRIPTORS, all, 'x', NOW_SEC).added).toBe(13);
  expect(currentDigests(store)).toEqual(listed);
  expect([store.size, [...store.current()].length]).toEqual([20, 7]);
  expect(store.ofExtraInfo(store.get(listed[0]!)!.extraInfoDigest!)).toEqual(store.get(listed[0]!));
});

test('before there is a consensus the newest of a relay is current, then what it lists', () => {
  const store = make();
  store.add(DESCRIPTORS, all, '127.0.0.1', NOW_SEC);
  const newest = rsaIds.map((id) => {
    const of = [...store.all()].filter(({ rsaId }) => Buffer.compare(rsaId, id) === 0);
    return of.sort((a, b) => b.publishedSec - a.publishedSec)[0]!.digest;
  });
  expect(currentDigests(store)).toEqual(newest);
  expect(newest).not.toEqual(listed);
  store.review(CONSENSUS, NOW_SEC);
  expect(currentDigests(store)).toEqual(listed);
  expect(changes).toBe(2);
});

test('what is not to be believed is refused, and named if it can be', () => {
  const store = make();
  const text = textOf(DESCRIPTORS);
  const one = text.slice(0, text.indexOf('\nrouter test003a') + 1);
  const lie = one.replace(/^uptime \d+/m, 'uptime 77');
  const { added, bad, problems } = store.add(Buffer.from(lie), all, 'x', NOW_SEC);
  expect([added, bad.length, problems.length]).toEqual([0, 1, 1]);
  expect(problems[0]).toContain('signature');
  const broken = one.replace('bandwidth', 'bandwitdh');
  expect(store.add(Buffer.from(broken), all, 'x', NOW_SEC)).toEqual({
    added: 0,
    // Its name is found although it does not parse.
    bad: [expect.any(Uint8Array)],
    unwanted: 0,
    problems: ['server descriptor: bandwidth is missing'],
  });
  const nameless = one.slice(0, one.indexOf('router-signature'));
  expect(store.add(Buffer.from(nameless), all, 'x', NOW_SEC)).toMatchObject({ added: 0, bad: [] });
  expect(store.add(Buffer.from(one), all, 'x', NOW_SEC + 60 * DAY)).toMatchObject({ added: 0 });
  expect(store.add(Buffer.from(one), all, 'x', NOW_SEC).added).toBe(1);
});

test('the journal is as C tor writes it, and is read again', () => {
  filled();
  const main = readFileSync(join(directory, 'cached-descriptors'), 'utf8');
  expect(main).toStartWith('@downloaded-at 2000-01-01 00:02:35\n@source "127.0.0.1"\nrouter test00');
  expect(main.match(/^@source/gm)!.length).toBe(20);
  expect(readFileSync(join(directory, 'cached-descriptors.new'), 'utf8')).toBe('');
  const again = make();
  again.review(CONSENSUS, NOW_SEC);
  again.load(NOW_SEC);
  expect(again.size).toBe(20);
  expect(currentDigests(again)).toEqual(listed);
});

test('a journal found at the start goes into the main file', () => {
  const one = Buffer.from(DESCRIPTORS).subarray(0, 2000);
  writeFileSync(join(directory, 'cached-descriptors.new'), Buffer.concat([DESCRIPTORS, one]));
  const store = make();
  store.load(NOW_SEC);
  expect(store.size).toBe(20);
  expect(readFileSync(join(directory, 'cached-descriptors'))).toHaveLength(DESCRIPTORS.length);
  expect(existsSync(join(directory, 'cached-descriptors.new'))).toBe(true);
});

test('on disk only what a consensus lists is believed unverified', () => {
  const lie = textOf(DESCRIPTORS).replace(/^uptime \d+/gm, 'uptime 77');
  writeFileSync(join(directory, 'cached-descriptors'), lie);
  const store = make();
  store.review(CONSENSUS, NOW_SEC);
  store.load(NOW_SEC);
  expect(store.size).toBe(0);
});

test('old ones go after five days; a listed one stays', () => {
  const store = filled();
  const day = (days: number): number => VALID_SEC + days * DAY;
  const other = parseConsensus(
    new SyntheticNetwork({ seed: 1, relays: 3, validAfterSec: day(1) }).consensus('ns'),
  );
  store.review(CONSENSUS, day(6));
  expect(currentDigests(store)).toEqual(listed);
  expect(store.size).toBe(7);
  store.review(other, day(3));
  expect([store.size, [...store.current()].length]).toEqual([7, 0]);
  store.review(other, day(5) + 60);
  expect([store.size, store.bytes]).toEqual([0, 0]);
});

test('when there are many old ones, two of each relay are kept', () => {
  const store = filled();
  const of = (id: Uint8Array): number =>
    [...store.all()].filter(({ rsaId }) => Buffer.compare(rsaId, id) === 0).length;
  expect(rsaIds.map(of).sort()).toEqual([2, 2, 3, 3, 3, 3, 4]);
  store.review(CONSENSUS, NOW_SEC + 1000);
  expect(rsaIds.map(of).sort()).toEqual([2, 2, 3, 3, 3, 3, 3]);
});
