/** Fetcher and publisher over real sockets, against authorities that misbehave. */

import { afterEach, expect, test } from 'bun:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Fetcher } from '../../src/directory/fetcher.ts';
import { makeHttpExchange } from '../../src/directory/http-exchange.ts';
import { Network } from '../../src/directory/network.ts';
import { Publisher } from '../../src/directory/publisher.ts';
import type { Timing } from '../../src/directory/timing.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { type Answer, FakeAuthority, reply } from './fake-authority.ts';
import { makeAuthority, type PaperAuthority, printCertificate, printConsensus } from './paper-network.ts';
import { seededRandom, VirtualTime } from './virtual-time.ts';

const T0 = Date.UTC(2026, 10, 22, 12) / 1000;
const DAY = 86400;

const SOCKET_TIME: Timing = {
  nowSec: () => Math.floor(Date.now() / 1000),
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, 300));
    return () => clearTimeout(timer);
  },
};

const servers: FakeAuthority[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  setLogSink(null);
  setLogThreshold(null);
});

async function serve(
  nickname: string,
  answer: Answer,
): Promise<{ paper: PaperAuthority; server: FakeAuthority }> {
  const server = new FakeAuthority(answer);
  await server.listen();
  servers.push(server);
  return { paper: makeAuthority(nickname, server.endpoint.port), server };
}

function collect(): LogRecord[] {
  const records: LogRecord[] = [];
  setLogThreshold((severity) => severity === 'warn');
  setLogSink((record) => records.push(record));
  return records;
}

test('a fetcher gets what it wants in spite of truncation, bombs, silence, refusals and lies', async () => {
  collect();
  const time = new VirtualTime(T0 + 5);
  const papers: PaperAuthority[] = [];
  let turn = 0;
  const good: Answer = ({ path }, socket) => {
    const certificates = papers.map((paper) => printCertificate(paper, T0 - DAY, T0 + DAY)).join('');
    const flavour = path.includes('/consensus-microdesc/') ? 'microdesc' : 'ns';
    const consensus = printConsensus({ flavour, validAfterSec: T0, intervalSec: 3600 }, papers);
    const body = Buffer.from(path.startsWith('/tor/keys/') ? certificates : consensus);
    const coded = [
      ['deflate', deflateSync(body)],
      ['gzip', gzipSync(body)],
      ['x-zstd', zstdCompressSync(body)],
      ['identity', body],
    ] as const;
    const [encoding, bytes] = coded[turn++ % coded.length]!;
    socket.end(reply('200 OK', bytes, { 'Content-Encoding': encoding }));
  };
  const bad: Answer[] = [
    (_request, socket) =>
      socket.end(
        reply('200 OK', deflateSync(Buffer.alloc(5000, 'x')).subarray(0, 20), {
          'Content-Encoding': 'deflate',
        }),
      ),
    (_request, socket) =>
      socket.end(reply('200 OK', deflateSync(Buffer.alloc(20_000_000)), { 'Content-Encoding': 'deflate' })),
    () => undefined,
    (_request, socket) => socket.destroy(),
    (_request, socket) => socket.end(reply('404 Not found')),
    (_request, socket) => socket.end(reply('503 Directory busy')),
    (_request, socket) => socket.end(reply('200 OK', 'network-status-version 3\n')),
  ];
  let misbehaved = 0;
  const moody: Answer = (request, socket) => {
    const answer = bad[misbehaved++] ?? good;
    answer(request, socket);
  };
  for (const name of ['a', 'b', 'c']) papers.push((await serve(name, moody)).paper);
  const authorities = papers.map((paper) => paper.authority);
  const network = new Network({
    authorities,
    ownRsaId: new Uint8Array(20),
    ownProtocols: 'Link=4-5',
    timing: time,
  });
  const fetcher = new Fetcher({
    authorities,
    network,
    cache: null,
    exchange: makeHttpExchange(SOCKET_TIME),
    timing: time,
    random: seededRandom(3),
    testing: true,
  });
  fetcher.start();
  for (
    let i = 0;
    i < 500 && (network.consensus('ns') === null || network.consensus('microdesc') === null);
    i++
  ) {
    await time.pass(100);
    await Bun.sleep(10);
  }
  fetcher.stop();
  expect(misbehaved).toBeGreaterThan(bad.length);
  expect(network.consensus('ns')!.validAfterSec).toBe(T0);
  expect(network.consensus('microdesc')!.validAfterSec).toBe(T0);
});

test('a publisher reaches each authority once it behaves, and leaves one alone that refuses', async () => {
  const records = collect();
  const time = new VirtualTime(T0);
  const willing = await serve('willing', (_request, socket) => socket.end(reply('200 OK')));
  const strict = await serve('strict', (_request, socket) =>
    socket.end(reply('400 Missing TAP key in descriptor')),
  );
  const moods: Answer[] = [
    () => undefined,
    (_request, socket) => socket.destroy(),
    (_request, socket) => socket.end('HTTP/1.0 200'),
    (_request, socket) => socket.end(reply('503 Busy')),
  ];
  const moody = await serve('moody', (request, socket) => {
    const answer = moods.shift();
    if (answer === undefined) socket.end(reply('200 OK', '', { 'X-Descriptor-Not-New': 'Yes' }));
    else answer(request, socket);
  });
  const here = {
    ipv4: { host: new Uint8Array([127, 0, 0, 1]), port: 1 },
    ipv6: null,
    ipv4Origin: null,
    ipv6Origin: null,
    problem: null,
  };
  const publisher = new Publisher({
    authorities: [willing, strict, moody].map(({ paper }) => paper.authority),
    network: { hasConsensus: false, missingRequired: '', ownListing: () => null },
    exchange: makeHttpExchange(SOCKET_TIME),
    timing: time,
    random: seededRandom(5),
    settings: () => ({ publish: true, waitsFor: null, testing: true, address: here }),
    buildDescriptor: () => ({
      descriptor: 'router x\n'.repeat(1000),
      extraInfo: 'extra-info x\n'.repeat(2000),
    }),
    observedBytesPerSec: () => 0,
    uptimeSec: () => 0,
  });
  publisher.start();
  for (let i = 0; i < 500 && publisher.uploads()[2]!.state !== 'accepted'; i++) {
    await time.pass(100);
    await Bun.sleep(10);
  }
  publisher.stop();
  expect(publisher.uploads().map(({ nickname, state }) => `${nickname} ${state}`)).toEqual([
    'willing accepted',
    'strict refused',
    'moody accepted',
  ]);
  expect([willing, strict, moody].map(({ server }) => server.requests.length)).toEqual([1, 1, 5]);
  const [seen] = moody.server.requests;
  expect(seen!.line).toBe('POST /tor/ HTTP/1.1');
  expect(seen!.body.length).toBe(9000 + 26_000);
  expect(
    records.filter(({ text }) => text.includes('refused')).map(({ text }) => text.split(': ')[1]),
  ).toEqual(['Missing TAP key in descriptor']);
});
