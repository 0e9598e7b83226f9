import { expect, test } from 'bun:test';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { CellWriter } from '../../src/load/cell-writer.ts';
import type { LoadLink } from '../../src/load/link.ts';

/** A link that takes so many bytes and keeps them. */
class PaperLink {
  takes = Number.POSITIVE_INFINITY;
  readonly bytes: number[] = [];

  write(bytes: Uint8Array, from: number, length: number): number {
    const taken = Math.min(this.takes, length);
    this.takes -= taken;
    this.bytes.push(...bytes.subarray(from, from + taken));
    return taken;
  }

  /** The first byte of every cell that came whole. */
  get cells(): number[] {
    const whole = Math.floor(this.bytes.length / CELL_BYTES);
    return Array.from({ length: whole }, (_, i) => this.bytes[i * CELL_BYTES]!);
  }
}

function made() {
  const link = new PaperLink();
  let rooms = 0;
  const writer = new CellWriter(link as unknown as LoadLink, () => {
    rooms++;
  });
  const put = (mark: number): void => {
    const at = writer.next();
    writer.bytes.fill(mark, at, at + CELL_BYTES);
  };
  return { link, writer, put, rooms: () => rooms };
}

test('the cells of a turn go out together, by themselves', async () => {
  const { link, put, rooms } = made();
  put(1);
  put(2);
  expect(link.cells).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(link.cells).toEqual([1, 2]);
  expect(rooms()).toBe(1);
});

test('what a socket does not take goes out later, in order, and nothing is lost past the room', () => {
  const { link, writer, put, rooms } = made();
  const whole = writer.room;
  link.takes = CELL_BYTES * 2 + 100;
  for (let i = 0; i < whole; i++) put(i % 251);
  expect(writer.room).toBe(0);
  writer.flush();
  expect(writer.room).toBe(2);
  // A SENDME may go beyond the room: twice as many cells as there is room for.
  for (let i = 0; i < whole; i++) put((whole + i) % 251);
  expect(writer.room).toBe(0);
  const before = rooms();
  writer.flush();
  expect(rooms()).toBe(before);
  link.takes = Number.POSITIVE_INFINITY;
  writer.flush();
  expect(link.cells).toEqual(Array.from({ length: 2 * whole }, (_, i) => i % 251));
  expect(writer.room).toBe(whole);
});
