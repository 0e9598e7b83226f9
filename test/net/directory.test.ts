/**
 * The directory room against one real C tor authority on loopback that votes every ten seconds: both consensus
 * flavours are fetched and verified, our descriptor is taken, refused and listed, and each program reads the
 * other's caches.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeHex } from '../../src/bytes/base.ts';
import { CertType, encodeEd25519Cert } from '../../src/crypto/certificate.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { sha1 } from '../../src/crypto/digest.ts';
import { generateEd25519, signSeed } from '../../src/crypto/ed25519.ts';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { type DirectoryAuthority, parseDirAuthority } from '../../src/directory/authority.ts';
import { DirectoryCache } from '../../src/directory/cache.ts';
import { Fetcher } from '../../src/directory/fetcher.ts';
import { makeHttpExchange } from '../../src/directory/http-exchange.ts';
import { Network } from '../../src/directory/network.ts';
import { choosePublishedAddress } from '../../src/directory/published-address.ts';
import { type BuiltDescriptor, Publisher } from '../../src/directory/publisher.ts';
import { systemTiming } from '../../src/directory/timing.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { printExtraInfo } from '../../src/netdoc/extra-info.ts';
import { printServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import type { RouterSigner } from '../../src/netdoc/signature.ts';
import { freePorts } from './free-ports.ts';

const HAS_C_TOR = Bun.which('tor') !== null && Bun.which('tor-gencert') !== null;
const PROTO = 'Cons=1-2 Desc=1-4 Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4';
const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

setDefaultTimeout(240_000);

const REAL_TIME = systemTiming();

const records: LogRecord[] = [];
const children: Bun.Subprocess[] = [];
let home = '';
let authorityLine = '';
let authority: DirectoryAuthority;

beforeAll(async () => {
  if (!HAS_C_TOR) return;
  home = mkdtempSync(join(tmpdir(), 'authority-'));
  setLogThreshold(() => true);
  setLogSink((record) => records.push(record));
  await startAuthority();
});

afterAll(async () => {
  setLogSink(null);
  setLogThreshold(null);
  for (const child of children) {
    child.kill('SIGKILL');
    await child.exited;
  }
  if (home !== '') rmSync(home, { recursive: true, force: true });
});

async function run(command: string[], input = ''): Promise<string> {
  const child = Bun.spawn(command, { stdin: Buffer.from(input), stdout: 'pipe', stderr: 'pipe' });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command[0]}: ${errors}${output}`);
  return output;
}

async function startAuthority(): Promise<void> {
  const data = join(home, 'authority');
  const keys = join(data, 'keys');
  mkdirSync(keys, { recursive: true, mode: 0o700 });
  chmodSync(data, 0o700);
  const [orPort, dirPort] = freePorts(2);
  const certificate = join(keys, 'authority_certificate');
  const names = ['-i', join(keys, 'authority_identity_key'), '-s', join(keys, 'authority_signing_key')];
  await run(
    ['tor-gencert', '--create-identity-key', '-m', '12', '-c', certificate, ...names, '--passphrase-fd', '0'],
    'passphrase\n',
  );
  const v3Ident = /^fingerprint ([0-9A-F]{40})$/m.exec(readFileSync(certificate, 'utf8'))![1]!;
  const torrc = join(data, 'torrc');
  const flags = `authority orport=${orPort} no-v2 v3ident=${v3Ident} 127.0.0.1:${dirPort}`;
  const lines = [
    `DataDirectory ${data}`,
    'TestingTorNetwork 1',
    'Nickname authority',
    'ContactInfo nobody@example.org',
    'Address 127.0.0.1',
    `ORPort 127.0.0.1:${orPort}`,
    `DirPort 127.0.0.1:${dirPort}`,
    'SocksPort 0',
    'AuthoritativeDirectory 1',
    'V3AuthoritativeDirectory 1',
    'AssumeReachable 1',
    'TestingV3AuthInitialVotingInterval 10',
    'TestingV3AuthInitialVoteDelay 2',
    'TestingV3AuthInitialDistDelay 2',
    'V3AuthVotingInterval 10',
    'V3AuthVoteDelay 2',
    'V3AuthDistDelay 2',
    'TestingMinFastFlagThreshold 0',
    'AuthDirTestReachability 0',
    `Log notice file ${join(data, 'log')}`,
  ];
  writeFileSync(torrc, `${lines.join('\n')}\nDirAuthority ${flags} ${'0'.repeat(40)}\n`);
  const listed = await run(['tor', '-f', torrc, '--list-fingerprint', '--quiet']);
  const fingerprint = listed.trim().split(' ').slice(1).join('').slice(-40);
  authorityLine = `${flags} ${fingerprint}`;
  authority = parseDirAuthority(authorityLine, 'test').authority;
  writeFileSync(torrc, `${lines.join('\n')}\nDirAuthority ${authorityLine}\n`);
  children.push(
    Bun.spawn(['tor', '--quiet', '-f', torrc], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }),
  );
}

/** A relay's keys and the directory room around them. */
class Relay {
  readonly signer: RouterSigner;
  readonly rsaId: Uint8Array;
  readonly network: Network;
  readonly fetcher: Fetcher;
  readonly publisher: Publisher;
  readonly cacheDirectory = mkdtempSync(join(home, 'relay-'));
  readonly #onion = generateCurve25519();
  readonly #tap = generateRsa(1024);
  /** What is wrong with the next descriptor. */
  spoil: (text: string) => string = (text) => text;
  publishedOffsetSec = 0;

