/**
 * The two X.509 certificates that Tor still needs: the throw-away certificate that TLS serves, and the
 * self-signed RSA identity certificate in CERTS (type 2). Nothing here checks chains: TLS certificates are
 * bound to the relay's identity by cert-spec certificates (see `certificate.ts`).
 *
 * Made by the key folder at each rotation of the link key, read by the link handshake. Pure: dates, serial
 * numbers and names are arguments.
 * Limits when reading: strict DER, RSA only, no trailing bytes.
 * @source tor-spec "Certificates used in TLS", "CERTS cells"; RFC 5280
 */

import { type KeyObject, sign, verify } from 'node:crypto';
import { encodeBase32, wrapBase64 } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { assert, Malformed } from '../fault.ts';
import { DerReader, der, derBitString, derInteger, derTime, readDerTime, Tag } from './der.ts';
import { modulusBits, RSA_IDENTITY_BITS, type RsaKey, rsaPublicFromDer } from './rsa.ts';

/** What a certificate of ours says. */
export interface CertificateFields {
  /** The key that is certified. */
  readonly key: RsaKey;
  /** Subject, e.g. `www.kq3xv6tyxsmg.net`. */
  readonly commonName: string;
  readonly notBeforeSec: number;
  readonly notAfterSec: number;
  /** At least 1 byte, big endian; 8 random ones, as OpenSSL does for its own. */
  readonly serial: Uint8Array;
}

/** What a peer's RSA identity certificate says. */
export interface X509Identity {
  /** PKCS#1 DER of its RSA key; a copy. */
  readonly publicDer: Uint8Array;
  readonly publicKey: KeyObject;
  readonly bits: number;
  /** Seconds since 1970. */
  readonly notBefore: number;
  /** Seconds since 1970. */
  readonly notAfter: number;
  /** The certificate's signature is by its own key. Issuer and subject are not compared. */
  readonly selfSigned: boolean;
  /** `nowSec` lies between the dates, with the slack that C tor gives to clocks. */
  readonly inDate: boolean;
}

/** C tor takes a certificate that expired at most 2 days ago or begins within 30 days. */
const PAST_SLOP_SEC = 2 * 86400;
const FUTURE_SLOP_SEC = 30 * 86400;
const DAY_SEC = 86400;
const NOUN = 'X.509 certificate';

const NULL = der(Tag.NULL);
const VERSION_3 = der(0xa0, derInteger(Uint8Array.of(2)));
const OID_COMMON_NAME = der(Tag.OBJECT_IDENTIFIER, Uint8Array.of(0x55, 0x04, 0x03));
const OID_RSA = pkcs1Oid(1);
const SHA256_WITH_RSA = der(Tag.SEQUENCE, pkcs1Oid(11), NULL);
/** Signature algorithms that a peer may use, as whole AlgorithmIdentifiers. */
const ALGORITHMS: readonly { readonly der: Uint8Array; readonly hash: string }[] = [
  { der: SHA256_WITH_RSA, hash: 'sha256' },
  { der: der(Tag.SEQUENCE, pkcs1Oid(5), NULL), hash: 'sha1' },
  { der: der(Tag.SEQUENCE, pkcs1Oid(12), NULL), hash: 'sha384' },
  { der: der(Tag.SEQUENCE, pkcs1Oid(13), NULL), hash: 'sha512' },
];

/**
 * Make the certificate that TLS serves, in C tor's shape: version 3, no extensions, one common name each for
 * subject and issuer, SHA-256 with RSA. `signer` defaults to the certified key itself; C tor signs with the
 * identity key. New DER bytes.
 */
export function makeLinkCertificate(
  fields: CertificateFields & { readonly issuerName: string; readonly signer?: RsaKey },
): Uint8Array {
  return makeCertificate(fields, fields.issuerName, fields.signer ?? fields.key);
}

/** Make the RSA identity certificate (CERTS type 2): holds the identity key and is signed by it. */
export function makeLegacyIdCertificate(fields: CertificateFields): Uint8Array {
  assert(
    modulusBits(fields.key.publicKey) === RSA_IDENTITY_BITS,
    'C tor takes RSA identities of 1024 bits only',
  );
  return makeCertificate(fields, fields.commonName, fields.key);
}

/**
 * Read a peer's RSA identity certificate (CERTS type 2), and check its signature by its own key.
 * `nowSec` decides `inDate`. A link handshake accepts it only if it is self-signed, in date and of 1024 bits.
 * @throws Malformed when it is no certificate of an RSA key, or not strict DER.
 */
export function rsaIdentityFromX509(bytes: Uint8Array, nowSec: number): X509Identity {
  const outer = new DerReader(bytes, NOUN);
  const certificate = outer.enter(Tag.SEQUENCE);
  outer.finish();
  const signedFrom = certificate.at;
  const body = certificate.enter(Tag.SEQUENCE);
  const signed = bytes.subarray(signedFrom, certificate.at);
  const algorithm = certificate.whole();
  const signature = certificate.bitString();
  certificate.finish();

  const version = readVersion(body);
  body.integer();
  if (!equal(body.whole(), algorithm)) throw new Malformed(NOUN, 'two signature algorithms', signedFrom);
  body.content(Tag.SEQUENCE);
  const validity = body.enter(Tag.SEQUENCE);
  const notBefore = readDerTime(validity, NOUN);
  const notAfter = readDerTime(validity, NOUN);
  validity.finish();
  body.content(Tag.SEQUENCE);
  const publicDer = readRsaKeyInfo(body.enter(Tag.SEQUENCE));
  skipOptional(body, version);

  const publicKey = rsaPublicFromDer(publicDer);
  return {
    publicDer,
    publicKey,
    bits: modulusBits(publicKey),
    notBefore,
    notAfter,
    selfSigned: isSignedBy(publicKey, algorithm, signed, signature),
    inDate: notBefore <= nowSec + FUTURE_SLOP_SEC && notAfter >= nowSec - PAST_SLOP_SEC,
  };
}

