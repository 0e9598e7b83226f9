/**
 * The Ed25519 signing key: what signs descriptors and link certificates for a month, so that the master key
 * need not.
 *
 * Two files that belong together: the secret, and a certificate (type 4) in which the master key vouches for
 * it. A new pair is written only when both old files stand aside as `.old`, secret first, so that an interrupted
 * renewal leaves a missing file and never a pair that does not match.
 * @source cert-spec "Signing keys", tor-spec "Keys and names"
 */

import { equal } from '../bytes/secret.ts';
import {
  CertType,
  checkEd25519Cert,
  decodeEd25519Cert,
  type Ed25519Cert,
  encodeEd25519Cert,
  expirationHoursFor,
} from '../crypto/certificate.ts';
import { type ExpandedSecret, generateEd25519, publicFromExpanded, signExpanded } from '../crypto/ed25519.ts';
import {
  createKeyFile,
  hasKeyFile,
  type KeyStore,
  keyFault,
  keyPath,
  loadKeyFile,
  setAsideKeyFile,
} from './key-store.ts';
import { decodeTagged, encodeTagged, TaggedForms } from './tagged-file.ts';

export const SIGNING_SECRET_FILE = 'ed25519_signing_secret_key';
export const SIGNING_CERT_FILE = 'ed25519_signing_cert';

/** A signing key with its certificate. Never mutated. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes. Secret. */
  readonly expanded: ExpandedSecret;
  /** The certificate as it goes into descriptors and CERTS cells: 140 bytes. */
  readonly cert: Uint8Array;
  /** When the certificate ends, seconds since 1970. */
  readonly expiresSec: number;
}

/** A master key whose secret is at hand. */
export interface MasterKey {
  readonly publicKey: Uint8Array;
  readonly expanded: ExpandedSecret;
}

const HOUR_SEC = 3600;

/** Which of the two files exist. */
export function signingFilesPresent(store: KeyStore): { secret: boolean; cert: boolean } {
  return { secret: hasKeyFile(store, SIGNING_SECRET_FILE), cert: hasKeyFile(store, SIGNING_CERT_FILE) };
}

const REMEDY =
  `restore ${SIGNING_SECRET_FILE} and ${SIGNING_CERT_FILE} from a backup, or move both away: ` +
  'new ones are made where the master secret key is (onionrelay keygen)';

/** Say why a certificate does not tie this signing key to this master key; null when it does. */
function mismatch(cert: Ed25519Cert, publicKey: Uint8Array, masterId: Uint8Array): string | null {
  if (cert.certType !== CertType.SIGNING)
    return `is a certificate of type ${cert.certType}, not ${CertType.SIGNING}`;
  if (!equal(cert.certifiedKey, publicKey))
    return `does not match ${SIGNING_SECRET_FILE}: it certifies another key`;
  if (cert.signedWith === null) return 'does not name the master key that signed it';
  if (!equal(cert.signedWith, masterId)) return 'was signed by another master identity key than this one';
  // Time 0: only the signature is asked about here.
  return checkEd25519Cert(cert, masterId, 0);
}

/**
 * Load the signing key of a master identity (32 bytes). Returns null when either file is missing.
 * Whether the certificate has expired is for the caller to judge.
 *
 * @throws OperatorError when a file is damaged, or the two and the identity do not belong together.
 */
export function loadSigningKey(store: KeyStore, masterId: Uint8Array): SigningKey | null {
  const decodeSecret = (bytes: Uint8Array) => decodeTagged(TaggedForms.signingSecret, bytes);
  const expanded = loadKeyFile(store, SIGNING_SECRET_FILE, true, decodeSecret, REMEDY);
  const decodeCert = (bytes: Uint8Array) => {
    const raw = decodeTagged(TaggedForms.signingCert, bytes);
    return { raw, cert: decodeEd25519Cert(raw) };
  };
  const loaded = loadKeyFile(store, SIGNING_CERT_FILE, false, decodeCert, REMEDY);
  if (expanded === null || loaded === null) return null;
  const publicKey = publicFromExpanded(expanded);
  const why = mismatch(loaded.cert, publicKey, masterId);
  if (why !== null) throw keyFault(why, keyPath(store, SIGNING_CERT_FILE), REMEDY);
  return { publicKey, expanded, cert: loaded.raw, expiresSec: loaded.cert.expirationHours * HOUR_SEC };
}

/**
 * Make a signing key that lives `lifetimeSec` from `nowSec` (rounded up to the hour) and write both files;
 * older ones are renamed to `.old`.
 *
 * @throws OperatorError when the disk refuses.
 */
export function createSigningKey(
  store: KeyStore,
  master: MasterKey,
  nowSec: number,
  lifetimeSec: number,
): SigningKey {
  const { publicKey, expanded } = generateEd25519();
  const expirationHours = expirationHoursFor(nowSec + lifetimeSec);
  const cert = encodeEd25519Cert(
    { certType: CertType.SIGNING, expirationHours, certifiedKey: publicKey, signingKey: master.publicKey },
    (bytes) => signExpanded(master.expanded, master.publicKey, bytes),
  );
  setAsideKeyFile(store, SIGNING_CERT_FILE);
  setAsideKeyFile(store, SIGNING_SECRET_FILE);
  createKeyFile(store, SIGNING_SECRET_FILE, encodeTagged(TaggedForms.signingSecret, expanded));
  createKeyFile(store, SIGNING_CERT_FILE, encodeTagged(TaggedForms.signingCert, cert));
  return { publicKey, expanded, cert, expiresSec: expirationHours * HOUR_SEC };
}
