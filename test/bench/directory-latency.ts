/**
 * How long a cell waits while the clerk works: latency of a relay that stands idle beside it, and of the same relay
 * while it compresses the consensuses of a network of 8,000 relays and makes diffs to them from three days.
 *
 * `bun test/bench/directory-latency.ts [RELAYS] [HOURS]`. All on loopback; prints what `onionrelay bench latency` says
 * in both cases, and how much the clerk had done by then. Not part of the tests.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { encodeHex } from '../../src/bytes/base.ts';
import { fingerprint } from '../../src/crypto/rsa.ts';
import { DiffCache } from '../../src/directory/diff-cache.ts';
import { signedSha3 } from '../../src/netdoc/consensus-diff.ts';
import { makeAuthority, printCertificate } from '../directory/paper-network.ts';
import { freePorts } from '../net/free-ports.ts';
import { onionrelayCommand, waitUntil } from '../net/network-node.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';

const HOUR_SEC = 3600;
const [relays, hours] = [Number(process.argv[2] ?? 8000), Number(process.argv[3] ?? 71)];
const PROBES = 4000;
const SETTLE_MS = 15_000;

const root = mkdtempSync(join(tmpdir(), 'onionrelay-directory-latency-'));
const nowSec = Math.floor(Date.now() / 1000);
const authorities = ['alpha', 'beta', 'gamma'].map((name) => makeAuthority(name, 1));

function prepare(name: string): { directory: string; torrc: string; port: number } {
  const directory = join(root, name);
  mkdirSync(directory, { mode: 0o700 });
  const [port] = freePorts(1);
  const lines = [
    `DataDirectory ${directory}`,
    `ORPort 127.0.0.1:${port}`,
    'Address 127.0.0.1',
    'ContactInfo nobody@example.com',
    'NumCPUs 2',
    'PublishServerDescriptor 0',
    'AssumeReachable 1',
    'ShutdownWaitLength 0',
    'TestingTorNetwork 1',
    'ExtendAllowPrivateAddresses 1',
    'DisableDebuggerAttachment 0',
    `Log info file ${join(directory, 'log')}`,
    ...authorities.map(
      ({ authority, identity }) =>
        `DirAuthority ${authority.nickname} orport=1 no-v2 v3ident=${encodeHex(fingerprint(identity.publicDer))} ` +
        `127.0.0.1:1 ${encodeHex(authority.rsaId)}`,
    ),
  ];
  const torrc = join(root, `${name}.torrc`);
  writeFileSync(torrc, `${lines.join('\n')}\n`);
  return { directory, torrc, port: port! };
}

/** Lay an old consensus where the relay looks for bases of diffs. */
function keepBase(
  cache: DiffCache,
  flavour: 'ns' | 'microdesc',
  validAfterSec: number,
  text: Uint8Array,
): void {
  cache.add(
    {
      'document-type': 'consensus',
      compression: 'deflate',
      'consensus-flavor': flavour,
      'sha3-digest-as-signed': encodeHex(signedSha3(text)),
      'consensus-valid-after': new Date(validAfterSec * 1000).toISOString().slice(0, 19),
    },
    deflateSync(text, { level: 1 }),
  );
}

function fill(directory: string): void {
  const lastSec = Math.floor(nowSec / HOUR_SEC) * HOUR_SEC;
  const network = new SyntheticNetwork({
    seed: 1,
    relays,
    authorities,
    validAfterSec: lastSec - hours * HOUR_SEC,
  });
  const cache = new DiffCache(directory);
  for (let hour = 0; hour < hours; hour++) {
    for (const flavour of ['ns', 'microdesc'] as const) {
      keepBase(cache, flavour, network.validAfterSec, network.consensus(flavour));
    }
    network.pass(1);
  }
  writeFileSync(join(directory, 'cached-consensus'), network.consensus('ns'));
  writeFileSync(join(directory, 'cached-microdesc-consensus'), network.consensus('microdesc'));
  const certificates = authorities.map((each) =>
    printCertificate(each, nowSec - 86_400, nowSec + 90 * 86_400),
  );
  writeFileSync(join(directory, 'cached-certs'), certificates.join(''));
}

const logOf = (directory: string): string => {
  try {
    return readFileSync(join(directory, 'log'), 'utf8');
  } catch {
    return '';
  }
};

async function measure(name: string, { directory, torrc, port }: ReturnType<typeof prepare>): Promise<void> {
  const relay = Bun.spawn([...onionrelayCommand(), '-f', torrc], { stdout: 'ignore', stderr: 'inherit' });
  try {
    await waitUntil('the relay', 60_000, () => logOf(directory).includes('Listening for OR'));
    // What main does at a start is not what is asked here.
    await Bun.sleep(SETTLE_MS);
    const clerk = (): string[] =>
      logOf(directory).match(/Serving the \S+ consensus with diffs from \d+/g) ?? [];
    const command = [...onionrelayCommand(), 'bench', 'latency', '--target', `127.0.0.1:${port}`];
    const bench = Bun.spawn(
      [...command, '--data-directory', directory, '--runs', '1', '--probes', String(PROBES)],
      {
        stdout: 'pipe',
        stderr: 'inherit',
      },
    );
    const text = await new Response(bench.stdout).text();
    const done = clerk().length;
    console.log(`\n== ${name}; the clerk had ${done === 2 ? 'ended' : 'not ended'} by then\n${text}`);
    if (!logOf(directory).includes('New ns consensus')) return;
    await waitUntil('all diffs', 1_200_000, () => clerk().length === 2);
    console.log(clerk().join('\n'));
  } finally {
    relay.kill('SIGINT');
    await relay.exited;
  }
}

try {
  const quiet = prepare('quiet');
  const busy = prepare('busy');
  fill(busy.directory);
  await measure('without a consensus', quiet);
  await measure(`with ${hours} old consensuses of each flavour and ${relays} relays`, busy);
} finally {
  rmSync(root, { recursive: true, force: true });
}
