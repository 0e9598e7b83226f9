/**
 * Link credentials: a fresh TLS key, and the certificates that tie it to both identities.
 *
 * Made at start and at every rotation (at most two hours), kept in memory only, and lettered to the workers.
 * The TLS certificate proves nothing by itself; the CERTS cell does: the RSA identity's certificate (2), master
 * to signing key (4), signing key to this TLS certificate (5) or to the link-authentication key (6), and RSA to
 * Ed25519 identity (7).
 * @source tor-spec "Negotiating and initializing channels", cert-spec
 */

import { generateKeyPair } from 'node:crypto';

import { encodeCerts } from '../cell/link-handshake.ts';
import {
  CertKeyType,
  CertType,
  encodeEd25519Cert,
  encodeRsaEdCrossCert,
  expirationHoursFor,
} from '../crypto/certificate.ts';
import { sha256 } from '../crypto/digest.ts';
import { generateEd25519 } from '../crypto/ed25519.ts';
import { type RsaKey, rsaToPem } from '../crypto/rsa.ts';
import {
  certificateHostName,
  fuzzCertificateDates,
  makeLegacyIdCertificate,
  makeLinkCertificate,
  pem,
} from '../crypto/x509.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import type { RelayIdentity } from './identity.ts';

const DAY_SEC = 86_400;
const LINK_KEY_BITS = 2048;
const ID_CERT_SEC = 365 * DAY_SEC;
const CROSS_CERT_SEC = 180 * DAY_SEC;

/** torrc's lifetimes of what hangs on a link key. */
export interface LinkKeyPolicy {
  /** SSLKeyLifetime: what the TLS certificate claims; 0 picks 5 to 365 days at random. */
  readonly tlsLifetimeSec: number;
  /** TestingLinkCertLifetime. */
  readonly linkCertSec: number;
  /** TestingAuthKeyLifetime. */
  readonly authCertSec: number;
}

export const DEFAULT_LINK_KEY_POLICY: LinkKeyPolicy = {
  tlsLifetimeSec: 0,
  linkCertSec: 2 * DAY_SEC,
  authCertSec: 2 * DAY_SEC,
};

/** Make an RSA key on the thread pool: 2048 bits take tens of milliseconds, too long for an event loop. */
function generateRsaAsync(bits: number): Promise<RsaKey> {
  const { promise, resolve, reject } = Promise.withResolvers<RsaKey>();
  generateKeyPair('rsa', { modulusLength: bits, publicExponent: 65_537 }, (error, publicKey, privateKey) => {
    if (error !== null) return reject(error);
    const publicDer = new Uint8Array(publicKey.export({ type: 'pkcs1', format: 'der' }));
    return resolve({ privateKey, publicKey, publicDer });
  });
  return promise;
}

/** A random number in [0, 1). */
function uniform(random: (bytes: number) => Uint8Array): number {
  const bytes = random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
}

/** A lifetime of 5 to 365 whole days, half the time less one second, as certificate authorities are seen to do. */
function randomLifetimeSec(random: (bytes: number) => Uint8Array): number {
  const days = 5 + Math.floor(uniform(random) * 360);
  return days * DAY_SEC - (random(1)[0]! & 1);
}

/** The two X.509 certificates, DER: what TLS serves, and the RSA identity's own. */
function makeX509(
  identity: RelayIdentity,
  tlsKey: RsaKey,
  nowSec: number,
  lifetimeSec: number,
  random: (bytes: number) => Uint8Array,
): { link: Uint8Array; rsaIdentity: Uint8Array } {
  const subject = certificateHostName(random(14), '.net');
  const issuer = certificateHostName(random(14), '.com');
  const link = makeLinkCertificate({
    key: tlsKey,
    commonName: subject,
    issuerName: issuer,
    ...fuzzCertificateDates(nowSec, lifetimeSec, uniform(random)),
    serial: random(8),
    signer: identity.rsa,
  });
  const rsaIdentity = makeLegacyIdCertificate({
    key: identity.rsa,
    commonName: issuer,
    ...fuzzCertificateDates(nowSec, ID_CERT_SEC, uniform(random)),
    serial: random(8),
  });
  return { link, rsaIdentity };
}

/**
 * Make one generation of link credentials. The RSA key is made on another thread; the rest takes a few
 * milliseconds here.
 *
 * @param generation counts rotations.
 * @param random fresh random bytes of the asked length.
 */
export async function makeLinkCredentials(
  identity: RelayIdentity,
  generation: number,
  nowSec: number,
  random: (bytes: number) => Uint8Array,
  policy: LinkKeyPolicy = DEFAULT_LINK_KEY_POLICY,
): Promise<LinkCredentials> {
  const tlsKey = await generateRsaAsync(LINK_KEY_BITS);
  const lifetimeSec = policy.tlsLifetimeSec > 0 ? policy.tlsLifetimeSec : randomLifetimeSec(random);
  const x509 = makeX509(identity, tlsKey, nowSec, lifetimeSec, random);
  const auth = generateEd25519();
  const certify = (certType: number, keyType: number, certifiedKey: Uint8Array, lifetime: number) =>
    encodeEd25519Cert(
      {
        certType,
        keyType,
        certifiedKey,
        expirationHours: expirationHoursFor(nowSec + lifetime),
        signingKey: null,
      },
      identity.sign,
    );
  const rsa = { type: CertType.RSA_IDENTITY, body: x509.rsaIdentity };
  const signing = { type: CertType.SIGNING, body: identity.signing.cert };
  const link = certify(CertType.LINK, CertKeyType.SHA256_OF_X509, sha256(x509.link), policy.linkCertSec);
  const authCert = certify(CertType.AUTH, CertKeyType.ED25519, auth.publicKey, policy.authCertSec);
  const crossHours = expirationHoursFor(nowSec + CROSS_CERT_SEC);
  const cross = {
    type: CertType.RSA_CROSS,
    body: encodeRsaEdCrossCert(identity.ed25519Id, crossHours, identity.rsa),
  };
  return {
    generation,
    rsaId: identity.rsaId,
    rsaPublicDer: identity.rsa.publicDer,
    ed25519Id: identity.ed25519Id,
    tlsKeyPem: rsaToPem(tlsKey),
    tlsCertPem: pem(x509.link, 'CERTIFICATE'),
    tlsCertDer: x509.link,
    responderCerts: encodeCerts([rsa, signing, { type: CertType.LINK, body: link }, cross]),
    initiatorCerts: encodeCerts([rsa, signing, { type: CertType.AUTH, body: authCert }, cross]),
    authSecret: auth.seed,
    authPublic: auth.publicKey,
  };
}
