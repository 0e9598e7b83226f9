/** The DirPort over real connections on loopback. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { DirectoryService } from '../../src/edge/directory-service.ts';
import { closeFd, isFault, listenTcpGroup } from '../../src/libc.ts';
import { parsePolicyEntry } from '../../src/netdoc/exit-policy.ts';
import { Bandwidth } from '../../src/shm/bandwidth.ts';
import type { DirectoryOptions, WorkerOptions } from '../../src/shm/letter.ts';
import { Counter, type CounterName, Scoreboard } from '../../src/shm/scoreboard.ts';
import { DirPort } from '../../src/worker/dir-port.ts';
import { takeApart } from '../edge/directory-desk.ts';
import { keyOf, ShelfFixture, VALID_AFTER_SEC } from '../edge/shelf-fixture.ts';
import { OPTIONS } from '../sim/relay.ts';

const LONG = Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join('');
const DIRECTORY: DirectoryOptions = { isCache: true, isBridge: false, frontPage: null, policy: [] };
const optionsOf = (more: Partial<WorkerOptions> = {}): WorkerOptions => ({
  ...OPTIONS,
  directory: DIRECTORY,
  ...more,
});

let nowMs = 0;
/** Those of the worker, of whatever kind. */
let sockets = 0;
let port = 0;
let board: Scoreboard;
let bandwidth: Bandwidth;
let dirPort: DirPort;
let service: DirectoryService;
let undo: (() => void)[] = [];

beforeEach(() => {
  nowMs = 1_000_000;
  sockets = 0;
  undo = [];
  open(optionsOf());
});

afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
});

function open(options: WorkerOptions): void {
  for (const each of undo.splice(0).reverse()) each();
  board = new Scoreboard(Scoreboard.create(1), 0);
  bandwidth = new Bandwidth(Bandwidth.create(1, nowMs));
  bandwidth.setLimits(options);
  const block = new ShelfFixture()
    .put('certificate', keyOf(1, 40), 'a certificate\n')
    .put('serverByIdentity', keyOf(1, 20), LONG)
    .block();
  service = new DirectoryService(
    {
      wallSec: () => VALID_AFTER_SEC,
      nowMs: () => nowMs,
      count: (counter, by) => board.add(counter, by),
      ownAddresses: () => [],
      isBusy: (bytes) => bandwidth.level(1) < bytes,
      onGenerations: () => {},
    },
    options.directory,
    block,
  );
  const around = { service, counters: board, bandwidth, clock: () => nowMs, sockets: () => sockets };
  dirPort = new DirPort(around, options);
  const group = listenTcpGroup({ host: Uint8Array.of(127, 0, 0, 1), port: 0 }, 1);
  if (isFault(group)) throw new Error(group.text);
  port = group.port;
  const listening = dirPort.listen(group.fds[0]!, () => {});
  undo.push(() => {
    dirPort.close();
    listening.stop();
    closeFd(group.fds[0]!);
  });
}

const count = (name: CounterName): number => board.total(Counter[name]);

/** Connect, send, and take everything until the other side closes. */
function exchange(request: string | null): Promise<Buffer> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => {
      if (request !== null) socket.write(request);
    });
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(pieces)));
  });
}

async function get(path: string, ...headers: string[]) {
  const bytes = await exchange([`GET ${path} HTTP/1.0`, ...headers, '', ''].join('\r\n'));
  return takeApart(bytes, 0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

function open1(): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', () => {});
  });
}

test('requests are answered and the connection closed, and all bytes are counted', async () => {
  const request = 'GET /tor/keys/all HTTP/1.0\r\n\r\n';
  const bytes = await exchange(request);
  expect(takeApart(bytes, 0)).toMatchObject({ statusLine: 'HTTP/1.0 200 OK', body: 'a certificate\n' });
  await until(() => dirPort.count === 0);
  expect(count('dir_port_accepted')).toBe(1);
  expect([count('bytes_read'), count('bytes_written')]).toEqual([request.length, bytes.length]);
  expect([count('directory_bytes_read'), count('directory_bytes_written')]).toEqual([
    request.length,
    bytes.length,
  ]);
  expect(service.heldBytes).toBe(0);
});

