/** cert-spec certificates: C tor's own, ours, and all that is cut, stretched or signed by someone else. */
import { describe, expect, test } from 'bun:test';
import {
  CertKeyType,
  CertType,
  checkEd25519Cert,
  checkRsaEdCrossCert,
  decodeEd25519Cert,
  decodeRsaEdCrossCert,
  encodeEd25519Cert,
  encodeRsaEdCrossCert,
  expirationHoursFor,
} from '../../src/crypto/certificate.ts';
import { generateEd25519, signExpanded, signSeed } from '../../src/crypto/ed25519.ts';
import { join } from '../../src/crypto/join.ts';
import { generateRsa, rsaPublicFromDer } from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import { fuzz } from '../fuzz/fuzz.ts';
import { readVectors } from '../vectors/read.ts';

const vector = readVectors('certificates.txt');
const descriptor = readVectors('c-tor-descriptor.txt');
const keyFile = readVectors('c-tor-keys.txt');
const number = (bytes: Uint8Array): number => new DataView(bytes.buffer).getUint32(0);
const now = number(vector('now-sec'));
const HOURS = 500_000;
const signer = generateEd25519();
const certifiedKey = new Uint8Array(32).fill(5);

function make(signingKey: Uint8Array | null, certType: number = CertType.SIGNING): Uint8Array {
  return encodeEd25519Cert({ certType, expirationHours: HOURS, certifiedKey, signingKey }, (bytes) =>
    signExpanded(signer.expanded, signer.publicKey, bytes),
  );
}

/** A certificate with these extensions, signed with zeros. */
function withExtensions(count: number, ...extensions: string[]): Uint8Array {
  const head = join(Uint8Array.fromHex('01040006cc2a01'), certifiedKey, Uint8Array.of(count));
  return join(head, Uint8Array.fromHex(extensions.join('')), new Uint8Array(64));
}
const SIGNED_WITH = `00200400${'07'.repeat(32)}`;

describe("C tor's Ed25519 certificates", () => {
  test('signing key, by the identity key that the certificate names', () => {
    const cert = decodeEd25519Cert(vector('signing-cert'));
    expect(cert.certType).toBe(CertType.SIGNING);
    expect(cert.keyType).toBe(CertKeyType.ED25519);
    expect(cert.certifiedKey).toEqual(vector('signing-key'));
    expect(cert.signedWith).toEqual(vector('ed25519id'));
    expect(cert.expirationHours * 3600).toBe(Date.parse('2020-10-26T18:00:00Z') / 1000);
    expect(checkEd25519Cert(cert, vector('ed25519id'), now)).toBeNull();
  });

  test('link certificate, by the signing key, without extensions', () => {
    const cert = decodeEd25519Cert(vector('link-cert'));
    expect(cert.certType).toBe(CertType.LINK);
    expect(cert.keyType).toBe(CertKeyType.SHA256_OF_X509);
    expect(cert.certifiedKey).toEqual(vector('tls-cert-sha256'));
    expect(cert.signedWith).toBeNull();
    expect(checkEd25519Cert(cert, vector('signing-key'), now)).toBeNull();
    expect(checkEd25519Cert(cert, vector('ed25519id'), now)).toBe('badly signed');
  });

  test('of a key file and of a 0.4.9.11 descriptor', () => {
    const file = decodeEd25519Cert(keyFile('signing-cert').subarray(32));
    // That network ran under a false clock.
    const then = file.expirationHours * 3600;
    expect(checkEd25519Cert(file, keyFile('master-public').subarray(32), then)).toBeNull();
    const published = number(descriptor('published-sec'));
    const identity = decodeEd25519Cert(descriptor('identity-cert'));
    expect(checkEd25519Cert(identity, descriptor('master-key'), published)).toBeNull();
    const ntor = decodeEd25519Cert(descriptor('ntor-cross-cert'));
    expect(ntor.certType).toBe(CertType.NTOR_CROSS);
    expect(ntor.certifiedKey).toEqual(descriptor('master-key'));
  });

  test('are encoded to the same bytes', () => {
    const encoded = encodeEd25519Cert(
      {
        certType: 4,
        expirationHours: 0x0006cc2a,
        certifiedKey: vector('signing-key'),
        signingKey: vector('ed25519id'),
      },
      () => vector('signing-cert').slice(-64),
    );
    expect(encoded).toEqual(vector('signing-cert'));
    const link = encodeEd25519Cert(
      {
        certType: 5,
        expirationHours: 0x0006c98a,
        keyType: CertKeyType.SHA256_OF_X509,
        certifiedKey: vector('tls-cert-sha256'),
        signingKey: null,
      },
      () => vector('link-cert').slice(-64),
    );
    expect(link).toEqual(vector('link-cert'));
  });
});

