/** Relays made up for a load: identities, a link key, and the certificates between them, good for two days. */
import { encodeCerts } from '../cell/link-handshake.ts';
import { CertKeyType, CertType, encodeEd25519Cert, encodeRsaEdCrossCert } from '../crypto/certificate.ts';
import { sha256 } from '../crypto/digest.ts';
import { generateEd25519, signSeed } from '../crypto/ed25519.ts';
import { fingerprint, generateRsa, type RsaKey, rsaToPem } from '../crypto/rsa.ts';
import { makeLegacyIdCertificate, makeLinkCertificate, pem } from '../crypto/x509.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';

const DAY_SEC = 86400;
const CERT_HOURS = 48;

/** Make fresh random bytes. */
export function randomBytes(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(bytes));
}

/** Make a TLS key for any number of made-up relays: it takes long to make, and nobody's identity hangs on it. */
export function makeTlsKey(): RsaKey {
  return generateRsa(2048);
}

/** Make a relay whose certificates are good at `nowSec`. */
export function makeIdentity(tlsKey: RsaKey, nowSec: number): LinkCredentials {
  const rsa = generateRsa(1024);
  const identity = generateEd25519();
  const signing = generateEd25519();
  const auth = generateEd25519();
  const tlsCertDer = makeLinkCertificate({
    key: tlsKey,
    commonName: 'www.subject.example.net',
    issuerName: 'www.issuer.example.com',
    notBeforeSec: nowSec - DAY_SEC,
    notAfterSec: nowSec + 30 * DAY_SEC,
    serial: randomBytes(8),
  });
  const rsaIdentity = makeLegacyIdCertificate({
    key: rsa,
    commonName: 'www.identity.example.net',
    notBeforeSec: nowSec - DAY_SEC,
    notAfterSec: nowSec + 365 * DAY_SEC,
    serial: randomBytes(8),
  });
  const expirationHours = Math.floor(nowSec / 3600) + CERT_HOURS;
  const certify = (certType: number, keyType: number, certifiedKey: Uint8Array) =>
    encodeEd25519Cert({ certType, keyType, certifiedKey, expirationHours, signingKey: null }, (bytes) =>
      signSeed(signing.seed, bytes),
    );
  const signingCert = encodeEd25519Cert(
    {
      certType: CertType.SIGNING,
      keyType: CertKeyType.ED25519,
      certifiedKey: signing.publicKey,
      expirationHours,
      signingKey: identity.publicKey,
    },
    (bytes) => signSeed(identity.seed, bytes),
  );
  const both = [
    { type: CertType.RSA_IDENTITY, body: rsaIdentity },
    { type: CertType.SIGNING, body: signingCert },
  ];
  const cross = {
    type: CertType.RSA_CROSS,
    body: encodeRsaEdCrossCert(identity.publicKey, expirationHours, rsa),
  };
  const link = {
    type: CertType.LINK,
    body: certify(CertType.LINK, CertKeyType.SHA256_OF_X509, sha256(tlsCertDer)),
  };
  const authCert = {
    type: CertType.AUTH,
    body: certify(CertType.AUTH, CertKeyType.ED25519, auth.publicKey),
  };
  return {
    generation: 1,
    rsaId: fingerprint(rsa.publicDer),
    rsaPublicDer: rsa.publicDer,
    ed25519Id: identity.publicKey,
    tlsKeyPem: rsaToPem(tlsKey),
    tlsCertPem: pem(tlsCertDer, 'CERTIFICATE'),
    tlsCertDer,
    responderCerts: encodeCerts([...both, link, cross]),
    initiatorCerts: encodeCerts([...both, authCert, cross]),
    authSecret: auth.seed,
    authPublic: auth.publicKey,
  };
}
