/** Identities: made whole, loaded, refused when half, mixed up, damaged or expired; signing keys renewed in time. */

import { expect, test } from 'bun:test';
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { CertType, checkEd25519Cert, decodeEd25519Cert } from '../../src/crypto/certificate.ts';
import { verifyEd25519 } from '../../src/crypto/ed25519.ts';
import { generateRsa, rsaToPem } from '../../src/crypto/rsa.ts';
import { writeFingerprintFiles } from '../../src/keys/fingerprint-file.ts';
import {
  DEFAULT_SIGNING_POLICY,
  generateKeys,
  loadOrCreateIdentity,
  MASTER_ENCRYPTED_FILE,
  MASTER_PUBLIC_FILE,
  MASTER_SECRET_FILE,
  RSA_IDENTITY_FILE,
  refreshIdentity,
} from '../../src/keys/identity.ts';
import { type KeyStore, keyPath } from '../../src/keys/key-store.ts';
import { SIGNING_CERT_FILE, SIGNING_SECRET_FILE } from '../../src/keys/signing-key.ts';
import { refusal, scratchStore } from './scratch.ts';

const NOW = 1_795_000_000;
const DAY = 86_400;
const ALL = [
  RSA_IDENTITY_FILE,
  MASTER_SECRET_FILE,
  MASTER_PUBLIC_FILE,
  SIGNING_SECRET_FILE,
  SIGNING_CERT_FILE,
];
const OFFLINE = { ...DEFAULT_SIGNING_POLICY, offlineMaster: true };

function drop(store: KeyStore, ...names: string[]): void {
  for (const name of names) rmSync(keyPath(store, name));
}

function bytesOf(store: KeyStore, name: string): string {
  return readFileSync(keyPath(store, name)).toString('hex');
}

test('an empty directory gets a whole identity, which is loaded again unchanged', () => {
  const { store, warnings } = scratchStore();
  const made = loadOrCreateIdentity(store, NOW);
  expect(readdirSync(store.keyDirectory).sort()).toEqual([...ALL].sort());
  const files = ALL.map((name) => bytesOf(store, name));
  const loaded = loadOrCreateIdentity(store, NOW + DAY);
  expect(loaded.rsaId).toEqual(made.rsaId);
  expect(loaded.ed25519Id).toEqual(made.ed25519Id);
  expect(loaded.signing).toEqual(made.signing);
  expect(ALL.map((name) => bytesOf(store, name))).toEqual(files);
  expect(warnings).toEqual([]);
  const message = new TextEncoder().encode('descriptor');
  expect(verifyEd25519(made.signing.publicKey, message, loaded.sign(message))).toBe(true);
});

test('the signing certificate is what C tor makes: type 4, names the master key, a month to the next hour', () => {
  const { store } = scratchStore();
  const { signing, ed25519Id } = loadOrCreateIdentity(store, NOW);
  const cert = decodeEd25519Cert(signing.cert);
  expect(signing.cert.length).toBe(140);
  expect(cert.certType).toBe(CertType.SIGNING);
  expect(cert.signedWith).toEqual(ed25519Id);
  expect(cert.certifiedKey).toEqual(signing.publicKey);
  expect(checkEd25519Cert(cert, ed25519Id, NOW)).toBeNull();
  expect(signing.expiresSec).toBe(Math.ceil((NOW + 30 * DAY) / 3600) * 3600);
});

for (const name of [RSA_IDENTITY_FILE, MASTER_PUBLIC_FILE]) {
  test(`without ${name} the rest is refused by name`, () => {
    const { store } = scratchStore();
    loadOrCreateIdentity(store, NOW);
    drop(store, name);
    const error = refusal(() => loadOrCreateIdentity(store, NOW));
    expect(error.exitCode).toBe(2);
    expect(error.where).toBe(store.keyDirectory);
    expect(error.what).toContain(`are missing: ${name} (found: `);
    expect(error.hint).toContain('restore');
    expect(readdirSync(store.keyDirectory)).not.toContain(name);
  });
}

