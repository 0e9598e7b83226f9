/** From torrc to effect: what options do to a running relay, seen by an authority of its network or on its disk. */

import { afterEach, expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import {
  folder,
  PATIENCE_MS,
  quietRelay,
  type RelayProcess,
  runToEnd,
  startRelay,
  until,
  writeTorrc,
} from './relay-process.ts';
import { openLink } from './test-client.ts';

const undo: (() => void)[] = [];

afterEach(() => {
  for (const each of undo.splice(0)) each();
});

/** What an authority was asked. */
interface Asked {
  readonly method: string;
  readonly path: string;
  readonly from: string;
  readonly body: string;
}

/** An authority that has nothing and takes everything. */
function scribe(): { port: number; asked: Asked[]; uploads: () => string[] } {
  const asked: Asked[] = [];
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request, self) {
      const { method, url } = request;
      const from = self.requestIP(request)!.address;
      asked.push({ method, path: new URL(url).pathname, from, body: await request.text() });
      return new Response('', { status: method === 'POST' ? 200 : 404 });
    },
  });
  undo.push(() => server.stop(true));
  const uploads = () => asked.filter(({ method }) => method === 'POST').map(({ body }) => body);
  return { port: server.port!, asked, uploads };
}

function linesFor(at: string, port: number, ...more: string[]): string[] {
  const usual = quietRelay(at).filter((line) => !/^(DirAuthority|PublishServerDescriptor)/.test(line));
  const authority = `DirAuthority scribe orport=1 v3ident=${'1'.repeat(40)} 127.0.0.1:${port} ${'2'.repeat(40)}`;
  return [...usual, authority, 'Address 127.0.0.1', 'Log info stdout', ...more];
}

const bandwidthOf = (document: string) =>
  /^bandwidth (\d+) (\d+) (\d+)$/m.exec(document)!.slice(1).map(Number);

/** Reload with these lines and wait for the descriptor that it makes. */
async function republish(relay: RelayProcess, at: string, lines: string[], uploads: () => string[]) {
  const before = uploads().length;
  writeTorrc(at, lines);
  relay.signal('SIGHUP');
  await until(() => uploads().length > before);
  return uploads().at(-1)!;
}

test(
  'KeyDirectory holds the keys, OutboundBindAddress is where directory connections come from',
  async () => {
    const at = folder();
    const { port, asked, uploads } = scribe();
    const relay = startRelay(
      at,
      linesFor(at, port, `KeyDirectory ${at}/elsewhere`, 'OutboundBindAddress 127.0.0.9'),
    );
    await until(() => uploads().length > 0 && asked.some(({ method }) => method === 'GET'));
    expect(existsSync(`${at}/elsewhere/secret_id_key`)).toBe(true);
    expect(existsSync(`${at}/data/keys`)).toBe(false);
    expect(new Set(asked.map(({ from }) => from))).toEqual(new Set(['127.0.0.9']));
    await relay.stop();
  },
  PATIENCE_MS,
);

const BANDWIDTHS: readonly (readonly [number, number, ...string[]])[] = [
  [300 << 10, 400 << 10, 'BandwidthRate 300 KBytes', 'BandwidthBurst 400 KBytes'],
  [200 << 10, 200 << 10, 'RelayBandwidthRate 200 KBytes'],
  [200 << 10, 350 << 10, 'RelayBandwidthRate 200 KBytes', 'RelayBandwidthBurst 350 KBytes'],
  [100 << 10, 1 << 30, 'MaxAdvertisedBandwidth 100 KBytes'],
];