  constructor() {
    const master = generateEd25519();
    const signing = generateEd25519();
    const signingCert = encodeEd25519Cert(
      {
        certType: CertType.SIGNING,
        expirationHours: Math.floor(Date.now() / 3_600_000) + 24 * 30,
        certifiedKey: signing.publicKey,
        signingKey: master.publicKey,
      },
      (message) => signSeed(master.seed, message),
    );
    const sign = (message: Uint8Array) => signSeed(signing.seed, message);
    this.signer = { rsa: generateRsa(1024), ed25519Id: master.publicKey, signingCert, sign };
    this.rsaId = sha1(this.signer.rsa.publicDer);
    const exchange = makeHttpExchange(REAL_TIME);
    const common = { authorities: [authority], exchange, timing: REAL_TIME, random: Math.random };
    this.network = new Network({ ...common, ownRsaId: this.rsaId, ownProtocols: PROTO });
    const cache = new DirectoryCache(this.cacheDirectory);
    this.fetcher = new Fetcher({ ...common, network: this.network, cache, testing: true });
    const ports = [{ host: LOOPBACK, port: 9, advertise: true }];
    const address = choosePublishedAddress(
      ['127.0.0.1'],
      ports,
      { interfaces: [], hostName: [], suggested: [] },
      true,
    );
    this.publisher = new Publisher({
      ...common,
      network: this.network,
      settings: () => ({ publish: true, waitsFor: null, testing: true, address }),
      buildDescriptor: (_reason, publishedSec) => this.#build(publishedSec + this.publishedOffsetSec),
      observedBytesPerSec: () => 0,
      uptimeSec: () => 1,
    });
  }

  #build(publishedSec: number): BuiltDescriptor {
    const extraInfo = printExtraInfo({ nickname: 'ours', publishedSec, histories: [] }, this.signer);
    const descriptor = printServerDescriptor(
      {
        nickname: 'ours',
        address: LOOPBACK,
        orPort: 9,
        ipv6: null,
        platform: 'onionrelay 0.1.0 on Linux',
        proto: PROTO,
        publishedSec,
        uptimeSec: 1,
        bandwidth: { rate: 1 << 30, burst: 1 << 30, observed: 0 },
        extraInfoDigest: { sha1: extraInfo.digestSha1, sha256: extraInfo.digestSha256 },
        ntorOnionKey: this.#onion,
        ntorLifetimeSec: 28 * 86400,
        tapOnionKey: this.#tap,
        family: [],
        contact: null,
        policy: ['reject *:*'],
      },
      this.signer,
    );
    return { descriptor: this.spoil(textOf(descriptor.bytes)), extraInfo: textOf(extraInfo.bytes) };
  }

  stop(): void {
    this.fetcher.stop();
    this.publisher.stop();
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + 100_000; performance.now() < end; ) {
    if (isSo()) return;
    await Bun.sleep(50);
  }
  const said = records.slice(-30).map(({ severity, text }) => `[${severity}] ${text}`);
  throw new Error(`never: ${what}\n${said.join('\n')}\n${logOf(join(home, 'authority')).slice(-2000)}`);
}

