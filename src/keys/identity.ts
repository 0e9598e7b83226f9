/**
 * Who this relay is: the RSA-1024 identity, the Ed25519 master identity, and the signing key under it.
 *
 * The two identities are pinned to each other for ever by the directory authorities, so neither is ever made
 * alone: all identity files absent, and both are made; some absent, and the relay refuses to start, unless it died
 * while it made them and all are there under temporary names. The master
 * secret is read only to sign a new signing key and is wiped after it; with an offline master it is never here.
 * @source tor-spec "Keys and names", cert-spec
 */

import { equal, wipe } from '../bytes/secret.ts';
import { generateEd25519, publicFromExpanded, signExpanded } from '../crypto/ed25519.ts';
import {
  fingerprint,
  generateRsa,
  hasUsualExponent,
  modulusBits,
  RSA_IDENTITY_BITS,
  type RsaKey,
  rsaFromPem,
  rsaToPem,
} from '../crypto/rsa.ts';
import { Malformed } from '../fault.ts';
import { checkFingerprintFiles } from './fingerprint-file.ts';
import {
  createKeyFile,
  createKeyFiles,
  finishKeyFile,
  hasKeyFile,
  isKeyFileStaged,
  type KeyStore,
  keyFault,
  keyPath,
  loadKeyFile,
  removeKeyFile,
} from './key-store.ts';
import {
  createSigningKey,
  loadSigningKey,
  type MasterKey,
  SIGNING_CERT_FILE,
  SIGNING_SECRET_FILE,
  type SigningKey,
  signingFilesPresent,
} from './signing-key.ts';
import { decodePemFile, decodeTagged, encodePemFile, encodeTagged, TaggedForms } from './tagged-file.ts';

export const RSA_IDENTITY_FILE = 'secret_id_key';
export const MASTER_SECRET_FILE = 'ed25519_master_id_secret_key';
export const MASTER_PUBLIC_FILE = 'ed25519_master_id_public_key';
/** The master secret under a passphrase: only C tor's --keygen opens it. */
export const MASTER_ENCRYPTED_FILE = 'ed25519_master_id_secret_key_encrypted';

