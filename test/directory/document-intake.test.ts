import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DescriptorStore } from '../../src/directory/descriptor-store.ts';
import { type Intake, readStored, takeAnswer } from '../../src/directory/document-intake.ts';
import { ExtraInfoStore } from '../../src/directory/extra-info-store.ts';
import { JournaledFile } from '../../src/directory/journaled-file.ts';
import { MicrodescriptorStore } from '../../src/directory/microdescriptor-store.ts';
import { Malformed } from '../../src/fault.ts';
import { textOf } from '../netdoc/fixture.ts';
import { CONSENSUS, DESCRIPTORS, EXTRA_INFOS, MICRODESCRIPTORS, NOW_SEC, VALID_SEC } from './chutney.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'intake-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => Buffer.from(text);
const openFile = (): JournaledFile => new JournaledFile(directory, 'cached-things', () => false);

/** Takes `thing NAME`, but none that is called bad; remembers names. */
class Things implements Intake<string> {
  readonly keyword = 'thing';
  readonly piece = 2;
  readonly names: string[] = [];

  read(document: Uint8Array): string {
    const name = textOf(document).trim().slice('thing '.length);
    if (name.startsWith('bad')) throw new Malformed('thing', `is called ${name}`);
    return name;
  }

  digestOf(name: string): Uint8Array {
    return bytes(name);
  }

  badDigestOf(document: Uint8Array): Uint8Array | null {
    return textOf(document).includes('nameless') ? null : document.slice(6, 10);
  }

  put(name: string, annotations: ReadonlyMap<string, string>): readonly Uint8Array[] | null {
    if (this.names.includes(name)) return null;
    this.names.push(name + (annotations.get('from') ?? ''));
    return [bytes(`thing ${name}\n`)];
  }
}

test('an answer gives what was asked for, once, and names what is bad', () => {
  const things = new Things();
  const answer = 'thing one\n@from x\nthing two\nthing bad1\nthing badnameless\nthing three\nthing one\n';
  const isWanted = (digest: Uint8Array): boolean => textOf(digest) !== 'three';
  const taken = takeAnswer(bytes(answer), isWanted, openFile(), things);
  expect([taken.added, taken.unwanted, taken.bad.map(textOf)]).toEqual([2, 1, ['bad1']]);
  expect(taken.problems.map((problem) => problem.slice(0, 20))).toEqual([
    'thing: is called bad',
    'thing: is called bad',
  ]);
  expect(things.names).toEqual(['one', 'twox']);
  expect(readFileSync(join(directory, 'cached-things.new'), 'utf8')).toBe('thing one\nthing two\n');
});

test('files are read in pieces, the main one first', () => {
  writeFileSync(join(directory, 'cached-things'), 'thing one\nthing two\nthing bad1\n');
  writeFileSync(join(directory, 'cached-things.new'), '@from y\nthing three\nthing one\n');
  const things = new Things();
  const reading = readStored(openFile(), things);
  expect([reading.next().done, things.names]).toEqual([false, ['one', 'two']]);
  expect([reading.next().done, things.names]).toEqual([false, ['one', 'two', 'threey']]);
  const { value, done } = reading.next();
  expect([done, (value as string[]).length, things.names.length]).toEqual([true, 1, 3]);
});

test('no store holds on to the answers, or files, that its documents came in', () => {
  const all = (): boolean => true;
  const stores = () => {
    const descriptors = new DescriptorStore(directory);
    descriptors.review(CONSENSUS, NOW_SEC);
    const extraInfos = new ExtraInfoStore(directory, descriptors);
    return { descriptors, extraInfos, microdescriptors: new MicrodescriptorStore(directory) };
  };
  const documentsOf = ({ descriptors, extraInfos, microdescriptors }: ReturnType<typeof stores>) => [
    ...descriptors.all(),
    ...extraInfos.all(),
    ...microdescriptors.all(),
  ];
  const fetched = stores();
  // As they come: buffers.
  fetched.descriptors.add(Buffer.from(DESCRIPTORS), all, 'x', NOW_SEC);
  fetched.extraInfos.add(Buffer.from(EXTRA_INFOS), all, NOW_SEC);
  fetched.microdescriptors.add(Buffer.from(MICRODESCRIPTORS), all, VALID_SEC);
  const read = stores();
  read.descriptors.load(NOW_SEC);
  read.extraInfos.load(NOW_SEC);
  read.microdescriptors.load();
  for (const held of [fetched, read]) {
    const documents = documentsOf(held);
    expect(documents.length).toBe(20 + 20 + 7);
    for (const { document } of documents) expect(document.buffer.byteLength).toBe(document.length);
  }
});
