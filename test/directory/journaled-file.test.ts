import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  isDescriptorFileGrown,
  isMicrodescFileGrown,
  JournaledFile,
} from '../../src/directory/journaled-file.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { bytesOf, textOf } from '../netdoc/fixture.ts';

let directory = '';
let records: LogRecord[] = [];

beforeEach(() => {
  records = [];
  setLogThreshold(() => true);
  setLogSink((record) => records.push(record));
  directory = mkdtempSync(join(tmpdir(), 'journal-'));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
  rmSync(directory, { recursive: true, force: true });
});

const on = (name: string): string => readFileSync(join(directory, name), 'utf8');

test('what comes is appended to the journal, and both parts are read', () => {
  const file = new JournaledFile(directory, 'cached', () => false);
  expect(file.read()).toEqual({ main: new Uint8Array(0), journal: new Uint8Array(0) });
  file.append([bytesOf('one\n'), bytesOf('two\n')]);
  file.append([bytesOf('three\n')]);
  expect(on('cached.new')).toBe('one\ntwo\nthree\n');
  expect(statSync(join(directory, 'cached.new')).mode & 0o777).toBe(0o600);
  file.tidy(() => [bytesOf('never')]);
  expect(existsSync(join(directory, 'cached'))).toBe(false);
  const again = new JournaledFile(directory, 'cached', () => false);
  expect(textOf(again.read().journal)).toBe('one\ntwo\nthree\n');
  expect(again.sizes).toEqual({ main: 0, journal: 14, dropped: 0 });
});

test('writing anew replaces the main file and empties the journal', () => {
  const seen: unknown[] = [];
  const file = new JournaledFile(directory, 'cached', (sizes) => seen.push(sizes) > 1);
  file.append([bytesOf('one\n')]);
  file.drop(3);
  file.tidy(() => [bytesOf('all\n')]);
  file.tidy(() => [bytesOf('all\n'), bytesOf('of it\n')]);
  expect(seen).toEqual([
    { main: 0, journal: 4, dropped: 3 },
    { main: 0, journal: 4, dropped: 3 },
  ]);
  expect([on('cached'), on('cached.new')]).toEqual(['all\nof it\n', '']);
  expect(file.sizes).toEqual({ main: 10, journal: 0, dropped: 0 });
  file.tidy(() => [bytesOf('forced\n')], true);
  expect(on('cached')).toBe('forced\n');
  expect(readdirSync(directory).sort()).toEqual(['cached', 'cached.new']);
});

test('without a directory nothing is kept, and nothing fails', () => {
  const file = new JournaledFile(null, 'cached', () => true);
  file.append([bytesOf('one')]);
  file.tidy(() => [bytesOf('one')], true);
  expect(file.read().main.length).toBe(0);
  expect(records).toEqual([]);
});

test('a disk that refuses costs a warning', () => {
  const file = new JournaledFile(join(directory, 'missing'), 'cached', () => true);
  file.append([bytesOf('one')]);
  file.tidy(() => [bytesOf('one')], true);
  expect(records.filter(({ severity }) => severity === 'warn').length).toBe(2);
  writeFileSync(join(directory, 'file'), '');
  expect(new JournaledFile(join(directory, 'file'), 'cached', () => true).read().main.length).toBe(0);
  expect(records.at(-1)!.text).toContain('Cannot read');
});

test("C tor's rules", () => {
  const descriptors = (main: number, journal: number, dropped: number) =>
    isDescriptorFileGrown({ main, journal, dropped });
  expect([descriptors(0, 32768, 99999), descriptors(0, 32769, 0)]).toEqual([false, true]);
  expect([descriptors(65536, 32769, 0), descriptors(65537, 32769, 32769)]).toEqual([true, true]);
  expect(descriptors(65538, 32769, 32769)).toBe(false);
  const micro = (main: number, journal: number, dropped: number) =>
    isMicrodescFileGrown({ main, journal, dropped });
  expect([micro(0, 16383, 99999), micro(0, 16384, 0), micro(40000, 20000, 20000)]).toEqual([
    false,
    true,
    false,
  ]);
  expect([micro(40000, 20001, 0), micro(60000, 20000, 26667)]).toEqual([true, true]);
});
