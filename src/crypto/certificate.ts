/**
 * Tor's own certificates: Ed25519 certificates, and the one by which an RSA identity vouches for an Ed25519
 * identity.
 *
 * In CERTS cells (types 4 to 7), key files, descriptors and onion service messages. Pure: the signer is an
 * argument, the time too. Decoding proves the shape only; `check…` proves signature and date.
 * Invariant: `signedBytes` are the bytes as received, so that a signature is checked over what was signed.
 * Limits: version 1; no trailing bytes; at most one signed-with-key extension, of 32 bytes; an unknown
 * extension that affects validation makes the certificate unreadable, as it must.
 * @source cert-spec
 */

import { Reader } from '../bytes/reader.ts';
import { equal } from '../bytes/secret.ts';
import { assert, Malformed } from '../fault.ts';
import { sha256 } from './digest.ts';
import { ED25519_PUBLIC_BYTES, ED25519_SIGNATURE_BYTES, verifyEd25519 } from './ed25519.ts';
import { type RsaKey, type RsaPublic, signRaw, verifyRaw } from './rsa.ts';

/** What a certificate is for. The numbers of CERTS entries and of Ed25519 certificates are one list. */
export const CertType = {
  /** X.509: TLS link key, signed by the RSA identity (unused by Ed25519 handshakes). */
  RSA_LINK: 1,
  /** X.509: the RSA identity, self-signed. */
  RSA_IDENTITY: 2,
  /** X.509: RSA authentication key (unused since AUTHENTICATE type 3). */
  RSA_AUTH: 3,
  /** Ed25519 identity certifies the signing key. */
  SIGNING: 4,
  /** Signing key certifies SHA-256 of the TLS certificate. */
  LINK: 5,
  /** Signing key certifies the link-authentication key. */
  AUTH: 6,
  /** RSA identity certifies the Ed25519 identity. */
  RSA_CROSS: 7,
  /** ntor onion key, as an Ed25519 key, certifies the Ed25519 identity. */
  NTOR_CROSS: 0x0a,
  /** Family key certifies the Ed25519 identity. */
  FAMILY: 0x0c,
} as const;

/** What the 32 certified bytes are. */
export const CertKeyType = { ED25519: 1, SHA256_OF_RSA: 2, SHA256_OF_X509: 3 } as const;

const EXTENSION_SIGNED_WITH = 4;
const FLAG_AFFECTS_VALIDATION = 1;
const VERSION = 1;
const HOUR_SEC = 3600;
const RSA_CROSS_PREFIX = new TextEncoder().encode('Tor TLS RSA/Ed25519 cross-certificate');

