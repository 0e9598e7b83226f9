/** The shelf: documents are found by their keys, and generations share what did not change. */
import { describe, expect, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import { buildShelfTable, emptyShelf, SHELF_TABLES, Shelf, ShelfTable } from '../../src/shm/shelf.ts';
import { keyOf, OWN_ID, ShelfFixture, VALID_AFTER_SEC } from '../edge/shelf-fixture.ts';
import { Prng } from '../fuzz/prng.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('a table', () => {
  test('finds each of many keys, and no other', () => {
    const random = new Prng(11);
    const keys = Array.from({ length: 500 }, () => random.bytes(32));
    const rows = keys.map((key, i) => ({
      key,
      extent: { segment: i % 7, offset: 3 * i, length: i },
      stampSec: i,
    }));
    const table = new ShelfTable(buildShelfTable(32, rows));
    expect(table.count).toBe(500);
    for (const [i, key] of keys.entries()) {
      const row = table.find(key);
      expect([table.segment(row), table.offset(row), table.length(row), table.stampSec(row)]).toEqual([
        i % 7,
        3 * i,
        i,
        i,
      ]);
      expect(table.key(row)).toEqual(key);
    }
    for (let i = 0; i < 500; i++) expect(table.find(random.bytes(32))).toBe(-1);
  });

  test('finds where keys with a common beginning start', () => {
    const key = (first: number, last: number): Uint8Array => {
      const bytes = keyOf(first, 40);
      bytes[39] = last;
      return bytes;
    };
    const keys = [key(1, 1), key(2, 1), key(2, 2), key(2, 3), key(4, 1)];
    const rows = keys.map((each) => ({
      key: each,
      extent: { segment: 0, offset: 0, length: 0 },
      stampSec: 0,
    }));
    const table = new ShelfTable(buildShelfTable(40, rows));
    expect(table.firstFrom(keyOf(2, 20), 0, 20)).toBe(1);
    expect(table.firstFrom(keyOf(3, 20), 0, 20)).toBe(4);
    expect(table.firstFrom(keyOf(9, 20), 0, 20)).toBe(5);
    expect(table.find(Uint8Array.of(0, 0, ...key(2, 2)), 2)).toBe(2);
  });

  test('has the keys of another, wherever that has its documents', () => {
    const tableOf = (...values: number[]): ShelfTable => {
      const row = (value: number, i: number) => ({
        key: keyOf(value, 20),
        extent: { segment: i, offset: value, length: 1 },
        stampSec: 0,
      });
      return new ShelfTable(buildShelfTable(20, values.map(row)));
    };
    const table = tableOf(1, 2, 3);
    const others = [tableOf(3, 1, 2), tableOf(1, 2), tableOf(1, 2, 4), tableOf(1, 2, 3, 4), tableOf()];
    expect(others.map((other) => table.hasKeysOf(other))).toEqual([true, false, false, false, false]);
  });

  test('an empty one finds nothing', () => {
    expect(new ShelfTable(buildShelfTable(20, [])).find(keyOf(0, 20))).toBe(-1);
  });

  test('refuses foreign blocks, keys of another length, and the same key twice', () => {
    const row = { key: keyOf(1, 20), extent: { segment: 0, offset: 0, length: 0 }, stampSec: 0 };
    expect(() => buildShelfTable(32, [row])).toThrow(Bug);
    expect(() => buildShelfTable(20, [row, row])).toThrow(Bug);
    expect(() => new ShelfTable(new SharedArrayBuffer(64).slice(0, 12))).toThrow(Bug);
  });
});

describe('a generation', () => {
  test('gives documents, consensuses and sizes', () => {
    const block = new ShelfFixture()
      .put('microdescriptor', keyOf(1, 32), 'first')
      .put('microdescriptor', keyOf(2, 32), 'second')
      .consensus('ns', { identity: 'whole', zstd: 'small' })
      .block(7);
    const shelf = new Shelf(block);
    expect(shelf.generation).toBe(7);
    expect(shelf.ownId).toEqual(OWN_ID);
    const table = shelf.table('microdescriptor');
    const row = table.find(keyOf(2, 32));
    const extent = { segment: table.segment(row), offset: table.offset(row), length: table.length(row) };
    expect(text(shelf.bytes(extent))).toBe('second');
    const consensus = shelf.consensus('ns')!;
    expect(consensus.validAfterSec).toBe(VALID_AFTER_SEC);
    expect(text(shelf.bytes(consensus.texts.zstd!))).toBe('small');
    expect(consensus.texts.gzip).toBeNull();
    expect(shelf.consensus('microdesc')).toBeNull();
    const tables = Object.values(block.tables).reduce((sum, table) => sum + table.byteLength, 0);
    expect(shelf.heldBytes).toBe(tables + 'firstsecondwholesmall'.length);
  });

  test('shares the segments and tables of the one before', () => {
    const first = new ShelfFixture().put('certificate', keyOf(1, 40), 'certificate').block(1);
    const second = { ...first, generation: 2, segments: [...first.segments, null] };
    expect(new Shelf(second).segment(0).buffer).toBe(first.segments[0]!);
    expect(() => new Shelf(second).segment(1)).toThrow(Bug);
  });

  test('without documents has all tables', () => {
    const shelf = new Shelf(emptyShelf(OWN_ID));
    expect(shelf.isFilled).toBe(false);
    for (const name of Object.keys(SHELF_TABLES)) {
      expect(shelf.table(name as keyof typeof SHELF_TABLES).count).toBe(0);
    }
  });
});
