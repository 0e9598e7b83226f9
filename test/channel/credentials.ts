/** Relays made up for tests: identities, link keys, and the certificates between them, good or bent at will. */

import { encodeCerts } from '../../src/cell/link-handshake.ts';
import {
  CertKeyType,
  CertType,
  encodeEd25519Cert,
  encodeRsaEdCrossCert,
} from '../../src/crypto/certificate.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import {
  type Ed25519KeyPair,
  expandSeed,
  generateEd25519,
  publicFromExpanded,
  signSeed,
} from '../../src/crypto/ed25519.ts';
import { fingerprint, generateRsa, type RsaKey, rsaToPem } from '../../src/crypto/rsa.ts';
import { makeLegacyIdCertificate, makeLinkCertificate, pem } from '../../src/crypto/x509.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';

/** A relay with all its secrets. */
export interface TestRelay {
  readonly rsa: RsaKey;
  readonly identity: Ed25519KeyPair;
  readonly signing: Ed25519KeyPair;
  readonly auth: Ed25519KeyPair;
  readonly tlsCertDer: Uint8Array;
  /** Its certificates by their type in CERTS: 2, 4, 5, 6 and 7. */
  readonly certs: ReadonlyMap<number, Uint8Array>;
  readonly credentials: LinkCredentials;
}

export interface EdCertOptions {
  readonly certType: number;
  readonly certifiedKey: Uint8Array;
  readonly signer: Ed25519KeyPair;
  readonly expirationHours: number;
  readonly keyType?: number;
  /** Name the signer in the certificate. */
  readonly named?: boolean;
}

/** Make an Ed25519 certificate. */
export function makeEdCert(options: EdCertOptions): Uint8Array {
  return encodeEd25519Cert(
    {
      certType: options.certType,
      expirationHours: options.expirationHours,
      keyType: options.keyType ?? CertKeyType.ED25519,
      certifiedKey: options.certifiedKey,
      signingKey: options.named ? options.signer.publicKey : null,
    },
    (bytes) => signSeed(options.signer.seed, bytes),
  );
}

/** Make an RSA identity certificate (type 2) that lives from a day before `nowSec` to a year after it. */
export function makeIdCert(rsa: RsaKey, nowSec: number): Uint8Array {
  return makeLegacyIdCertificate({
    key: rsa,
    commonName: 'www.identity.example.net',
    notBeforeSec: nowSec - 86400,
    notAfterSec: nowSec + 365 * 86400,
    serial: Uint8Array.of(2),
  });
}

/** TLS keys take long to make and nobody's identity hangs on them. */
let sharedTlsKey: RsaKey | null = null;

/** Parts of a relay that are given instead of made up. */
export interface GivenParts {
  readonly rsa?: RsaKey;
  readonly identity?: Ed25519KeyPair;
  readonly signing?: Ed25519KeyPair;
  readonly auth?: Ed25519KeyPair;
  /** Then the relay has no TLS key. */
  readonly tlsCertDer?: Uint8Array;
  readonly generation?: number;
}

/** Make a relay whose certificates are good at `nowSec`. */
export function makeTestRelay(nowSec: number, given: GivenParts = {}): TestRelay {
  const rsa = given.rsa ?? generateRsa(1024);
  const identity = given.identity ?? generateEd25519();
  const signing = given.signing ?? generateEd25519();
  const auth = given.auth ?? generateEd25519();
  const tlsCertDer = given.tlsCertDer ?? makeTlsCert(nowSec);
  const expirationHours = Math.floor(nowSec / 3600) + 48;
  const bySigning = { signer: signing, expirationHours };
  const certs = new Map([
    [CertType.RSA_IDENTITY, makeIdCert(rsa, nowSec)],
    [
      CertType.SIGNING,
      makeEdCert({
        certType: CertType.SIGNING,
        certifiedKey: signing.publicKey,
        signer: identity,
        expirationHours,
        named: true,
      }),
    ],
    [
      CertType.LINK,
      makeEdCert({
        certType: CertType.LINK,
        certifiedKey: sha256(tlsCertDer),
        keyType: CertKeyType.SHA256_OF_X509,
        ...bySigning,
      }),
    ],
    [CertType.AUTH, makeEdCert({ certType: CertType.AUTH, certifiedKey: auth.publicKey, ...bySigning })],
    [CertType.RSA_CROSS, encodeRsaEdCrossCert(identity.publicKey, expirationHours, rsa)],
  ]);
  const credentials: LinkCredentials = {
    generation: given.generation ?? 1,
    rsaId: fingerprint(rsa.publicDer),
    rsaPublicDer: rsa.publicDer,
    ed25519Id: identity.publicKey,
    tlsKeyPem: sharedTlsKey === null ? '' : rsaToPem(sharedTlsKey),
    tlsCertPem: pem(tlsCertDer, 'CERTIFICATE'),
    tlsCertDer,
    responderCerts: certsBody(certs, [2, 4, 5, 7]),
    initiatorCerts: certsBody(certs, [2, 4, 6, 7]),
    authSecret: auth.seed,
    authPublic: auth.publicKey,
  };
  return { rsa, identity, signing, auth, tlsCertDer, certs, credentials };
}

function makeTlsCert(nowSec: number): Uint8Array {
  sharedTlsKey ??= generateRsa(2048);
  return makeLinkCertificate({
    key: sharedTlsKey,
    commonName: 'www.subject.example.net',
    issuerName: 'www.issuer.example.com',
    notBeforeSec: nowSec - 86400,
    notAfterSec: nowSec + 30 * 86400,
    serial: crypto.getRandomValues(new Uint8Array(8)),
  });
}

/** Make an Ed25519 key pair from a seed of 32 equal bytes. */
export function fixedEd25519(byte: number): Ed25519KeyPair {
  const seed = new Uint8Array(32).fill(byte);
  const expanded = expandSeed(seed);
  return { seed, expanded, publicKey: publicFromExpanded(expanded) };
}

/** Encode a CERTS body from some certificates of a relay, in the order given; `changed` replaces some. */
export function certsBody(
  certs: ReadonlyMap<number, Uint8Array>,
  types: readonly number[],
  changed: ReadonlyMap<number, Uint8Array> = new Map(),
): Uint8Array {
  return encodeCerts(types.map((type) => ({ type, body: changed.get(type) ?? certs.get(type)! })));
}