test('several missing files are all named', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  drop(store, MASTER_SECRET_FILE, MASTER_PUBLIC_FILE, SIGNING_CERT_FILE);
  const { what } = refusal(() => loadOrCreateIdentity(store, NOW));
  for (const name of [MASTER_SECRET_FILE, MASTER_PUBLIC_FILE, SIGNING_CERT_FILE])
    expect(what).toContain(name);
  expect(what).toContain(`(found: ${RSA_IDENTITY_FILE}, ${SIGNING_SECRET_FILE})`);
});

test('signing files alone do not become another identity', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  drop(store, RSA_IDENTITY_FILE, MASTER_SECRET_FILE, MASTER_PUBLIC_FILE);
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).what).toContain(RSA_IDENTITY_FILE);
});

for (const name of [SIGNING_SECRET_FILE, SIGNING_CERT_FILE]) {
  test(`without ${name} a new signing key is made where the master secret is`, () => {
    const { store } = scratchStore();
    const before = loadOrCreateIdentity(store, NOW);
    drop(store, name);
    const after = loadOrCreateIdentity(store, NOW);
    expect(after.ed25519Id).toEqual(before.ed25519Id);
    expect(after.signing.publicKey).not.toEqual(before.signing.publicKey);
    expect(loadOrCreateIdentity(store, NOW).signing).toEqual(after.signing);
  });
}

test('an offline master: public key, signing secret and certificate are enough', () => {
  const { store, warnings } = scratchStore();
  const before = loadOrCreateIdentity(store, NOW);
  drop(store, MASTER_SECRET_FILE);
  expect(loadOrCreateIdentity(store, NOW).ed25519Id).toEqual(before.ed25519Id);
  expect(loadOrCreateIdentity(store, NOW, OFFLINE).signing).toEqual(before.signing);
  expect(warnings).toEqual([]);
});

test('an offline master: without a signing key it is refused, and nothing is made', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  drop(store, MASTER_SECRET_FILE, SIGNING_CERT_FILE);
  const { what } = refusal(() => loadOrCreateIdentity(store, NOW));
  expect(what).toContain(`${MASTER_SECRET_FILE}, ${SIGNING_CERT_FILE}`);
  expect(refusal(() => loadOrCreateIdentity(store, NOW, OFFLINE)).hint).toContain('keygen');
  const empty = scratchStore().store;
  expect(refusal(() => loadOrCreateIdentity(empty, NOW, OFFLINE)).what).toContain('(found: none)');
  expect(readdirSync(empty.keyDirectory)).toEqual([]);
});

test('an offline master: expiry is warned of a day ahead, then refused', () => {
  const { store, warnings } = scratchStore();
  const { signing } = loadOrCreateIdentity(store, NOW);
  drop(store, MASTER_SECRET_FILE);
  loadOrCreateIdentity(store, signing.expiresSec - DAY);
  expect(warnings).toEqual([]);
  loadOrCreateIdentity(store, signing.expiresSec - DAY + 1);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toStartWith(`${keyPath(store, SIGNING_CERT_FILE)}: expires at `);
  const error = refusal(() => loadOrCreateIdentity(store, signing.expiresSec + 1));
  expect(error.where).toBe(keyPath(store, SIGNING_CERT_FILE));
  expect(error.what).toStartWith('expired at 2026-');
});

test('an encrypted master secret is told, not replaced', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  renameSync(keyPath(store, MASTER_SECRET_FILE), keyPath(store, MASTER_ENCRYPTED_FILE));
  loadOrCreateIdentity(store, NOW);
  drop(store, SIGNING_CERT_FILE);
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).what).toContain(SIGNING_CERT_FILE);
  expect(refusal(() => generateKeys(store, NOW)).hint).toContain('tor --keygen');
});

