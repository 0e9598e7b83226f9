import { afterAll, beforeAll, expect, test } from 'bun:test';
import { deflateSync } from 'node:zlib';
import type { Endpoint } from '../../src/bytes/address.ts';
import { type DirectoryRequest, makeHttpExchange } from '../../src/directory/http-exchange.ts';
import { systemTiming } from '../../src/directory/timing.ts';
import { WireTraffic } from '../../src/directory/wire-traffic.ts';
import { FakeAuthority, reply } from './fake-authority.ts';

const REAL_TIME = systemTiming();

const authority = new FakeAuthority(() => undefined);
const exchange = makeHttpExchange(REAL_TIME);

beforeAll(() => authority.listen());
afterAll(() => authority.close());

/** A port on loopback where nobody listens. */
async function closedPort(): Promise<number> {
  const other = new FakeAuthority(() => undefined);
  await other.listen();
  other.close();
  return other.endpoint.port;
}

function get(path: string, more: Partial<DirectoryRequest> = {}): DirectoryRequest {
  return {
    endpoint: authority.endpoint,
    method: 'GET',
    path,
    headers: {},
    body: null,
    bytesMax: 100_000,
    stallMs: 5000,
    deadlineMs: 10_000,
    ...more,
  };
}

test('a body that ends with the connection is read, headers are in lower case', async () => {
  authority.answer = (_request, socket) =>
    socket.end(reply('200 OK', 'hello', { 'X-Your-Address-Is': '10.1.2.3' }));
  const got = await exchange(get('/tor/x')).reply;
  expect(got.status).toBe(200);
  expect(new TextDecoder().decode(got.body)).toBe('hello');
  expect(got.headers['x-your-address-is']).toBe('10.1.2.3');
  const seen = authority.requests.at(-1)!;
  expect(seen.line).toBe('GET /tor/x HTTP/1.1');
  expect(seen.headers['accept-encoding']).toBe('deflate, gzip, x-zstd, identity');
  expect(seen.headers['connection']).toBe('close');
});

test('every byte of a connection is counted, of one that fails too, and none of one that never was', async () => {
  const traffic = new WireTraffic();
  const counted = makeHttpExchange(REAL_TIME, null, traffic);
  let sent = '';
  authority.answer = (_request, socket) => {
    socket.once('close', () => (sent = 'closed'));
    socket.end('HTTP/1.0 200 OK\r\nDate: x\r\n\r\nhello');
  };
  const body = new TextEncoder().encode('router x');
  await counted(get('/tor/', { method: 'POST', body })).reply;
  while (sent === '') await Bun.sleep(1);
  expect(traffic.read).toBe('HTTP/1.0 200 OK\r\nDate: x\r\n\r\nhello'.length);
  const seen = authority.requests.at(-1)!;
  const names = ['Accept-Encoding', 'Content-Length', 'Host', 'Connection'];
  const headers = names.map((name) => `${name}: ${seen.headers[name.toLowerCase()]}\r\n`).join('');
  expect(traffic.written).toBe(`POST /tor/ HTTP/1.1\r\n${headers}\r\nrouter x`.length);

  const before = { read: traffic.read, written: traffic.written };
  authority.answer = (_request, socket) => void socket.write('HTTP/1.0 200 OK\r\n\r\nhalf of it');
  await expect(counted(get('/', { stallMs: 200 })).reply).rejects.toThrow('fell silent');
  await Bun.sleep(20);
  expect(traffic.read - before.read).toBe('HTTP/1.0 200 OK\r\n\r\nhalf of it'.length);
  expect(traffic.written).toBeGreaterThan(before.written);

  const silent = makeHttpExchange(REAL_TIME, null, traffic);
  const after = { ...traffic };
  const closed = { host: new Uint8Array([127, 0, 0, 1]), port: await closedPort() };
  await expect(silent(get('/', { endpoint: closed })).reply).rejects.toThrow();
  await Bun.sleep(20);
  expect({ ...traffic }).toEqual(after);
});

test('a deflated body is inflated', async () => {
  authority.answer = (_request, socket) =>
    socket.end(
      reply('200 OK', deflateSync(Buffer.from('text '.repeat(100))), { 'Content-Encoding': 'deflate' }),
    );
  const got = await exchange(get('/')).reply;
  expect(got.body.length).toBe(500);
  expect(got.wireBytes).toBeLessThan(100);
});

