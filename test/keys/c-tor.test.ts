/** A DataDirectory moves from C tor to us and back: same identities, same files, no complaint; one lock for both. */

import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { fingerprintText } from '../../src/cli/fingerprint.ts';
import { lockDirectory } from '../../src/daemon/lock-file.ts';
import { StateFile } from '../../src/daemon/state-file.ts';
import { writeFingerprintFiles } from '../../src/keys/fingerprint-file.ts';
import { generateKeys, loadOrCreateIdentity, refreshIdentity } from '../../src/keys/identity.ts';
import type { KeyStore } from '../../src/keys/key-store.ts';
import { loadOrCreateOnionKeys, maintainOnionKeys } from '../../src/keys/onion-key.ts';
import { complaints, HAS_TOR, runTor, startTor } from './c-tor.ts';
import { refusal, scratch, scratchStore } from './scratch.ts';

const DAY = 86_400;
const US = 'onionrelay 0.1.0';
const nowSec = () => Math.floor(Date.now() / 1000);

/** Every file of the keys directory and both fingerprint files, by name, in hex. */
function snapshot(dataDirectory: string): Record<string, string> {
  const names = readdirSync(join(dataDirectory, 'keys')).map((name) => join('keys', name));
  const all = [...names.sort(), 'fingerprint', 'fingerprint-ed25519'];
  return Object.fromEntries(
    all.map((name) => [name, readFileSync(join(dataDirectory, name)).toString('hex')]),
  );
}

function state(store: KeyStore): StateFile {
  return StateFile.load(join(store.dataDirectory, 'state'), nowSec());
}

test.skipIf(!HAS_TOR)(
  'a DataDirectory of C tor loads with its identity and is left as it was',
  async () => {
    const dataDirectory = scratch();
    const log = await (await startTor(dataDirectory)).stop();
    expect(complaints(log)).toEqual([]);
    const before = snapshot(dataDirectory);
    const { store, warnings } = scratchStore({ dataDirectory });
    const identity = loadOrCreateIdentity(store, nowSec());
    const times = state(store);
    const onion = loadOrCreateOnionKeys(store, times, nowSec());
    writeFingerprintFiles(store, 'unnamed1', identity, false);
    expect(snapshot(dataDirectory)).toEqual(before);
    expect(warnings).toEqual([]);
    expect(times.getTime('LastRotatedOnionKey')).toBe(onion.rotatedSec);
    expect(Math.abs(identity.signing.expiresSec - (nowSec() + 30 * DAY))).toBeLessThan(7200);

    const rsa = await runTor(dataDirectory, ['--list-fingerprint', 'rsa', '--quiet']);
    const ed25519 = await runTor(dataDirectory, ['--list-fingerprint', 'ed25519', '--quiet']);
    // --quiet leaves the info log that the command line asks for; the last line is the answer.
    expect(rsa.out).toEndWith(fingerprintText('unnamed1', identity, 'rsa'));
    expect(ed25519.out).toEndWith(fingerprintText('unnamed1', identity, 'ed25519'));
  },
  60_000,
);

test.skipIf(!HAS_TOR)(
  'a DataDirectory of ours runs under C tor without a complaint, and comes back',
  async () => {
    const { store, warnings } = scratchStore();
    const identity = loadOrCreateIdentity(store, nowSec());
    const times = state(store);
    const onion = loadOrCreateOnionKeys(store, times, nowSec() - DAY);
    times.set('OnionrelayOnly', 'kept');
    times.save(nowSec(), US);
    writeFingerprintFiles(store, 'unnamed1', identity, false);
    const before = snapshot(store.dataDirectory);

    const log = await (await startTor(store.dataDirectory)).stop();
    expect(complaints(log)).toEqual([]);
    expect(log).not.toContain('generating fresh key');
    expect(log).not.toContain('generate and sign a new');
    expect(snapshot(store.dataDirectory)).toEqual(before);
    expect(log).toContain(readFileSync(join(store.dataDirectory, 'fingerprint'), 'latin1').trim());

    const after = state(store);
    expect(after.get('TorVersion')).toStartWith('Tor 0.4');
    expect(after.get('OnionrelayOnly')).toBe('kept');
    expect(after.getTime('LastRotatedOnionKey')).toBe(onion.rotatedSec);
    expect(loadOrCreateIdentity(store, nowSec()).signing).toEqual(identity.signing);
    expect(loadOrCreateOnionKeys(store, after, nowSec()).current.publicKey).toEqual(onion.current.publicKey);
    expect(warnings).toEqual([]);
  },
  60_000,
);

