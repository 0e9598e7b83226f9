/**
 * Ours as a directory cache among real C tors: it fetches everything that they have, consensuses as diffs; then a C tor
 * starts on what ours kept, and ours on what that one left, and neither fetches again what it has.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeHex } from '../../src/bytes/base.ts';
import { splitAnnotated } from '../../src/netdoc/annotated.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { parseExtraInfo } from '../../src/netdoc/extra-info.ts';
import { parseMicrodescriptors } from '../../src/netdoc/microdescriptor.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { warningsAgainst } from './c-tor-warnings.ts';
import { Network, needsCTor, waitUntil } from './network.ts';

const HAS_C_TOR = needsCTor('directory caches');
const DEADLINE_MS = 180_000;

setDefaultTimeout(600_000);

let network: Network;

beforeAll(async () => {
  if (!HAS_C_TOR) return;
  network = new Network([
    { name: 'auth0', software: 'tor', role: 'authority' },
    { name: 'auth1', software: 'tor', role: 'authority' },
    { name: 'auth2', software: 'tor', role: 'authority' },
    { name: 'exit0', software: 'tor', role: 'exit' },
    { name: 'ours', software: 'onionrelay', role: 'relay', torrc: ['DownloadExtraInfo 1'] },
  ]);
  await network.start();
});

afterAll(async () => {
  await network?.stop();
});

function read(name: string): Buffer {
  try {
    return readFileSync(join(network.node('ours').directory, name));
  } catch {
    return Buffer.alloc(0);
  }
}

/** Digests of what lies in a file and its journal. */
function digestsOf(name: string, keyword: string, digest: (document: Uint8Array) => Uint8Array): Set<string> {
  const bytes = Buffer.concat([read(name), read(`${name}.new`)]);
  return new Set(
    splitAnnotated(bytes, keyword).map(({ start, end }) => encodeHex(digest(bytes.subarray(start, end)))),
  );
}

interface Kept {
  readonly micro: Set<string>;
  readonly server: Set<string>;
  readonly extra: Set<string>;
  /** What the kept consensuses and descriptors name and is not kept. */
  readonly lacking: string[];
}

function kept(): Kept {
  const micro = new Set<string>();
  for (const name of ['cached-microdescs', 'cached-microdescs.new']) {
    for (const { microdescriptor } of parseMicrodescriptors(read(name)).list)
      micro.add(encodeHex(microdescriptor.digest));
  }
  const server = digestsOf(
    'cached-descriptors',
    'router',
    (document) => parseServerDescriptor(document).digestSha1,
  );
  const extra = digestsOf(
    'cached-extrainfo',
    'extra-info',
    (document) => parseExtraInfo(document).digestSha1,
  );
  const lacking: string[] = [];
  const ns = parseConsensus(read('cached-consensus'));
  const md = parseConsensus(read('cached-microdesc-consensus'));
  for (const [{ routers }, held] of [
    [ns, server],
    [md, micro],
  ] as const) {
    for (let row = 0; row < routers.count; row++) {
      const digest = encodeHex(routers.digest(row));
      if (!held.has(digest)) lacking.push(digest);
    }
  }
  const bytes = Buffer.concat([read('cached-descriptors'), read('cached-descriptors.new')]);
  for (const { start, end } of splitAnnotated(bytes, 'router')) {
    const { digestSha1, extraInfoDigest } = parseServerDescriptor(bytes.subarray(start, end));
    const isListed = Array.from({ length: ns.routers.count }, (_, row) => encodeHex(ns.routers.digest(row)));
    if (!isListed.includes(encodeHex(digestSha1)) || extraInfoDigest === null) continue;
    if (!extra.has(encodeHex(extraInfoDigest.sha1))) lacking.push(encodeHex(extraInfoDigest.sha1));
  }
  return { micro, server, extra, lacking };
}

/** Wait until everything is kept that five relays of a consensus have. */
async function complete(what: string): Promise<Kept> {
  let last: Kept | null = null;
  await waitUntil(what, DEADLINE_MS, () => {
    try {
      last = kept();
    } catch {
      // A file is missing, or just being written.
      return false;
    }
    return last.lacking.length === 0 && Math.min(last.micro.size, last.server.size, last.extra.size) >= 5;
  });
  return last!;
}

test.skipIf(!HAS_C_TOR)('everything is fetched, consensuses as diffs', async () => {
  const ours = network.node('ours');
  await network.knows('auth0', ['ours', 'exit0']);
  await complete('all documents');
  await waitUntil('both flavours as diffs', DEADLINE_MS, () =>
    ['ns', 'microdesc'].every((flavour) => ours.log().includes(`The ${flavour} consensus came as a diff`)),
  );
  expect(ours.log()).not.toContain('sent a diff that is of no use');
  expect(ours.log()).not.toMatch(/\[warn\].*(sent bad|skipped)/);
});

test.skipIf(!HAS_C_TOR)('a C tor starts on what ours kept, and ours on what that one left', async () => {
  const ours = network.node('ours');
  await complete('all documents');
  await network.stopNode('ours');
  const before = kept();
  ours.software = 'tor';
  ours.start();
  const marks = ours.marks();
  await waitUntil('the C tor to have read our files', DEADLINE_MS, () =>
    ours.log('tor').includes('Reloaded microdescriptor cache'),
  );
  const log = ours.log('tor');
  expect(log).toContain(`Reloaded microdescriptor cache. Found ${before.micro.size} descriptors`);
  // The main files and their journals: descriptors, then extra-infos.
  const elements = [...log.matchAll(/(\d+) elements to add/g)].map((match) => Number(match[1]));
  expect(elements.slice(0, 4).reduce((sum, count) => sum + count, 0)).toBe(
    before.server.size + before.extra.size,
  );
  await waitUntil('the C tor to look for extra-infos', DEADLINE_MS, () =>
    ours.log('tor').includes('Extrainfo download status'),
  );
  expect(ours.log('tor')).toMatch(
    /0 router with no ei, \d+ with present ei, 0 delaying, 0 pending, 0 downloadable/,
  );
  await complete('all documents, by the C tor');
  await network.stopNode('ours');
  expect(
    warningsAgainst([marks], ours.log('tor')).filter((line) => !line.includes('DownloadExtraInfo')),
  ).toEqual([]);

  const left = kept();
  ours.software = 'onionrelay';
  const from = ours.log().length;
  ours.start();
  await waitUntil('ours to have read the C tor’s files', DEADLINE_MS, () =>
    ours.log().slice(from).includes('extra-infos from disk'),
  );
  expect(ours.log().slice(from)).toContain(
    `Read ${left.micro.size} microdescriptors, ${left.server.size} server descriptors and ${left.extra.size} extra-infos`,
  );
  await complete('all documents again');
  expect(ours.log().slice(from)).not.toMatch(/\[warn\].*(cached-|sent bad)/);
});

test.skipIf(!HAS_C_TOR)('nobody complains of ours', async () => {
  const marks = [network.node('ours').marks()];
  for (const name of ['auth0', 'auth1', 'auth2', 'exit0']) {
    expect(warningsAgainst(marks, network.node(name).log()), name).toEqual([]);
  }
});
