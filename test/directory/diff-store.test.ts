/** Consensuses and diffs to them: what is kept over a restart, what is made, and what happens when things fail. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, inflateSync } from 'node:zlib';
import { encodeHex } from '../../src/bytes/base.ts';
import { ClerkWork } from '../../src/clerk/clerk-work.ts';
import { DiffStore } from '../../src/directory/diff-store.ts';
import { setLogSink, setLogThreshold } from '../../src/log.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { applyConsensusDiff, signedSha3 } from '../../src/netdoc/consensus-diff.ts';
import type { ClerkAnswer, ClerkJob } from '../../src/shm/clerk-letter.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';

const HOUR_SEC = 3600;
const network = new SyntheticNetwork({ seed: 8, relays: 40 });
const hours = Array.from({ length: 6 }, () => {
  const documents = { microdesc: network.consensus('microdesc'), ns: network.consensus('ns') };
  network.pass(1);
  return documents;
});

let directory = '';
let said: string[] = [];
let clerk = new ClerkWork();
let nowSec = 0;
let changes = 0;
let jobs: ClerkJob[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onionrelay-diff-store-'));
  said = [];
  jobs = [];
  changes = 0;
  clerk = new ClerkWork();
  nowSec = parseConsensus(hours[5]!.ns).validAfterSec;
  setLogThreshold(() => true);
  setLogSink((record) => void said.push(`[${record.severity}] ${record.text}`));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
  rmSync(directory, { recursive: true, force: true });
});

const plainAsk = async (job: ClerkJob): Promise<ClerkAnswer> => {
  jobs.push(job);
  return clerk.do(job);
};

function open(
  options: { directory?: string | null; ask?: typeof plainAsk; maxAgeSec?: number } = {},
): DiffStore {
  return new DiffStore({
    directory: options.directory === undefined ? directory : options.directory,
    ask: options.ask ?? plainAsk,
    nowSec: () => nowSec,
    maxAgeSec: () => options.maxAgeSec ?? 72 * HOUR_SEC,
    onChange: () => changes++,
  });
}

const offer = (store: DiffStore, hour: number, flavour: 'ns' | 'microdesc' = 'microdesc'): Promise<void> => {
  const document = hours[hour]![flavour];
  return store.offer(parseConsensus(document), document);
};

/** The bases of what is served, by hour; each diff is applied. */
function basesOf(store: DiffStore, hour: number, flavour: 'ns' | 'microdesc' = 'microdesc'): number[] {
  const served = store.served(flavour)!;
  const target = hours[hour]![flavour];
  expect(Buffer.compare(Buffer.from(served.text), target)).toBe(0);
  return hours.flatMap((documents, each) => {
    const diffed = served.diffs.get(encodeHex(signedSha3(documents[flavour])));
    if (diffed === undefined) return [];
    const diff = gunzipSync(Uint8Array.from(new Uint8Array(diffed.gzip)));
    expect(Buffer.compare(applyConsensusDiff(documents[flavour], diff), target)).toBe(0);
    return [each];
  });
}

const files = (): string[] => readdirSync(join(directory, 'diff-cache')).sort();
const labelsOf = (name: string): string =>
  readFileSync(join(directory, 'diff-cache', name))
    .toString('latin1')
    .split('\0')[0]!;

test('each consensus is served with diffs from those before, youngest first', async () => {
  const store = open();
  for (let hour = 0; hour < 4; hour++) await offer(store, hour);
  expect(basesOf(store, 3)).toEqual([0, 1, 2]);
  expect(store.served('ns')).toBeNull();
  // Served from the first of three diffs on.
  expect(jobs.slice(-4).map(({ kind }) => kind)).toEqual(['pack', 'diff', 'diff', 'diff']);
  expect([...store.served('microdesc')!.diffs.keys()][0]).toBe(encodeHex(signedSha3(hours[2]!.microdesc)));
  await offer(store, 0, 'ns');
  expect(basesOf(store, 0, 'ns')).toEqual([]);
});

test('one that we have, or an older one, changes nothing', async () => {
  const store = open();
  await offer(store, 2);
  const before = changes;
  await offer(store, 2);
  await offer(store, 1);
  expect([changes, jobs.length]).toEqual([before, 1]);
});

