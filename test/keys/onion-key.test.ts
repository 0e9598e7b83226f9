/** Onion keys: made, loaded, rotated with grace, never overwritten; damaged ones refused. */

import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { type KeyStore, keyPath } from '../../src/keys/key-store.ts';
import {
  DEFAULT_ONION_KEY_PARAMS,
  LEGACY_ONION_KEY_FILE,
  loadOrCreateOnionKeys,
  maintainOnionKeys,
  ONION_KEY_FILE,
} from '../../src/keys/onion-key.ts';
import { memoryTimes, refusal, scratchStore } from './scratch.ts';

const NOW = 1_795_000_000;
const DAY = 86_400;
const PARAMS = DEFAULT_ONION_KEY_PARAMS;

function bytesOf(store: KeyStore, name: string): string {
  return readFileSync(keyPath(store, name)).toString('hex');
}

test('missing keys are made and dated, then loaded unchanged', () => {
  const { store, warnings } = scratchStore();
  const state = memoryTimes();
  const made = loadOrCreateOnionKeys(store, state, NOW);
  expect(state.map.get('LastRotatedOnionKey')).toBe(NOW);
  expect(made.previous).toBeNull();
  expect(readFileSync(keyPath(store, ONION_KEY_FILE)).length).toBe(96);
  const loaded = loadOrCreateOnionKeys(store, state, NOW + DAY);
  expect(loaded.current.publicKey).toEqual(made.current.publicKey);
  expect(loaded.current.secretKey).toEqual(made.current.secretKey);
  expect(loaded.legacyRsa.publicDer).toEqual(made.legacyRsa.publicDer);
  expect(loaded.rotatedSec).toBe(NOW);
  expect(warnings).toEqual([]);
});

test('one missing key is made without touching the other', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const made = loadOrCreateOnionKeys(store, state, NOW);
  rmSync(keyPath(store, LEGACY_ONION_KEY_FILE));
  const legacy = loadOrCreateOnionKeys(store, state, NOW + DAY);
  expect(legacy.current.publicKey).toEqual(made.current.publicKey);
  expect(legacy.rotatedSec).toBe(NOW);
  rmSync(keyPath(store, ONION_KEY_FILE));
  const ntor = loadOrCreateOnionKeys(store, state, NOW + DAY);
  expect(ntor.current.publicKey).not.toEqual(made.current.publicKey);
  expect(ntor.legacyRsa.publicDer).toEqual(legacy.legacyRsa.publicDer);
  expect(ntor.rotatedSec).toBe(NOW + DAY);
});

test('a date in the future or none at all starts the clock now', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  loadOrCreateOnionKeys(store, state, NOW);
  state.setTime('LastRotatedOnionKey', NOW + 999);
  expect(loadOrCreateOnionKeys(store, state, NOW).rotatedSec).toBe(NOW);
  expect(loadOrCreateOnionKeys(store, memoryTimes(), NOW + 5).rotatedSec).toBe(NOW + 5);
});

test('a clock that was set back puts off no rotation by more than the usual time', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const made = loadOrCreateOnionKeys(store, state, NOW);
  const back = maintainOnionKeys(store, state, made, NOW - 365 * DAY, PARAMS);
  expect(back).toEqual({ ...made, rotatedSec: NOW - 365 * DAY });
  expect(state.map.get('LastRotatedOnionKey')).toBe(NOW - 365 * DAY);
  const next = maintainOnionKeys(store, state, back, NOW - 337 * DAY, PARAMS);
  expect(next.current).not.toBe(back.current);
});

test('the key rotates after its days, the old one is kept for its grace, then deleted', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const first = loadOrCreateOnionKeys(store, state, NOW);
  expect(maintainOnionKeys(store, state, first, NOW + 28 * DAY - 1, PARAMS)).toBe(first);
  const files = [bytesOf(store, ONION_KEY_FILE), bytesOf(store, LEGACY_ONION_KEY_FILE)];
  const at = NOW + 28 * DAY;
  const second = maintainOnionKeys(store, state, first, at, PARAMS);
  expect(second.current.publicKey).not.toEqual(first.current.publicKey);
  expect(second.legacyRsa.publicDer).not.toEqual(first.legacyRsa.publicDer);
  expect(second.previous?.publicKey).toEqual(first.current.publicKey);
  expect(state.map.get('LastRotatedOnionKey')).toBe(at);
  expect([bytesOf(store, `${ONION_KEY_FILE}.old`), bytesOf(store, `${LEGACY_ONION_KEY_FILE}.old`)]).toEqual(
    files,
  );

  const reloaded = loadOrCreateOnionKeys(store, state, at + 6 * DAY);
  expect(reloaded.previous?.secretKey).toEqual(first.current.secretKey);
  expect(reloaded.current.publicKey).toEqual(second.current.publicKey);

  expect(maintainOnionKeys(store, state, second, at + 7 * DAY - 1, PARAMS)).toBe(second);
  const third = maintainOnionKeys(store, state, second, at + 7 * DAY, PARAMS);
  expect(third.previous).toBeNull();
  expect(third.current).toBe(second.current);
  expect(existsSync(keyPath(store, `${ONION_KEY_FILE}.old`))).toBe(false);
  expect(existsSync(keyPath(store, `${LEGACY_ONION_KEY_FILE}.old`))).toBe(false);
});

