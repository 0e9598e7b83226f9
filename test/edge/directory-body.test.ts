/** Bodies of directory answers: whatever the pieces are in which they are taken, the same text comes. */
import { describe, expect, test } from 'bun:test';
import { gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import {
  type AnswerBody,
  AT_ONCE_BYTES,
  AT_ONCE_PRESSED_BYTES,
  BytesBody,
  CompressedBody,
  CompressorPool,
  compressAtOnce,
  RunBody,
  runBytes,
} from '../../src/edge/directory-body.ts';
import { Bug } from '../../src/fault.ts';
import { Shelf, type ShelfEncoding } from '../../src/shm/shelf.ts';
import { Prng } from '../fuzz/prng.ts';
import { ShelfFixture } from './shelf-fixture.ts';

const decode: Record<ShelfEncoding, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array> = {
  identity: (bytes) => bytes,
  deflate: (bytes) => inflateSync(bytes),
  gzip: (bytes) => gunzipSync(bytes),
  zstd: (bytes) => zstdDecompressSync(bytes),
};

/** Texts of so many bytes each on a shelf, with the run of them all. */
function shelve(lengths: readonly number[]): { shelf: Shelf; run: Uint32Array; text: Buffer } {
  const random = new Prng(5);
  const fixture = new ShelfFixture();
  const words: number[] = [];
  const texts = lengths.map((length) => {
    const text = Buffer.from(
      Buffer.from(random.bytes(Math.ceil(length / 2)))
        .toString('hex')
        .slice(0, length),
    );
    const extent = fixture.extent(text);
    words.push(extent.segment, extent.offset, extent.length);
    return text;
  });
  return { shelf: new Shelf(fixture.block()), run: Uint32Array.from(words), text: Buffer.concat(texts) };
}

function drain(body: AnswerBody, pieceOf: () => number): Buffer {
  const pieces: Buffer[] = [];
  while (!body.isDone) {
    const piece = Buffer.alloc(600);
    const length = body.pull(piece, 3, pieceOf());
    pieces.push(piece.subarray(3, 3 + length));
  }
  return Buffer.concat(pieces);
}

test('a run comes whole in pieces of any size, empty documents between', () => {
  const { shelf, run, text } = shelve([0, 1, 700, 0, 0, 33, 498, 0]);
  expect(runBytes(run)).toBe(text.length);
  for (const size of [1, 7, 498, 590]) {
    const body = new RunBody(shelf, run);
    expect([body.isDone, body.pins, body.heldBytes]).toEqual([false, true, 0]);
    expect(drain(body, () => size)).toEqual(text);
    expect([body.isDone, body.pins]).toEqual([true, false]);
  }
  expect(new RunBody(shelf, Uint32Array.of(0, 0, 0)).isDone).toBe(true);
});

test('a run that is closed gives nothing more', () => {
  const { shelf, run } = shelve([100]);
  const body = new RunBody(shelf, run);
  body.pull(new Uint8Array(10), 0, 10);
  body.close();
  expect([body.pull(new Uint8Array(10), 0, 10), body.isDone]).toEqual([0, true]);
});

test('ready bytes are counted only if they are ours', () => {
  const text = Buffer.from('some bytes');
  expect(new BytesBody(text, false).heldBytes).toBe(0);
  const body = new BytesBody(text, true);
  expect([body.heldBytes, body.pins, body.isDone]).toEqual([10, false, false]);
  expect(drain(body, () => 3)).toEqual(text);
  body.close();
  expect(body.isDone).toBe(true);
});

describe.each(['zstd', 'gzip', 'deflate'] as const)('%s', (encoding) => {
  test('of a short run is made in one call', () => {
    const { shelf, run, text } = shelve([500, 0, 600, 700]);
    const compressed = Uint8Array.from(compressAtOnce(shelf, run, encoding));
    expect(compressed.length).toBeLessThan(text.length * 0.7);
    expect(Buffer.from(decode[encoding](compressed)).equals(text)).toBe(true);
  });

  test('of a long run comes as it is taken', async () => {
    const { shelf, run, text } = shelve(new Array(400).fill(2000));
    const pool = new CompressorPool(1);
    let woken = (): void => {};
    let ready = 0;
    const onReady = (bytes: number): void => {
      ready += bytes;
      woken();
    };
    const body = new CompressedBody(shelf, run, encoding, pool, { onReady, onStuck: () => {} });
    expect(pool.heldBytes).toBeGreaterThan(0);
    const pieces: Buffer[] = [];
    let most = 0;
    while (!body.isDone) {
      const next = new Promise<void>((resolve) => {
        woken = resolve;
      });
      const piece = Buffer.alloc(498);
      const length = body.pull(piece, 0, 498);
      pieces.push(piece.subarray(0, length));
      most = Math.max(most, body.heldBytes);
      if (length === 0 && !body.isDone) await next;
    }
    const whole = Uint8Array.from(Buffer.concat(pieces));
    expect(whole.length).toBe(ready);
    expect(Buffer.from(decode[encoding](whole)).equals(text)).toBe(true);
    // A slow reader holds a few pieces, not the whole.
    expect(most).toBeLessThan(4 * AT_ONCE_BYTES);
    expect([pool.heldBytes, body.heldBytes, body.pins]).toEqual([0, 0, false]);
  });
});

test('a run of some length is compressed at once only in need, a long one never', () => {
  const pressed = shelve([AT_ONCE_PRESSED_BYTES]);
  const compressed = Uint8Array.from(compressAtOnce(pressed.shelf, pressed.run, 'zstd'));
  expect(Buffer.from(zstdDecompressSync(compressed)).equals(pressed.text)).toBe(true);
  const { shelf, run } = shelve([AT_ONCE_PRESSED_BYTES + 1]);
  expect(() => compressAtOnce(shelf, run, 'zstd')).toThrow(Bug);
});

test('who finds no compressor waits for one, in turn, and may leave', async () => {
  const { shelf, run, text } = shelve(new Array(60).fill(2000));
  const pool = new CompressorPool(1);
  const done: number[] = [];
  const make = (number: number): CompressedBody => {
    const onReady = (): void => {
      const piece = new Uint8Array(1 << 20);
      if (body.pull(piece, 0, piece.length) === 0 && body.isDone) done.push(number);
      if (body.isDone && !done.includes(number)) done.push(number);
    };
    const body = new CompressedBody(shelf, run, 'zstd', pool, { onReady, onStuck: () => {} });
    return body;
  };
  const bodies = [1, 2, 3, 4].map(make);
  expect(pool.waitingCount).toBe(3);
  bodies[1]!.close();
  expect(pool.waitingCount).toBe(2);
  bodies[1]!.close();
  while (done.length < 3) await Bun.sleep(1);
  expect(done).toEqual([1, 3, 4]);
  expect([pool.waitingCount, pool.heldBytes]).toEqual([0, 0]);
  expect(text.length).toBeGreaterThan(AT_ONCE_BYTES);
});

test('whose reader takes nothing while others wait is found stuck, and only then', async () => {
  const { shelf, run } = shelve(new Array(200).fill(2000));
  const pool = new CompressorPool(2);
  const stuck: string[] = [];
  const make = (name: string): CompressedBody =>
    new CompressedBody(shelf, run, 'zstd', pool, { onReady: () => {}, onStuck: () => stuck.push(name) });
  const slow = make('slow');
  const reader = make('reader');
  while (!slow.isIdle || !reader.isIdle) await Bun.sleep(1);
  for (let round = 0; round < 5; round++) expect(pool.findStuck(3)).toEqual([]);
  const waiting = make('waiting');
  expect(pool.findStuck(3)).toEqual([]);
  expect(pool.findStuck(3)).toEqual([]);
  expect(reader.pull(new Uint8Array(10), 0, 10)).toBe(10);
  expect(pool.findStuck(3)).toEqual([slow]);
  slow.giveUp();
  expect(stuck).toEqual(['slow']);
  slow.close();
  expect(pool.waitingCount).toBe(0);
  while (!waiting.isIdle) await Bun.sleep(1);
  for (const body of [reader, waiting]) body.close();
  expect(pool.heldBytes).toBe(0);
});

test('a body that is closed while it is compressed frees its compressor and never calls back', async () => {
  const { shelf, run } = shelve(new Array(200).fill(2000));
  const pool = new CompressorPool(2);
  let calls = 0;
  const body = new CompressedBody(shelf, run, 'gzip', pool, { onReady: () => calls++, onStuck: () => {} });
  while (calls === 0) await Bun.sleep(1);
  body.close();
  const before = calls;
  expect([pool.heldBytes, body.heldBytes, body.isDone, body.pull(new Uint8Array(9), 0, 9)]).toEqual([
    0,
    0,
    true,
    0,
  ]);
  await Bun.sleep(20);
  expect(calls).toBe(before);
});
