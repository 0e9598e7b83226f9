/**
 * Judges the CERTS cell of a peer: which two identities it may claim, and what still has to be proven.
 *
 * A responder is proven by its certificates alone, because one of them names the certificate that TLS served;
 * an initiator is proven only once its AUTHENTICATE is signed with the key named here. TLS itself verifies
 * nothing: this file is the whole judgement.
 *
 *     RSA identity (2) --signs--> Ed25519 identity (7)
 *     Ed25519 identity --signs--> signing key (4) --signs--> TLS certificate (5) or authentication key (6)
 *
 * Stricter than C tor in two points: a certificate's own type and key type must fit its place, and a responder
 * without Ed25519 certificates is refused.
 * @source tor-spec "CERTS cells", cert-spec
 */

import { equal } from '../bytes/secret.ts';
import { decodeCerts } from '../cell/link-handshake.ts';
import {
  CertKeyType,
  CertType,
  checkEd25519Cert,
  checkRsaEdCrossCert,
  decodeEd25519Cert,
  decodeRsaEdCrossCert,
  type Ed25519Cert,
} from '../crypto/certificate.ts';
import { fingerprint, RSA_IDENTITY_BITS } from '../crypto/rsa.ts';
import { rsaIdentityFromX509, type X509Identity } from '../crypto/x509.ts';
import type { LinkIdentity } from './authenticate.ts';
import { channelViolation } from './handshake-cells.ts';

/** What a peer's certificates say when they hold together. */
export interface CertifiedPeer extends LinkIdentity {
  /** SHA-1 of the RSA identity key: 20 bytes. */
  readonly rsaId: Uint8Array;
}

/** An initiator whose certificates hold together: not proven yet. */
export interface CertifiedInitiator extends CertifiedPeer {
  /** The key that must sign its AUTHENTICATE: 32 bytes. */
  readonly authKey: Uint8Array;
}

/**
 * Judge the CERTS of the relay that we dialled.
 *
 * @param body body of the CERTS cell; nothing of it is kept
 * @param tlsCertSha256 SHA-256 of the DER certificate that TLS served: 32 bytes
 * @throws Malformed, Violation
 */
export function judgeResponder(body: Uint8Array, tlsCertSha256: Uint8Array, nowSec: number): CertifiedPeer {
  const certs = byType(body);
  const peer = judgeIdentities(certs, nowSec);
  const link = ed25519Cert(certs, CertType.LINK, CertKeyType.SHA256_OF_X509);
  checkChain(link, peer.signingKey, nowSec);
  if (!equal(link.certifiedKey, tlsCertSha256))
    throw channelViolation('link_handshake_wrong_tls_certificate', 'CERTS name another TLS certificate');
  return { rsaId: peer.rsaId, rsaPublicDer: peer.rsaPublicDer, ed25519Id: peer.ed25519Id };
}

/**
 * Judge the CERTS of a peer that dialled us.
 *
 * @returns null when it shows only the legacy RSA certificates (2 and 3), with which it cannot authenticate
 * @throws Malformed, Violation
 */
export function judgeInitiator(body: Uint8Array, nowSec: number): CertifiedInitiator | null {
  const certs = byType(body);
  if (!certs.has(CertType.SIGNING) && !certs.has(CertType.AUTH) && !certs.has(CertType.RSA_CROSS)) {
    need(certs, CertType.RSA_AUTH);
    judgeRsaIdentity(certs, nowSec);
    return null;
  }
  const peer = judgeIdentities(certs, nowSec);
  const auth = ed25519Cert(certs, CertType.AUTH, CertKeyType.ED25519);
  checkChain(auth, peer.signingKey, nowSec);
  return {
    rsaId: peer.rsaId,
    rsaPublicDer: peer.rsaPublicDer,
    ed25519Id: peer.ed25519Id,
    authKey: auth.certifiedKey.slice(),
  };
}

type CertsByType = ReadonlyMap<number, Uint8Array>;

function byType(body: Uint8Array): CertsByType {
  const certs = new Map<number, Uint8Array>();
  for (const entry of decodeCerts(body)) {
    if (entry.type < 1 || entry.type > CertType.RSA_CROSS) continue;
    if (certs.has(entry.type)) {
      throw channelViolation(
        'link_handshake_duplicate_cert',
        `CERTS: two certificates of type ${entry.type}`,
      );
    }
    certs.set(entry.type, entry.body);
  }
  return certs;
}

/** Both identities and the signing key between them and the link. */
function judgeIdentities(certs: CertsByType, nowSec: number): CertifiedPeer & { signingKey: Uint8Array } {
  const rsa = judgeRsaIdentity(certs, nowSec);
  const signing = ed25519Cert(certs, CertType.SIGNING, CertKeyType.ED25519);
  if (signing.signedWith === null)
    throw bad('the signing key certificate does not name the Ed25519 identity');
  const ed25519Id = signing.signedWith.slice();
  checkChain(signing, ed25519Id, nowSec);

  const cross = decodeRsaEdCrossCert(need(certs, CertType.RSA_CROSS));
  checkExpiry(cross.expirationHours, CertType.RSA_CROSS, nowSec);
  const fault = checkRsaEdCrossCert(cross, rsa.publicKey, ed25519Id, nowSec);
  if (fault !== null) throw bad(`certificate of type ${CertType.RSA_CROSS}: ${fault}`);
  const rsaId = fingerprint(rsa.publicDer);
  return { rsaId, rsaPublicDer: rsa.publicDer, ed25519Id, signingKey: signing.certifiedKey };
}

function judgeRsaIdentity(certs: CertsByType, nowSec: number): X509Identity {
  const x509 = rsaIdentityFromX509(need(certs, CertType.RSA_IDENTITY), nowSec);
  if (!x509.selfSigned) throw bad('the RSA identity certificate is not signed by its own key');
  if (x509.bits !== RSA_IDENTITY_BITS) throw bad(`an RSA identity of ${x509.bits} bits`);
  if (!x509.inDate) throw expired(CertType.RSA_IDENTITY);
  return x509;
}

function ed25519Cert(certs: CertsByType, type: number, keyType: number): Ed25519Cert {
  const cert = decodeEd25519Cert(need(certs, type));
  if (cert.certType !== type) throw bad(`a certificate of type ${cert.certType} stands as type ${type}`);
  if (cert.keyType !== keyType) throw bad(`the certificate of type ${type} has key type ${cert.keyType}`);
  return cert;
}

function checkChain(cert: Ed25519Cert, signer: Uint8Array, nowSec: number): void {
  checkExpiry(cert.expirationHours, cert.certType, nowSec);
  const fault = checkEd25519Cert(cert, signer, nowSec);
  if (fault !== null) throw bad(`certificate of type ${cert.certType}: ${fault}`);
}

function checkExpiry(expirationHours: number, type: number, nowSec: number): void {
  if (expirationHours * 3600 < nowSec) throw expired(type);
}

function need(certs: CertsByType, type: number): Uint8Array {
  const cert = certs.get(type);
  if (cert === undefined)
    throw channelViolation('link_handshake_missing_cert', `CERTS: no certificate of type ${type}`);
  return cert;
}

function bad(why: string): Error {
  return channelViolation('link_handshake_bad_certs', `CERTS: ${why}`);
}

function expired(type: number): Error {
  return channelViolation(
    'link_handshake_expired_certs',
    `CERTS: the certificate of type ${type} is out of date`,
  );
}