/** A relay's identity with everything that signs in its name, short of the master secret. Never mutated. */
export interface RelayIdentity {
  readonly rsa: RsaKey;
  /** SHA-1 of the RSA identity's PKCS#1 DER: 20 bytes. */
  readonly rsaId: Uint8Array;
  /** The master identity's public key: 32 bytes. */
  readonly ed25519Id: Uint8Array;
  readonly signing: SigningKey;
  /** Sign with the signing key: 64 bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** torrc's wishes about the signing key. */
export interface SigningPolicy {
  /** SigningKeyLifetime. */
  readonly lifetimeSec: number;
  /** TestingSigningKeySlop: a key that ends sooner than this is renewed. */
  readonly slopSec: number;
  /** OfflineMasterKey: never look for the master secret, never make one. */
  readonly offlineMaster: boolean;
}

const DAY_SEC = 86_400;

export const DEFAULT_SIGNING_POLICY: SigningPolicy = {
  lifetimeSec: 30 * DAY_SEC,
  slopSec: DAY_SEC,
  offlineMaster: false,
};

const RESTORE = 'restore it from a backup of this relay; a relay without it is another relay';

function decodeRsaIdentity(bytes: Uint8Array): RsaKey {
  const key = rsaFromPem(decodePemFile('RSA PRIVATE KEY', bytes));
  const bits = modulusBits(key.publicKey);
  if (bits !== RSA_IDENTITY_BITS)
    throw new Malformed('key file', `an RSA key of ${bits} bits instead of 1024`);
  if (!hasUsualExponent(key.publicKey)) throw new Malformed('key file', 'an RSA exponent other than 65537');
  return key;
}

function loadMasterPublic(store: KeyStore): Uint8Array | null {
  const decode = (bytes: Uint8Array) => decodeTagged(TaggedForms.masterPublic, bytes);
  return loadKeyFile(store, MASTER_PUBLIC_FILE, false, decode, RESTORE);
}

/** Load the master key with its secret, if that is here. The caller wipes it. @throws OperatorError */
function loadMaster(store: KeyStore, policy: SigningPolicy): MasterKey | null {
  if (policy.offlineMaster) return null;
  const decode = (bytes: Uint8Array) => decodeTagged(TaggedForms.masterSecret, bytes);
  const expanded = loadKeyFile(store, MASTER_SECRET_FILE, true, decode, RESTORE);
  return expanded === null ? null : { publicKey: publicFromExpanded(expanded), expanded };
}

function masterMismatch(store: KeyStore): Error {
  return keyFault(
    `does not match ${MASTER_SECRET_FILE}: they are halves of different keys`,
    keyPath(store, MASTER_PUBLIC_FILE),
    'restore both from the same backup',
  );
}

/** Which files that make or follow from an identity exist. */
function survey(store: KeyStore) {
  const { secret: signingSecret, cert: signingCert } = signingFilesPresent(store);
  return {
    rsa: hasKeyFile(store, RSA_IDENTITY_FILE),
    masterSecret: hasKeyFile(store, MASTER_SECRET_FILE),
    masterPublic: hasKeyFile(store, MASTER_PUBLIC_FILE),
    masterEncrypted: hasKeyFile(store, MASTER_ENCRYPTED_FILE),
    signingSecret,
    signingCert,
  };
}

type Survey = ReturnType<typeof survey>;

const FILE_OF: Record<keyof Survey, string> = {
  rsa: RSA_IDENTITY_FILE,
  masterSecret: MASTER_SECRET_FILE,
  masterPublic: MASTER_PUBLIC_FILE,
  masterEncrypted: MASTER_ENCRYPTED_FILE,
  signingSecret: SIGNING_SECRET_FILE,
  signingCert: SIGNING_CERT_FILE,
};

/** @throws OperatorError naming every identity file that is missing. */
function refuseIfIncomplete(store: KeyStore, found: Survey, policy: SigningPolicy): void {
  const hasSigning = found.signingSecret && found.signingCert;
  const missing: string[] = [];
  if (!found.rsa) missing.push(RSA_IDENTITY_FILE);
  if (!found.masterPublic) missing.push(MASTER_PUBLIC_FILE);
  // An offline master leaves its public key, and a signing key that it signed beforehand.
  if (policy.offlineMaster || !found.masterSecret) {
    if (!hasSigning && !policy.offlineMaster && !found.masterEncrypted) missing.push(MASTER_SECRET_FILE);
    if (!found.signingSecret) missing.push(SIGNING_SECRET_FILE);
    if (!found.signingCert) missing.push(SIGNING_CERT_FILE);
  }
  if (missing.length === 0) return;
  const there = (Object.keys(FILE_OF) as (keyof Survey)[])
    .filter((key) => found[key])
    .map((key) => FILE_OF[key]);
  throw keyFault(
    `identity files are missing: ${missing.join(', ')} (found: ${there.join(', ') || 'none'})`,
    store.keyDirectory,
    incompleteHint(missing, found, policy),
  );
}

function incompleteHint(missing: readonly string[], found: Survey, policy: SigningPolicy): string {
  if (missing.length === 1 && !found.masterPublic && found.masterSecret && !policy.offlineMaster) {
    return 'restore it from a backup, or have it made again from the master secret: onionrelay keygen';
  }
  if (policy.offlineMaster || found.masterEncrypted) {
    return 'make a signing key where the master secret is (keygen) and copy these files here';
  }
  return (
    'restore them from a backup of this relay; to start as a new relay with a new identity instead, ' +
    'move all files of that directory away'
  );
}

function createIdentity(store: KeyStore, nowSec: number, policy: SigningPolicy): RelayIdentity {
  const rsa = generateRsa(RSA_IDENTITY_BITS);
  const { publicKey, expanded } = generateEd25519();
  const files = [
    { name: RSA_IDENTITY_FILE, bytes: encodePemFile(rsaToPem(rsa)) },
    { name: MASTER_SECRET_FILE, bytes: encodeTagged(TaggedForms.masterSecret, expanded) },
    { name: MASTER_PUBLIC_FILE, bytes: encodeTagged(TaggedForms.masterPublic, publicKey) },
  ];
  createKeyFiles(store, files);
  let signing: SigningKey;
  try {
    signing = createSigningKey(store, { publicKey, expanded }, nowSec, policy.lifetimeSec);
  } catch (error) {
    // Half an identity would refuse the next start; no one knows these keys yet.
    for (const { name } of files) removeKeyFile(store, name);
    throw error;
  }
  wipe(expanded);
  return assemble(rsa, publicKey, signing);
}

/**
 * Finish what `createIdentity` began when the process died between the first and the last name. Whatever is missing
 * for another reason stays missing: a lost file has no whole temporary one beside it.
 */
function finishIdentity(store: KeyStore, found: Survey): void {
  if (found.signingSecret || found.signingCert || found.masterEncrypted) return;
  const parts = [
    { here: found.rsa, name: RSA_IDENTITY_FILE, decode: decodeRsaIdentity },
    {
      here: found.masterSecret,
      name: MASTER_SECRET_FILE,
      decode: (bytes: Uint8Array) => wipe(decodeTagged(TaggedForms.masterSecret, bytes)),
    },
    {
      here: found.masterPublic,
      name: MASTER_PUBLIC_FILE,
      decode: (bytes: Uint8Array) => decodeTagged(TaggedForms.masterPublic, bytes),
    },
  ];
  const missing = parts.filter(({ here }) => !here);
  if (!missing.every(({ name, decode }) => isKeyFileStaged(store, name, decode))) return;
  for (const { name } of missing) finishKeyFile(store, name);
}

function assemble(rsa: RsaKey, ed25519Id: Uint8Array, signing: SigningKey): RelayIdentity {
  const sign = (message: Uint8Array) => signExpanded(signing.expanded, signing.publicKey, message);
  return { rsa, rsaId: fingerprint(rsa.publicDer), ed25519Id, signing, sign };
}

function printDate(sec: number): string {
  return `${new Date(sec * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Load, make or renew the signing key, whatever is needed at `nowSec`. */
function settleSigningKey(
  store: KeyStore,
  masterId: Uint8Array,
  nowSec: number,
  policy: SigningPolicy,
): SigningKey {
  const loaded = loadSigningKey(store, masterId);
  if (loaded !== null && loaded.expiresSec >= nowSec + policy.slopSec) return loaded;
  const master = loadMaster(store, policy);
  if (master !== null) {
    if (!equal(master.publicKey, masterId)) throw masterMismatch(store);
    const made = createSigningKey(store, master, nowSec, policy.lifetimeSec);
    wipe(master.expanded);
    return made;
  }
  const path = keyPath(store, SIGNING_CERT_FILE);
  const hint = 'make a signing key where the master secret is (keygen) and copy both signing files here';
  if (loaded === null)
    throw keyFault('the signing key is missing, and there is no master secret', path, hint);
  if (loaded.expiresSec < nowSec) throw keyFault(`expired at ${printDate(loaded.expiresSec)}`, path, hint);
  store.warn(
    `${path}: expires at ${printDate(loaded.expiresSec)}, and the master secret is not here: ${hint}`,
  );
  return loaded;
}

/**
 * Load this relay's identity, or make one if no identity file exists.
 *
 * @throws OperatorError (`EXIT_KEYS`) when files are missing, damaged, expired, not ours, or do not match.
 */
export function loadOrCreateIdentity(
  store: KeyStore,
  nowSec: number,
  policy: SigningPolicy = DEFAULT_SIGNING_POLICY,
): RelayIdentity {
  const found = survey(store);
  if (!Object.values(found).includes(true) && !policy.offlineMaster)
    return createIdentity(store, nowSec, policy);
  if (!policy.offlineMaster) finishIdentity(store, found);
  refuseIfIncomplete(store, survey(store), policy);
  const rsa = loadKeyFile(store, RSA_IDENTITY_FILE, true, decodeRsaIdentity, RESTORE);
  const ed25519Id = loadMasterPublic(store);
  if (rsa === null || ed25519Id === null) {
    throw keyFault(
      'an identity file vanished while it was read',
      store.keyDirectory,
      'run one process at a time',
    );
  }
  const master = loadMaster(store, policy);
  if (master !== null) {
    wipe(master.expanded);
    if (!equal(master.publicKey, ed25519Id)) throw masterMismatch(store);
  }
  checkFingerprintFiles(store, fingerprint(rsa.publicDer), ed25519Id);
  return assemble(rsa, ed25519Id, settleSigningKey(store, ed25519Id, nowSec, policy));
}

/**
 * Look at the signing key again: on HUP, when an operator with an offline master has copied a new one here, and
 * daily, when it is time to renew. Returns `identity` itself when nothing changed.
 *
 * @throws OperatorError when the files are damaged or do not belong to this identity; the old key stays good.
 */
export function refreshIdentity(
  store: KeyStore,
  identity: RelayIdentity,
  nowSec: number,
  policy: SigningPolicy = DEFAULT_SIGNING_POLICY,
): RelayIdentity {
  const signing = settleSigningKey(store, identity.ed25519Id, nowSec, policy);
  if (equal(signing.cert, identity.signing.cert)) return identity;
  return assemble(identity.rsa, identity.ed25519Id, signing);
}

/**
 * Do what an operator's `keygen` asks: make a whole identity where there is none, else a new signing key (and a
 * master public file, if only that is missing). The RSA identity may be on another machine.
 *
 * @returns the names of the files made.
 * @throws OperatorError when the master secret is not here, or a file is damaged.
 */
export function generateKeys(
  store: KeyStore,
  nowSec: number,
  policy: SigningPolicy = DEFAULT_SIGNING_POLICY,
): string[] {
  const found = survey(store);
  const here = { ...policy, offlineMaster: false };
  if (!Object.values(found).includes(true)) {
    createIdentity(store, nowSec, here);
    return [
      RSA_IDENTITY_FILE,
      MASTER_SECRET_FILE,
      MASTER_PUBLIC_FILE,
      SIGNING_SECRET_FILE,
      SIGNING_CERT_FILE,
    ];
  }
  const master = loadMaster(store, here);
  if (master === null) {
    const hint = found.masterEncrypted
      ? 'it is under a passphrase: make the signing key with "tor --keygen"'
      : 'copy it here from where you keep it, or run keygen there';
    throw keyFault('the master secret key is not here', keyPath(store, MASTER_SECRET_FILE), hint);
  }
  const made: string[] = [];
  const publicKey = loadMasterPublic(store);
  if (publicKey === null) {
    createKeyFile(store, MASTER_PUBLIC_FILE, encodeTagged(TaggedForms.masterPublic, master.publicKey));
    made.push(MASTER_PUBLIC_FILE);
  } else if (!equal(publicKey, master.publicKey)) {
    throw masterMismatch(store);
  }
  createSigningKey(store, master, nowSec, here.lifetimeSec);
  wipe(master.expanded);
  return [...made, SIGNING_SECRET_FILE, SIGNING_CERT_FILE];
}
