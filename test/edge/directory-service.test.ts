/** A worker's directory: answers keep the generation that they began with, and not for ever. */
import { describe, expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { Bug } from '../../src/fault.ts';
import { emptyShelf } from '../../src/shm/shelf.ts';
import { DirectoryDesk, type OpenStream, takeApart } from './directory-desk.ts';
import { keyOf, OWN_ID, ShelfFixture } from './shelf-fixture.ts';

const MICRODESCRIPTORS = `/tor/micro/d/${Buffer.from(keyOf(1, 32)).toString('base64').replace('=', '')}`;
const REQUEST = Buffer.from(`GET ${MICRODESCRIPTORS} HTTP/1.0\r\n\r\n`);

/** A shelf whose one document is long and says which generation it is of. */
const shelf = (generation: number, text = `generation ${generation}\n`.repeat(200)) =>
  new ShelfFixture().put('microdescriptor', keyOf(1, 32), text).block(generation);

describe('generations', () => {
  test('new requests get the newest; those under way go on with theirs', async () => {
    const desk = new DirectoryDesk(shelf(1));
    const first = desk.open();
    first.end.take(REQUEST);
    first.pull();
    desk.service.setShelf(shelf(2));
    expect(desk.oldest).toEqual([1]);
    expect((await desk.get(MICRODESCRIPTORS)).body).toStartWith('generation 2\n');
    expect((await first.drain()).body).toBe('generation 1\n'.repeat(200));
    expect(desk.oldest).toEqual([1, 2]);
  });

  test('one that nobody reads goes at once', () => {
    const desk = new DirectoryDesk(shelf(1));
    desk.service.setShelf(shelf(2));
    desk.service.setShelf(shelf(3));
    expect(desk.oldest).toEqual([2, 3]);
    expect(() => desk.service.setShelf(shelf(3))).toThrow(Bug);
  });

  test('a stream that is closed lets go of its own', () => {
    const desk = new DirectoryDesk(shelf(1));
    const stream = desk.open();
    stream.end.take(REQUEST);
    desk.service.setShelf(shelf(2));
    stream.end.close();
    expect(desk.oldest).toEqual([1, 2]);
    expect(stream.pull()).toBe(0);
  });

  test('a reader that takes too long loses its answer, and the others do not', async () => {
    const desk = new DirectoryDesk(shelf(1));
    const slow = desk.open();
    slow.end.take(REQUEST);
    slow.pull();
    const later = desk.open();
    for (let generation = 2; generation <= 6; generation++) {
      if (generation === 4) later.end.take(REQUEST);
      desk.service.setShelf(shelf(generation));
    }
    const wakes = slow.wakes;
    expect(wakes).toBeGreaterThan(0);
    // The first generation is the only one of its past that must have gone: those without readers went at once.
    expect(slow.end.endReason).toBe(0);
    for (let generation = 7; generation <= 9; generation++) {
      const held = desk.open();
      held.end.take(REQUEST);
      desk.service.setShelf(shelf(generation));
    }
    expect(slow.end.endReason).toBe(11);
    expect(slow.wakes).toBe(wakes + 1);
    expect(slow.pull()).toBe(0);
    expect(desk.count('directory_abandoned')).toBe(1);
    expect((await later.drain()).body).toStartWith('generation 3\n');
  });
});

describe('memory', () => {
  test('of answers that were compressed is counted until they are taken', async () => {
    const desk = new DirectoryDesk(shelf(1));
    const request = `GET ${MICRODESCRIPTORS} HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n`;
    const stream = desk.open();
    stream.end.take(Buffer.from(request));
    expect(desk.service.heldBytes).toBeGreaterThan(30);
    await stream.drain();
    expect(desk.service.heldBytes).toBe(0);
    const dropped = desk.open();
    dropped.end.take(Buffer.from(request));
    dropped.end.close();
    expect(desk.service.heldBytes).toBe(0);
  });

  test('of the list that an answer goes through is counted, unless all share it', async () => {
    const fixture = new ShelfFixture();
    const ids = Array.from({ length: 100 }, (_, i) => keyOf(i, 32));
    for (const id of ids) fixture.put('microdescriptor', id, 'x'.repeat(1000));
    for (const id of ids) fixture.put('serverByIdentity', id.subarray(0, 20), 'y'.repeat(1000));
    const desk = new DirectoryDesk(fixture.block());
    const names = ids.map((id) => Buffer.from(id).toString('base64').replace('=', '')).join('-');
    const idle = desk.open().end.storedBytes;
    for (const [path, bytes] of [
      [`/tor/micro/d/${names}`, 100 * 12],
      ['/tor/server/all', 0],
    ] as const) {
      for (const accepted of ['identity', 'x-zstd']) {
        const before = desk.service.heldBytes;
        const stream = desk.open();
        stream.end.take(Buffer.from(`GET ${path} HTTP/1.0\r\nAccept-Encoding: ${accepted}\r\n\r\n`));
        expect(stream.end.storedBytes).toBe(idle + bytes);
        await stream.drain();
        expect(desk.service.heldBytes).toBe(before);
      }
    }
  });

  test('of long ones stays small, and comes back when they end or are dropped', async () => {
    const text = Array.from({ length: 40_000 }, (_, i) => `line ${(i * 2654435761) % 2 ** 32}\n`).join('');
    const desk = new DirectoryDesk(shelf(1, text));
    const request = `GET ${MICRODESCRIPTORS} HTTP/1.0\r\nAccept-Encoding: deflate\r\n\r\n`;
    const answered = await desk.ask(request);
    expect(answered.body).toBe(text);
    expect(desk.service.heldBytes).toBe(0);
    const dropped = desk.open();
    dropped.end.take(Buffer.from(request));
    while (dropped.wakes < 2) await Bun.sleep(1);
    expect(desk.service.heldBytes).toBeGreaterThan(0);
    dropped.end.close();
    expect(desk.service.heldBytes).toBe(0);
  });

  test('when too many wait for a compressor, further requests are told that we are busy', async () => {
    const long = Buffer.alloc(300_000, 'x').toString();
    const desk = new DirectoryDesk(
      new ShelfFixture()
        .put('microdescriptor', keyOf(1, 32), long)
        .put('microdescriptor', keyOf(2, 32), 'y'.repeat(100_000))
        .block(),
    );
    const request = Buffer.from(`GET ${MICRODESCRIPTORS} HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n`);
    const streams = Array.from({ length: 32 + 1024 }, () => desk.open());
    for (const stream of streams) stream.end.take(request);
    const refused = await desk.ask(request.toString());
    expect(refused.statusLine).toBe('HTTP/1.0 503 Directory busy, try again later');
    // Who needs none is none the worse for it.
    expect((await desk.get(MICRODESCRIPTORS)).body).toBe(long);
    const shorter = `/tor/micro/d/${Buffer.from(keyOf(2, 32)).toString('base64').replace('=', '')}`;
    for (const accepted of ['x-zstd', 'gzip', 'deflate']) {
      expect((await desk.get(shorter, [`Accept-Encoding: ${accepted}`])).body).toBe('y'.repeat(100_000));
    }
    for (const stream of streams) stream.end.close();
    expect(desk.service.heldBytes).toBe(0);
    expect((await desk.ask(request.toString())).body).toBe(long);
  });
});

test('who takes nothing of a long answer while others wait for a compressor loses it', async () => {
  const text = Array.from({ length: 60_000 }, (_, i) => `line ${(i * 2654435761) % 2 ** 32}\n`).join('');
  const desk = new DirectoryDesk(shelf(1, text));
  const request = `GET ${MICRODESCRIPTORS} HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n`;
  const stuck = Array.from({ length: 32 }, () => desk.open());
  for (const stream of stuck) stream.end.take(Buffer.from(request));
  // Each has more ready than is made ahead of its reader.
  while (desk.service.bodyBytes < 32 * 65_536) await Bun.sleep(5);
  const served = [desk.ask(request), desk.ask(request)];
  for (let sec = 0; sec < 14; sec++) {
    desk.nowMs += 1000;
    desk.service.turn();
    // One goes on, as slowly as it likes.
    stuck[0]!.pull();
  }
  expect(desk.count('directory_abandoned')).toBe(0);
  for (let sec = 0; sec < 5; sec++) {
    desk.nowMs += 1000;
    desk.service.turn();
  }
  // As many as others waited.
  expect(desk.count('directory_abandoned')).toBe(2);
  const ended = stuck.filter(({ end }) => end.endReason === EndReason.RESOURCELIMIT);
  expect([ended.length, stuck[0]!.end.endReason]).toEqual([2, 0]);
  for (const one of served) expect((await one).body).toBe(text);
  for (const { end } of stuck) end.close();
  expect(desk.service.heldBytes).toBe(0);
});

test('options say whether we are a cache', () => {
  const desk = new DirectoryDesk(shelf(1), { isCache: false });
  expect(desk.service.isOpen).toBe(false);
  desk.service.setOptions({ isCache: true, isBridge: false, frontPage: null, policy: [] });
  expect(desk.service.isOpen).toBe(true);
  expect(desk.service.shelf.generation).toBe(1);
});

describe('while the shelf is not filled', () => {
  const empty = emptyShelf(OWN_ID);
  const SERVED = 'HTTP/1.0 200 OK';
  const statusOf = (stream: OpenStream): string => takeApart(stream.bytes, stream.end.endReason).statusLine;

  test('requests wait, and get what it has then', async () => {
    const desk = new DirectoryDesk(empty);
    const streams = [1, 2, 3].map(() => desk.open());
    for (const { end } of streams) end.take(REQUEST);
    desk.service.turn();
    expect(streams.map((stream) => [stream.pull(), stream.end.endReason, stream.wakes])).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
    // Documents that came first, and then the rest.
    desk.service.setShelf({ ...empty, generation: 1 });
    expect(streams[0]!.wakes).toBe(0);
    desk.service.setShelf(shelf(2));
    expect(streams.map(({ wakes }) => wakes)).toEqual([1, 1, 1]);
    for (const stream of streams) expect((await stream.drain()).statusLine).toBe(SERVED);
    expect([desk.service.heldBytes, desk.oldest.at(-1)]).toEqual([0, 2]);
    expect((await desk.get(MICRODESCRIPTORS)).statusLine).toBe(SERVED);
  });

  test('they wait for so long, and are answered from what there is', () => {
    const desk = new DirectoryDesk(empty);
    const early = desk.open();
    early.end.take(REQUEST);
    desk.nowMs += 14_999;
    const late = desk.open();
    late.end.take(REQUEST);
    desk.service.turn();
    expect([early.wakes, late.wakes]).toEqual([0, 0]);
    desk.nowMs += 1;
    desk.service.turn();
    for (const stream of [early, late]) {
      stream.pull();
      expect(statusOf(stream)).toBe('HTTP/1.0 404 Not found');
    }
    const after = desk.open();
    after.end.take(REQUEST);
    after.pull();
    expect(statusOf(after)).toBe('HTTP/1.0 404 Not found');
  });

  test('only so many wait, what they hold is counted, and who goes is forgotten', () => {
    const desk = new DirectoryDesk(empty);
    const before = desk.service.heldBytes;
    const streams = Array.from({ length: 512 }, () => desk.open());
    const unasked = desk.service.heldBytes;
    for (const { end } of streams) end.take(REQUEST);
    expect(desk.service.heldBytes - unasked).toBeGreaterThan(512 * 2 * REQUEST.length);
    expect(streams[0]!.end.heldBytes).toBeGreaterThan(REQUEST.length);
    const oneMore = desk.open();
    oneMore.end.take(REQUEST);
    oneMore.pull();
    expect(statusOf(oneMore)).toBe('HTTP/1.0 404 Not found');
    for (const { end } of streams) end.close();
    expect(desk.service.heldBytes).toBe(before);
    desk.service.setShelf(shelf(1));
    expect(streams.every(({ wakes, bytes }) => wakes === 0 && bytes.length === 0)).toBe(true);
    expect(desk.count('directory_answered')).toBe(0);
  });

  test('what a client sends behind a request that waits is forgotten', async () => {
    const desk = new DirectoryDesk(empty);
    const stream = desk.open();
    stream.end.take(REQUEST);
    stream.end.take(REQUEST);
    desk.service.setShelf(shelf(1));
    expect((await stream.drain()).body).toBe('generation 1\n'.repeat(200));
    expect(desk.count('directory_answered')).toBe(1);
  });
});

describe('lists that are asked for again', () => {
  const name = (value: number): string => Buffer.from(keyOf(value, 32)).toString('base64').replace('=', '');
  const LIST = `/tor/micro/d/${name(1)}-${name(2)}`;
  const documents = (generation: number, ...values: number[]) => {
    const fixture = new ShelfFixture();
    for (const value of values) fixture.put('microdescriptor', keyOf(value, 32), `document ${value}\n`);
    return fixture.block(generation);
  };
  const ask = (desk: DirectoryDesk, accepted: string, list = LIST) =>
    desk.get(list, [`Accept-Encoding: ${accepted}`]);

  test.each(['x-zstd', 'deflate', 'gzip'])('come as before, in %s', async (accepted) => {
    const desk = new DirectoryDesk(documents(1, 1, 2));
    const first = await ask(desk, accepted);
    expect(first.body).toBe('document 2\ndocument 1\n');
    expect(desk.service.heldBytes).toBeGreaterThan(LIST.length);
    const { heldBytes } = desk.service;
    expect(await ask(desk, accepted)).toEqual(first);
    // Nothing more is kept, and neither for what is not compressed, nor for one alone.
    await ask(desk, 'identity');
    await ask(desk, accepted, `/tor/micro/d/${name(1)}`);
    expect([desk.service.heldBytes, desk.service.keptBytes]).toEqual([heldBytes, heldBytes]);
    expect(desk.count('directory_answered')).toBe(4);
  });

  test('each in the encoding that is asked for', async () => {
    const desk = new DirectoryDesk(documents(1, 1, 2));
    for (let again = 0; again < 2; again++) {
      for (const accepted of ['x-zstd', 'deflate', 'gzip', 'identity']) {
        const { headers, body } = await ask(desk, accepted);
        expect([headers.includes(`Content-Encoding: ${accepted}`), body]).toEqual([
          true,
          'document 2\ndocument 1\n',
        ]);
      }
      expect((await desk.get(`${LIST}.z`)).headers).toContain('Content-Encoding: deflate');
    }
  });

  test('have what came since, and not what went', async () => {
    const desk = new DirectoryDesk(documents(1, 1));
    const bodies: string[] = [(await ask(desk, 'x-zstd')).body];
    desk.service.setShelf(documents(2, 1, 2));
    bodies.push((await ask(desk, 'x-zstd')).body);
    desk.service.setShelf(documents(3, 2));
    bodies.push((await ask(desk, 'x-zstd')).body);
    desk.service.setShelf(documents(4));
    expect(bodies).toEqual(['document 1\n', 'document 2\ndocument 1\n', 'document 2\n']);
    expect((await ask(desk, 'x-zstd')).statusLine).toBe('HTTP/1.0 404 Not found');
    expect(desk.service.heldBytes).toBe(0);
  });

  test('count as long as an answer holds them, also when they are kept no more', async () => {
    const desk = new DirectoryDesk(documents(1, 1, 2));
    await ask(desk, 'x-zstd');
    const { heldBytes } = desk.service;
    const stream = desk.open();
    stream.end.take(Buffer.from(`GET ${LIST} HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n`));
    desk.service.dropKept();
    // All but what it takes to keep them.
    expect(stream.end.storedBytes).toBeGreaterThan(1024 + 20);
    expect(desk.service.heldBytes).toBe(stream.end.storedBytes);
    expect((await stream.drain()).body).toBe('document 2\ndocument 1\n');
    expect(desk.service.heldBytes).toBe(0);
    await ask(desk, 'x-zstd');
    expect(desk.service.heldBytes).toBe(heldBytes);
  });

  test('stay when something else changed', async () => {
    const block = documents(1, 1, 2);
    const desk = new DirectoryDesk(block);
    await ask(desk, 'deflate');
    const { heldBytes } = desk.service;
    // A letter between threads gives the same memory another object.
    const microdescriptor = structuredClone(block.tables.microdescriptor);
    desk.service.setShelf({ ...block, generation: 2, tables: { ...block.tables, microdescriptor } });
    expect(desk.service.heldBytes).toBe(heldBytes);
    // The same documents elsewhere.
    desk.service.setShelf(documents(3, 2, 1));
    expect(desk.service.heldBytes).toBe(heldBytes);
    desk.service.dropKept();
    expect(desk.service.heldBytes).toBe(0);
    expect((await ask(desk, 'deflate')).body).toBe('document 2\ndocument 1\n');
  });
});
