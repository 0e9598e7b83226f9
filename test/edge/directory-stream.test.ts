/** Directory requests on streams: gathered from pieces, answered once, refused without an answer. */
import { describe, expect, test } from 'bun:test';
import { directoryFactory } from '../../src/edge/directory-stream.ts';
import { Prng } from '../fuzz/prng.ts';
import { DirectoryDesk, takeApart } from './directory-desk.ts';
import { keyOf, ShelfFixture } from './shelf-fixture.ts';

const desk = (): DirectoryDesk =>
  new DirectoryDesk(new ShelfFixture().put('certificate', keyOf(1, 40), 'a certificate\n').block());
const REQUEST = 'GET /tor/keys/all HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n';

describe('a request', () => {
  test('is the same in pieces of any size', async () => {
    const whole = await desk().ask(REQUEST);
    expect(whole.body).toBe('a certificate\n');
    for (let size = 1; size <= REQUEST.length; size++) {
      const stream = desk().open();
      for (let at = 0; at < REQUEST.length; at += size) {
        expect(stream.end.endReason).toBe(0);
        stream.end.take(Buffer.from(REQUEST.slice(at, at + size)));
      }
      expect(await stream.drain()).toEqual(whole);
    }
  });

  test('is answered once it is complete, and wakes', () => {
    const stream = desk().open();
    stream.end.take(Buffer.from(REQUEST.slice(0, -1)));
    expect([stream.wakes, stream.pull(), stream.end.endReason]).toEqual([0, 0, 0]);
    expect(stream.end.heldBytes).toBeGreaterThan(40);
    stream.end.take(Buffer.from(REQUEST.slice(-1)));
    expect([stream.wakes, stream.end.heldBytes]).toEqual([1, 0]);
    expect(stream.pull()).toBeGreaterThan(0);
    expect(stream.end.endReason).toBe(6);
  });

  test('waits for its body', () => {
    const stream = desk().open();
    stream.end.take(Buffer.from('POST /tor/ HTTP/1.0\r\nContent-Length: 4\r\n\r\nab'));
    expect(stream.wakes).toBe(0);
    stream.end.take(Buffer.from('cd'));
    expect(stream.wakes).toBe(1);
    stream.pull();
    expect(takeApart(stream.bytes, 0).statusLine).toStartWith('HTTP/1.0 400 ');
  });

  test('has nothing behind it', async () => {
    const stream = desk().open();
    stream.end.take(Buffer.from(REQUEST + REQUEST));
    stream.end.take(Buffer.from(REQUEST));
    expect((await stream.drain()).body).toBe('a certificate\n');
    stream.end.take(Buffer.from(REQUEST));
    expect(stream.pull()).toBe(0);
  });
});

describe('without an answer ends', () => {
  test.each([
    ['HEAD', 'HEAD /tor/keys/all HTTP/1.0\r\n\r\n'],
    ['PUT', 'PUT /tor/keys/all HTTP/1.0\r\n\r\n'],
    ['a bad length', 'GET /tor/keys/all HTTP/1.0\r\nContent-Length: x\r\n\r\n'],
    ['a negative length', 'GET /tor/keys/all HTTP/1.0\r\nContent-Length: -1\r\n\r\n'],
  ])('%s', (_what, request) => {
    const one = desk();
    const stream = one.open();
    stream.end.take(Buffer.from(request));
    expect([stream.end.endReason, stream.wakes, stream.pull()]).toEqual([6, 1, 0]);
    expect(one.count('directory_request_refused')).toBe(1);
  });

  test('a head without end, at 50,000 bytes', () => {
    const stream = desk().open();
    const cell = Buffer.alloc(498, 0x41);
    let sent = 0;
    let held = 0;
    while (stream.end.endReason === 0) {
      stream.end.take(cell);
      sent += cell.length;
      held = Math.max(held, stream.end.heldBytes);
    }
    expect(sent).toBeWithin(50_000, 50_000 + 498);
    expect(held).toBeLessThan(60_000);
    expect(stream.end.heldBytes).toBe(0);
  });

  test('a body without end, and memory stays small', () => {
    const stream = desk().open();
    stream.end.take(Buffer.from('POST /tor/ HTTP/1.0\r\nContent-Length: 2000000000\r\n\r\n'));
    const piece = Buffer.alloc(50_000);
    let sent = 0;
    while (stream.end.endReason === 0) {
      stream.end.take(piece);
      sent += piece.length;
      expect(stream.end.heldBytes).toBeLessThan(1 << 18);
    }
    expect(sent).toBeWithin((1 << 24) - 60_000, (1 << 24) + 60_000);
    expect(stream.pull()).toBe(0);
  });

  test('too much behind a request', () => {
    const stream = desk().open();
    stream.end.take(Buffer.from(REQUEST));
    const piece = Buffer.alloc(1 << 20);
    for (let i = 0; i < 10; i++) stream.end.take(piece);
    expect(stream.end.endReason).toBe(0);
    stream.end.take(piece);
    expect(stream.end.endReason).toBe(6);
  });
});