test('the folder has every consensus deflated, and the newest as zstd, labelled as C tor labels them', async () => {
  const store = open();
  await offer(store, 0);
  await offer(store, 1);
  const names = files();
  expect(names.length).toBe(3);
  const all = names.map(labelsOf);
  expect(all.filter((labels) => labels.includes('compression x-zstd\n')).length).toBe(1);
  const consensus = parseConsensus(hours[1]!.microdesc);
  const stamp = (sec: number): string => new Date(sec * 1000).toISOString().slice(0, 19);
  const newest = all.find(
    (labels) =>
      labels.includes(`valid-after ${stamp(consensus.validAfterSec)}`) && labels.includes('deflate'),
  )!;
  expect(
    newest
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split(' ')[0])
      .sort(),
  ).toEqual([
    'compression',
    'consensus-flavor',
    'consensus-fresh-until',
    'consensus-signatories',
    'consensus-valid-after',
    'consensus-valid-until',
    'document-type',
    'sha3-digest-as-signed',
    'sha3-digest-uncompressed',
  ]);
  expect(newest).toContain(`sha3-digest-as-signed ${encodeHex(signedSha3(hours[1]!.microdesc))}\n`);
  expect(newest).toContain('consensus-flavor microdesc\n');
  const bytes = readFileSync(join(directory, 'diff-cache', names[all.indexOf(newest)]!));
  expect(Buffer.compare(inflateSync(bytes.subarray(bytes.indexOf(0) + 1)), hours[1]!.microdesc)).toBe(0);
});

test('after a restart diffs are made from what lies there, also if only C tor was there', async () => {
  const before = open();
  for (const hour of [0, 1, 2]) await offer(before, hour);
  const count = files().length;
  const after = open();
  // The zstd of the newest goes until it is known whether it still is the newest.
  expect(files().length).toBe(count - 1);
  await offer(after, 2);
  expect(files().length).toBe(count);
  expect(basesOf(after, 2)).toEqual([0, 1]);
  await offer(after, 3);
  expect(basesOf(after, 3)).toEqual([0, 1, 2]);
});

test('what is too old goes, with its file', async () => {
  const first = open();
  for (const hour of [0, 1, 2, 3]) await offer(first, hour);
  nowSec = parseConsensus(hours[4]!.microdesc).validAfterSec;
  const store = open({ maxAgeSec: 2 * HOUR_SEC });
  await offer(store, 4);
  expect(basesOf(store, 4)).toEqual([2, 3]);
  expect(files().length).toBe(4);
});

test('diffs and files that are no bases go at the start', async () => {
  await offer(open(), 0);
  const folder = join(directory, 'diff-cache');
  writeFileSync(join(folder, '1100'), 'document-type consensus-diff\nconsensus-flavor ns\n\0x');
  writeFileSync(
    join(folder, '1101'),
    'document-type consensus\ncompression x-tor-lzma\nconsensus-flavor ns\n\0x',
  );
  writeFileSync(join(folder, '1102'), 'foreign');
  open();
  expect(files()).toEqual(['1000', '1102']);
});

describe('a base that does not read', () => {
  test('costs its own diff and its file', async () => {
    const first = open();
    await offer(first, 0);
    await offer(first, 1);
    const broken = files().find((name) =>
      labelsOf(name).includes(encodeHex(signedSha3(hours[0]!.microdesc))),
    )!;
    const path = join(directory, 'diff-cache', broken);
    writeFileSync(path, readFileSync(path).subarray(0, -30));
    const store = open();
    await offer(store, 2);
    expect(basesOf(store, 2)).toEqual([1]);
    expect(files()).not.toContain(broken);
    expect(said.at(-1)).toContain('with diffs from 1; 1 could not be read');
  });
});

test('without a folder, old consensuses stay in memory', async () => {
  for (const where of [null, join(directory, 'file')]) {
    if (where !== null) writeFileSync(where, 'no folder');
    const store = open({ directory: where });
    for (const hour of [0, 1, 2]) await offer(store, hour);
    expect(basesOf(store, 2)).toEqual([0, 1]);
  }
});

describe('while the clerk is at work', () => {
  test('a newer consensus takes over, and what was left to do for the last is dropped', async () => {
    const first = open();
    for (const hour of [0, 1, 2]) await offer(first, hour);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let diffs = 0;
    const store = open({
      ask: async (job) => {
        if (job.kind === 'diff' && diffs++ === 1) await held;
        return plainAsk(job);
      },
    });
    const slow = offer(store, 3);
    while (diffs < 2) await Bun.sleep(1);
    const quick = offer(store, 4);
    release();
    await Promise.all([slow, quick]);
    expect(basesOf(store, 4)).toEqual([0, 1, 2, 3]);
  });

  test('a clerk that fails leaves the last consensus in its place', async () => {
    let broken = false;
    const store = open({
      ask: (job) => (broken ? Promise.reject(new Error('no clerk survives it')) : plainAsk(job)),
    });
    await offer(store, 0);
    broken = true;
    await offer(store, 1);
    expect(basesOf(store, 0)).toEqual([]);
    expect(said.at(-1)).toBe('[warn] The microdesc consensus cannot be served: no clerk survives it.');
  });

  test('when we stop, nothing is said any more', async () => {
    const store = open({
      ask: async (job) => {
        const answer = await plainAsk(job);
        store.stop();
        return answer;
      },
    });
    await offer(store, 0);
    expect([store.served('microdesc'), changes, said.length]).toEqual([null, 0, 0]);
  });
});