test('a POST carries its length, type of headers and body', async () => {
  authority.answer = (_request, socket) => socket.end(reply('200 OK'));
  const body = new TextEncoder().encode('router x\n'.repeat(5000));
  await exchange(get('/tor/', { method: 'POST', body, headers: { 'X-Desc-Gen-Reason': 'test' } })).reply;
  const seen = authority.requests.at(-1)!;
  expect(seen.headers['content-length']).toBe(String(body.length));
  expect(seen.headers['transfer-encoding']).toBeUndefined();
  expect(seen.headers['x-desc-gen-reason']).toBe('test');
  expect(seen.body.length).toBe(body.length);
});

test('the reason of a refusal arrives word for word, but cannot write lines of its own', async () => {
  authority.answer = (_request, socket) => socket.end(reply('400 Fingerprint is "marked" rejected; ask us'));
  const got = await exchange(get('/tor/')).reply;
  expect([got.status, got.reason]).toEqual([400, 'Fingerprint is "marked" rejected; ask us']);
  authority.answer = (_request, socket) => socket.end(reply(`400 ${'\x1b[31m'}x\xff ${'y'.repeat(1000)}`));
  const dirty = await exchange(get('/tor/')).reply.catch(() => null);
  if (dirty !== null) expect(dirty.reason).toMatch(/^[\x20-\x7e]{1,310}$/);
});

test('a proxy in the environment is not asked', async () => {
  authority.answer = (_request, socket) => socket.end(reply('200 OK', 'direct'));
  const names = ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : 'http://127.0.0.1:9';
  try {
    const got = await exchange(get('/')).reply;
    expect(new TextDecoder().decode(got.body)).toBe('direct');
  } finally {
    for (const [i, name] of names.entries()) {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    }
  }
});

test('a reply over the bound is given up, plain or compressed', async () => {
  authority.answer = (_request, socket) => socket.end(reply('200 OK', new Uint8Array(100_001)));
  await expect(exchange(get('/')).reply).rejects.toThrow('longer than 100000');
  await exchange(get('/')).reply.catch(() => undefined);
  const bomb = deflateSync(new Uint8Array(20_000_000));
  authority.answer = (_request, socket) =>
    socket.end(reply('200 OK', bomb, { 'Content-Encoding': 'deflate' }));
  await expect(exchange(get('/')).reply).rejects.toThrow('inflates to more than');
});

test.each([
  ['cut inside its length', 'HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nshort'],
  ['cut inside the head', 'HTTP/1.0 200 OK\r\nDate: '],
  ['empty', ''],
  ['not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ['a head without end', `HTTP/1.0 200 OK\r\nX: ${'a'.repeat(300_000)}\r\n\r\n`],
])('a reply that is %s fails', async (_name, text) => {
  authority.answer = (_request, socket) => socket.end(text);
  await expect(exchange(get('/')).reply).rejects.toThrow(/^127\.0\.0\.1:\d+: /);
});

test('a reset in the middle of a body fails', async () => {
  authority.answer = (_request, socket) => {
    socket.write(reply('200 OK', 'part'));
    setTimeout(() => socket.resetAndDestroy(), 30);
  };
  await expect(exchange(get('/')).reply).rejects.toThrow(/^127\.0\.0\.1:\d+: /);
});

test('a server that falls silent, or drips without end, is given up', async () => {
  authority.answer = () => undefined;
  await expect(exchange(get('/', { stallMs: 30 })).reply).rejects.toThrow('fell silent');
  authority.answer = (_request, socket) => {
    socket.write('HTTP/1.0 200 OK\r\n\r\n');
    const drip = setInterval(() => socket.write('.'), 5);
    socket.on('close', () => clearInterval(drip));
  };
  await expect(exchange(get('/', { stallMs: 2000, deadlineMs: 100 })).reply).rejects.toThrow('took too long');
});

test('nobody listening, and giving up, both reject', async () => {
  const closed = new FakeAuthority(() => undefined);
  await closed.listen();
  const endpoint: Endpoint = closed.endpoint;
  closed.close();
  await expect(exchange(get('/', { endpoint })).reply).rejects.toThrow(/^127\.0\.0\.1:\d+: /);
  authority.answer = () => undefined;
  const pending = exchange(get('/'));
  pending.abort();
  await expect(pending.reply).rejects.toThrow('given up');
});
