import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DocumentKind, DocumentStore } from '../../src/directory/document-store.ts';
import {
  AUTHORITIES,
  CERTIFICATES,
  CONSENSUS,
  DESCRIPTORS,
  EXTRA_INFOS,
  MICRODESC,
  MICRODESC_CONSENSUS,
  MICRODESCRIPTORS,
  makeChutney,
  NOW_SEC,
  NS,
} from './chutney.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'documents-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('whoever waits for what lies on disk is told when all is read', async () => {
  for (const way of ['load', 'loadInPieces', 'noteLoaded'] as const) {
    const { network, time } = makeChutney();
    const store = new DocumentStore({ network, timing: time, directory });
    let told = 0;
    store.onLoaded(() => told++);
    expect([store.isLoaded, told]).toEqual([false, 0]);
    await store[way]();
    expect([store.isLoaded, told]).toEqual([true, 1]);
  }
});

test('listeners are told what changed, once for each batch', () => {
  const { network, time } = makeChutney();
  const store = new DocumentStore({ network, timing: time, directory: null });
  const told: DocumentKind[] = [];
  store.onChange((kind) => told.push(kind));
  const all = (): boolean => true;
  store.serverDescriptors.add(DESCRIPTORS, all, 'x', NOW_SEC);
  store.extraInfos.add(EXTRA_INFOS, all, NOW_SEC);
  expect(told.splice(0)).toEqual(['server-descriptors', 'extra-infos']);
  network.offer('ns', NS, 'test');
  // Old descriptors are thinned out, and their extra-infos go with them.
  expect(told.splice(0)).toEqual(['server-descriptors', 'extra-infos', 'ns']);
  network.offer('microdesc', MICRODESC, 'test');
  expect(told.splice(0)).toEqual(['microdesc']);
  store.microdescriptors.add(MICRODESCRIPTORS, all, NOW_SEC);
  network.certificates.add(CERTIFICATES);
  expect(told).toEqual(['microdescriptors']);
  network.certificates.dropOld(NOW_SEC + 400 * 86400);
  expect(store.consensus('ns')!.document).toEqual(NS);
  expect(store.consensus('ns')!.signers.length).toBe(AUTHORITIES.length);
  expect(store.certificates().length).toBe(AUTHORITIES.length);
  const { bytes } = store;
  expect(bytes).toBe(store.microdescriptors.bytes + store.serverDescriptors.bytes + store.extraInfos.bytes);
});

test.each(['at once', 'in pieces'])(
  'all files are read %s, in an order in which each can be believed',
  async (way) => {
    writeFileSync(join(directory, 'cached-descriptors'), DESCRIPTORS);
    writeFileSync(join(directory, 'cached-extrainfo.new'), EXTRA_INFOS);
    writeFileSync(join(directory, 'cached-microdescs'), MICRODESCRIPTORS);
    const { network, time } = makeChutney();
    network.offer('ns', NS, 'test');
    network.offer('microdesc', MICRODESC, 'test');
    const store = new DocumentStore({ network, timing: time, directory });
    if (way === 'at once') store.load();
    else await store.loadInPieces();
    expect(store.serverDescriptors.missing(CONSENSUS)).toEqual([]);
    expect(store.extraInfos.missing()).toEqual([]);
    expect(store.microdescriptors.missing(MICRODESC_CONSENSUS)).toEqual([]);
  },
);