test('the signing key is renewed a day before it ends; the old files stand aside', () => {
  const { store } = scratchStore();
  const first = loadOrCreateIdentity(store, NOW);
  const early = refreshIdentity(store, first, first.signing.expiresSec - DAY);
  expect(early).toBe(first);
  const secret = bytesOf(store, SIGNING_SECRET_FILE);
  const second = refreshIdentity(store, first, first.signing.expiresSec - DAY + 1);
  expect(second.signing.publicKey).not.toEqual(first.signing.publicKey);
  expect(second.signing.expiresSec).toBeGreaterThan(first.signing.expiresSec + 28 * DAY);
  expect(second.ed25519Id).toEqual(first.ed25519Id);
  expect(bytesOf(store, `${SIGNING_SECRET_FILE}.old`)).toBe(secret);
  const message = Uint8Array.of(1, 2, 3);
  expect(verifyEd25519(second.signing.publicKey, message, second.sign(message))).toBe(true);
  expect(loadOrCreateIdentity(store, second.signing.expiresSec - 2 * DAY).signing).toEqual(second.signing);
});

test('a signing key copied here while we run is taken over', () => {
  const { store } = scratchStore();
  const first = loadOrCreateIdentity(store, NOW);
  generateKeys(store, NOW + DAY);
  drop(store, MASTER_SECRET_FILE);
  const second = refreshIdentity(store, first, NOW + DAY, OFFLINE);
  expect(second.signing.publicKey).not.toEqual(first.signing.publicKey);
  expect(refreshIdentity(store, second, NOW + DAY, OFFLINE)).toBe(second);
});

for (const name of ALL) {
  test(`${name}: empty, truncated, too long and foreign files are refused by name`, () => {
    const { store } = scratchStore();
    loadOrCreateIdentity(store, NOW);
    const good = readFileSync(keyPath(store, name));
    const bad = [
      Buffer.alloc(0),
      good.subarray(0, 20),
      good.subarray(0, good.length - 40),
      Buffer.concat([good, good]),
      Buffer.alloc(good.length, 65),
      Buffer.alloc(100_000, 65),
    ];
    for (const bytes of bad) {
      writeFileSync(keyPath(store, name), bytes);
      const error = refusal(() => loadOrCreateIdentity(store, NOW));
      expect(error.where).toBe(keyPath(store, name));
      expect(error.exitCode).toBe(2);
      expect(error.what).toStartWith('is damaged: ');
      expect(error.hint).not.toBe('');
      expect(readFileSync(keyPath(store, name)).equals(bytes)).toBe(true);
    }
    writeFileSync(keyPath(store, name), good);
    loadOrCreateIdentity(store, NOW);
  });
}

test('an RSA identity of another size is refused', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  writeFileSync(keyPath(store, RSA_IDENTITY_FILE), rsaToPem(generateRsa(2048)));
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).what).toContain('2048 bits instead of 1024');
});

function swap(name: string): { store: KeyStore; error: ReturnType<typeof refusal> } {
  const { store } = scratchStore();
  const other = scratchStore().store;
  const identity = loadOrCreateIdentity(store, NOW);
  loadOrCreateIdentity(other, NOW);
  writeFingerprintFiles(store, 'ours', identity, false);
  copyFileSync(keyPath(other, name), keyPath(store, name));
  return { store, error: refusal(() => loadOrCreateIdentity(store, NOW)) };
}

test('files of two relays mixed up are refused, each by name', () => {
  const secret = swap(MASTER_SECRET_FILE);
  expect(secret.error.where).toBe(keyPath(secret.store, MASTER_PUBLIC_FILE));
  expect(secret.error.what).toContain(`does not match ${MASTER_SECRET_FILE}`);
  const pub = swap(MASTER_PUBLIC_FILE);
  expect(pub.error.where).toBe(keyPath(pub.store, MASTER_PUBLIC_FILE));
  const signing = swap(SIGNING_SECRET_FILE);
  expect(signing.error.where).toBe(keyPath(signing.store, SIGNING_CERT_FILE));
  expect(signing.error.what).toContain(`does not match ${SIGNING_SECRET_FILE}`);
  const cert = swap(SIGNING_CERT_FILE);
  expect(cert.error.where).toBe(keyPath(cert.store, SIGNING_CERT_FILE));
});