test('a grace that ended while we were down is over at load', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const first = loadOrCreateOnionKeys(store, state, NOW);
  maintainOnionKeys(store, state, first, NOW + 28 * DAY, PARAMS);
  expect(loadOrCreateOnionKeys(store, state, NOW + 35 * DAY).previous).toBeNull();
  expect(existsSync(keyPath(store, `${ONION_KEY_FILE}.old`))).toBe(false);
});

test('parameters of the consensus change the dates', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const params = { rotationDays: 1, graceDays: 1 };
  const first = loadOrCreateOnionKeys(store, state, NOW, params);
  const second = maintainOnionKeys(store, state, first, NOW + DAY, params);
  expect(second.previous?.publicKey).toEqual(first.current.publicKey);
  const third = maintainOnionKeys(store, state, second, NOW + 2 * DAY, params);
  expect(third.previous?.publicKey).toEqual(second.current.publicKey);
});

test('an interrupted rotation keeps the old key and makes the missing one', () => {
  const { store } = scratchStore();
  const state = memoryTimes();
  const first = loadOrCreateOnionKeys(store, state, NOW);
  maintainOnionKeys(store, state, first, NOW + 28 * DAY, PARAMS);
  rmSync(keyPath(store, ONION_KEY_FILE));
  const after = loadOrCreateOnionKeys(store, state, NOW + 28 * DAY);
  expect(after.previous?.publicKey).toEqual(first.current.publicKey);
});

for (const name of [ONION_KEY_FILE, LEGACY_ONION_KEY_FILE]) {
  test(`a directory named ${name}.old puts rotation off with a warning`, () => {
    const { store, warnings } = scratchStore();
    const state = memoryTimes();
    mkdirSync(keyPath(store, `${name}.old`));
    const first = loadOrCreateOnionKeys(store, state, NOW);
    expect(warnings).toEqual([]);
    expect(maintainOnionKeys(store, state, first, NOW + 40 * DAY, PARAMS)).toBe(first);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${keyPath(store, name)}.old`);
    expect(state.map.get('LastRotatedOnionKey')).toBe(NOW);
  });

  test(`${name}: damaged files are refused by name and kept`, () => {
    const { store } = scratchStore();
    const state = memoryTimes();
    loadOrCreateOnionKeys(store, state, NOW);
    const good = readFileSync(keyPath(store, name));
    for (const bytes of [Buffer.alloc(0), good.subarray(0, 50), Buffer.alloc(96, 1)]) {
      writeFileSync(keyPath(store, name), bytes);
      const error = refusal(() => loadOrCreateOnionKeys(store, state, NOW));
      expect(error.where).toBe(keyPath(store, name));
      expect(error.exitCode).toBe(2);
      expect(readFileSync(keyPath(store, name)).equals(bytes)).toBe(true);
    }
  });
}

for (const name of [ONION_KEY_FILE, LEGACY_ONION_KEY_FILE]) {
  test(`a rotation that cannot write ${name} leaves the old pair in force, on disk as in memory`, () => {
    const { store } = scratchStore();
    const state = memoryTimes();
    const first = loadOrCreateOnionKeys(store, state, NOW);
    const files = [bytesOf(store, ONION_KEY_FILE), bytesOf(store, LEGACY_ONION_KEY_FILE)];
    mkdirSync(keyPath(store, `${name}.tmp`));
    const error = refusal(() => maintainOnionKeys(store, state, first, NOW + 28 * DAY, PARAMS));
    expect(error.where).toBe(keyPath(store, name));
    expect([bytesOf(store, ONION_KEY_FILE), bytesOf(store, LEGACY_ONION_KEY_FILE)]).toEqual(files);
    expect(existsSync(keyPath(store, `${ONION_KEY_FILE}.old`))).toBe(false);
    expect(state.map.get('LastRotatedOnionKey')).toBe(NOW);
    rmSync(keyPath(store, `${name}.tmp`), { recursive: true });
    const second = maintainOnionKeys(store, state, first, NOW + 29 * DAY, PARAMS);
    expect(second.previous).toBe(first.current);
    const loaded = loadOrCreateOnionKeys(store, state, NOW + 29 * DAY);
    expect(loaded.current.publicKey).toEqual(second.current.publicKey);
    expect(loaded.previous?.publicKey).toEqual(first.current.publicKey);
    expect(loaded.legacyRsa.publicDer).toEqual(second.legacyRsa.publicDer);
  });
}

test('a public half of another key is refused', () => {
  const { store } = scratchStore();
  loadOrCreateOnionKeys(store, memoryTimes(), NOW);
  const file = readFileSync(keyPath(store, ONION_KEY_FILE));
  file[95]! ^= 1;
  writeFileSync(keyPath(store, ONION_KEY_FILE), file);
  const error = refusal(() => loadOrCreateOnionKeys(store, memoryTimes(), NOW));
  expect(error.what).toContain('its public key does not match its secret key');
});

test('a damaged previous key is warned of and does without', () => {
  const { store, warnings } = scratchStore();
  writeFileSync(keyPath(store, `${ONION_KEY_FILE}.old`), 'garbage', { mode: 0o600 });
  expect(loadOrCreateOnionKeys(store, memoryTimes(), NOW).previous).toBeNull();
  expect(warnings).toHaveLength(1);
});
