/** Scratch directories and captured refusals for the tests of keys, daemon and cli. */

import { expect, onTestFinished } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { OperatorError } from '../../src/fault.ts';
import { type KeyStore, type KeyStoreOptions, openKeyStore } from '../../src/keys/key-store.ts';

/** Make a directory that is gone after the test that asks for it. */
export function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'onionrelay-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Open a key store that gathers its warnings. */
export function scratchStore(options: Partial<KeyStoreOptions> = {}): {
  store: KeyStore;
  warnings: string[];
} {
  const warnings: string[] = [];
  const warn = (text: string) => {
    warnings.push(text);
  };
  return { store: openKeyStore({ dataDirectory: scratch(), warn, ...options }), warnings };
}

/** Run what must refuse, and return its refusal. */
export function refusal(run: () => unknown): OperatorError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    return error as OperatorError;
  }
  throw new Error('it was not refused');
}

/** `state` without a file. */
export function memoryTimes(times: Record<string, number> = {}) {
  const map = new Map(Object.entries(times));
  return {
    map,
    getTime: (key: string) => map.get(key) ?? null,
    setTime: (key: string, sec: number) => {
      map.set(key, sec);
    },
  };
}