/**
 * Choose dates as C tor does: the whole lifetime is `lifetimeSec`, it began on a day boundary somewhere in the
 * past, and at least about a day of it is left. `uniform`: random in [0, 1).
 */
export function fuzzCertificateDates(
  nowSec: number,
  lifetimeSec: number,
  uniform: number,
): { notBeforeSec: number; notAfterSec: number } {
  const margin = 2 * DAY_SEC;
  const earliest = lifetimeSec <= margin ? nowSec - 1 : nowSec + margin - lifetimeSec;
  const start = earliest + Math.floor(uniform * (nowSec - earliest));
  const notBeforeSec = start - (start % DAY_SEC);
  return { notBeforeSec, notAfterSec: notBeforeSec + lifetimeSec };
}

/**
 * Make up a host name as C tor does: `www.`, 8 to 20 letters and digits, and `suffix` (`.com` or `.net`).
 * `random`: 14 random bytes.
 */
export function certificateHostName(random: Uint8Array, suffix: string): string {
  assert(random.length === 14, 'a host name is made from 14 random bytes');
  const length = 8 + (random[13] % 13);
  return `www.${encodeBase32(random.subarray(0, 13)).slice(0, length)}${suffix}`;
}

/** Wrap DER in PEM, e.g. with the label `CERTIFICATE`. */
export function pem(bytes: Uint8Array, label: string): string {
  return `-----BEGIN ${label}-----\n${wrapBase64(bytes, 64)}-----END ${label}-----\n`;
}

function makeCertificate(fields: CertificateFields, issuerName: string, signer: RsaKey): Uint8Array {
  assert(fields.serial.length > 0, 'a serial number has digits');
  const body = der(
    Tag.SEQUENCE,
    VERSION_3,
    derInteger(fields.serial),
    SHA256_WITH_RSA,
    name(issuerName),
    der(Tag.SEQUENCE, derTime(fields.notBeforeSec), derTime(fields.notAfterSec)),
    name(fields.commonName),
    der(Tag.SEQUENCE, der(Tag.SEQUENCE, OID_RSA, NULL), derBitString(fields.key.publicDer)),
  );
  const signature = new Uint8Array(sign('sha256', body, signer.privateKey));
  return der(Tag.SEQUENCE, body, SHA256_WITH_RSA, derBitString(signature));
}

function name(commonName: string): Uint8Array {
  const value = der(Tag.UTF8_STRING, new TextEncoder().encode(commonName));
  return der(Tag.SEQUENCE, der(Tag.SET, der(Tag.SEQUENCE, OID_COMMON_NAME, value)));
}

/** An object identifier under PKCS#1: 1.2.840.113549.1.1.`last`. */
function pkcs1Oid(last: number): Uint8Array {
  return der(Tag.OBJECT_IDENTIFIER, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last));
}

/** Version 1 is told by the field's absence. */
function readVersion(body: DerReader): number {
  if (body.peekTag() !== 0xa0) return 1;
  const at = body.at;
  const field = body.enter(0xa0);
  const digits = field.integer();
  field.finish();
  if (digits.length !== 1 || digits[0] < 1 || digits[0] > 2) throw new Malformed(NOUN, 'unknown version', at);
  return digits[0] + 1;
}

/** Read a SubjectPublicKeyInfo that must hold an RSA key: its PKCS#1 DER, a copy. */
function readRsaKeyInfo(info: DerReader): Uint8Array {
  const at = info.at;
  const algorithm = info.enter(Tag.SEQUENCE);
  if (!equal(algorithm.whole(), OID_RSA)) throw new Malformed(NOUN, 'key that is not RSA', at);
  if (!equal(algorithm.whole(), NULL)) throw new Malformed(NOUN, 'RSA key with parameters', at);
  algorithm.finish();
  const key = info.bitString();
  info.finish();
  return new Uint8Array(key);
}

/** Unique ids (versions 2 and 3) and extensions (version 3) may follow; nothing in them matters to us. */
function skipOptional(body: DerReader, version: number): void {
  if (version >= 2 && body.peekTag() === 0x81) body.content(0x81);
  if (version >= 2 && body.peekTag() === 0x82) body.content(0x82);
  if (version >= 3 && body.peekTag() === 0xa3) body.content(0xa3);
  body.finish();
}

function isSignedBy(
  key: KeyObject,
  algorithm: Uint8Array,
  signed: Uint8Array,
  signature: Uint8Array,
): boolean {
  const known = ALGORITHMS.find((candidate) => equal(candidate.der, algorithm));
  if (known === undefined) return false;
  try {
    return verify(known.hash, signed, key, signature);
  } catch {
    return false;
  }
}
