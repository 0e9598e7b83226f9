/** Fuzzes the CERTS cell and every kind of certificate that a peer puts into it. */
import { deepStrictEqual } from 'node:assert';
import { decodeCerts, encodeCerts } from '../../src/cell/link-handshake.ts';
import {
  checkEd25519Cert,
  decodeEd25519Cert,
  decodeRsaEdCrossCert,
  encodeEd25519Cert,
} from '../../src/crypto/certificate.ts';
import { rsaIdentityFromX509 } from '../../src/crypto/x509.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('channel-bodies.txt');
const nowSec = 1_601_143_280;
const bodies = new Map(decodeCerts(vector('certs')).map((entry) => [entry.type, entry.body]));

fuzz('certs', {
  corpus: [vector('certs'), encodeCerts([]), encodeCerts([{ type: 9, body: Uint8Array.of(1, 2, 3) }])],
  run: (bytes) => {
    const entries = decodeCerts(bytes);
    const again = encodeCerts(entries);
    deepStrictEqual(decodeCerts(again), entries);
    deepStrictEqual(again, bytes.slice(0, again.length));
  },
});

fuzz('ed25519-cert', {
  corpus: [bodies.get(4)!, bodies.get(5)!],
  run: (bytes) => {
    const cert = decodeEd25519Cert(bytes);
    deepStrictEqual(cert.signedBytes.length + cert.signature.length, bytes.length);
    checkEd25519Cert(cert, cert.signedWith ?? cert.certifiedKey, nowSec);
    const { certType, expirationHours, keyType, certifiedKey, signedWith } = cert;
    const fields = { certType, expirationHours, keyType, certifiedKey, signingKey: signedWith };
    const again = decodeEd25519Cert(encodeEd25519Cert(fields, () => cert.signature));
    deepStrictEqual(
      [again.certType, again.expirationHours, again.keyType, again.certifiedKey, again.signedWith],
      [certType, expirationHours, keyType, certifiedKey, signedWith],
    );
    deepStrictEqual(again.signature, cert.signature);
  },
});

fuzz('rsa-ed25519-cross-cert', {
  corpus: [bodies.get(7)!],
  run: (bytes) => {
    const cert = decodeRsaEdCrossCert(bytes);
    deepStrictEqual(cert.signedBytes.length + 1 + cert.signature.length, bytes.length);
    deepStrictEqual(cert.ed25519Id, bytes.subarray(0, 32));
  },
});

fuzz('rsa-identity-x509', {
  corpus: [bodies.get(2)!],
  run: (bytes) => {
    rsaIdentityFromX509(bytes, nowSec);
  },
});
