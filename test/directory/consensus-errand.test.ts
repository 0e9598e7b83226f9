import { expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { ConsensusErrand, pickFetchSec } from '../../src/directory/consensus-errand.ts';
import { Network } from '../../src/directory/network.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { makeConsensusDiff } from '../../src/netdoc/consensus-differ.ts';
import { bytesOf, textOf } from '../netdoc/fixture.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';
import { ErrandRig, type RigRequest } from './errand-rig.ts';
import { makeAuthority, printCertificate, printConsensus } from './paper-network.ts';
import { VirtualTime } from './virtual-time.ts';

const PAPERS = [makeAuthority('a', 97), makeAuthority('b', 98), makeAuthority('c', 99)];
const HOUR = 3600;

/** A network whose relays number more than are read at once, and an errand that holds its first consensus. */
function makeRig(params = '') {
  const paper = new SyntheticNetwork({ seed: 2, relays: 1200, authorities: PAPERS, params });
  const startSec = paper.validAfterSec;
  const time = new VirtualTime(startSec + 60);
  const authorities = PAPERS.map(({ authority }) => authority);
  const network = new Network({ authorities, ownRsaId: new Uint8Array(20), ownProtocols: '', timing: time });
  const certificates = PAPERS.map((each) => printCertificate(each, startSec - HOUR, startSec + 9999 * HOUR));
  network.certificates.add(bytesOf(certificates.join('')));
  const first = paper.consensus('microdesc');
  let isServed = false;
  const second = (): Uint8Array => {
    if (!isServed) paper.pass(1);
    isServed = true;
    return paper.consensus('microdesc');
  };
  const rig = new ErrandRig(network, time, authorities, () => ({ status: 200, body: second() }));
  let arrived = 0;
  const wish = { isWanted: true };
  const errand = new ConsensusErrand('microdesc', rig.tools, {
    isWanted: () => wish.isWanted,
    onArrived: () => arrived++,
    onCertificatesNeeded: () => undefined,
  });
  return { time, network, rig, errand, first, second, wish, arrived: () => arrived };
}

/** Let minutes pass one by one: a long consensus is read in several turns. */
async function passMinutes(time: VirtualTime, minutes: number): Promise<void> {
  for (let i = 0; i < minutes; i++) await time.pass(60_000);
}

const diffHeader = ({ headers }: RigRequest): string | undefined => headers['X-Or-Diff-From-Consensus'];

test('with a consensus at hand it asks for a diff, and applies it', async () => {
  const { time, network, rig, errand, first, second, arrived } = makeRig();
  network.offer('microdesc', first, 'test');
  const { signedDigestSha3 } = network.consensus('microdesc')!;
  rig.answer = () => ({ status: 200, body: makeConsensusDiff(first, second()) });
  errand.start(0);
  await passMinutes(time, 120);
  expect(arrived()).toBe(1);
  expect(rig.requests.map(diffHeader)).toEqual([encodeHex(signedDigestSha3)]);
  expect(Buffer.compare(network.document('microdesc')!, second())).toBe(0);
  errand.stop();
});

test('with none, or one that is too old, it asks for no diff', async () => {
  const { time, rig, errand, arrived } = makeRig();
  errand.start(0);
  await time.pass(1000);
  expect([arrived(), rig.requests.map(diffHeader)]).toEqual([1, [undefined]]);
  errand.stop();
  const old = makeRig('try-diff-for-consensus-newer-than=1');
  old.network.offer('microdesc', old.first, 'test');
  old.errand.start(0);
  await passMinutes(old.time, 120);
  expect(old.rig.requests.map(diffHeader)).toEqual([undefined]);
  old.errand.stop();
});

test('a diff that is of no use is followed by the whole document, from another authority', async () => {
  for (const spoil of ['digest', 'script', 'signature']) {
    const { time, network, rig, errand, first, second } = makeRig();
    network.offer('microdesc', first, 'test');
    rig.answer = (request) => {
      if (diffHeader(request) === undefined) return { status: 200, body: second() };
      if (spoil === 'signature') {
        const forged = textOf(second()).replace(/(?<=SIGNATURE-----\n)..../g, 'AAAA');
        return { status: 200, body: makeConsensusDiff(first, bytesOf(forged)) };
      }
      const diff = textOf(makeConsensusDiff(first, second()));
      return {
        status: 200,
        body: spoil === 'digest' ? diff.replace(/hash ../, 'hash 00') : diff.replace(/,\$d/, ',$c'),
      };
    };
    errand.start(0);
    await passMinutes(time, 120);
    const [asked, again] = rig.requests;
    expect([spoil, diffHeader(asked!) !== undefined, diffHeader(again!)]).toEqual([spoil, true, undefined]);
    expect(again!.port).not.toBe(asked!.port);
    expect(Buffer.compare(network.document('microdesc')!, second())).toBe(0);
    errand.stop();
  }
});

test('a diff that nobody asked for is refused', async () => {
  const { time, network, rig, errand, first, second } = makeRig();
  rig.answer = () => ({ status: 200, body: makeConsensusDiff(first, second()) });
  errand.start(0);
  await time.pass(60_000);
  expect(network.hasConsensus).toBe(false);
  errand.stop();
});

test('the pick is after fresh-until and before valid-until, whatever the interval', () => {
  for (const intervalSec of [2, 5, 10, 30, 300, 3600]) {
    const text = printConsensus({ flavour: 'ns', validAfterSec: 1795348800, intervalSec }, PAPERS);
    const consensus = parseConsensus(text);
    for (const unit of [0, 0.5, 0.999]) {
      const sec = pickFetchSec(consensus, () => unit);
      expect(sec).toBeGreaterThan(consensus.freshUntilSec);
      expect(sec).toBeLessThan(consensus.validUntilSec);
    }
  }
});

test('a flavour that nobody wants is asked for within a minute after somebody does', async () => {
  const { time, rig, errand, wish, arrived } = makeRig();
  wish.isWanted = false;
  errand.start(0);
  await passMinutes(time, 180);
  expect([rig.requests.length, arrived()]).toEqual([0, 0]);
  wish.isWanted = true;
  await passMinutes(time, 2);
  expect(arrived()).toBe(1);
  wish.isWanted = false;
  const { length } = rig.requests;
  await passMinutes(time, 180);
  expect(rig.requests.length).toBe(length);
  errand.stop();
});