test('a signing pair of another master is refused', () => {
  const { store } = scratchStore();
  const other = scratchStore().store;
  loadOrCreateIdentity(store, NOW);
  loadOrCreateIdentity(other, NOW);
  for (const name of [SIGNING_SECRET_FILE, SIGNING_CERT_FILE]) {
    copyFileSync(keyPath(other, name), keyPath(store, name));
  }
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).what).toContain('another master identity key');
});

test('a certificate with a spoilt signature is refused', () => {
  const { store } = scratchStore();
  loadOrCreateIdentity(store, NOW);
  const file = readFileSync(keyPath(store, SIGNING_CERT_FILE));
  file[file.length - 1]! ^= 1;
  writeFileSync(keyPath(store, SIGNING_CERT_FILE), file);
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).where).toBe(keyPath(store, SIGNING_CERT_FILE));
});

test('an RSA identity pinned with another Ed25519 one is refused', () => {
  const { store, error } = swap(RSA_IDENTITY_FILE);
  expect(error.exitCode).toBe(2);
  expect(error.where).toBe(join(store.dataDirectory, 'fingerprint'));
  expect(error.what).toContain('the Ed25519 identity is pinned to another RSA identity');
  expect(error.hint).toContain('authorities refuse');
  const whole = scratchStore().store;
  const other = scratchStore().store;
  writeFingerprintFiles(whole, 'ours', loadOrCreateIdentity(other, NOW), false);
  loadOrCreateIdentity(whole, NOW);
});

test('keygen makes all, then only signing keys, and mends a missing public file', () => {
  const { store } = scratchStore();
  expect(generateKeys(store, NOW)).toEqual(ALL);
  const first = loadOrCreateIdentity(store, NOW);
  expect(generateKeys(store, NOW)).toEqual([SIGNING_SECRET_FILE, SIGNING_CERT_FILE]);
  drop(store, MASTER_PUBLIC_FILE);
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).hint).toContain('onionrelay keygen');
  expect(generateKeys(store, NOW, OFFLINE)[0]).toBe(MASTER_PUBLIC_FILE);
  const last = loadOrCreateIdentity(store, NOW);
  expect(last.ed25519Id).toEqual(first.ed25519Id);
  expect(last.signing.publicKey).not.toEqual(first.signing.publicKey);
});

const MADE_FIRST = [RSA_IDENTITY_FILE, MASTER_SECRET_FILE, MASTER_PUBLIC_FILE];

/** A store as a process leaves it that died when `placed` files of a new identity had their names. */
function diedWhileMaking(placed: number) {
  const { store } = scratchStore();
  const identity = loadOrCreateIdentity(store, NOW);
  drop(store, SIGNING_SECRET_FILE);
  drop(store, SIGNING_CERT_FILE);
  for (const name of MADE_FIRST.slice(placed))
    renameSync(keyPath(store, name), keyPath(store, `${name}.tmp`));
  return { store, identity };
}

test('a process that died while it gave a new identity its names is finished', () => {
  for (const placed of [1, 2, 3]) {
    const { store, identity } = diedWhileMaking(placed);
    const again = loadOrCreateIdentity(store, NOW);
    expect([again.rsaId, again.ed25519Id]).toEqual([identity.rsaId, identity.ed25519Id]);
    expect(readdirSync(store.keyDirectory).sort()).toEqual([...ALL].sort());
  }
  const { store, identity } = diedWhileMaking(0);
  expect(loadOrCreateIdentity(store, NOW).rsaId).not.toEqual(identity.rsaId);
  expect(readdirSync(store.keyDirectory).sort()).toEqual([...ALL].sort());
});

test('what is left of a lost file does not pass for it', () => {
  const { store } = diedWhileMaking(2);
  const left = keyPath(store, `${MASTER_PUBLIC_FILE}.tmp`);
  writeFileSync(left, readFileSync(left).subarray(0, 40));
  expect(refusal(() => loadOrCreateIdentity(store, NOW)).what).toContain(`missing: ${MASTER_PUBLIC_FILE}`);
  const offline = diedWhileMaking(1).store;
  expect(refusal(() => loadOrCreateIdentity(offline, NOW, OFFLINE)).what).toContain('missing');
});
