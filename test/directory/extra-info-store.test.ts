import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DescriptorStore } from '../../src/directory/descriptor-store.ts';
import { ExtraInfoStore } from '../../src/directory/extra-info-store.ts';
import { textOf } from '../netdoc/fixture.ts';
import { CONSENSUS, DESCRIPTORS, EXTRA_INFOS, NOW_SEC } from './chutney.ts';

const DAY = 86400;
let directory = '';
let changes = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'extra-'));
  changes = 0;
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const all = (): boolean => true;

function make(): { descriptors: DescriptorStore; extraInfos: ExtraInfoStore } {
  const descriptors = new DescriptorStore(null);
  descriptors.review(CONSENSUS, NOW_SEC);
  return { descriptors, extraInfos: new ExtraInfoStore(directory, descriptors, () => changes++) };
}

function filled(): ReturnType<typeof make> {
  const made = make();
  made.descriptors.add(DESCRIPTORS, all, 'x', NOW_SEC);
  expect(made.extraInfos.missing().length).toBe(20);
  const { added, problems } = made.extraInfos.add(EXTRA_INFOS, all, NOW_SEC);
  expect({ added, problems, changes }).toEqual({ added: 20, problems: [], changes: 1 });
  return made;
}

test('only what a descriptor names is wanted and taken', () => {
  const { descriptors, extraInfos } = make();
  expect(extraInfos.missing()).toEqual([]);
  const { added, bad, problems } = extraInfos.add(EXTRA_INFOS, all, NOW_SEC);
  expect([added, bad.length, problems.length]).toEqual([0, 20, 20]);
  descriptors.add(DESCRIPTORS, all, 'x', NOW_SEC);
  const wanted = new Set(
    extraInfos
      .missing()
      .slice(0, 5)
      .map((digest) => digest.toHex()),
  );
  expect(extraInfos.add(EXTRA_INFOS, (digest) => wanted.has(digest.toHex()), NOW_SEC)).toMatchObject({
    added: 5,
    unwanted: 15,
  });
  expect(extraInfos.missing().length).toBe(15);
  const id = CONSENSUS.routers.rsaId(0);
  extraInfos.add(EXTRA_INFOS, all, NOW_SEC);
  expect(extraInfos.ofRelay(id)?.digest).toEqual(descriptors.ofRelay(id)!.extraInfoDigest!);
  expect(extraInfos.ofRelay(new Uint8Array(20))).toBeNull();
  expect(extraInfos.get(new Uint8Array(20))).toBeNull();
});

test('a relay can only speak for itself', () => {
  const { descriptors, extraInfos } = make();
  descriptors.add(DESCRIPTORS, all, 'x', NOW_SEC);
  const text = textOf(EXTRA_INFOS);
  const changed = text.replaceAll('geoip-db-digest C6', 'geoip-db-digest C7');
  expect(extraInfos.add(Buffer.from(changed), all, NOW_SEC)).toMatchObject({ added: 0 });
  // The RSA signature is not covered by the SHA-1, but by the SHA-256 that the descriptor names.
  const resigned = text.replace(/(?<=SIGNATURE-----\n)..../, 'AAAA');
  const { added, problems } = extraInfos.add(Buffer.from(resigned), all, NOW_SEC);
  expect([added, problems.length]).toEqual([19, 1]);
  expect(problems[0]).toContain('SHA-256');
});

test('it is read again, as C tor writes it: without annotations', () => {
  const { descriptors } = filled();
  const journal = readFileSync(join(directory, 'cached-extrainfo.new'), 'utf8');
  expect(journal).toBe(textOf(EXTRA_INFOS));
  const again = new ExtraInfoStore(directory, descriptors);
  again.load(NOW_SEC);
  expect([again.size, again.missing().length]).toEqual([20, 0]);
  expect(readFileSync(join(directory, 'cached-extrainfo'), 'utf8').match(/^extra-info /gm)!.length).toBe(20);
  expect(readFileSync(join(directory, 'cached-extrainfo.new'), 'utf8')).toBe('');
});

test('what is damaged on disk is skipped', () => {
  const { descriptors } = make();
  descriptors.add(DESCRIPTORS, all, 'x', NOW_SEC);
  writeFileSync(
    join(directory, 'cached-extrainfo'),
    textOf(EXTRA_INFOS).replace('published 2000', 'published 2001'),
  );
  writeFileSync(join(directory, 'cached-extrainfo.new'), 'extra-info broken\n');
  const store = new ExtraInfoStore(directory, descriptors);
  store.load(NOW_SEC);
  expect(store.size).toBe(19);
});

test('it goes with the descriptor that names it', () => {
  const { descriptors, extraInfos } = filled();
  descriptors.review(CONSENSUS, NOW_SEC + 6 * DAY);
  extraInfos.review();
  expect([descriptors.size, extraInfos.size]).toEqual([7, 7]);
  expect(changes).toBe(2);
  expect([...extraInfos.all()].reduce((sum, { document }) => sum + document.length, 0)).toBe(
    extraInfos.bytes,
  );
});
