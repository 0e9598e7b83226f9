/** The fetcher with a document store: which documents follow from which, and from what torrc wishes. */
import { expect, test } from 'bun:test';
import { decodeHex } from '../../src/bytes/base.ts';
import { DigestMap } from '../../src/directory/digest-map.ts';
import { DocumentStore } from '../../src/directory/document-store.ts';
import { Fetcher, type FetchWishes } from '../../src/directory/fetcher.ts';
import type { DirectoryReply, DirectoryRequest } from '../../src/directory/http-exchange.ts';
import { splitAnnotated } from '../../src/netdoc/annotated.ts';
import { parseExtraInfo } from '../../src/netdoc/extra-info.ts';
import { parseMicrodescriptors } from '../../src/netdoc/microdescriptor.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import {
  AUTHORITIES,
  CONSENSUS,
  DESCRIPTORS,
  EXTRA_INFOS,
  MICRODESC,
  MICRODESC_CONSENSUS,
  MICRODESCRIPTORS,
  makeChutney,
  NS,
} from './chutney.ts';
import { seededRandom, type VirtualTime } from './virtual-time.ts';

const CACHE: FetchWishes = { isCache: true, ns: true, descriptors: true, extraInfo: true };

/** All recorded documents by digest. */
const documents = new DigestMap<Uint8Array>();
for (const { microdescriptor } of parseMicrodescriptors(MICRODESCRIPTORS).list) {
  documents.set(microdescriptor.digest, microdescriptor.document);
}
for (const { start, end } of splitAnnotated(DESCRIPTORS, 'router')) {
  const document = DESCRIPTORS.subarray(start, end);
  documents.set(parseServerDescriptor(document).digestSha1, document);
}
for (const { start, end } of splitAnnotated(EXTRA_INFOS, 'extra-info')) {
  const document = EXTRA_INFOS.subarray(start, end);
  documents.set(parseExtraInfo(document).digestSha1, document);
}

function serve(path: string): Uint8Array {
  if (path.includes('/consensus-microdesc/')) return MICRODESC;
  if (path.includes('/consensus/')) return NS;
  const [, folder, list] = /^(\/tor\/\w+\/d)\/(.*)$/.exec(path)! as unknown as [string, string, string];
  const digests =
    folder === '/tor/micro/d'
      ? list.split('-').map((name) => Uint8Array.fromBase64(`${name}=`))
      : list.split('+').map((name) => decodeHex(name)!);
  return Buffer.concat(digests.flatMap((digest) => documents.get(digest) ?? []));
}

function makeFetcher(wishes: () => FetchWishes) {
  const { network, time } = makeChutney();
  const store = new DocumentStore({ network, timing: time, directory: null });
  const asked: string[] = [];
  const reply = async ({ path }: DirectoryRequest): Promise<DirectoryReply> => {
    asked.push(/^(\/tor\/\w+\/d|.*(?=\/))/.exec(path)![0]);
    const body = serve(path);
    return { status: 200, reason: 'OK', headers: {}, body, wireBytes: 0, sentSec: time.nowSec() };
  };
  const fetcher = new Fetcher({
    authorities: AUTHORITIES,
    network,
    cache: null,
    documents: store,
    wishes,
    exchange: (request) => ({ reply: reply(request), abort: () => undefined }),
    timing: time,
    random: seededRandom(5),
    testing: true,
  });
  return { fetcher, store, asked, time };
}

async function passSome(time: VirtualTime): Promise<void> {
  for (let i = 0; i < 5; i++) await time.pass(500);
}

const kinds = (asked: readonly string[]): string[] => [...new Set(asked)].sort();
const CONSENSUSES = ['/tor/status-vote/current/consensus', '/tor/status-vote/current/consensus-microdesc'];

test('a cache ends up with everything that the consensuses name', async () => {
  const { fetcher, store, asked, time } = makeFetcher(() => CACHE);
  fetcher.start();
  await passSome(time);
  expect(kinds(asked)).toEqual(['/tor/extra/d', '/tor/micro/d', '/tor/server/d', ...CONSENSUSES]);
  expect(store.microdescriptors.missing(MICRODESC_CONSENSUS)).toEqual([]);
  expect(store.serverDescriptors.missing(CONSENSUS)).toEqual([]);
  expect([store.serverDescriptors.size, store.extraInfos.size, store.extraInfos.missing()]).toEqual([
    7,
    7,
    [],
  ]);
  fetcher.stop();
});

test('one that is no cache fetches what paths need', async () => {
  const { fetcher, store, asked, time } = makeFetcher(() => ({
    isCache: false,
    ns: false,
    descriptors: false,
    extraInfo: true,
  }));
  fetcher.start();
  await passSome(time);
  expect(kinds(asked)).toEqual(['/tor/micro/d', '/tor/status-vote/current/consensus-microdesc']);
  expect(store.microdescriptors.size).toBe(7);
  fetcher.stop();
});

test('wishes may change while it runs', async () => {
  let wishes: FetchWishes = { isCache: false, ns: false, descriptors: false, extraInfo: false };
  const { fetcher, store, asked, time } = makeFetcher(() => wishes);
  fetcher.start();
  await passSome(time);
  wishes = CACHE;
  await time.pass(70_000);
  await passSome(time);
  await time.pass(70_000);
  expect(kinds(asked)).toContain('/tor/server/d');
  expect([store.serverDescriptors.size, store.extraInfos.size]).toEqual([7, 7]);
  fetcher.stop();
});

test('a consensus that is long out of date makes nobody look for what it lists', async () => {
  const { fetcher, asked, time } = makeFetcher(() => CACHE);
  time.jump(3 * 86400);
  fetcher.start();
  await passSome(time);
  expect(kinds(asked)).toEqual(CONSENSUSES);
  fetcher.stop();
});
