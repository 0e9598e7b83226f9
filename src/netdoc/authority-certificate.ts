/**
 * Certificates of directory authorities: an offline identity key vouches for the key that signs consensuses.
 *
 * `directory/` fetches and keeps them; `consensus.ts` checks signatures with them. A certificate that was
 * parsed is not yet verified.
 *
 * @source dir-spec "Creating key certificates"
 */
import type { Endpoint } from '../bytes/address.ts';
import { parseIp, printEndpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { sha1 } from '../crypto/digest.ts';
import { type RsaKey, rsaPublicToPem, signRaw } from '../crypto/rsa.ts';
import { Malformed } from '../fault.ts';
import { hexOf, integerField, printTime, timeField } from './field.ts';
import type { DocumentText, Item, ItemRules } from './item.ts';
import { documentBytes, readDocument, splitDocuments } from './item.ts';
import { checkDocumentSignature, printObject, publicKeyField } from './signature.ts';

const NOUN = 'authority certificate';
const DOCUMENT_BYTES_MAX = 128 * 1024;
/** How long certificates that are made here are good: much longer than any test network lives. */
const LIFETIME_SEC = 90 * 86_400;

const RULES: ItemRules = {
  'dir-key-certificate-version': { min: 1, args: 1 },
  'dir-address': { args: 1 },
  fingerprint: { min: 1, args: 1 },
  'dir-identity-key': { min: 1, object: 'RSA PUBLIC KEY' },
  'dir-key-published': { min: 1 },
  'dir-key-expires': { min: 1 },
  'dir-signing-key': { min: 1, object: 'RSA PUBLIC KEY' },
  'dir-key-crosscert': { min: 1, object: null },
  'dir-key-certification': { min: 1, object: 'SIGNATURE' },
};

/** One authority's key certificate. */
export interface AuthorityCertificate {
  /** SHA-1 of the identity key, 20 bytes: the authority's `v3ident`. */
  readonly authorityId: Uint8Array;
  /** PKCS#1 DER of the identity key. */
  readonly identityKeyDer: Uint8Array;
  /** PKCS#1 DER of the key that signs votes and consensuses. */
  readonly signingKeyDer: Uint8Array;
  /** SHA-1 of the signing key, 20 bytes. */
  readonly signingKeyDigest: Uint8Array;
  readonly dirAddress: Endpoint | null;
  readonly publishedSec: number;
  readonly expiresSec: number;
  /** The document itself; a view of the input. */
  readonly document: Uint8Array;
  /** SHA-1 over the signed part. */
  readonly signedDigest: Uint8Array;
  /** The identity key's signature of the document. */
  readonly certification: Uint8Array;
  /** The signing key's signature of the identity key's digest. */
  readonly crosscert: Uint8Array;
}

function dirAddress(item: Item | null): Endpoint | null {
  if (item === null) return null;
  const match = /^([0-9.]+):(\d{1,5})$/.exec(item.arg(0));
  const host = match === null ? null : parseIp(match[1]!);
  const port = match === null ? 0 : Number(match[2]);
  if (host === null || host.length !== 4 || port > 65535) throw item.malformed('is not an address');
  return { host, port };
}

/**
 * Parse one authority certificate. Its fingerprint is checked against its key; its signatures are not.
 * @throws Malformed
 */
export function parseAuthorityCertificate(text: DocumentText): AuthorityCertificate {
  const bytes = documentBytes(text);
  if (bytes.length > DOCUMENT_BYTES_MAX) throw new Malformed(NOUN, 'is too long');
  const { items, table } = readDocument(bytes, NOUN, RULES);
  const first = items[0]!;
  const last = items[items.length - 1]!;
  if (first.keyword !== 'dir-key-certificate-version')
    throw first.malformed('is not the expected first item');
  if (integerField(first, 0, 0, 1000) !== 3) throw first.malformed('is not 3');
  if (last.keyword !== 'dir-key-certification') throw last.malformed('is not the expected last item');
  const identity = publicKeyField(table.get('dir-identity-key'));
  const signing = publicKeyField(table.get('dir-signing-key'));
  const authorityId = sha1(identity);
  const declared = table.get('fingerprint');
  const fingerprint = hexOf(declared.arg(0), 20);
  if (fingerprint === null || !equal(fingerprint, authorityId)) {
    throw declared.malformed('is not that of the identity key');
  }
  const crosscert = table.get('dir-key-crosscert');
  const signedTo = last.signedEnd(bytes, '\n');
  return {
    authorityId,
    identityKeyDer: identity,
    signingKeyDer: signing,
    signingKeyDigest: sha1(signing),
    dirAddress: dirAddress(table.find('dir-address')),
    publishedSec: timeField(table.get('dir-key-published')),
    expiresSec: timeField(table.get('dir-key-expires')),
    document: bytes,
    signedDigest: sha1(bytes.subarray(first.start, signedTo)),
    certification: last.objectBody('SIGNATURE'),
    crosscert: crosscert.objectBody(crosscert.object?.label ?? 'ID SIGNATURE'),
  };
}

/** More certificates than any network has, and more bad ones than any honest answer holds. */
const CERTIFICATES_MAX = 256;
const PROBLEMS_MAX = 16;

/**
 * Parse several certificates that follow each other, as `cached-certs` and an authority's answer have them.
 * A malformed one is left out and reported, so that it costs only itself; what holds too many, or too many bad ones,
 * is not read to its end.
 */
export function parseAuthorityCertificates(text: DocumentText): {
  certificates: AuthorityCertificate[];
  problems: Malformed[];
} {
  const bytes = documentBytes(text);
  const certificates: AuthorityCertificate[] = [];
  const problems: Malformed[] = [];
  for (const { start, end } of splitDocuments(bytes, ['dir-key-certificate-version'])) {
    if (certificates.length >= CERTIFICATES_MAX || problems.length >= PROBLEMS_MAX) {
      problems.push(new Malformed('authority certificates', 'too many, the rest was not read', start));
      break;
    }
    try {
      certificates.push(parseAuthorityCertificate(bytes.subarray(start, end)));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      problems.push(error);
    }
  }
  return { certificates, problems };
}

/**
 * Check both signatures of a certificate: the identity key's over the document and the signing key's over the
 * identity. Expiry is for the caller to judge.
 *
 * @throws Malformed
 */
export function verifyAuthorityCertificate(certificate: AuthorityCertificate): void {
  checkDocumentSignature(
    NOUN,
    certificate.identityKeyDer,
    certificate.signedDigest,
    certificate.certification,
  );
  checkDocumentSignature(NOUN, certificate.signingKeyDer, certificate.authorityId, certificate.crosscert);
}

/** Keys of an authority that are bound by a certificate. */
export interface CertifiedKeys {
  readonly identity: RsaKey;
  /** Signs consensuses. */
  readonly signing: RsaKey;
  /** SHA-1 of the identity key, 20 bytes. */
  readonly v3Ident: Uint8Array;
}

/**
 * Print the certificate of the signing key.
 *
 * @param dir - where the authority answers
 * @param publishedSec - wall time; the certificate is valid from here on
 */
export function printAuthorityCertificate(keys: CertifiedKeys, dir: Endpoint, publishedSec: number): string {
  const { identity, signing, v3Ident } = keys;
  const body = [
    'dir-key-certificate-version 3\n',
    `dir-address ${printEndpoint(dir)}\n`,
    `fingerprint ${encodeHex(v3Ident)}\n`,
    `dir-key-published ${printTime(publishedSec)}\n`,
    `dir-key-expires ${printTime(publishedSec + LIFETIME_SEC)}\n`,
    `dir-identity-key\n${rsaPublicToPem(identity.publicDer)}`,
    `dir-signing-key\n${rsaPublicToPem(signing.publicDer)}`,
    `dir-key-crosscert\n${printObject('ID SIGNATURE', signRaw(signing, v3Ident))}`,
    'dir-key-certification\n',
  ].join('');
  return body + printObject('SIGNATURE', signRaw(identity, sha1(new TextEncoder().encode(body))));
}