test.skipIf(!HAS_TOR)(
  'rotated onion keys and a renewed signing key of ours are taken by C tor',
  async () => {
    const { store } = scratchStore();
    const first = loadOrCreateIdentity(store, nowSec() - 29.5 * DAY);
    const times = state(store);
    const onion = loadOrCreateOnionKeys(store, times, nowSec() - 29 * DAY);
    const rotated = maintainOnionKeys(store, times, onion, nowSec() - DAY, {
      rotationDays: 28,
      graceDays: 7,
    });
    expect(rotated.previous?.publicKey).toEqual(onion.current.publicKey);
    times.save(nowSec(), US);
    const second = refreshIdentity(store, first, nowSec());
    expect(second).not.toBe(first);
    writeFingerprintFiles(store, 'unnamed1', second, false);
    const before = snapshot(store.dataDirectory);
    const log = await (await startTor(store.dataDirectory)).stop();
    expect(complaints(log)).toEqual([]);
    expect(snapshot(store.dataDirectory)).toEqual(before);
    expect(loadOrCreateOnionKeys(store, state(store), nowSec()).previous?.publicKey).toEqual(
      onion.current.publicKey,
    );
  },
  60_000,
);

test.skipIf(!HAS_TOR)(
  'C tor makes a signing key under our master key, and we under its',
  async () => {
    const { store } = scratchStore();
    generateKeys(store, nowSec());
    const ours = loadOrCreateIdentity(store, nowSec());
    const keygen = await runTor(store.dataDirectory, ['--keygen', '--no-passphrase']);
    expect(keygen.code).toBe(0);
    const theirs = loadOrCreateIdentity(store, nowSec());
    expect(theirs.ed25519Id).toEqual(ours.ed25519Id);
    expect(theirs.signing.publicKey).not.toEqual(ours.signing.publicKey);
    generateKeys(store, nowSec());
    writeFingerprintFiles(store, 'unnamed1', ours, false);
    const before = snapshot(store.dataDirectory);
    const log = await (await startTor(store.dataDirectory)).stop();
    expect(complaints(log)).toEqual([]);
    // C tor's keygen makes no onion keys; only its run adds them.
    expect(snapshot(store.dataDirectory)).toMatchObject(before);
  },
  60_000,
);

test.skipIf(!HAS_TOR)(
  'our files have the lengths and modes of C tor, PEM to a few digits',
  async () => {
    const theirs = scratch();
    await (await startTor(theirs)).stop();
    const { store } = scratchStore();
    loadOrCreateIdentity(store, nowSec());
    loadOrCreateOnionKeys(store, state(store), nowSec());
    const list = (path: string) =>
      readdirSync(join(path, 'keys'))
        .sort()
        .map((name) => {
          const { mode, size } = statSync(join(path, 'keys', name));
          // A number in DER takes a byte more when its top bit is set, so PEM files differ by some characters.
          const isTagged = name.startsWith('ed25519') || name.endsWith('ntor');
          return [name, mode & 0o777, isTagged ? size : size > 870 && size < 910];
        });
    expect(list(store.dataDirectory)).toEqual(list(theirs));
  },
  60_000,
);

test.skipIf(!HAS_TOR)(
  'a running C tor keeps us out, and we keep C tor out',
  async () => {
    const dataDirectory = scratch();
    const tor = await startTor(dataDirectory);
    try {
      const error = refusal(() => lockDirectory(dataDirectory));
      expect(error.what).toBe(`process ${tor.pid} already runs with this DataDirectory`);
    } finally {
      await tor.stop();
    }
    const lock = lockDirectory(dataDirectory);
    const { code, out } = await runTor(dataDirectory, []);
    lock.release();
    expect(code).not.toBe(0);
    expect(out).toContain('another Tor process is running with the same data directory');
  },
  60_000,
);