/** One extension of a certificate, as received. */
export interface CertExtension {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** A decoded Ed25519 certificate. All arrays are views of the input. */
export interface Ed25519Cert {
  readonly certType: number;
  /** Valid until this many hours after 1970. */
  readonly expirationHours: number;
  /** See `CertKeyType`. */
  readonly keyType: number;
  /** 32 bytes. */
  readonly certifiedKey: Uint8Array;
  readonly extensions: readonly CertExtension[];
  /** The signing key that the certificate names, or null. */
  readonly signedWith: Uint8Array | null;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** All that the signature covers. */
  readonly signedBytes: Uint8Array;
}

/** What a new Ed25519 certificate is to say. */
export interface Ed25519CertFields {
  readonly certType: number;
  readonly expirationHours: number;
  /** See `CertKeyType`; an Ed25519 key by default. */
  readonly keyType?: number;
  /** 32 bytes. */
  readonly certifiedKey: Uint8Array;
  /** The signer's public key if the certificate is to name it, else null. */
  readonly signingKey: Uint8Array | null;
}

/** A decoded RSA to Ed25519 cross-certificate. Arrays are views of the input. */
export interface RsaEdCrossCert {
  readonly ed25519Id: Uint8Array;
  readonly expirationHours: number;
  readonly signature: Uint8Array;
  readonly signedBytes: Uint8Array;
}

/** Count the hours that a certificate must name to be valid until at least `sec`. */
export function expirationHoursFor(sec: number): number {
  return Math.ceil(sec / HOUR_SEC);
}

/** Decode an Ed25519 certificate. @throws Malformed */
export function decodeEd25519Cert(bytes: Uint8Array): Ed25519Cert {
  const noun = 'Ed25519 certificate';
  const reader = new Reader(bytes, noun);
  if (reader.u8() !== VERSION) throw new Malformed(noun, 'unknown version', 0);
  const certType = reader.u8();
  const expirationHours = reader.u32();
  const keyType = reader.u8();
  const certifiedKey = reader.view(32);
  const extensions: CertExtension[] = [];
  let signedWith: Uint8Array | null = null;
  for (let left = reader.u8(); left > 0; left--) {
    const at = reader.at;
    const length = reader.u16();
    const type = reader.u8();
    const flags = reader.u8();
    const body = reader.view(length);
    extensions.push({ type, flags, body });
    if (type === EXTENSION_SIGNED_WITH) {
      if (length !== ED25519_PUBLIC_BYTES) throw new Malformed(noun, 'signing key of a wrong length', at);
      if (signedWith !== null) throw new Malformed(noun, 'two signing keys', at);
      signedWith = body;
    } else if ((flags & FLAG_AFFECTS_VALIDATION) !== 0) {
      throw new Malformed(noun, `unknown extension ${type} affects validation`, at);
    }
  }
  const signedBytes = bytes.subarray(0, reader.at);
  const signature = reader.view(ED25519_SIGNATURE_BYTES);
  reader.finish();
  return { certType, expirationHours, keyType, certifiedKey, extensions, signedWith, signature, signedBytes };
}

/** Encode an Ed25519 certificate; `sign` gives the 64-byte signature of the bytes it is handed. */
export function encodeEd25519Cert(
  fields: Ed25519CertFields,
  sign: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  assert(fields.certifiedKey.length === 32, 'a certified key has 32 bytes');
  assert(fields.signingKey === null || fields.signingKey.length === 32, 'a signing key has 32 bytes');
  const signedLength = 40 + (fields.signingKey === null ? 0 : 36);
  const out = new Uint8Array(signedLength + ED25519_SIGNATURE_BYTES);
  out[0] = VERSION;
  out[1] = fields.certType;
  new DataView(out.buffer).setUint32(2, fields.expirationHours);
  out[6] = fields.keyType ?? CertKeyType.ED25519;
  out.set(fields.certifiedKey, 7);
  if (fields.signingKey !== null) {
    out[39] = 1;
    out[41] = ED25519_PUBLIC_BYTES;
    out[42] = EXTENSION_SIGNED_WITH;
    out.set(fields.signingKey, 44);
  }
  const signature = sign(out.subarray(0, signedLength));
  assert(signature.length === ED25519_SIGNATURE_BYTES, 'an Ed25519 signature has 64 bytes');
  out.set(signature, signedLength);
  return out;
}

/**
 * Check a certificate's signature and date. Null if it is good, else what is wrong with it.
 * `signingKey`: the key that must have signed; a certificate that names another one is refused.
 */
export function checkEd25519Cert(cert: Ed25519Cert, signingKey: Uint8Array, nowSec: number): string | null {
  if (cert.signedWith !== null && !equal(cert.signedWith, signingKey)) return 'signed with another key';
  if (nowSec > cert.expirationHours * HOUR_SEC) return 'expired';
  if (!verifyEd25519(signingKey, cert.signedBytes, cert.signature)) return 'badly signed';
  return null;
}

/** Encode the certificate (CERTS type 7) by which our RSA identity vouches for our Ed25519 identity. */
export function encodeRsaEdCrossCert(
  ed25519Id: Uint8Array,
  expirationHours: number,
  rsaKey: RsaKey,
): Uint8Array {
  assert(ed25519Id.length === ED25519_PUBLIC_BYTES, 'an Ed25519 identity has 32 bytes');
  const signed = new Uint8Array(36);
  signed.set(ed25519Id);
  new DataView(signed.buffer).setUint32(32, expirationHours);
  const signature = signRaw(rsaKey, crossCertDigest(signed));
  assert(signature.length < 256, 'the length of the signature fits one byte');
  const out = new Uint8Array(37 + signature.length);
  out.set(signed);
  out[36] = signature.length;
  out.set(signature, 37);
  return out;
}

/** Decode an RSA to Ed25519 cross-certificate. @throws Malformed */
export function decodeRsaEdCrossCert(bytes: Uint8Array): RsaEdCrossCert {
  const reader = new Reader(bytes, 'RSA to Ed25519 cross-certificate');
  const ed25519Id = reader.view(ED25519_PUBLIC_BYTES);
  const expirationHours = reader.u32();
  const signedBytes = bytes.subarray(0, reader.at);
  const signature = reader.view(reader.u8());
  reader.finish();
  return { ed25519Id, expirationHours, signature, signedBytes };
}

/**
 * Check that `rsaPublic` vouches for `ed25519Id`, now. Null if it does, else what is wrong.
 * As C tor, the last hour counts as valid to its end.
 */
export function checkRsaEdCrossCert(
  cert: RsaEdCrossCert,
  rsaPublic: RsaPublic,
  ed25519Id: Uint8Array,
  nowSec: number,
): string | null {
  if (!equal(cert.ed25519Id, ed25519Id)) return 'for another Ed25519 identity';
  if (nowSec > cert.expirationHours * HOUR_SEC) return 'expired';
  if (!verifyRaw(rsaPublic, crossCertDigest(cert.signedBytes), cert.signature)) return 'badly signed';
  return null;
}

function crossCertDigest(signed: Uint8Array): Uint8Array {
  const input = new Uint8Array(RSA_CROSS_PREFIX.length + signed.length);
  input.set(RSA_CROSS_PREFIX);
  input.set(signed, RSA_CROSS_PREFIX.length);
  return sha256(input);
}
