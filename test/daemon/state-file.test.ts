/** `state`: every foreign line kept as it stands, writes put off and retried, damage moved aside. */

import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { StateFile } from '../../src/daemon/state-file.ts';
import { refusal, scratch } from '../keys/scratch.ts';

const NOW = 1_795_000_000;
const US = 'onionrelay 0.1.0';

const C_TOR = `# Tor state file last generated on 2026-11-22 16:53:50 local time
# Other times below are in UTC
# You *do not* need to edit this file.

BWHistoryReadEnds 2026-11-23 16:53:48
BWHistoryReadValues 0,1,2
Dormant 0
Guard in=default rsa_id=00 nickname=a sampled_by=0.4.9.11
Guard in=default rsa_id=11 nickname=b
LastRotatedOnionKey 2026-11-22 16:53:49
LastWritten 2026-11-22 16:53:50
TorVersion Tor 0.4.9.11
SomethingNew "quoted \\"value\\"" # and this
Split one \\
  two
Latin caf\xe9
`;

const HOUR_MS = 3_600_000;
/** The clock that never jumps, in milliseconds. */
let clockMs = 5000;
const clock = () => clockMs;

function stateWith(text: string, nowSec = NOW): { state: StateFile; path: string; warnings: string[] } {
  const path = join(scratch(), 'state');
  writeFileSync(path, text, 'latin1');
  const warnings: string[] = [];
  const warn = (warning: string) => void warnings.push(warning);
  return { state: StateFile.load(path, nowSec, warn, clock), path, warnings };
}

const body = (text: string) => text.slice(text.indexOf('\n\n') + 2);

test('what C tor wrote is written back as it stands', () => {
  const { state, path, warnings } = stateWith(C_TOR);
  expect(body(state.print(NOW))).toBe(body(C_TOR));
  state.setTime('LastRotatedOnionKey', NOW);
  state.save(NOW, US);
  const written = readFileSync(path, 'latin1');
  expect(body(written)).toBe(
    body(C_TOR)
      .replace('LastRotatedOnionKey 2026-11-22 16:53:49', 'LastRotatedOnionKey 2026-11-18 11:06:40')
      .replace('LastWritten 2026-11-22 16:53:50', 'LastWritten 2026-11-18 11:06:40')
      .replace('Tor 0.4.9.11', US)
      .replace(`sampled_by=${US.slice(4)}`, 'sampled_by=0.4.9.11'),
  );
  expect(written).toMatch(/^# Tor state file last generated on [-0-9]+ [:0-9]+ local time\n# Other/);
  expect(warnings.join()).toContain('in the future');
});

test('lines are read in any case, lists keep their order and place', () => {
  const { state } = stateWith(C_TOR, NOW * 2);
  expect(state.get('dormant')).toBe('0');
  expect(state.get('Nothing')).toBeNull();
  expect(state.getAll('Guard')).toHaveLength(2);
  expect(state.getTime('LASTROTATEDONIONKEY')).toBe(Date.UTC(2026, 10, 22, 16, 53, 49) / 1000);
  expect(state.getTime('Dormant')).toBeNull();
  state.set('Guard', ['one', 'two', 'three']);
  expect(body(state.print(NOW))).toContain('Dormant 0\nGuard one\nGuard two\nGuard three\nLastRotated');
  state.set('Guard', []);
  expect(body(state.print(NOW))).toContain('Dormant 0\nLastRotated');
  state.set('AccountingBytesReadInInterval', '5 bytes');
  expect(body(state.print(NOW)).endsWith('AccountingBytesReadInInterval 5 bytes\n')).toBe(true);
});

test('a missing or empty file is an empty state that is written at once', () => {
  const path = join(scratch(), 'state');
  const state = StateFile.load(path, NOW);
  expect(state.saveIfDue(NOW, US)).toBe(true);
  expect(readFileSync(path, 'latin1')).toContain(`TorVersion ${US}\nLastWritten 2026-11-18 11:06:40\n`);
  writeFileSync(path, '');
  expect(StateFile.load(path, NOW).isDue).toBe(true);
});

test('writes wait until they are due', () => {
  const { state } = stateWith('Dormant 0\n');
  clockMs += 11 * HOUR_MS;
  expect(state.saveIfDue(NOW, US)).toBe(false);
  state.markDirty(HOUR_MS / 2);
  state.markDirty(2 * HOUR_MS);
  clockMs += HOUR_MS / 2 - 1;
  expect(state.saveIfDue(NOW, US)).toBe(false);
  clockMs++;
  expect(state.saveIfDue(NOW, US)).toBe(true);
  clockMs += 12 * HOUR_MS - 1;
  expect(state.isDue).toBe(false);
  clockMs++;
  expect(state.saveIfDue(NOW, US)).toBe(true);
  state.setTime('LastRotatedOnionKey', NOW);
  expect(state.saveIfDue(NOW, US)).toBe(true);
});

test.each([-1, 1])('a wall clock that jumps by %p day puts off no write and hastens none', (days) => {
  const { state, path } = stateWith('Dormant 0\n');
  state.save(NOW, US);
  const thenSec = NOW + days * 86_400;
  clockMs += HOUR_MS;
  expect(state.saveIfDue(thenSec, US)).toBe(false);
  clockMs += 11 * HOUR_MS;
  expect(state.saveIfDue(thenSec, US)).toBe(true);
  const day = new Date(thenSec * 1000).toISOString().slice(0, 10);
  expect(readFileSync(path, 'latin1')).toContain(`LastWritten ${day} `);
});

test('a disk that refuses is warned of and tried again in an hour', () => {
  const { state, path } = stateWith('Dormant 0\n');
  mkdirSync(`${path}.tmp`);
  state.markDirty(0);
  const warnings: string[] = [];
  const warn = (text: string) => void warnings.push(text);
  expect(state.saveIfDue(NOW, US, warn)).toBe(false);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toStartWith(`${path}: `);
  clockMs += HOUR_MS - 1;
  expect(state.isDue).toBe(false);
  clockMs++;
  expect(state.isDue).toBe(true);
});

test('what is no text is moved aside', () => {
  const { state, path, warnings } = stateWith('Dormant 0\n\0\0\0');
  expect(state.get('Dormant')).toBeNull();
  expect(existsSync(`${path}.0`)).toBe(true);
  expect(existsSync(path)).toBe(false);
  expect(warnings[0]).toContain(`${path}.0`);
});

test('a directory in its place is refused', () => {
  const path = join(scratch(), 'state');
  mkdirSync(path);
  expect(refusal(() => StateFile.load(path, NOW)).where).toBe(path);
});

test('a value that would break the file is our own mistake', () => {
  const { state } = stateWith('Dormant 0\n');
  expect(() => state.set('Guard', 'a\nb')).toThrow('one line');
  expect(() => state.set('Gu ard', 'a')).toThrow('a word');
});
