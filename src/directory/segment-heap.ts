/**
 * The bytes of the shelf, in shared memory: each batch of documents that comes is one segment, and what is there is
 * not copied for it.
 *
 * Segments are never written again once they are made, as workers read them. Documents that go leave holes; when half
 * of a segment is holes, or there are many small segments, what lives in them is copied into a new one. So every byte
 * is copied a few times in its life, not once for every document that comes behind it.
 */
import { assert } from '../fault.ts';
import type { Extent } from '../shm/shelf.ts';

/** Segments that are merged from when there are more. */
const SEGMENTS_MOST = 24;
/** Merged are those that hold less than this share of all. */
const SMALL_SHARE = 1 / 8;

/** A document in the heap. Its place changes when segments are merged. */
export interface Shelved extends Extent {
  segment: number;
  offset: number;
  readonly length: number;
}

interface Segment {
  readonly bytes: SharedArrayBuffer;
  readonly documents: Set<Shelved>;
  live: number;
  /** Made elsewhere, of one document; never merged. */
  readonly isForeign: boolean;
}

/** Documents in segments. */
export class SegmentHeap {
  private readonly segments: (Segment | null)[] = [];

  /** What a generation's block holds; places of segments that are gone are empty. */
  blocks(): (SharedArrayBuffer | null)[] {
    return this.segments.map((segment) => segment?.bytes ?? null);
  }

  /** Segments that are there. */
  get count(): number {
    return this.segments.filter((segment) => segment !== null).length;
  }

  /** Put a batch of documents into one segment. */
  add(documents: readonly Uint8Array[]): Shelved[] {
    if (documents.length === 0) return [];
    const total = documents.reduce((sum, document) => sum + document.length, 0);
    const bytes = new SharedArrayBuffer(total);
    const view = new Uint8Array(bytes);
    const number = this.place({ bytes, documents: new Set(), live: total, isForeign: false });
    const segment = this.segments[number]!;
    let offset = 0;
    return documents.map((document) => {
      view.set(document, offset);
      const shelved: Shelved = { segment: number, offset, length: document.length };
      offset += document.length;
      segment.documents.add(shelved);
      return shelved;
    });
  }

  /** Take a document that lies in shared memory already, alone. */
  adopt(bytes: SharedArrayBuffer): Shelved {
    const segment: Segment = { bytes, documents: new Set(), live: bytes.byteLength, isForeign: true };
    const shelved: Shelved = { segment: this.place(segment), offset: 0, length: bytes.byteLength };
    segment.documents.add(shelved);
    return shelved;
  }

  private place(segment: Segment): number {
    const free = this.segments.indexOf(null);
    const number = free < 0 ? this.segments.length : free;
    this.segments[number] = segment;
    return number;
  }

  /** A document is gone. Generations that were lettered before have it still. */
  remove(document: Shelved): void {
    const segment = this.segments[document.segment];
    assert(segment?.documents.delete(document) === true, 'segment heap: only what is there goes');
    segment.live -= document.length;
    if (segment.documents.size === 0) this.segments[document.segment] = null;
  }

  /** Merge what is worth it. Returns whether documents moved: tables that name them must be built anew. */
  compact(): boolean {
    const own = [...this.segments.entries()].flatMap(([number, segment]) =>
      segment === null || segment.isForeign ? [] : [{ number, segment }],
    );
    const total = own.reduce((sum, { segment }) => sum + segment.live, 0);
    const isCrowded = own.length > SEGMENTS_MOST;
    const merged = own.filter(
      ({ segment }) =>
        segment.live * 2 < segment.bytes.byteLength || (isCrowded && segment.live < total * SMALL_SHARE),
    );
    if (merged.length === 0) return false;
    const documents = merged.flatMap(({ segment }) => [...segment.documents]);
    const bytes = new SharedArrayBuffer(documents.reduce((sum, { length }) => sum + length, 0));
    const view = new Uint8Array(bytes);
    let at = 0;
    for (const document of documents) {
      const { segment, offset, length } = document;
      view.set(new Uint8Array(this.segments[segment]!.bytes, offset, length), at);
      document.offset = at;
      at += length;
    }
    for (const { number } of merged) this.segments[number] = null;
    const number = this.place({ bytes, documents: new Set(documents), live: at, isForeign: false });
    for (const document of documents) document.segment = number;
    return true;
  }
}
