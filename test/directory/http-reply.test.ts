/** Replies of directory servers in pieces of any size; bounded, and refused when they are cut short. */
import { expect, test } from 'bun:test';
import { ReplyReader } from '../../src/directory/http-reply.ts';
import { Malformed } from '../../src/fault.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function read(text: string, step: number, max = 1000) {
  const reader = new ReplyReader(max);
  const all = bytes(text);
  for (let at = 0; at < all.length; at += step) reader.take(all.slice(at, at + step));
  return reader.finish();
}

const REPLY =
  'HTTP/1.0 200 OK\r\nDate: Sat\r\nX-Your-Address-Is: 192.0.2.1\r\nDate: later\r\n\r\nbody\r\n\r\nmore';

test.each([1, 2, 3, 7, 1000])('whole, in pieces of %p bytes', (step) => {
  const { status, reason, headers, body } = read(REPLY, step);
  expect([status, reason]).toEqual([200, 'OK']);
  expect({ ...headers }).toEqual({ date: 'Sat', 'x-your-address-is': '192.0.2.1' });
  expect(body).toEqual(bytes('body\r\n\r\nmore'));
});

test('without a body, without a reason', () => {
  expect(read('HTTP/1.1 404\r\n\r\n', 4)).toMatchObject({ status: 404, reason: '', body: bytes('') });
});

test('every truncation of the head is refused', () => {
  const head = REPLY.indexOf('\r\n\r\n') + 4;
  for (let end = 0; end < head; end++) expect(() => read(REPLY.slice(0, end), 5)).toThrow(Malformed);
});

test.each([
  ['a body shorter than it states', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nbody'],
  ['no HTTP', 'SSH-2.0\r\n\r\n'],
  ['a status that is none', 'HTTP/1.0 20 OK\r\n\r\n'],
  ['a header without a name', 'HTTP/1.0 200 OK\r\n: x\r\n\r\n'],
])('%s is refused', (_name, text) => {
  expect(() => read(text, 100)).toThrow(Malformed);
});

test('more than it may have is refused at once', () => {
  expect(() => read(`HTTP/1.0 200 OK\r\n\r\n${'x'.repeat(1001)}`, 100)).toThrow('longer');
  expect(() => read('x'.repeat(70_000), 1000)).toThrow('no end');
});
