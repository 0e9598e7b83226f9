/** The test authority's certificate is one that parses, verifies and names its keys. */
import { describe, expect, test } from 'bun:test';
import {
  parseAuthorityCertificate,
  printAuthorityCertificate,
  verifyAuthorityCertificate,
} from '../../src/netdoc/authority-certificate.ts';
import { makeAuthorityKeys } from '../../src/testnet/authority-keys.ts';
import { NOW_SEC } from '../netdoc/fixture.ts';

const DIR = { host: Uint8Array.of(127, 0, 0, 1), port: 7000 };

describe('the certificate', () => {
  const keys = makeAuthorityKeys();
  const certificate = parseAuthorityCertificate(printAuthorityCertificate(keys, DIR, NOW_SEC));

  test('verifies', () => verifyAuthorityCertificate(certificate));

  test('names the keys, the address and the time', () => {
    expect(certificate.authorityId).toEqual(keys.v3Ident);
    expect(certificate.signingKeyDigest).toEqual(keys.signingKeyDigest);
    expect(certificate.signingKeyDer).toEqual(keys.signing.publicDer);
    expect(certificate.dirAddress).toEqual(DIR);
    expect(certificate.publishedSec).toBe(NOW_SEC);
    expect(certificate.expiresSec).toBeGreaterThan(NOW_SEC + 86400);
  });

  test('of other keys is another', () => {
    expect(makeAuthorityKeys().v3Ident).not.toEqual(keys.v3Ident);
  });
});
