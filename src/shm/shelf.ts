/**
 * Directory documents that workers answer from: immutable bytes in shared memory, found by sorted keys.
 *
 * Main puts a generation together out of segments (bytes of many documents each) and tables (where the document of a
 * key lies) and letters it; a worker swaps its reference between batches. Segments and tables that did not change are
 * shared by generations. Nothing is ever written into a block that a worker holds, so nothing is locked, and who holds
 * a `Shelf` holds every document on it: memory comes back when the last reader of a generation lets go.
 *
 * A table is one block: count, then a column of segments, one of offsets, one of lengths and one of times, then the
 * keys, all of one length, in rising order.
 */
import { assert } from '../fault.ts';

/** How a document's bytes may be encoded; a diff's key ends with the place in this list. */
export const SHELF_ENCODINGS = ['identity', 'deflate', 'gzip', 'zstd'] as const;

export type ShelfEncoding = (typeof SHELF_ENCODINGS)[number];

/** Key bytes of each table. */
export const SHELF_TABLES = Object.freeze({
  /** SHA-256 of a microdescriptor. */
  microdescriptor: 32,
  /** The same, each compressed by itself: for those who ask for one. */
  microdescriptorZstd: 32,
  microdescriptorDeflate: 32,
  /** SHA-1 of a server descriptor's signed part. */
  serverByDigest: 20,
  /** RSA identity: the newest descriptor of a relay. */
  serverByIdentity: 20,
  /** SHA-1 of an extra-info's signed part. */
  extraByDigest: 20,
  /** RSA identity: the extra-info that the relay's newest descriptor names. */
  extraByIdentity: 20,
  /** An authority's v3 identity, then the SHA-1 of its signing key. */
  certificate: 40,
  /** SHA3-256 of the base consensus as signed, then the encoding: gzip and zstd. */
  diffNs: 33,
  diffMicrodesc: 33,
});

export type ShelfTableName = keyof typeof SHELF_TABLES;

/** Where a document lies. */
export interface Extent {
  /** Which of the generation's segments. */
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

export type ShelvedFlavour = 'ns' | 'microdesc';

/** The consensus of one flavour, and what a request for it is judged by. */
export interface ShelvedConsensus {
  readonly flavour: ShelvedFlavour;
  readonly validAfterSec: number;
  readonly freshUntilSec: number;
  readonly validUntilSec: number;
  /** SHA3-256 of the signed part. */
  readonly signedDigest: Uint8Array;
  /** Upper-case hex of the v3 identities of all who signed. */
  readonly signatories: readonly string[];
  /** The whole document in each encoding; null where it is not kept in that. */
  readonly texts: Readonly<Record<ShelfEncoding, Extent | null>>;
}

/** One generation, as it is lettered. */
export interface ShelfBlock {
  readonly generation: number;
  /** Places may be empty: extents keep their numbers while segments come and go. */
  readonly segments: readonly (SharedArrayBuffer | null)[];
  readonly tables: Readonly<Record<ShelfTableName, SharedArrayBuffer>>;
  readonly consensuses: readonly ShelvedConsensus[];
  /** All documents that lay on disk when we started are on it: what is not there, we do not have. */
  readonly isFilled: boolean;
  /** Our own identity, whose descriptor `authority` stands for; 20 bytes. */
  readonly ownId: Uint8Array;
}

/** A row that a table is built from. */
export interface ShelfRow {
  readonly key: Uint8Array;
  readonly extent: Extent;
  /** When the document was published, in seconds since 1970. */
  readonly stampSec: number;
}

const HEADER_BYTES = 8;
const COLUMNS = 4;

/** Build a table's block; rows may come in any order. @throws Bug on a key of the wrong length, or twice the same */
export function buildShelfTable(keyBytes: number, rows: readonly ShelfRow[]): SharedArrayBuffer {
  const sorted = [...rows].sort((a, b) => Buffer.compare(a.key, b.key));
  const count = sorted.length;
  const block = new SharedArrayBuffer(HEADER_BYTES + count * (COLUMNS * 4 + keyBytes));
  const header = new Uint32Array(block, 0, 2);
  header[0] = count;
  header[1] = keyBytes;
  const columns = new Uint32Array(block, HEADER_BYTES, COLUMNS * count);
  const keys = new Uint8Array(block, HEADER_BYTES + COLUMNS * 4 * count);
  for (const [row, { key, extent, stampSec }] of sorted.entries()) {
    assert(key.length === keyBytes, 'shelf: a key of the wrong length');
    assert(row === 0 || Buffer.compare(sorted[row - 1]!.key, key) !== 0, 'shelf: the same key twice');
    columns[row] = extent.segment;
    columns[count + row] = extent.offset;
    columns[2 * count + row] = extent.length;
    columns[3 * count + row] = stampSec;
    keys.set(key, row * keyBytes);
  }
  return block;
}

/** A read-only view of one table. */
export class ShelfTable {
  /** Documents in it. */
  readonly count: number;
  readonly keyBytes: number;
  private readonly columns: Uint32Array;
  private readonly keys: Uint8Array;

