/** The DataDirectory: made when missing, modes tightened, owners refused, key files never overwritten. */

import { expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import {
  createKeyFile,
  keyPath,
  openKeyStore,
  readKeyFile,
  removeKeyFile,
  setAsideKeyFile,
  supersedeKeyFiles,
} from '../../src/keys/key-store.ts';
import { refusal, scratch, scratchStore } from './scratch.ts';

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

test('both directories are made, 0700', () => {
  const dataDirectory = join(scratch(), 'tor');
  const store = openKeyStore({ dataDirectory });
  expect(store.keyDirectory).toBe(join(dataDirectory, 'keys'));
  expect([mode(dataDirectory), mode(store.keyDirectory)]).toEqual([0o700, 0o700]);
});

test('group-readable directories are 0750', () => {
  const dataDirectory = join(scratch(), 'tor');
  const readable = { dataDirectoryGroupReadable: true, keyDirectoryGroupReadable: true };
  const store = openKeyStore({ dataDirectory, ...readable });
  expect([mode(dataDirectory), mode(store.keyDirectory)]).toEqual([0o750, 0o750]);
});

test('too open directories are tightened with a warning, good ones silently kept', () => {
  const { store, warnings } = scratchStore();
  expect(warnings).toEqual([]);
  chmodSync(store.dataDirectory, 0o755);
  chmodSync(store.keyDirectory, 0o777);
  const again = scratchStore({ dataDirectory: store.dataDirectory });
  expect(again.warnings).toEqual([
    `${store.dataDirectory}: mode 0755 lets others in; set to 0700`,
    `${store.keyDirectory}: mode 0777 lets others in; set to 0700`,
  ]);
  expect([mode(store.dataDirectory), mode(store.keyDirectory)]).toEqual([0o700, 0o700]);
  chmodSync(store.dataDirectory, 0o775);
  const shared = scratchStore({ dataDirectory: store.dataDirectory, dataDirectoryGroupReadable: true });
  expect(shared.warnings).toHaveLength(1);
  expect(mode(store.dataDirectory)).toBe(0o750);
});

test('another owner refuses, with the names and the remedy', () => {
  const { store } = scratchStore();
  const error = refusal(() => openKeyStore({ dataDirectory: store.dataDirectory, uid: store.uid + 4321 }));
  expect(error.where).toBe(store.dataDirectory);
  expect(error.exitCode).toBe(2);
  expect(error.what).toMatch(/^belongs to \S+, but this relay runs as uid \d+$/);
  expect(error.hint).toContain('chown -R');
});

test.skipIf(process.getuid!() !== 0)('a key file of another owner refuses', () => {
  const { store } = scratchStore();
  createKeyFile(store, 'secret_id_key', Uint8Array.of(1));
  chownSync(keyPath(store, 'secret_id_key'), 65_534, 65_534);
  const error = refusal(() => readKeyFile(store, 'secret_id_key', true));
  expect(error.where).toBe(keyPath(store, 'secret_id_key'));
  expect(error.what).toContain('but this relay runs as root');
});

test('a file or a link in the place of a directory refuses', () => {
  const at = scratch();
  writeFileSync(join(at, 'file'), '');
  expect(refusal(() => openKeyStore({ dataDirectory: join(at, 'file') })).exitCode).toBe(2);
  mkdirSync(join(at, 'real'), { mode: 0o700 });
  symlinkSync(join(at, 'real'), join(at, 'link'));
  expect(refusal(() => openKeyStore({ dataDirectory: join(at, 'link') })).what).toBe('is a symbolic link');
  expect(refusal(() => openKeyStore({ dataDirectory: join(at, 'no', 'where') })).what).toContain('ENOENT');
});

test('a readable secret is tightened with a warning, a public file only when writable', () => {
  const { store, warnings } = scratchStore();
  createKeyFile(store, 'secret', Uint8Array.of(1));
  createKeyFile(store, 'public', Uint8Array.of(2));
  chmodSync(keyPath(store, 'secret'), 0o644);
  chmodSync(keyPath(store, 'public'), 0o644);
  expect(readKeyFile(store, 'secret', true)).toEqual(Uint8Array.of(1));
  expect(readKeyFile(store, 'public', false)).toEqual(Uint8Array.of(2));
  expect(warnings).toEqual([`${keyPath(store, 'secret')}: mode 0644 lets others in; set to 0600`]);
  expect([mode(keyPath(store, 'secret')), mode(keyPath(store, 'public'))]).toEqual([0o600, 0o644]);
  chmodSync(keyPath(store, 'public'), 0o666);
  readKeyFile(store, 'public', false);
  expect(mode(keyPath(store, 'public'))).toBe(0o644);
});

test('what is no plain file is refused and not waited for', () => {
  const { store } = scratchStore();
  expect(readKeyFile(store, 'none', true)).toBeNull();
  mkdirSync(keyPath(store, 'folder'));
  expect(refusal(() => readKeyFile(store, 'folder', true)).where).toBe(keyPath(store, 'folder'));
  execFileSync('mkfifo', [keyPath(store, 'pipe')]);
  expect(refusal(() => readKeyFile(store, 'pipe', true)).what).toBe('is not a file');
  symlinkSync('/etc/passwd', keyPath(store, 'link'));
  expect(refusal(() => readKeyFile(store, 'link', true)).hint).toContain('symbolic link');
});

test('keys are created once, set aside, superseded and removed', () => {
  const { store } = scratchStore();
  const read = (name: string) => readFileSync(keyPath(store, name), 'latin1');
  createKeyFile(store, 'key', new TextEncoder().encode('one'));
  expect(refusal(() => createKeyFile(store, 'key', new Uint8Array(1))).exitCode).toBe(2);
  supersedeKeyFiles(store, [{ name: 'key', bytes: new TextEncoder().encode('two') }]);
  expect([read('key'), read('key.old')]).toEqual(['two', 'one']);
  setAsideKeyFile(store, 'key');
  expect(read('key.old')).toBe('two');
  setAsideKeyFile(store, 'key');
  expect(read('key.old')).toBe('two');
  removeKeyFile(store, 'key.old');
  removeKeyFile(store, 'key.old');
  expect(readKeyFile(store, 'key.old', true)).toBeNull();
});

test('a key that cannot be superseded keeps its name', () => {
  const { store } = scratchStore();
  createKeyFile(store, 'key', Uint8Array.of(1));
  mkdirSync(keyPath(store, 'key.tmp'));
  const error = refusal(() => supersedeKeyFiles(store, [{ name: 'key', bytes: Uint8Array.of(2) }]));
  expect(error.where).toBe(keyPath(store, 'key'));
  expect(readKeyFile(store, 'key', true)).toEqual(Uint8Array.of(1));
});

test('of several keys that are superseded together, all are or none', () => {
  const two = [
    { name: 'one', bytes: Uint8Array.of(11) },
    { name: 'two', bytes: Uint8Array.of(12) },
  ];
  // The first cannot be written to disk before any rename; the second fails between the renames.
  for (const inTheWay of ['two.tmp', 'two.old']) {
    for (const hadOne of [true, false]) {
      const { store, warnings } = scratchStore();
      if (hadOne) createKeyFile(store, 'one', Uint8Array.of(1));
      createKeyFile(store, 'two', Uint8Array.of(2));
      mkdirSync(keyPath(store, inTheWay));
      const error = refusal(() => supersedeKeyFiles(store, two));
      expect([error.where, error.exitCode]).toEqual([keyPath(store, 'two'), 2]);
      expect(readKeyFile(store, 'one', true)).toEqual(hadOne ? Uint8Array.of(1) : null);
      expect(readKeyFile(store, 'two', true)).toEqual(Uint8Array.of(2));
      expect(readdirSync(store.keyDirectory).sort()).toEqual(
        [...(hadOne ? ['one'] : []), 'two', inTheWay].sort(),
      );
      rmdirSync(keyPath(store, inTheWay));
      supersedeKeyFiles(store, two);
      expect(readKeyFile(store, 'one', true)).toEqual(Uint8Array.of(11));
      expect(readKeyFile(store, 'two', true)).toEqual(Uint8Array.of(12));
      expect(readKeyFile(store, 'two.old', true)).toEqual(Uint8Array.of(2));
      expect(warnings).toEqual([]);
    }
  }
});