test('long answers come whole, as they are and compressed', async () => {
  for (const encoding of ['identity', 'x-zstd', 'deflate', 'gzip']) {
    const answered = await get('/tor/server/all', `Accept-Encoding: ${encoding}`);
    expect(answered.headers).toContain(`Content-Encoding: ${encoding}`);
    expect(answered.body === LONG).toBe(true);
  }
  expect((await get(`/tor/server/fp/${'09'.repeat(20)}`)).statusLine).toBe(
    'HTTP/1.0 404 Servers unavailable',
  );
});

test('a reader that stops gets the rest when it goes on', async () => {
  const socket = await open1();
  socket.pause();
  socket.write('GET /tor/server/all HTTP/1.0\r\n\r\n');
  let before = -1;
  while (count('bytes_written') !== before || before <= 0) {
    before = count('bytes_written');
    await Bun.sleep(30);
  }
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
  expect(takeApart(Buffer.concat(pieces), 0).body === LONG).toBe(true);
});

test('what C tor closes upon is closed without a byte', async () => {
  expect((await exchange('HEAD / HTTP/1.0\r\n\r\n')).length).toBe(0);
  expect(count('directory_request_refused')).toBe(1);
});

test('a connection that is dropped leaves nothing behind', async () => {
  const socket = await open1();
  socket.write('GET /tor/ser');
  await until(() => dirPort.count === 1);
  socket.destroy();
  await until(() => dirPort.count === 0);
  expect(service.heldBytes).toBe(0);
});

describe('who may connect', () => {
  const rules = (text: string) => [...parsePolicyEntry(text)!.rules];

  test('is for DirPolicy to say, also when it changes', async () => {
    dirPort.setOptions(optionsOf({ directory: { ...DIRECTORY, policy: rules('reject 127.0.0.0/8') } }));
    expect((await exchange(null)).length).toBe(0);
    expect(count('dir_port_refused_policy')).toBe(1);
    dirPort.setOptions(optionsOf({ directory: { ...DIRECTORY, policy: rules('reject 10.0.0.0/8') } }));
    expect((await get('/tor/keys/all')).body).toBe('a certificate\n');
  });

  test('is bounded per address', async () => {
    const sockets = await Promise.all(Array.from({ length: 32 }, open1));
    await until(() => dirPort.count === 32);
    expect((await exchange(null)).length).toBe(0);
    expect(count('dir_port_refused_too_many')).toBe(1);
    sockets[0]!.destroy();
    await until(() => dirPort.count === 31);
    expect((await get('/tor/keys/all')).statusLine).toBe('HTTP/1.0 200 OK');
    for (const socket of sockets) socket.destroy();
  });
});

test('connections count among the sockets of the worker, and take none that it has not', async () => {
  const one = await open1();
  await until(() => dirPort.count === 1);
  expect(service.connections).toBe(1);
  sockets = OPTIONS.linksMax;
  expect((await exchange(null)).length).toBe(0);
  expect(count('dir_port_refused_too_many')).toBe(1);
  sockets--;
  expect((await get('/tor/keys/all')).body).toBe('a certificate\n');
  one.destroy();
  await until(() => dirPort.count === 0);
  expect(service.connections).toBe(0);
});

test('a connection on which nothing moves is closed', async () => {
  const { setInterval: real } = globalThis;
  let sweep = (): void => {};
  globalThis.setInterval = ((run: () => void) => {
    sweep = run;
    return { unref: () => {} };
  }) as unknown as typeof setInterval;
  try {
    open(optionsOf());
  } finally {
    globalThis.setInterval = real;
  }
  const closed = exchange(null);
  await until(() => dirPort.count === 1);
  nowMs += 299_000;
  sweep();
  expect(dirPort.count).toBe(1);
  nowMs += 2000;
  sweep();
  expect(dirPort.count).toBe(0);
  await closed;
  expect(count('dir_port_idle_closed')).toBe(1);
});

describe('bandwidth', () => {
  test('that is used up makes writing wait, and documents refused', async () => {
    open(optionsOf({ bandwidthRate: 20_000, bandwidthBurst: 20_000 }));
    expect((await get('/tor/server/all')).statusLine).toBe('HTTP/1.0 503 Directory busy, try again later');
    bandwidth.spendTotal(1, 21_000);
    const answered = get('/tor/robots.txt');
    await Bun.sleep(150);
    expect(count('bytes_written')).toBeLessThan(200);
    nowMs += 1000;
    expect((await answered).body).toBe('User-agent: *\r\nDisallow: /\r\n');
  });
});