  constructor(block: SharedArrayBuffer) {
    const header = new Uint32Array(block, 0, 2);
    this.count = header[0]!;
    this.keyBytes = header[1]!;
    const size = HEADER_BYTES + this.count * (COLUMNS * 4 + this.keyBytes);
    assert(block.byteLength === size, 'shelf: table not made by buildShelfTable');
    this.columns = new Uint32Array(block, HEADER_BYTES, COLUMNS * this.count);
    this.keys = new Uint8Array(block, HEADER_BYTES + COLUMNS * 4 * this.count);
  }

  /** The row of the key that begins at `at`; -1 when there is none. */
  find(key: Uint8Array, at = 0): number {
    const row = this.firstFrom(key, at, this.keyBytes);
    return row < this.count && this.compare(row, key, at, this.keyBytes) === 0 ? row : -1;
  }

  /** The first row whose key begins with, or comes after, these `length` bytes; `count` when there is none. */
  firstFrom(prefix: Uint8Array, at: number, length: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.compare(middle, prefix, at, length) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Compare the first `length` bytes of a row's key. */
  compare(row: number, bytes: Uint8Array, at: number, length: number): number {
    const { keys } = this;
    const from = row * this.keyBytes;
    for (let i = 0; i < length; i++) {
      const difference = keys[from + i]! - bytes[at + i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Whether another table has the same keys. Tables come in letters, so that their blocks cannot be compared. */
  hasKeysOf(other: ShelfTable): boolean {
    return Buffer.compare(this.keys, other.keys) === 0;
  }

  /** A row's key; a view of shared memory. */
  key(row: number): Uint8Array {
    return this.keys.subarray(row * this.keyBytes, (row + 1) * this.keyBytes);
  }

  segment(row: number): number {
    return this.columns[row]!;
  }

  offset(row: number): number {
    return this.columns[this.count + row]!;
  }

  length(row: number): number {
    return this.columns[2 * this.count + row]!;
  }

  stampSec(row: number): number {
    return this.columns[3 * this.count + row]!;
  }
}

/** A read-only view of one generation. */
export class Shelf {
  readonly generation: number;
  readonly ownId: Uint8Array;
  /** See `ShelfBlock`. */
  readonly isFilled: boolean;
  /** Bytes of all segments and tables, those that other generations share included. */
  readonly heldBytes: number;
  private readonly segments: readonly (Buffer | null)[];
  private readonly tables: Readonly<Record<ShelfTableName, ShelfTable>>;
  private readonly consensuses: readonly ShelvedConsensus[];

  constructor(block: ShelfBlock) {
    this.generation = block.generation;
    this.ownId = block.ownId;
    this.isFilled = block.isFilled;
    this.segments = block.segments.map((segment) => (segment === null ? null : Buffer.from(segment)));
    this.consensuses = block.consensuses;
    const tables: Partial<Record<ShelfTableName, ShelfTable>> = {};
    let bytes = 0;
    for (const name of Object.keys(SHELF_TABLES) as ShelfTableName[]) {
      tables[name] = new ShelfTable(block.tables[name]);
      assert(tables[name].keyBytes === SHELF_TABLES[name], 'shelf: a table with foreign keys');
      bytes += block.tables[name].byteLength;
    }
    for (const segment of block.segments) bytes += segment?.byteLength ?? 0;
    this.tables = tables as Record<ShelfTableName, ShelfTable>;
    this.heldBytes = bytes;
  }

  table(name: ShelfTableName): ShelfTable {
    return this.tables[name];
  }

  consensus(flavour: ShelvedFlavour): ShelvedConsensus | null {
    return this.consensuses.find((each) => each.flavour === flavour) ?? null;
  }

  /** Bytes of a segment; a view of shared memory, not to be written. */
  segment(number: number): Buffer {
    const segment = this.segments[number];
    assert(segment !== null && segment !== undefined, 'shelf: an extent of a segment that is not there');
    return segment;
  }

  /** Bytes of a document; a view of shared memory, not to be written. */
  bytes({ segment, offset, length }: Extent): Uint8Array {
    return this.segment(segment).subarray(offset, offset + length);
  }
}

/** What stands where none was published yet. */
export function emptyShelf(ownId: Uint8Array): ShelfBlock {
  const tables: Partial<Record<ShelfTableName, SharedArrayBuffer>> = {};
  for (const name of Object.keys(SHELF_TABLES) as ShelfTableName[]) {
    tables[name] = buildShelfTable(SHELF_TABLES[name], []);
  }
  return {
    generation: 0,
    segments: [],
    tables: tables as Record<ShelfTableName, SharedArrayBuffer>,
    consensuses: [],
    isFilled: false,
    ownId,
  };
}
