/** Generations of the shelf: they show what the store has, and take over only what is new. */
import { describe, expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { ClerkWork } from '../../src/clerk/clerk-work.ts';
import type { ServedConsensus } from '../../src/directory/diff-store.ts';
import {
  type Shelvable,
  Shelver,
  type SqueezedDocuments,
  type StoredDescriptor,
  type StoredDocument,
} from '../../src/directory/shelver.ts';
import type { AuthorityCertificate } from '../../src/netdoc/authority-certificate.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { Shelf, type ShelfBlock, type ShelfTableName } from '../../src/shm/shelf.ts';
import { keyOf } from '../edge/shelf-fixture.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';
import { VirtualTime } from './virtual-time.ts';

const OWN_ID = keyOf(0xee, 20);

function microdescriptor(value: number): StoredDocument {
  return { digest: keyOf(value, 32), document: Buffer.from(`microdescriptor ${value}\n`), publishedSec: 0 };
}

function descriptor(value: number, relay: number, what = 'router'): StoredDescriptor {
  const document = Buffer.from(`${what} ${value} of ${relay}\n`);
  return { digest: keyOf(value, 20), rsaId: keyOf(relay, 20), document, publishedSec: 1000 + value };
}

class Desk implements Shelvable {
  readonly time = new VirtualTime(1_790_000_000);
  readonly blocks: ShelfBlock[] = [];
  served: Partial<Record<'ns' | 'microdesc', ServedConsensus>> = {};
  certificateList: AuthorityCertificate[] = [];
  md: StoredDocument[] = [];
  sd: StoredDescriptor[] = [];
  sdNow: StoredDescriptor[] = [];
  ei: StoredDescriptor[] = [];
  eiNow: StoredDescriptor[] = [];
  isFilled = true;
  squeeze: (documents: readonly Uint8Array[]) => Promise<SqueezedDocuments | null> = async () => null;
  readonly shelver = new Shelver({
    documents: this,
    ownId: OWN_ID,
    timing: this.time,
    isFilled: () => this.isFilled,
    publish: (block) => this.blocks.push(block),
    squeeze: (documents) => this.squeeze(documents),
  });

  consensus = (flavour: 'ns' | 'microdesc') => this.served[flavour] ?? null;
  certificates = () => this.certificateList;
  microdescriptors = () => this.md;
  serverDescriptors = () => this.sd;
  currentDescriptors = () => this.sdNow;
  extraInfos = () => this.ei;
  currentExtraInfos = () => this.eiNow;

  /** The newest generation. */
  get shelf(): Shelf {
    return new Shelf(this.blocks.at(-1)!);
  }

  text(name: ShelfTableName, key: Uint8Array): string | null {
    const { shelf } = this;
    const table = shelf.table(name);
    const row = table.find(key);
    if (row < 0) return null;
    const extent = { segment: table.segment(row), offset: table.offset(row), length: table.length(row) };
    return Buffer.from(shelf.bytes(extent)).toString();
  }
}

describe('documents', () => {
  test('are found by their digests, and the current ones by their relays', () => {
    const desk = new Desk();
    desk.md = [1, 2].map(microdescriptor);
    const [old, now] = [descriptor(1, 7), descriptor(2, 7)];
    const extra = descriptor(9, 7, 'extra-info');
    desk.sd = [old, now];
    desk.sdNow = [now];
    desk.ei = [extra];
    desk.eiNow = [extra];
    for (const kind of ['microdescriptors', 'server-descriptors', 'extra-infos'] as const)
      desk.shelver.note(kind);
    desk.shelver.publish();
    expect(desk.text('microdescriptor', keyOf(2, 32))).toBe('microdescriptor 2\n');
    expect(desk.text('serverByDigest', keyOf(1, 20))).toBe('router 1 of 7\n');
    expect(desk.text('serverByIdentity', keyOf(7, 20))).toBe('router 2 of 7\n');
    expect(desk.text('extraByIdentity', keyOf(7, 20))).toBe('extra-info 9 of 7\n');
    expect(desk.text('extraByDigest', keyOf(9, 20))).toBe('extra-info 9 of 7\n');
    const table = desk.shelf.table('serverByDigest');
    expect(table.stampSec(table.find(keyOf(2, 20)))).toBe(1002);
    expect(desk.shelf.ownId).toEqual(OWN_ID);
  });

  test('that are there already are not copied for new ones, nor are tables that did not change', () => {
    const desk = new Desk();
    desk.md = [1, 2, 3].map(microdescriptor);
    desk.sd = [descriptor(1, 1)];
    desk.shelver.note('microdescriptors');
    desk.shelver.note('server-descriptors');
    desk.shelver.publish();
    const [first] = desk.blocks as [ShelfBlock];
    desk.md = [...desk.md, microdescriptor(4)];
    desk.shelver.note('microdescriptors');
    desk.shelver.publish();
    const second = desk.blocks[1]!;
    expect(second.segments.slice(0, 2)).toEqual(first.segments as SharedArrayBuffer[]);
    for (const [i, segment] of first.segments.entries()) expect(second.segments[i]).toBe(segment);
    expect(second.segments.length).toBe(first.segments.length + 1);
    expect(second.segments.at(-1)!.byteLength).toBe('microdescriptor 4\n'.length);
    expect(second.tables.serverByDigest).toBe(first.tables.serverByDigest);
    expect(second.tables.microdescriptor).not.toBe(first.tables.microdescriptor);
    expect([first.generation, second.generation]).toEqual([1, 2]);
    expect(desk.text('microdescriptor', keyOf(1, 32))).toBe('microdescriptor 1\n');
  });

  test('that are gone are not found; their holes are closed, and everything else is found still', () => {
    const desk = new Desk();
    desk.md = Array.from({ length: 40 }, (_, i) => microdescriptor(i));
    desk.shelver.note('microdescriptors');
    desk.shelver.publish();
    const before = desk.shelf.heldBytes;
    desk.md = desk.md.slice(25);
    desk.shelver.note('microdescriptors');
    desk.shelver.publish();
    expect(desk.text('microdescriptor', keyOf(3, 32))).toBeNull();
    for (let i = 25; i < 40; i++)
      expect(desk.text('microdescriptor', keyOf(i, 32))).toBe(`microdescriptor ${i}\n`);
    expect(desk.shelf.heldBytes).toBeLessThan(before * 0.6);
  });

  test('a hundred batches stay a few segments', () => {
    const desk = new Desk();
    for (let i = 0; i < 100; i++) {
      desk.md = [...desk.md, microdescriptor(i)];
      desk.sd = [...desk.sd, descriptor(i, i)];
      desk.sdNow = desk.sd;
      desk.shelver.note('microdescriptors');
      desk.shelver.note('server-descriptors');
      desk.shelver.publish();
    }
    const segments = desk.blocks.at(-1)!.segments.filter((segment) => segment !== null);
    expect(segments.length).toBeLessThan(30);
    for (let i = 0; i < 100; i++) {
      expect(desk.text('microdescriptor', keyOf(i, 32))).toBe(`microdescriptor ${i}\n`);
      expect(desk.text('serverByIdentity', keyOf(i, 20))).toBe(`router ${i} of ${i}\n`);
    }
  });
});

test('certificates are found by authority and key', () => {
  const desk = new Desk();
  const certificate = {
    authorityId: keyOf(1, 20),
    signingKeyDigest: keyOf(2, 20),
    document: Buffer.from('a certificate\n'),
    publishedSec: 5,
  };
  desk.certificateList = [certificate as unknown as AuthorityCertificate];
  desk.shelver.note('certificates');
  desk.shelver.publish();
  expect(desk.text('certificate', Uint8Array.of(...keyOf(1, 20), ...keyOf(2, 20)))).toBe('a certificate\n');
});

test('consensuses and diffs lie on the shelf as the clerk made them', () => {
  const network = new SyntheticNetwork({ seed: 2, relays: 20 });
  const base = network.consensus('microdesc');
  network.pass(1);
  const target = network.consensus('microdesc');
  const work = new ClerkWork();
  const shared = (bytes: Uint8Array): SharedArrayBuffer => {
    const sab = new SharedArrayBuffer(bytes.length);
    new Uint8Array(sab).set(bytes);
    return sab;
  };
  const pack = (bytes: Uint8Array) =>
    work.do({ kind: 'pack', text: shared(bytes) }) as ServedConsensus['packed'];
  const text = shared(target);
  const stored = { kind: 'memory', deflated: pack(base).deflate } as const;
  const diffed = work.do({ kind: 'diff', base: stored, target: text, targetNumber: 1 });
  if (diffed.kind !== 'diffed') throw new Error('no diff');
  const packed = pack(target);
  const desk = new Desk();
  const consensus = parseConsensus(target);
  const served = { consensus, text, packed, diffs: new Map([[encodeHex(diffed.baseDigest), diffed]]) };
  desk.served = { microdesc: served };
  desk.shelver.note('consensuses');
  desk.shelver.publish();
  const block = desk.blocks[0]!;
  const shelved = desk.shelf.consensus('microdesc')!;
  expect(block.segments[shelved.texts.identity!.segment]).toBe(text);
  expect(block.segments[shelved.texts.zstd!.segment]).toBe(packed.zstd);
  expect(shelved).toMatchObject({
    validAfterSec: consensus.validAfterSec,
    freshUntilSec: consensus.freshUntilSec,
    validUntilSec: consensus.validUntilSec,
    signedDigest: packed.signedDigest,
  });
  expect(shelved.signatories.length).toBe(9);
  expect(desk.text('diffMicrodesc', Uint8Array.of(...diffed.baseDigest, 3))).toBe(
    Buffer.from(diffed.zstd).toString(),
  );
  expect(desk.shelf.table('diffNs').count).toBe(0);
  // The next one takes the place of all of it.
  desk.served = { microdesc: { ...served, diffs: new Map() } };
  desk.shelver.note('consensuses');
  desk.shelver.publish();
  expect(desk.shelf.table('diffMicrodesc').count).toBe(0);
  desk.served = {};
  desk.shelver.note('consensuses');
  desk.shelver.publish();
  expect(desk.blocks.at(-1)!.segments.every((segment) => segment === null)).toBe(true);
  expect(desk.shelf.consensus('microdesc')).toBeNull();
});

describe('microdescriptors by themselves', () => {
  const squeezer = async (documents: readonly Uint8Array[]): Promise<SqueezedDocuments> => {
    const as = (form: string) =>
      documents.map((document) => Buffer.from(`${form} ${Buffer.from(document).toString()}`));
    return { zstd: as('squeezed'), deflate: as('deflated') };
  };

  test('are compressed once, and found in the next generation', async () => {
    const desk = new Desk();
    const asked: number[] = [];
    desk.squeeze = (documents) => {
      asked.push(documents.length);
      return squeezer(documents);
    };
    desk.md = [1, 2].map(microdescriptor);
    desk.shelver.note('microdescriptors');
    await desk.time.pass(10_000);
    expect(desk.blocks.length).toBe(2);
    expect(desk.text('microdescriptorZstd', keyOf(2, 32))).toBe('squeezed microdescriptor 2\n');
    desk.md = [2, 3].map(microdescriptor);
    desk.shelver.note('microdescriptors');
    await desk.time.pass(10_000);
    expect(asked).toEqual([2, 1]);
    expect(desk.text('microdescriptorZstd', keyOf(1, 32))).toBeNull();
    expect(desk.text('microdescriptorDeflate', keyOf(1, 32))).toBeNull();
    expect(desk.text('microdescriptorDeflate', keyOf(2, 32))).toBe('deflated microdescriptor 2\n');
    expect(desk.text('microdescriptorZstd', keyOf(3, 32))).toBe('squeezed microdescriptor 3\n');
    expect(desk.text('microdescriptorZstd', keyOf(2, 32))).toBe('squeezed microdescriptor 2\n');
  });

  test('that are gone when they come back are not shelved', async () => {
    const desk = new Desk();
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    desk.squeeze = async (documents) => {
      await held;
      return squeezer(documents);
    };
    desk.md = [1, 2].map(microdescriptor);
    desk.shelver.note('microdescriptors');
    await desk.time.pass(3000);
    desk.md = [microdescriptor(2)];
    desk.shelver.note('microdescriptors');
    await desk.time.pass(3000);
    release();
    await desk.time.pass(0);
    await desk.time.pass(5000);
    expect(desk.shelf.table('microdescriptorZstd').count).toBe(1);
    expect(desk.shelf.table('microdescriptorDeflate').count).toBe(1);
    expect(desk.text('microdescriptorZstd', keyOf(2, 32))).toBe('squeezed microdescriptor 2\n');
  });
});

describe('publishing', () => {
  test('waits a little for more, and lets generations be apart', async () => {
    const desk = new Desk();
    desk.shelver.note('microdescriptors');
    desk.shelver.note('certificates');
    await desk.time.pass(199);
    expect(desk.blocks.length).toBe(0);
    await desk.time.pass(1);
    expect(desk.blocks.length).toBe(1);
    for (let i = 0; i < 10; i++) {
      desk.shelver.note('microdescriptors');
      await desk.time.pass(100);
    }
    expect(desk.blocks.length).toBe(1);
    await desk.time.pass(1000);
    expect(desk.blocks.length).toBe(2);
    await desk.time.pass(60_000);
    expect(desk.blocks.length).toBe(2);
  });

  test('ends when we stop', async () => {
    const desk = new Desk();
    desk.shelver.note('microdescriptors');
    desk.shelver.stop();
    await desk.time.pass(10_000);
    expect(desk.blocks.length).toBe(0);
  });
});