function logOf(data: string): string {
  const path = join(data, 'log');
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function said(text: string): boolean {
  return records.some((record) => record.text.includes(text));
}

test.skipIf(!HAS_C_TOR)(
  'both flavours arrive verified, our descriptor is taken and listed, consensus follows consensus',
  async () => {
    const relay = new Relay();
    relay.fetcher.start();
    relay.publisher.start();
    try {
      await until('upload accepted', () => relay.publisher.uploads()[0]!.state === 'accepted');
      await until(
        'both flavours',
        () => relay.network.consensus('ns') !== null && relay.network.consensus('microdesc') !== null,
      );
      expect(relay.network.certificates.missing(REAL_TIME.nowSec())).toEqual([]);
      await until('listed', () => relay.network.ownStatus !== null);
      expect(relay.network.ownStatus!.flags).toContain('Running');
      expect(relay.network.ownStatus!.flags).toContain('Valid');
      expect(said('lists this relay: flags')).toBe(true);
      const first = relay.network.consensus('microdesc')!.validAfterSec;
      await until(
        'a third consensus',
        () => relay.network.consensus('microdesc')!.validAfterSec >= first + 20,
      );
      expect(records.filter(({ severity }) => severity === 'warn').map(({ text }) => text)).toEqual([]);
    } finally {
      relay.stop();
    }

    // What we cached is read by C tor, and by us.
    const data = join(home, 'reader');
    mkdirSync(data, { mode: 0o700 });
    for (const name of ['cached-certs', 'cached-consensus', 'cached-microdesc-consensus']) {
      copyFileSync(join(relay.cacheDirectory, name), join(data, name));
    }
    const torrc = join(data, 'torrc');
    writeFileSync(
      torrc,
      [
        `DataDirectory ${data}`,
        `Log info file ${join(data, 'log')}`,
        'TestingTorNetwork 1',
        'DisableNetwork 1',
        'SocksPort 0',
        `DirAuthority ${authorityLine}`,
        '',
      ].join('\n'),
    );
    children.push(
      Bun.spawn(['tor', '--quiet', '-f', torrc], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }),
    );
    await until('C tor read our certificates', () =>
      logOf(data).includes('Adding cached certificate for directory authority authority'),
    );
    await until('C tor believed our consensus', () =>
      /This microdesc one has 1 \(authority\)/.test(logOf(data)),
    );

    const again = new Relay();
    new DirectoryCache(relay.cacheDirectory).load(again.network);
    expect(again.network.consensus('ns')).not.toBeNull();
    expect(again.network.document('microdesc')!.length).toBeGreaterThan(500);
  },
);

test.skipIf(!HAS_C_TOR)(
  'the authority keeps a descriptor that says nothing new, and we do not insist',
  async () => {
    const relay = new Relay();
    relay.publisher.start();
    try {
      await until('first upload', () => relay.publisher.uploads()[0]!.state === 'accepted');
      const before = records.length;
      relay.publisher.markDirty('config change');
      await until('second upload', () => records.slice(before).some(({ text }) => text.includes('not new')));
      expect(relay.publisher.uploads()[0]!.state).toBe('accepted');
    } finally {
      relay.stop();
    }
  },
);

test.skipIf(!HAS_C_TOR)("a refusal is told in the authority's own words", async () => {
  const broken = new Relay();
  broken.spoil = (text) => text.replace('uptime 1', 'uptime 2');
  const old = new Relay();
  old.publishedOffsetSec = -30 * 3600;
  for (const relay of [broken, old]) {
    const before = records.length;
    relay.publisher.start();
    await until('refused', () => relay.publisher.uploads()[0]!.state === 'refused');
    relay.stop();
    const warning = records.slice(before).find(({ severity }) => severity === 'warn')!.text;
    const { reason } = relay.publisher.uploads()[0]!;
    expect(reason.length).toBeGreaterThan(10);
    expect(warning).toContain(`refused our descriptor: ${reason}`);
    expect(logOf(join(home, 'authority'))).not.toContain(`${encodeHex(relay.rsaId)} added`);
  }
});

test.skipIf(!HAS_C_TOR)('a certificate of the authority is fetched by its signing key too', async () => {
  const relay = new Relay();
  const v3Ident = encodeHex(authority.v3Ident!);
  const pending = makeHttpExchange(REAL_TIME)({
    endpoint: authority.dir,
    method: 'GET',
    path: `/tor/keys/fp/${v3Ident}`,
    headers: {},
    body: null,
    bytesMax: 1 << 20,
    stallMs: 10_000,
    deadlineMs: 10_000,
  });
  const { status, body, wireBytes } = await pending.reply;
  expect(status).toBe(200);
  expect(wireBytes).toBeLessThan(body.length);
  const { added } = relay.network.certificates.add(body);
  expect(added.length).toBe(1);
  const key = encodeHex(added[0]!.signingKeyDigest);
  const bySigningKey = await makeHttpExchange(REAL_TIME)({
    endpoint: authority.dir,
    method: 'GET',
    path: `/tor/keys/fp-sk/${v3Ident}-${key}`,
    headers: {},
    body: null,
    bytesMax: 1 << 20,
    stallMs: 10_000,
    deadlineMs: 10_000,
  }).reply;
  expect(textOf(bySigningKey.body)).toBe(textOf(body));
});