test(
  'limits of bandwidth stand in the descriptor',
  async () => {
    const at = folder();
    const { port, uploads } = scribe();
    const relay = startRelay(at, linesFor(at, port));
    await until(() => uploads().length === 1);
    expect(bandwidthOf(uploads()[0]!).slice(0, 2)).toEqual([1 << 30, 1 << 30]);
    for (const [rate, burst, ...lines] of BANDWIDTHS) {
      const document = await republish(relay, at, linesFor(at, port, ...lines), uploads);
      expect([lines, ...bandwidthOf(document).slice(0, 2)]).toEqual([lines, rate, burst]);
    }
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'exit policies stand in the descriptor, and change with torrc',
  async () => {
    const at = folder();
    const { port, uploads } = scribe();
    const policyOf = (document: string) =>
      document.split('\n').filter((line) => /^(accept|reject|ipv6-policy) /.test(line));
    writeFileSync(`${at}/resolv.conf`, 'nameserver 127.0.0.1:1\n');
    const lines = linesFor(
      at,
      port,
      `ServerDNSResolvConfFile ${at}/resolv.conf`,
      'ServerDNSDetectHijacking 0',
    );
    const relay = startRelay(at, [...lines, 'ExitPolicy accept *:80,accept *:443', 'ExitPolicy reject *:*']);
    await until(() => uploads().length === 1);
    expect(policyOf(uploads()[0]!)).toEqual(['accept *:80', 'accept *:443', 'reject *:*']);
    const six = await republish(relay, at, [...lines, 'ReducedExitPolicy 1', 'IPv6Exit 1'], uploads);
    expect(policyOf(six).slice(0, 2)).toEqual(['accept *:20-23', 'accept *:43']);
    expect(policyOf(six).at(-1)).toStartWith('ipv6-policy accept 20-23,43,');
    const none = await republish(relay, at, [...lines, 'ReducedExitPolicy 1', 'ExitRelay 0'], uploads);
    expect(policyOf(none)).toEqual(['reject *:*']);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'limits that were hit stand in the extra-info document, unless OverloadStatistics 0',
  async () => {
    const at = folder();
    const { port, uploads } = scribe();
    const limits = ['BandwidthRate 75 KBytes', 'BandwidthBurst 80 KBytes', 'CountPrivateBandwidth 1'];
    const relay = startRelay(at, linesFor(at, port, ...limits));
    const orPort = await relay.up();
    await until(() => uploads().length === 1);
    expect(uploads()[0]).not.toContain('overload-ratelimits');
    const link = await openLink(orPort, `${at}/data`);
    link.send(new Uint8Array(1000 * CELL_BYTES));
    // The hits are looked at once a second.
    let told = '';
    for (let n = 0; !told.includes('overload-ratelimits'); n++) {
      await Bun.sleep(300);
      told = await republish(relay, at, linesFor(at, port, ...limits, `Nickname again${n}`), uploads);
    }
    const line = /^overload-ratelimits 1 \d{4}-\d\d-\d\d \d\d:00:00 76800 81920 (\d+) \d+$/m.exec(told);
    expect(Number(line?.[1])).toBeGreaterThan(0);
    const silent = await republish(relay, at, linesFor(at, port, ...limits, 'OverloadStatistics 0'), uploads);
    expect(silent).toContain('\nextra-info ');
    expect(silent).not.toContain('overload-ratelimits');
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'TestingMinTimeToReportBandwidth keeps back what was seen too short a time',
  async () => {
    const at = folder();
    const { port, asked, uploads } = scribe();
    const patient = 'TestingMinTimeToReportBandwidth 1 day';
    const relay = startRelay(at, linesFor(at, port, patient));
    await until(() => asked.length > 1);
    // Ten seconds is the window in which bandwidth is observed; what is observed here is the fetching itself.
    await Bun.sleep(13_000);
    const kept = await republish(relay, at, linesFor(at, port, patient, 'Nickname one'), uploads);
    expect(bandwidthOf(kept)[2]).toBe(0);
    const told = await republish(relay, at, linesFor(at, port, 'Nickname two'), uploads);
    expect(bandwidthOf(told)[2]).toBeGreaterThan(0);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'each TestingServer…InitialDelay holds back its own kind of document',
  async () => {
    for (const [held, other, lines] of [
      [/consensus/, /\/keys\//, 'TestingServerConsensusDownloadInitialDelay 3600'],
      [/\/keys\//, /consensus/, 'TestingServerDownloadInitialDelay 3600'],
    ] as const) {
      const at = folder();
      const { port, asked } = scribe();
      const relay = startRelay(at, linesFor(at, port, lines));
      // Twice, so that the held one had its turn.
      const seen = (wanted: RegExp) => asked.filter(({ path }) => wanted.test(path)).length;
      await until(() => seen(other) >= 2);
      expect([lines, seen(held)]).toEqual([lines, 0]);
      await relay.stop();
    }
  },
  PATIENCE_MS,
);

/** Accepts and never says a word. */
async function mute(): Promise<{ port: number; closed: () => number }> {
  let closed = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => closed++);
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, closed: () => closed };
}

test(
  'TestingDirConnectionMaxStall ends fetches that fell silent',
  async () => {
    const at = folder();
    const { port } = await mute();
    // Started first, it would be first to give up if the option did nothing.
    const there = folder();
    const patient = startRelay(there, linesFor(there, port, 'TestingDirConnectionMaxStall 1 hour'));
    await patient.up();
    const hasty = startRelay(at, linesFor(at, port, 'TestingDirConnectionMaxStall 5 seconds'));
    await hasty.said(/Fetching .*fell silent/);
    expect(patient.out).not.toMatch(/Fetching .*fell silent/);
    await patient.stop();
    await hasty.stop();
  },
  PATIENCE_MS,
);

test(
  'TestingSigningKeySlop: a signing key is renewed that long before its end',
  async () => {
    const at = folder();
    const certificate = async (...lines: string[]): Promise<string> => {
      const torrc = writeTorrc(at, quietRelay(at, ...lines));
      expect((await runToEnd(['-f', torrc, '--list-fingerprint'])).code).toBe(0);
      return readFileSync(`${at}/data/keys/ed25519_signing_cert`).toString('hex');
    };
    const first = await certificate('SigningKeyLifetime 2 days', 'TestingSigningKeySlop 1 hour');
    expect(await certificate('SigningKeyLifetime 60 days', 'TestingSigningKeySlop 1 hour')).toBe(first);
    expect(await certificate('SigningKeyLifetime 60 days', 'TestingSigningKeySlop 30 days')).not.toBe(first);
  },
  PATIENCE_MS,
);