test('cut off anywhere, a request leaves nothing behind', () => {
  const one = desk();
  for (let length = 0; length < REQUEST.length; length++) {
    const stream = one.open();
    stream.end.take(Buffer.from(REQUEST.slice(0, length)));
    stream.end.close();
    expect([stream.end.heldBytes, stream.pull()]).toEqual([0, 0]);
  }
  expect(one.service.heldBytes).toBe(0);
});

test('what a stream holds is counted from the beginning on, and how long it has waited', () => {
  const one = desk();
  const stream = one.open();
  const idle = one.service.heldBytes;
  expect([idle > 0, stream.end.storedBytes, stream.end.waitsSinceMs]).toEqual([true, idle, 1000]);
  one.nowMs = 2000;
  stream.end.take(Buffer.alloc(40_000, 0x41));
  expect(one.service.heldBytes).toBeGreaterThanOrEqual(idle + 40_000);
  expect([stream.end.storedBytes, stream.end.waitsSinceMs]).toEqual([one.service.heldBytes, 1000]);
  stream.end.close();
  expect([one.service.heldBytes, stream.end.storedBytes]).toEqual([0, 0]);
  expect(stream.end.waitsSinceMs).toBe(Number.POSITIVE_INFINITY);
  const answered = one.open();
  answered.end.take(Buffer.from(REQUEST.replace('\r\n', '\r\nAccept-Encoding: x-zstd\r\n')));
  expect(answered.end.storedBytes).toBeGreaterThan(idle);
  one.nowMs = 3000;
  answered.pull(100);
  expect(answered.end.waitsSinceMs).toBe(3000);
  answered.end.close();
  expect(one.service.heldBytes).toBe(0);
});

test('the factory makes streams that know who asks', async () => {
  const one = desk();
  const make = directoryFactory(one.service);
  const ask = (prevIsRelay: boolean): string => {
    const end = make({ wake: () => {} }, Uint8Array.of(192, 0, 2, 1), prevIsRelay);
    end.take(Buffer.from('GET /tor/hs/3/x HTTP/1.0\r\n\r\n'));
    const bytes = Buffer.alloc(498);
    return bytes.toString('latin1', 0, end.pull(bytes, 0, 498));
  };
  expect(ask(true)).toStartWith('HTTP/1.0 404 ');
  expect(ask(false)).toStartWith('HTTP/1.0 503 ');
});

test('damaged requests get an answer or none, and never more than that', async () => {
  const one = desk();
  const random = new Prng(9);
  for (let i = 0; i < 500; i++) {
    const bytes = Buffer.from(REQUEST);
    for (let n = 1 + random.below(4); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
    const stream = one.open();
    stream.end.take(bytes);
    if (stream.wakes === 0) stream.end.close();
    else {
      const { statusLine } = await stream.drain();
      expect(statusLine === '' || /^HTTP\/1\.0 (200|304|400|404|503) /.test(statusLine)).toBe(true);
    }
  }
  expect(one.service.heldBytes).toBe(0);
});
