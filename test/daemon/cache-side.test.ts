/** The daemon's side of a directory cache: documents reach the workers' shelf, ours among them. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { ClerkWork } from '../../src/clerk/clerk-work.ts';
import { CacheSide, type ShelfReaders } from '../../src/daemon/cache-side.ts';
import type { ClerkKeeper } from '../../src/daemon/clerk-keeper.ts';
import type { DocumentKind, DocumentStore } from '../../src/directory/document-store.ts';
import type { Network } from '../../src/directory/network.ts';
import { setLogSink } from '../../src/log.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { printExtraInfo } from '../../src/netdoc/extra-info.ts';
import { parseServerDescriptor, printServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import type { ClerkJob } from '../../src/shm/clerk-letter.ts';
import { Memory, MemoryLedger } from '../../src/shm/memory-ledger.ts';
import { Shelf, type ShelfBlock } from '../../src/shm/shelf.ts';
import type { RelayOptions } from '../../src/torrc/relay-options.ts';
import { keyOf } from '../edge/shelf-fixture.ts';
import { descriptorInput, makeSigner, NOW_SEC } from '../netdoc/fixture.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';

const paper = new SyntheticNetwork({ seed: 5, relays: 30 });
const ns = paper.consensus('ns');
const microdescriptors = paper.microdescriptors();
const digests = paper.microdescriptorDigests();

class Readers implements ShelfReaders {
  readonly blocks: ShelfBlock[] = [];
  oldestShelf = 0;
  readonly memory = new MemoryLedger(MemoryLedger.create(1), 1);

  async setShelf(block: ShelfBlock): Promise<void> {
    this.blocks.push(block);
  }

  get shelf(): Shelf {
    return new Shelf(this.blocks.at(-1)!);
  }
}

let directory = '';
let said: string[] = [];
let readers = new Readers();
let side: CacheSide;
let options: RelayOptions;
let tell: (kind: DocumentKind) => void = () => {};
let tellLoaded: () => void = () => {};
let isLoaded = false;
let jobs: ClerkJob[] = [];

beforeEach(() => {
  isLoaded = false;
  directory = mkdtempSync(join(tmpdir(), 'onionrelay-cache-side-'));
  said = [];
  jobs = [];
  setLogSink((record) => void said.push(record.text));
  readers = new Readers();
  options = optionsOf({});
  const work = new ClerkWork();
  const clerk = {
    ask: async (job: ClerkJob) => {
      jobs.push(job);
      return work.do(job);
    },
    stop: () => {},
  } as unknown as ClerkKeeper;
  const documents = {
    consensus: (flavour: string) =>
      flavour === 'ns' ? { consensus: parseConsensus(ns), document: ns, signers: [] } : null,
    certificates: () => [],
    microdescriptors: {
      all: () => microdescriptors.map((document, i) => ({ digest: digests[i], document })),
    },
    serverDescriptors: { all: () => [], current: () => [] },
    extraInfos: { all: () => [], ofRelay: () => null },
    onChange: (listener: (kind: DocumentKind) => void) => {
      tell = listener;
    },
    get isLoaded() {
      return isLoaded;
    },
    onLoaded: (listener: () => void) => {
      tellLoaded = listener;
    },
  } as unknown as DocumentStore;
  const network = { param: () => 72 } as unknown as Network;
  side = new CacheSide({ options: () => options, documents, network, ownId: keyOf(0xee, 20) }, clerk);
});

afterEach(() => {
  side.stop();
  setLogSink(null);
  rmSync(directory, { recursive: true });
});

function optionsOf(more: { isCache?: boolean; frontPage?: string | null }): RelayOptions {
  return {
    cacheDirectory: directory,
    bridgeRelay: false,
    cache: { isCache: more.isCache ?? true },
    dirPort: { ports: [], policy: [], frontPage: more.frontPage ?? null, maxConsensusAgeForDiffsSec: null },
    places: { DirPortFrontPage: 'torrc:3' },
  } as unknown as RelayOptions;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

test('what the store has reaches the workers, the consensus as soon as it is compressed', async () => {
  side.start(readers);
  await until(() => readers.blocks.length > 0 && readers.shelf.consensus('ns') !== null);
  const { shelf } = readers;
  expect(shelf.table('microdescriptor').find(digests[7]!)).toBeGreaterThanOrEqual(0);
  expect(Buffer.compare(shelf.bytes(shelf.consensus('ns')!.texts.identity!), ns)).toBe(0);
  await until(() => readers.shelf.table('microdescriptorZstd').count === 30);
  expect(jobs.map(({ kind }) => kind).sort()).toEqual(['pack', 'squeeze']);
  const table = readers.shelf.table('microdescriptorZstd');
  const row = table.find(digests[7]!);
  const extent = { segment: table.segment(row), offset: table.offset(row), length: table.length(row) };
  const zstd = Uint8Array.from(readers.shelf.bytes(extent));
  expect(Buffer.compare(zstdDecompressSync(zstd), microdescriptors[7]!)).toBe(0);
});

test('the shelf is filled once all is read from disk and the consensus is compressed, not before', async () => {
  side.start(readers);
  await until(() => readers.blocks.length > 0 && readers.shelf.consensus('ns') !== null);
  expect(readers.blocks.some((block) => block.isFilled)).toBe(false);
  isLoaded = true;
  tellLoaded();
  await until(() => readers.shelf.isFilled);
  const { consensuses, isFilled } = readers.blocks.find((block) => block.isFilled)!;
  expect([consensuses.length, isFilled]).toEqual([1, true]);
});

test('our own documents stand there when they are made', async () => {
  side.start(readers);
  const signer = makeSigner();
  const extraInfo = printExtraInfo(
    { nickname: 'Unnamed', publishedSec: NOW_SEC, histories: [], statistics: [] },
    signer,
  );
  const digest = { sha1: extraInfo.digestSha1, sha256: extraInfo.digestSha256 };
  const descriptor = printServerDescriptor(descriptorInput({ extraInfoDigest: digest }), signer);
  side.noteOwn({
    descriptor: Buffer.from(descriptor.bytes).toString('latin1'),
    extraInfo: Buffer.from(extraInfo.bytes).toString('latin1'),
  });
  const { rsaId } = parseServerDescriptor(descriptor.bytes);
  await until(() => readers.blocks.length > 0 && readers.shelf.table('extraByIdentity').count === 1);
  const { shelf } = readers;
  for (const [name, key] of [
    ['serverByIdentity', rsaId],
    ['serverByDigest', descriptor.digestSha1],
    ['extraByIdentity', rsaId],
    ['extraByDigest', extraInfo.digestSha1],
  ] as const) {
    expect(shelf.table(name).find(key)).toBe(0);
  }
});

test('a relay that is no cache shelves nothing, until it becomes one', async () => {
  options = optionsOf({ isCache: false });
  side.start(readers);
  tell('microdescriptors');
  await Bun.sleep(300);
  expect([readers.blocks.length, jobs.length]).toEqual([0, 0]);
  expect(side.directoryOptions().isCache).toBe(false);
  options = optionsOf({});
  side.update();
  await until(() => readers.blocks.length > 0);
  expect(readers.shelf.table('microdescriptor').count).toBe(30);
});

test('memory of generations that are read still is held, and not filled', async () => {
  side.start(readers);
  await until(() => readers.blocks.length > 0 && readers.shelf.consensus('ns') !== null);
  const one = readers.shelf.heldBytes;
  readers.oldestShelf = readers.shelf.generation;
  side.countMemory();
  expect(readers.memory.of(1, Memory.shelf)).toBe(one);
  expect(readers.memory.filled()).toBe(0);
  tell('microdescriptors');
  const before = readers.blocks.length;
  await until(() => readers.blocks.length > before);
  // The table was built anew, the segments are the same.
  expect(readers.memory.of(1, Memory.shelf)).toBeGreaterThan(one);
  expect(readers.memory.of(1, Memory.shelf)).toBeLessThan(2 * one);
  readers.oldestShelf = readers.shelf.generation;
  side.countMemory();
  expect(readers.memory.of(1, Memory.shelf)).toBe(readers.shelf.heldBytes);
});

describe('the front page', () => {
  test('is read once for each set of options', () => {
    const path = join(directory, 'page.html');
    writeFileSync(path, '<html>first</html>');
    options = optionsOf({ frontPage: path });
    const text = (): string => Buffer.from(side.directoryOptions().frontPage!).toString();
    expect(text()).toBe('<html>first</html>');
    writeFileSync(path, '<html>second</html>');
    expect(text()).toBe('<html>first</html>');
    side.update();
    expect(text()).toBe('<html>second</html>');
  });

  test('that cannot be read, or is too long, costs a message', () => {
    options = optionsOf({ frontPage: join(directory, 'missing.html') });
    expect(side.directoryOptions().frontPage).toBeNull();
    expect(said[0]).toContain('torrc:3: cannot read');
    const path = join(directory, 'long.html');
    writeFileSync(path, Buffer.alloc((1 << 20) + 1));
    options = optionsOf({ frontPage: path });
    expect(side.directoryOptions().frontPage).toBeNull();
    side.directoryOptions();
    expect(said.length).toBe(2);
    expect(said[1]).toContain('longer than 1 MiB');
  });
});
