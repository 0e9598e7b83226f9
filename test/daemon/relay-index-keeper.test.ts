import { expect, test } from 'bun:test';
import { RelayIndexKeeper } from '../../src/daemon/relay-index-keeper.ts';
import { DocumentStore } from '../../src/directory/document-store.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import {
  AUTHORITIES,
  CONSENSUS,
  MICRODESC,
  MICRODESC_CONSENSUS,
  MICRODESCRIPTORS,
  makeChutney,
  NOW_SEC,
  NS,
} from '../directory/chutney.ts';

function makeKeeper() {
  const { network, time } = makeChutney();
  const documents = new DocumentStore({ network, timing: time, directory: null });
  const published: RelayIndex[] = [];
  const keeper = new RelayIndexKeeper({
    network,
    documents,
    authorities: AUTHORITIES,
    timing: time,
    publish: (index) => published.push(new RelayIndex(index)),
  });
  return { network, documents, keeper, published, time };
}

test('before there is a consensus the authorities are known by their addresses', () => {
  const { keeper, published } = makeKeeper();
  keeper.start();
  expect(published.map(({ count }) => count)).toEqual([0]);
  expect(published[0]!.listsAddress(AUTHORITIES[0]!.dir.host)).toBe(true);
});

test('each consensus makes a new one; Ed25519 identities come with the microdescriptors', async () => {
  const { network, documents, keeper, published, time } = makeKeeper();
  keeper.start();
  network.offer('ns', NS, 'test');
  network.offer('microdesc', MICRODESC, 'test');
  expect(published.map(({ count }) => count)).toEqual([0, 7, 7]);
  const id = CONSENSUS.routers.rsaId(3);
  const row = published[2]!.find(id);
  expect([published[2]!.ipv4(row)!.port, published[2]!.ed25519Id(row)]).toEqual([
    CONSENSUS.routers.at(3).orPort,
    null,
  ]);

  const digest = MICRODESC_CONSENSUS.routers.digest(3);
  const one = (wanted: Uint8Array): boolean => Buffer.compare(wanted, digest) === 0;
  documents.microdescriptors.add(MICRODESCRIPTORS, one, NOW_SEC);
  documents.microdescriptors.add(MICRODESCRIPTORS, () => true, NOW_SEC);
  expect(published.length).toBe(3);
  await time.pass(10_000);
  expect(published.length).toBe(4);
  for (let at = 0; at < 7; at++) {
    const { rsaId, digest: named } = MICRODESC_CONSENSUS.routers.at(at);
    const ed25519Id = documents.microdescriptors.get(named)!.ed25519Id;
    const known = published[3]!.ed25519Id(published[3]!.find(rsaId));
    expect(known?.toHex()).toBe(ed25519Id!.toHex());
  }
});

test('nothing is published before the start, or after the end', async () => {
  const { network, documents, keeper, published, time } = makeKeeper();
  network.offer('ns', NS, 'test');
  expect(published).toEqual([]);
  keeper.start();
  documents.microdescriptors.add(MICRODESCRIPTORS, () => true, NOW_SEC);
  keeper.stop();
  network.offer('microdesc', MICRODESC, 'test');
  await time.pass(10_000);
  expect([published.length, time.pending()]).toEqual([1, []]);
});
