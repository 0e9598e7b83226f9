/**
 * The keys of the test network's directory authority, and the certificate that binds them.
 *
 * They live in memory only and die with the network: nobody can sign for a network that is gone.
 *
 * @source dir-spec "Creating key certificates"
 */
import type { Endpoint } from '../bytes/address.ts';
import { printEndpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { sha1 } from '../crypto/digest.ts';
import type { RsaKey } from '../crypto/rsa.ts';
import { fingerprint, generateRsa, rsaPublicToPem, signRaw } from '../crypto/rsa.ts';
import { printTime } from '../netdoc/field.ts';
import { printObject } from '../netdoc/signature.ts';

const KEY_BITS = 2048;
/** Much longer than any test network lives. */
const LIFETIME_SEC = 90 * 86_400;

/** The authority's keys. */
export interface AuthorityKeys {
  readonly identity: RsaKey;
  /** Signs consensuses. */
  readonly signing: RsaKey;
  /** SHA-1 of the identity key, 20 bytes: `v3ident` of the `DirAuthority` line. */
  readonly v3Ident: Uint8Array;
  /** SHA-1 of the signing key, 20 bytes. */
  readonly signingKeyDigest: Uint8Array;
}

/** Make new keys; takes some tenths of a second. */
export function makeAuthorityKeys(): AuthorityKeys {
  const identity = generateRsa(KEY_BITS);
  const signing = generateRsa(KEY_BITS);
  return {
    identity,
    signing,
    v3Ident: fingerprint(identity.publicDer),
    signingKeyDigest: fingerprint(signing.publicDer),
  };
}

/**
 * Print the certificate of the signing key.
 *
 * @param dir - where the authority answers
 * @param publishedSec - wall time; the certificate is valid from here on
 */
export function printAuthorityCertificate(keys: AuthorityKeys, dir: Endpoint, publishedSec: number): string {
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
