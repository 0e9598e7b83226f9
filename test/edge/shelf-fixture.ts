/** A shelf of small documents, put together by hand: what answers to directory requests are tried on. */
import {
  buildShelfTable,
  type Extent,
  emptyShelf,
  SHELF_ENCODINGS,
  SHELF_TABLES,
  type ShelfBlock,
  type ShelfEncoding,
  type ShelfRow,
  type ShelfTableName,
  type ShelvedConsensus,
  type ShelvedFlavour,
} from '../../src/shm/shelf.ts';

export const OWN_ID = new Uint8Array(20).fill(0xee);
/** The consensus of the fixture is valid from here on, for an hour. */
export const VALID_AFTER_SEC = 1_790_000_000;

/** Bytes of one value: a key that sorts by it. */
export function keyOf(value: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(value);
}

/** Puts documents into one segment and builds the block. */
export class ShelfFixture {
  private readonly parts: Buffer[] = [];
  private length = 0;
  private readonly rows = new Map<ShelfTableName, ShelfRow[]>();
  private readonly consensuses: ShelvedConsensus[] = [];

  /** Lay a text into the segment. */
  extent(text: string | Uint8Array): Extent {
    const bytes = Buffer.from(text as string);
    const extent = { segment: 0, offset: this.length, length: bytes.length };
    this.parts.push(bytes);
    this.length += bytes.length;
    return extent;
  }

  put(table: ShelfTableName, key: Uint8Array, text: string | Uint8Array, stampSec = VALID_AFTER_SEC): this {
    const rows = this.rows.get(table) ?? [];
    rows.push({ key, extent: this.extent(text), stampSec });
    this.rows.set(table, rows);
    return this;
  }

  /** The consensus of a flavour; each text stands for the whole in its encoding. */
  consensus(
    flavour: ShelvedFlavour,
    texts: Partial<Record<ShelfEncoding, string>>,
    more: Partial<ShelvedConsensus> = {},
  ): this {
    const extents: Partial<Record<ShelfEncoding, Extent | null>> = {};
    for (const name of SHELF_ENCODINGS) {
      const text = texts[name];
      extents[name] = text === undefined ? null : this.extent(text);
    }
    this.consensuses.push({
      flavour,
      validAfterSec: VALID_AFTER_SEC,
      freshUntilSec: VALID_AFTER_SEC + 3600,
      validUntilSec: VALID_AFTER_SEC + 3 * 3600,
      signedDigest: keyOf(0xcc, 32),
      signatories: ['AA', 'BB', 'CC'].map((start) => start.padEnd(40, '0')),
      texts: extents as Record<ShelfEncoding, Extent | null>,
      ...more,
    });
    return this;
  }

  block(generation = 1): ShelfBlock {
    const segment = new SharedArrayBuffer(this.length);
    new Uint8Array(segment).set(Buffer.concat(this.parts));
    const empty = emptyShelf(OWN_ID);
    const tables = { ...empty.tables };
    for (const [name, rows] of this.rows) tables[name] = buildShelfTable(SHELF_TABLES[name], rows);
    const isFilled = true;
    return { ...empty, generation, segments: [segment], tables, consensuses: this.consensuses, isFilled };
  }
}
