/**
 * The keys of the test network's directory authority.
 *
 * They live in memory only and die with the network: nobody can sign for a network that is gone.
 *
 * @source dir-spec "Creating key certificates"
 */
import type { RsaKey } from '../crypto/rsa.ts';
import { fingerprint, generateRsa } from '../crypto/rsa.ts';

const KEY_BITS = 2048;

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
