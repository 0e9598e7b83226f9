/** The folder of old consensuses: what is written is read again, and foreign files do no harm. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiffCache } from '../../src/directory/diff-cache.ts';
import { setLogSink } from '../../src/log.ts';

let directory = '';
let said: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onionrelay-diff-cache-'));
  said = [];
  setLogSink((record) => void said.push(record.text));
});

afterEach(() => {
  setLogSink(null);
  rmSync(directory, { recursive: true, force: true });
});

const BODY = Uint8Array.of(0, 1, 2, 0, 255);

test('a file is labels, a zero byte and the body, under the first free number', () => {
  const cache = new DiffCache(directory);
  expect(cache.load()).toEqual([]);
  const first = cache.add({ 'document-type': 'consensus', compression: 'deflate' }, BODY)!;
  expect(first.path).toBe(join(directory, 'diff-cache', '1000'));
  const bytes = readFileSync(first.path);
  expect(bytes.toString('latin1')).toBe('document-type consensus\ncompression deflate\n\0\0\x01\x02\0\xff');
  expect(bytes.subarray(first.offset)).toEqual(Buffer.from(BODY));
  expect(statSync(first.path).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, 'diff-cache')).mode & 0o777).toBe(0o700);
  expect(cache.add({ a: 'b' }, BODY)!.name).toBe('1001');
  cache.remove(first);
  expect(cache.add({ a: 'b' }, BODY)!.name).toBe('1000');
});

test('what was written is found again', () => {
  const before = new DiffCache(directory);
  const written = before.add({ one: 'two three', four: 'five' }, BODY)!;
  const [read] = new DiffCache(directory).load();
  expect(read).toEqual(written);
  expect(read!.labels.get('one')).toBe('two three');
});

test('what is no such file is left alone, and its number counts as taken', () => {
  const folder = join(directory, 'diff-cache');
  mkdirSync(folder);
  writeFileSync(join(folder, '1000'), 'no zero byte at all');
  writeFileSync(join(folder, '1001'), '');
  writeFileSync(join(folder, 'notes.txt'), 'x\0y');
  writeFileSync(join(folder, '1002'), 'junk-without-value\ngood label\n\0');
  const cache = new DiffCache(directory);
  const entries = cache.load();
  expect(entries.map(({ name }) => name)).toEqual(['1002']);
  expect([...entries[0]!.labels]).toEqual([['good', 'label']]);
  expect(cache.add({ a: 'b' }, BODY)!.name).toBe('1003');
});

test('there are never more files than C tor can count', () => {
  const folder = join(directory, 'diff-cache');
  mkdirSync(folder);
  for (let number = 1000; number < 1255; number++) writeFileSync(join(folder, String(number)), 'x y\n\0');
  const cache = new DiffCache(directory);
  expect(cache.load().length).toBe(255);
  expect(cache.add({ a: 'b' }, BODY)!.name).toBe('1255');
  expect(cache.add({ a: 'b' }, BODY)).toBeNull();
});

test('a folder that cannot be written costs a message', () => {
  writeFileSync(join(directory, 'diff-cache'), 'a file stands in the way');
  const cache = new DiffCache(directory);
  expect(cache.load()).toEqual([]);
  expect(cache.add({ a: 'b' }, BODY)).toBeNull();
  expect(said.filter((text) => text.includes('diff-cache')).length).toBe(2);
});

test('a file that is gone already is gone', () => {
  const cache = new DiffCache(directory);
  const entry = cache.add({ a: 'b' }, BODY)!;
  rmSync(entry.path);
  cache.remove(entry);
  expect(said).toEqual([]);
  expect(cache.add({ a: 'b' }, BODY)!.name).toBe('1000');
});