describe('Ed25519 certificates', () => {
  test('ours are good until the end of their last hour', () => {
    for (const signingKey of [signer.publicKey, null]) {
      const cert = decodeEd25519Cert(make(signingKey));
      expect(checkEd25519Cert(cert, signer.publicKey, HOURS * 3600)).toBeNull();
      expect(checkEd25519Cert(cert, signer.publicKey, HOURS * 3600 + 1)).toBe('expired');
    }
    expect(expirationHoursFor(HOURS * 3600)).toBe(HOURS);
    expect(expirationHoursFor(HOURS * 3600 + 1)).toBe(HOURS + 1);
  });

  test('name their signer, and are refused under another', () => {
    const other = generateEd25519();
    expect(checkEd25519Cert(decodeEd25519Cert(make(signer.publicKey)), other.publicKey, 0)).toBe(
      'signed with another key',
    );
    const forged = encodeEd25519Cert(
      { certType: 4, expirationHours: HOURS, certifiedKey, signingKey: signer.publicKey },
      (bytes) => signSeed(other.seed, bytes),
    );
    expect(checkEd25519Cert(decodeEd25519Cert(forged), signer.publicKey, 0)).toBe('badly signed');
  });

  test('are badly signed whichever byte changes', () => {
    const good = make(null);
    for (let at = 1; at < good.length; at += 5) {
      const bytes = new Uint8Array(good);
      bytes[at] ^= 0x40;
      let verdict: string | null;
      try {
        verdict = checkEd25519Cert(decodeEd25519Cert(bytes), signer.publicKey, 0);
      } catch (fault) {
        expect(fault).toBeInstanceOf(Malformed);
        verdict = 'unreadable';
      }
      expect(verdict).not.toBeNull();
    }
  });

  test('every truncation and a trailing byte is Malformed', () => {
    for (const good of [make(null), make(signer.publicKey)]) {
      for (let length = 0; length < good.length; length++) {
        expect(() => decodeEd25519Cert(good.subarray(0, length))).toThrow(Malformed);
      }
      expect(() => decodeEd25519Cert(join(good, Uint8Array.of(0)))).toThrow(Malformed);
    }
  });

  for (const n of [0, 1, 2]) {
    test(`Arti's unreadable certificate ${n} is Malformed`, () => {
      expect(() => decodeEd25519Cert(vector(`unreadable-${n}`))).toThrow(Malformed);
    });
  }

  test('unknown extensions are kept unless they affect validation', () => {
    const cert = decodeEd25519Cert(withExtensions(3, '00000900', SIGNED_WITH, '00020afeabcd'));
    expect(cert.signedWith).toEqual(new Uint8Array(32).fill(7));
    expect(cert.extensions.map((extension) => extension.type)).toEqual([9, 4, 10]);
    expect(cert.extensions[2].body).toEqual(Uint8Array.of(0xab, 0xcd));
    expect(() => decodeEd25519Cert(withExtensions(1, '00000901'))).toThrow(Malformed);
  });

  test('a signing key affects validation without harm, but may be named only once', () => {
    const flagged = SIGNED_WITH.replace('0400', '0401');
    expect(decodeEd25519Cert(withExtensions(1, flagged)).signedWith).not.toBeNull();
    expect(() => decodeEd25519Cert(withExtensions(2, SIGNED_WITH, SIGNED_WITH))).toThrow(Malformed);
    expect(() => decodeEd25519Cert(withExtensions(2, SIGNED_WITH))).toThrow(Malformed);
  });

  fuzz('ed25519-certificate', {
    corpus: [vector('signing-cert'), vector('link-cert'), descriptor('ntor-cross-cert')],
    run: (bytes) => {
      const cert = decodeEd25519Cert(bytes);
      checkEd25519Cert(cert, cert.signedWith ?? signer.publicKey, now);
    },
  });
});

describe('RSA to Ed25519 cross-certificates', () => {
  const rsa = generateRsa(1024);
  const ours = encodeRsaEdCrossCert(signer.publicKey, HOURS, rsa);

  test("C tor's is good, and only with the right keys", () => {
    const cert = decodeRsaEdCrossCert(vector('rsa-cross-cert'));
    const id = vector('ed25519id');
    expect(checkRsaEdCrossCert(cert, vector('rsa-public'), id, now)).toBeNull();
    expect(checkRsaEdCrossCert(cert, rsaPublicFromDer(vector('rsa-public')), id, now)).toBeNull();
    expect(checkRsaEdCrossCert(cert, vector('wrong-rsa-public'), id, now)).toBe('badly signed');
    expect(checkRsaEdCrossCert(cert, vector('rsa-public'), vector('signing-key'), now)).toBe(
      'for another Ed25519 identity',
    );
  });

  test('ours is good until the end of its last hour', () => {
    const cert = decodeRsaEdCrossCert(ours);
    expect(cert.expirationHours).toBe(HOURS);
    expect(checkRsaEdCrossCert(cert, rsa.publicDer, signer.publicKey, HOURS * 3600)).toBeNull();
    expect(checkRsaEdCrossCert(cert, rsa.publicDer, signer.publicKey, HOURS * 3600 + 1)).toBe('expired');
  });

  test('a stretched date is badly signed', () => {
    const bytes = new Uint8Array(ours);
    bytes[32] ^= 1;
    expect(checkRsaEdCrossCert(decodeRsaEdCrossCert(bytes), rsa.publicKey, signer.publicKey, 0)).toBe(
      'badly signed',
    );
  });

  test('every truncation and a trailing byte is Malformed', () => {
    for (let length = 0; length < ours.length; length++) {
      expect(() => decodeRsaEdCrossCert(ours.subarray(0, length))).toThrow(Malformed);
    }
    expect(() => decodeRsaEdCrossCert(join(ours, Uint8Array.of(0)))).toThrow(Malformed);
  });

  fuzz('rsa-ed-cross-certificate', {
    corpus: [vector('rsa-cross-cert')],
    run: (bytes) => {
      const cert = decodeRsaEdCrossCert(bytes);
      checkRsaEdCrossCert(cert, rsa.publicKey, cert.ed25519Id, now);
    },
  });
});
