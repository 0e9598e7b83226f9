/** Link credentials: each certificate of both CERTS cells vouches for what it should, and TLS serves the key. */

import { expect, test } from 'bun:test';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';

import { decodeCerts } from '../../src/cell/link-handshake.ts';
import {
  CertKeyType,
  CertType,
  checkEd25519Cert,
  checkRsaEdCrossCert,
  decodeEd25519Cert,
  decodeRsaEdCrossCert,
} from '../../src/crypto/certificate.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { signSeed, verifyEd25519 } from '../../src/crypto/ed25519.ts';
import { fingerprint } from '../../src/crypto/rsa.ts';
import { rsaIdentityFromX509 } from '../../src/crypto/x509.ts';
import { loadOrCreateIdentity } from '../../src/keys/identity.ts';
import { DEFAULT_LINK_KEY_POLICY, makeLinkCredentials } from '../../src/keys/link-key.ts';
import { scratchStore } from './scratch.ts';

const NOW = 1_795_000_000;
const DAY = 86_400;
const random = (length: number) => new Uint8Array(randomBytes(length));

function certsOf(body: Uint8Array): Map<number, Uint8Array> {
  return new Map(decodeCerts(body).map((entry) => [entry.type, entry.body]));
}

test('a responder proves its identities and its TLS certificate', async () => {
  const identity = loadOrCreateIdentity(scratchStore().store, NOW);
  const made = await makeLinkCredentials(identity, 7, NOW, random);
  expect(made.generation).toBe(7);
  const certs = certsOf(made.responderCerts);
  expect([...certs.keys()]).toEqual([2, 4, 5, 7]);
  const rsa = rsaIdentityFromX509(certs.get(2)!, NOW);
  expect(rsa).toMatchObject({ selfSigned: true, inDate: true, bits: 1024 });
  expect(fingerprint(rsa.publicDer)).toEqual(made.rsaId);
  const signing = decodeEd25519Cert(certs.get(4)!);
  expect(checkEd25519Cert(signing, made.ed25519Id, NOW)).toBeNull();
  const link = decodeEd25519Cert(certs.get(5)!);
  expect(checkEd25519Cert(link, signing.certifiedKey, NOW + 2 * DAY)).toBeNull();
  expect(checkEd25519Cert(link, signing.certifiedKey, NOW + 2 * DAY + 3601)).toBe('expired');
  expect([link.certType, link.keyType, link.signedWith]).toEqual([
    CertType.LINK,
    CertKeyType.SHA256_OF_X509,
    null,
  ]);
  expect(link.certifiedKey.toHex()).toBe(sha256(made.tlsCertDer).toHex());
  const cross = decodeRsaEdCrossCert(certs.get(7)!);
  expect(checkRsaEdCrossCert(cross, rsa.publicDer, made.ed25519Id, NOW + 179 * DAY)).toBeNull();
});

test('an initiator proves its link-authentication key', async () => {
  const identity = loadOrCreateIdentity(scratchStore().store, NOW);
  const made = await makeLinkCredentials(identity, 1, NOW, random);
  const certs = certsOf(made.initiatorCerts);
  expect([...certs.keys()]).toEqual([2, 4, 6, 7]);
  const auth = decodeEd25519Cert(certs.get(6)!);
  expect(auth.certType).toBe(CertType.AUTH);
  expect(checkEd25519Cert(auth, identity.signing.publicKey, NOW)).toBeNull();
  expect(auth.certifiedKey.toHex()).toBe(made.authPublic.toHex());
  const message = random(50);
  expect(verifyEd25519(made.authPublic, message, signSeed(made.authSecret, message))).toBe(true);
});

test('the TLS certificate is a fresh RSA-2048 one that says nothing of who we are', async () => {
  const identity = loadOrCreateIdentity(scratchStore().store, NOW);
  const [one, two] = await Promise.all([
    makeLinkCredentials(identity, 1, NOW, random),
    makeLinkCredentials(identity, 2, NOW, random),
  ]);
  const x509 = new X509Certificate(one.tlsCertPem);
  expect(x509.raw.toString('hex')).toBe(one.tlsCertDer.toHex());
  expect(x509.checkPrivateKey(createPrivateKey(one.tlsKeyPem))).toBe(true);
  expect(x509.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  expect(x509.subject).toMatch(/^CN=www\.[a-z2-7]{8,20}\.net$/);
  expect(x509.issuer).toMatch(/^CN=www\.[a-z2-7]{8,20}\.com$/);
  const [from, to] = [Date.parse(x509.validFrom) / 1000, Date.parse(x509.validTo) / 1000];
  expect(from).toBeLessThanOrEqual(NOW);
  expect(to).toBeGreaterThan(NOW + DAY / 2);
  expect(to - from).toBeGreaterThanOrEqual(5 * DAY - 1);
  expect(to - from).toBeLessThanOrEqual(365 * DAY);
  expect(two.tlsKeyPem).not.toBe(one.tlsKeyPem);
  expect(two.authPublic).not.toEqual(one.authPublic);
});

test('SSLKeyLifetime and the testing lifetimes are kept', async () => {
  const identity = loadOrCreateIdentity(scratchStore().store, NOW);
  const policy = { ...DEFAULT_LINK_KEY_POLICY, tlsLifetimeSec: 9 * DAY, linkCertSec: 3600 };
  const made = await makeLinkCredentials(identity, 1, NOW, random, policy);
  const x509 = new X509Certificate(made.tlsCertPem);
  expect((Date.parse(x509.validTo) - Date.parse(x509.validFrom)) / 1000).toBe(9 * DAY);
  const link = decodeEd25519Cert(certsOf(made.responderCerts).get(5)!);
  expect(link.expirationHours).toBe(Math.ceil((NOW + 3600) / 3600));
});

test('credentials cross a thread boundary', async () => {
  const made = await makeLinkCredentials(loadOrCreateIdentity(scratchStore().store, NOW), 1, NOW, random);
  expect(structuredClone(made)).toEqual(made);
});
