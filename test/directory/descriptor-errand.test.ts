import { expect, test } from 'bun:test';
import {
  DescriptorErrand,
  type DescriptorShelf,
  MICRODESCRIPTORS,
} from '../../src/directory/descriptor-errand.ts';
import { MicrodescriptorStore } from '../../src/directory/microdescriptor-store.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';
import { AUTHORITIES, makeChutney } from './chutney.ts';
import { ErrandRig, type RigAnswer, type RigRequest } from './errand-rig.ts';
import { settle } from './virtual-time.ts';

/** A network of relays, authorities that serve its microdescriptors, and an errand that fetches them. */
function makeRig(relays: number, mayWait = false, testing = false) {
  const { network, time } = makeChutney();
  const paper = new SyntheticNetwork({ seed: 9, relays });
  const consensus = parseConsensus(paper.consensus('microdesc'));
  const documents = new Map<string, Uint8Array>();
  for (const [i, digest] of paper.microdescriptorDigests().entries()) {
    documents.set(digest.toBase64({ omitPadding: true }), paper.microdescriptors()[i]!);
  }
  const serve = ({ path }: RigRequest): RigAnswer => {
    const names = path.slice('/tor/micro/d/'.length).split('-');
    const found = names.flatMap((name) => documents.get(name) ?? []);
    return found.length === 0 ? { status: 404, body: '' } : { status: 200, body: Buffer.concat(found) };
  };
  const rig = new ErrandRig(network, time, AUTHORITIES, serve, testing);
  const store = new MicrodescriptorStore(null);
  const shelf: DescriptorShelf = {
    missing: () => store.missing(consensus),
    has: (digest) => store.has(digest),
    take: (body, isWanted) => store.add(body, isWanted, consensus.validAfterSec),
    mayWait: () => mayWait,
  };
  const errand = new DescriptorErrand(MICRODESCRIPTORS, shelf, rig.tools);
  const sizes = (): number[] => rig.requests.map(({ path }) => path.split('-').length);
  return { rig, time, store, errand, consensus, documents, serve, sizes };
}

test('batches of ninety, one to each authority at a time', async () => {
  const { rig, errand, store, consensus, sizes } = makeRig(1000);
  const waiting: (() => void)[] = [];
  const { answer } = rig;
  rig.answer = (request) => new Promise((resolve) => waiting.push(() => resolve(answer(request))));
  errand.start(0);
  await settle();
  expect(sizes()).toEqual([90, 90, 90, 90]);
  expect(new Set(rig.requests.map(({ port }) => port)).size).toBe(4);
  errand.look();
  expect(rig.requests.length).toBe(4);
  waiting.shift()!();
  await settle();
  expect(rig.requests.length).toBe(5);
  expect(rig.requests[4]!.port).toBe(rig.requests[0]!.port);
  while (waiting.length > 0) {
    waiting.shift()!();
    await settle();
  }
  expect(store.missing(consensus)).toEqual([]);
  const asked = rig.requests.flatMap(({ path }) => path.slice('/tor/micro/d/'.length).split('-'));
  expect([asked.length, new Set(asked).size]).toEqual([1000, 1000]);
  errand.stop();
});

test.each([
  [31, [31]],
  [33, [32, 1]],
  [120, [40, 40, 40]],
  [269, [90, 90, 89]],
] as [number, number[]][])('%i are asked for in batches of %p', async (relays, expected) => {
  const { errand, store, sizes } = makeRig(relays);
  errand.start(0);
  await settle();
  expect(sizes()).toEqual(expected);
  expect(store.size).toBe(relays);
  errand.stop();
});

test('few may wait for more, ten minutes at most', async () => {
  const { errand, store, rig, time, documents } = makeRig(100, true);
  const all = new Map(documents);
  errand.start(0);
  await settle();
  expect(store.size).toBe(100);
  expect(rig.requests.length).toBe(3);
  // Ten vanish, as if a new consensus listed others.
  const gone = new Set([...all.keys()].slice(0, 10));
  const few = new MicrodescriptorStore(null);
  const shelf: DescriptorShelf = {
    missing: () =>
      [...gone].map((name) => Uint8Array.fromBase64(`${name}=`)).filter((digest) => !few.has(digest)),
    has: (digest) => few.has(digest),
    take: (body, isWanted) => few.add(body, isWanted, 0),
    mayWait: () => true,
  };
  const second = new DescriptorErrand(MICRODESCRIPTORS, shelf, rig.tools);
  second.start(0);
  await settle();
  expect(few.size).toBe(10);
  gone.add([...all.keys()][50]!);
  second.look();
  await time.pass(590_000);
  expect(few.size).toBe(10);
  await time.pass(15_000);
  expect(few.size).toBe(11);
  errand.stop();
  second.stop();
});

