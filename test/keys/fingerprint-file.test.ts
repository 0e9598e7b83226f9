/** The fingerprint files: C tor's lines, written only when they change, and the pin that they witness. */

import { expect, test } from 'bun:test';
import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  checkFingerprintFiles,
  printFingerprints,
  writeFingerprintFiles,
} from '../../src/keys/fingerprint-file.ts';
import { refusal, scratchStore } from './scratch.ts';

const rsaId = new Uint8Array(20).map((_, i) => i * 11);
const ed25519Id = new Uint8Array(32).map((_, i) => 255 - i * 3);
const identity = { rsaId, ed25519Id };

test('the lines are nickname and fingerprint', () => {
  const { store } = scratchStore();
  writeFingerprintFiles(store, 'moria', identity, true);
  const read = (name: string) => readFileSync(join(store.dataDirectory, name), 'latin1');
  expect(read('fingerprint')).toBe('moria 000B16212C37424D58636E79848F9AA5B0BBC6D1\n');
  expect(read('fingerprint-ed25519')).toMatch(/^moria [A-Za-z0-9+/]{43}\n$/);
  expect(read('hashed-fingerprint')).toMatch(/^moria [0-9A-F]{40}\n$/);
  expect(statSync(join(store.dataDirectory, 'fingerprint')).mode & 0o777).toBe(0o600);
});

test('only a bridge gets a hashed fingerprint, and equal files are left alone', () => {
  const { store } = scratchStore();
  writeFingerprintFiles(store, 'moria', identity, false);
  const path = join(store.dataDirectory, 'fingerprint');
  expect(existsSync(join(store.dataDirectory, 'hashed-fingerprint'))).toBe(false);
  utimesSync(path, 1000, 1000);
  writeFingerprintFiles(store, 'moria', identity, false);
  expect(statSync(path).mtimeMs).toBe(1_000_000);
  writeFingerprintFiles(store, 'gimli', identity, false);
  expect(readFileSync(path, 'latin1')).toStartWith('gimli ');
});

test('the hashed fingerprint is the one that C tor shows', () => {
  // From a DataDirectory of C tor 0.4.9.11 run as a bridge.
  const id = Uint8Array.fromHex('287949026E066989A9F25FA76C1CD08A6583BF2D');
  expect(printFingerprints(id, ed25519Id).hashed).toBe('981D1ECA15AC36372582E16F421571DF1FA82F6D');
});

test('one identity of two exchanged is refused, both or none are not', () => {
  const { store } = scratchStore();
  const otherRsa = new Uint8Array(20);
  const otherEd = new Uint8Array(32);
  checkFingerprintFiles(store, otherRsa, otherEd);
  writeFingerprintFiles(store, 'moria', identity, false);
  checkFingerprintFiles(store, rsaId, ed25519Id);
  checkFingerprintFiles(store, otherRsa, otherEd);
  const ed = refusal(() => checkFingerprintFiles(store, rsaId, otherEd));
  expect(ed.where).toBe(join(store.dataDirectory, 'fingerprint-ed25519'));
  expect(ed.what).toContain('the RSA identity is pinned to another Ed25519 identity');
  expect(refusal(() => checkFingerprintFiles(store, otherRsa, ed25519Id)).exitCode).toBe(2);
});

test('unreadable fingerprint files witness nothing', () => {
  const { store } = scratchStore();
  writeFingerprintFiles(store, 'moria', identity, false);
  for (const text of ['', 'moria', 'moria xyz', 'a b c', 'x'.repeat(5000)]) {
    writeFileSync(join(store.dataDirectory, 'fingerprint'), text);
    checkFingerprintFiles(store, rsaId, new Uint8Array(32));
  }
});
