/** Documents in segments: every one keeps its bytes wherever it is moved, and little is copied. */
import { expect, test } from 'bun:test';
import { SegmentHeap, type Shelved } from '../../src/directory/segment-heap.ts';
import { Bug } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';

const read = (heap: SegmentHeap, { segment, offset, length }: Shelved): Buffer =>
  Buffer.from(new Uint8Array(heap.blocks()[segment]!, offset, length));

test('a batch is one segment', () => {
  const heap = new SegmentHeap();
  const [first, second] = heap.add([Buffer.from('one'), Buffer.from('three')]) as [Shelved, Shelved];
  expect(heap.blocks().length).toBe(1);
  expect([read(heap, first).toString(), read(heap, second).toString()]).toEqual(['one', 'three']);
  expect(heap.add([])).toEqual([]);
});

test('what is shared already is not copied, and never merged', () => {
  const heap = new SegmentHeap();
  const bytes = new SharedArrayBuffer(10);
  const foreign = heap.adopt(bytes);
  expect(heap.blocks()[foreign.segment]).toBe(bytes);
  expect(heap.compact()).toBe(false);
  heap.remove(foreign);
  expect(heap.blocks()).toEqual([null]);
});

test('a segment whose documents are gone leaves its place to the next; earlier generations keep it', () => {
  const heap = new SegmentHeap();
  const [only] = heap.add([Buffer.from('only')]) as [Shelved];
  const before = heap.blocks();
  heap.remove(only);
  expect(heap.count).toBe(0);
  const [next] = heap.add([Buffer.from('next')]) as [Shelved];
  expect(next.segment).toBe(0);
  expect(Buffer.from(before[0]!).toString()).toBe('only');
  expect(() => heap.remove(only)).toThrow(Bug);
});

test('half-empty segments are merged', () => {
  const heap = new SegmentHeap();
  const documents = heap.add([10, 20, 30, 40].map((length) => Buffer.alloc(length, length)));
  heap.remove(documents[3]!);
  expect(heap.compact()).toBe(false);
  heap.remove(documents[2]!);
  expect(heap.compact()).toBe(true);
  expect(
    heap
      .blocks()
      .map((block) => block?.byteLength ?? 0)
      .reduce((a, b) => a + b),
  ).toBe(30);
  for (const document of documents.slice(0, 2)) {
    expect(read(heap, document)).toEqual(Buffer.alloc(document.length, document.length));
  }
});

test('eight thousand documents that come in small batches are copied a few times each, at most', () => {
  const heap = new SegmentHeap();
  const random = new Prng(4);
  const living: { document: Shelved; bytes: Buffer }[] = [];
  let copied = 0;
  let added = 0;
  for (let batch = 0; batch < 400; batch++) {
    const texts = Array.from({ length: 20 }, () => Buffer.from(random.bytes(50 + random.below(200))));
    added += texts.reduce((sum, { length }) => sum + length, 0);
    for (const [i, document] of heap.add(texts).entries()) living.push({ document, bytes: texts[i]! });
    for (let gone = random.below(4); gone > 0; gone--) {
      heap.remove(living.splice(random.below(living.length), 1)[0]!.document);
    }
    const before = new Set(heap.blocks());
    if (heap.compact()) {
      for (const block of heap.blocks()) if (!before.has(block)) copied += block?.byteLength ?? 0;
    }
    expect(heap.count).toBeLessThanOrEqual(25);
  }
  expect(copied).toBeLessThan(6 * added);
  for (const { document, bytes } of living) expect(read(heap, document)).toEqual(bytes);
});