test('what did not come is asked for again, ever later, and of others', async () => {
  const { errand, rig, time, documents, store, consensus } = makeRig(40);
  const [lost] = documents.keys();
  const document = documents.get(lost!)!;
  documents.delete(lost!);
  errand.start(0);
  await settle();
  expect(store.missing(consensus).length).toBe(1);
  await time.pass(6 * 3_600_000);
  const again = rig.requests.slice(2);
  expect(again.every(({ path }) => path === `/tor/micro/d/${lost}`)).toBe(true);
  expect(again.length).toBeGreaterThan(3);
  expect(again.length).toBeLessThan(60);
  expect(new Set(again.map(({ port }) => port)).size).toBeGreaterThan(1);
  documents.set(lost!, document);
  errand.renew();
  await settle();
  expect(store.missing(consensus)).toEqual([]);
  errand.stop();
});

test('an authority that fails is passed over, and a test network is less patient', async () => {
  const { errand, rig, store, serve, time } = makeRig(40, false, true);
  rig.answer = (request) => (request.port === 7100 ? serve(request) : new Error('connection refused'));
  errand.start(1);
  await time.pass(60_000);
  expect(store.size).toBe(40);
  errand.stop();
});

test('what does not parse is not asked for again, whatever the consensus says', async () => {
  const { rig, time, consensus } = makeRig(40);
  const digests = Array.from({ length: 40 }, (_, row) => consensus.routers.digest(row));
  const bad = digests[7]!;
  const held = new Set<string>();
  const shelf: DescriptorShelf = {
    missing: () => digests.filter((digest) => !held.has(digest.toHex())),
    has: (digest) => held.has(digest.toHex()),
    take: () => {
      for (const digest of digests) if (digest !== bad) held.add(digest.toHex());
      return { added: 39, bad: [bad], unwanted: 0, problems: ['it is bad'] };
    },
    mayWait: () => false,
  };
  const errand = new DescriptorErrand(MICRODESCRIPTORS, shelf, rig.tools);
  errand.start(0);
  await settle();
  const { length } = rig.requests;
  errand.renew();
  await time.pass(6 * 3_600_000);
  expect(rig.requests.length).toBe(length);
  errand.stop();
});

test('a document that came damaged has another digest, so it is asked for again', async () => {
  const { errand, rig, time, serve, store } = makeRig(40);
  rig.answer = (request) => {
    const answer = serve(request);
    if (answer instanceof Error || typeof answer.body === 'string') return answer;
    const text = Buffer.from(answer.body).toString('latin1');
    return { ...answer, body: Buffer.from(text.replace('ntor-onion-key', 'ntor-onion-yek'), 'latin1') };
  };
  errand.start(0);
  await settle();
  expect([store.size, rig.requests.length]).toEqual([38, 2]);
  rig.answer = serve;
  await time.pass(3_600_000);
  expect(store.size).toBe(40);
  errand.stop();
});

test('what nobody asked for is not taken', async () => {
  const { errand, rig, serve, documents, store } = makeRig(40);
  const other = new SyntheticNetwork({ seed: 10, relays: 5 }).microdescriptors();
  rig.answer = (request) => {
    const answer = serve(request);
    if (answer instanceof Error) return answer;
    return { ...answer, body: Buffer.concat([answer.body as Uint8Array, ...other]) };
  };
  errand.start(0);
  await settle();
  expect(store.size).toBe(documents.size);
  errand.stop();
});

test('what is stopped lets go of everything', async () => {
  const { errand, rig, time, store } = makeRig(200);
  rig.answer = () => new Promise(() => undefined);
  errand.start(0);
  await settle();
  expect(rig.requests.length).toBe(3);
  errand.stop();
  errand.look();
  expect([rig.aborted, time.pending(), store.size, rig.requests.length]).toEqual([3, [], 0, 3]);
});
