/** The authority's DirPort on the wire: requests in, replies out, bad ones dropped, loopback only. */
import { afterAll, describe, expect, test } from 'bun:test';
import { createConnection } from 'node:net';
import { inflateSync } from 'node:zlib';
import { DirectoryServer, type ServedReply, type ServedRequest } from '../../src/testnet/directory-server.ts';

const seen: ServedRequest[] = [];
const BODY = new TextEncoder().encode('a document\n'.repeat(200_000));
let reply: ServedReply = { status: 200, reason: 'OK', body: BODY };
const server = new DirectoryServer('127.0.0.1', 0, (request) => {
  seen.push(request);
  return reply;
});
afterAll(() => server.stop());

/** Send bytes in pieces and read to the end. */
async function ask(...pieces: (string | Uint8Array)[]): Promise<Buffer> {
  const socket = createConnection({ host: '127.0.0.1', port: server.port });
  const chunks: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  socket.on('close', () => resolve());
  socket.on('error', () => resolve());
  for (const piece of pieces) {
    socket.write(piece);
    await Bun.sleep(5);
  }
  await promise;
  return Buffer.concat(chunks);
}

function split(answer: Buffer): { head: string; body: Buffer } {
  const end = answer.indexOf('\r\n\r\n');
  return { head: answer.toString('latin1', 0, end), body: answer.subarray(end + 4) };
}

describe('the server', () => {
  test('answers with everything, however long', async () => {
    const { head, body } = split(await ask('GET /tor/keys/all HT', 'TP/1.0\r\n\r\n'));
    expect(head).toStartWith('HTTP/1.0 200 OK\r\n');
    expect(head).toContain('\r\nContent-Encoding: identity\r\n');
    expect(head).toContain('\r\nX-Your-Address-Is: 127.0.0.1\r\n');
    expect(head).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/);
    expect(body.equals(BODY)).toBe(true);
    expect(seen.at(-1)!.query).toEqual({ kind: 'certificates', by: 'all', ids: [] });
  });

  test.each([
    ['GET /tor/keys/all.z HTTP/1.0\r\n\r\n'],
    ['GET /tor/keys/all HTTP/1.0\r\nAccept-Encoding: deflate, gzip, x-zstd, identity\r\n\r\n'],
  ])('deflates for %j', async (request) => {
    const { head, body } = split(await ask(request));
    expect(head).toContain('\r\nContent-Encoding: deflate\r\n');
    expect(inflateSync(body).equals(BODY)).toBe(true);
  });

  test('hands over uploads', async () => {
    reply = { status: 400, reason: 'not\r\nthis', headers: { 'X-Descriptor-Not-New': 'Yes' } };
    const answer = await ask('POST /tor/ HTTP/1.0\r\nContent-Length: 10\r\n\r\n01234', '56789');
    expect(answer.toString()).toStartWith('HTTP/1.0 400 not??this\r\n');
    expect(answer.toString()).toContain('\r\nX-Descriptor-Not-New: Yes\r\n');
    expect(seen.at(-1)!.query.kind).toBe('upload');
    expect(Buffer.from(seen.at(-1)!.body!).toString()).toBe('0123456789');
  });

  test.each([
    ['HEAD /tor/ HTTP/1.0\r\n\r\n'],
    ['GET /tor/ HTTP/1.0\r\nContent-Length: x\r\n\r\n'],
    [`GET /${'a'.repeat(60_000)}`],
  ])('hangs up on %j', async (request) => {
    const before = seen.length;
    expect((await ask(request)).length).toBe(0);
    expect(seen.length).toBe(before);
  });

  test('does not listen anywhere but on loopback', () => {
    expect(() => new DirectoryServer('0.0.0.0', 0, () => reply)).toThrow('loopback only');
    expect(() => new DirectoryServer('localhost', 0, () => reply)).toThrow('loopback only');
  });

  test('leaves its port when it stops', async () => {
    const other = new DirectoryServer('127.0.0.1', 0, () => reply);
    other.stop();
    const again = new DirectoryServer('127.0.0.1', other.port, () => reply);
    expect(again.port).toBe(other.port);
    again.stop();
  });
});
