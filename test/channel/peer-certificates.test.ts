import { describe, expect, test } from 'bun:test';
import {
  decodeAuthChallenge,
  decodeCerts,
  decodeNetinfo,
  decodeVersions,
} from '../../src/cell/link-handshake.ts';
import { judgeInitiator, judgeResponder } from '../../src/channel/peer-certificates.ts';
import { CertKeyType, CertType, encodeRsaEdCrossCert } from '../../src/crypto/certificate.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { makeLegacyIdCertificate, makeLinkCertificate } from '../../src/crypto/x509.ts';
import { Malformed } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { certsBody, makeEdCert, makeIdCert, makeTestRelay } from './credentials.ts';
import { NOW_SEC } from './pair.ts';
import { expectMalformed, expectViolation } from './script.ts';

const HOUR = 3600;
const DAY = 86400;
const BAD = 'link_handshake_bad_certs';
const MISSING = 'link_handshake_missing_cert';
const WRONG_TLS = 'link_handshake_wrong_tls_certificate';
const EXPIRED = 'link_handshake_expired_certs';

const relay = makeTestRelay(NOW_SEC);
const stranger = makeTestRelay(NOW_SEC);
const expirationHours = Math.floor(NOW_SEC / HOUR) + 48;
const tlsDigest = sha256(relay.tlsCertDer);

type Changed = ReadonlyMap<number, Uint8Array>;

const asResponder = (changed: Changed = new Map(), types = [2, 4, 5, 7], nowSec = NOW_SEC) =>
  judgeResponder(certsBody(relay.certs, types, changed), tlsDigest, nowSec);
const asInitiator = (changed: Changed = new Map(), types = [2, 4, 6, 7], nowSec = NOW_SEC) =>
  judgeInitiator(certsBody(relay.certs, types, changed), nowSec);

/** Both roles judge identities and signing key alike. */
function bothRefuse(changed: Changed, counter: string, why: RegExp, nowSec = NOW_SEC): void {
  expectViolation(() => asResponder(changed, [2, 4, 5, 7], nowSec), counter, why);
  expectViolation(() => asInitiator(changed, [2, 4, 6, 7], nowSec), counter, why);
}

const one = (type: number, body: Uint8Array): Changed => new Map([[type, body]]);
const flipLast = (bytes: Uint8Array) => bytes.with(-1, bytes.at(-1)! ^ 1);
const flipFirst = (bytes: Uint8Array) => bytes.with(0, bytes[0]! ^ 1);

describe('good certificates', () => {
  test('tell both identities of a responder', () => {
    expect(asResponder()).toEqual({
      rsaId: relay.credentials.rsaId,
      rsaPublicDer: relay.credentials.rsaPublicDer,
      ed25519Id: relay.credentials.ed25519Id,
    });
  });

  test('tell the authentication key of an initiator too', () => {
    expect(asInitiator()).toEqual({
      rsaId: relay.credentials.rsaId,
      rsaPublicDer: relay.credentials.rsaPublicDer,
      ed25519Id: relay.credentials.ed25519Id,
      authKey: relay.auth.publicKey,
    });
  });

  test('may come in any order, with unknown and unneeded ones between them', () => {
    const junk = new Map([0, 1, 3, 8, 200].map((type) => [type, Uint8Array.of(type, 1, 2)]));
    expect(asResponder(junk, [200, 7, 1, 5, 8, 4, 200, 2, 0, 3]).ed25519Id).toEqual(relay.identity.publicKey);
    const withLink = asInitiator(junk, [7, 6, 5, 4, 3, 2, 1]);
    expect(withLink?.authKey).toEqual(relay.auth.publicKey);
  });

  test('are not kept as views of the cell', () => {
    const body = certsBody(relay.certs, [2, 4, 6, 7]);
    const peer = judgeInitiator(body, NOW_SEC)!;
    body.fill(0);
    expect(peer.authKey).toEqual(relay.auth.publicKey);
    expect(peer.ed25519Id).toEqual(relay.identity.publicKey);
    expect(peer.rsaPublicDer).toEqual(relay.rsa.publicDer);
  });
});

describe('missing', () => {
  for (const missing of [2, 4, 5, 7]) {
    test(`type ${missing} of a responder`, () => {
      const types = [2, 4, 5, 7].filter((type) => type !== missing);
      expectViolation(
        () => asResponder(new Map(), types),
        MISSING,
        new RegExp(`no certificate of type ${missing}`),
      );
    });
  }
  for (const missing of [2, 4, 6, 7]) {
    test(`type ${missing} of an initiator`, () => {
      const types = [2, 4, 6, 7].filter((type) => type !== missing);
      expectViolation(
        () => asInitiator(new Map(), types),
        MISSING,
        new RegExp(`no certificate of type ${missing}`),
      );
    });
  }
  test('all of them', () => {
    expectViolation(() => asResponder(new Map(), []), MISSING, /no certificate/);
    expectViolation(() => asInitiator(new Map(), []), MISSING, /no certificate/);
  });
});

describe('an initiator with the legacy RSA certificates alone', () => {
  const legacy = one(CertType.RSA_AUTH, Uint8Array.of(1));
  test('cannot authenticate', () => expect(asInitiator(legacy, [2, 3])).toBeNull());
  test('needs both', () => {
    expectViolation(() => asInitiator(legacy, [2]), MISSING, /no certificate of type 3/);
    expectViolation(() => asInitiator(legacy, [3]), MISSING, /no certificate of type 2/);
  });
  test('needs a good identity', () => {
    const forged = new Map([
      ...legacy,
      [CertType.RSA_IDENTITY, flipLast(relay.certs.get(CertType.RSA_IDENTITY)!)] as const,
    ]);
    expectViolation(() => asInitiator(forged, [2, 3]), BAD, /not signed by its own key/);
  });
});

describe('two certificates of one type', () => {
  for (const type of [1, 2, 3, 4, 5, 6, 7]) {
    test(`type ${type}`, () => {
      const junk = new Map([1, 3].map((each) => [each, Uint8Array.of(each)]));
      const why = new RegExp(`two certificates of type ${type}`);
      const counter = 'link_handshake_duplicate_cert';
      expectViolation(() => asResponder(junk, [2, 4, 5, 7, type, type]), counter, why);
      expectViolation(() => asInitiator(junk, [2, 4, 6, 7, type, type]), counter, why);
    });
  }
});

describe('the RSA identity', () => {
  test('must sign itself', () => {
    bothRefuse(
      one(CertType.RSA_IDENTITY, flipLast(relay.certs.get(CertType.RSA_IDENTITY)!)),
      BAD,
      /not signed by its own key/,
    );
  });
  test('must have 1024 bits', () => {
    const rsa = generateRsa(2048);
    const cert = makeLinkCertificate({
      key: rsa,
      commonName: 'www.a.net',
      issuerName: 'www.a.net',
      notBeforeSec: NOW_SEC - DAY,
      notAfterSec: NOW_SEC + DAY,
      serial: Uint8Array.of(1),
    });
    bothRefuse(one(CertType.RSA_IDENTITY, cert), BAD, /RSA identity of 2048 bits/);
  });
  test('may be off by some days in its dates, no more', () => {
    const dated = (notBeforeSec: number, notAfterSec: number) =>
      one(
        CertType.RSA_IDENTITY,
        makeLegacyIdCertificate({
          key: relay.rsa,
          commonName: 'www.a.net',
          notBeforeSec,
          notAfterSec,
          serial: Uint8Array.of(1),
        }),
      );
    expect(asInitiator(dated(NOW_SEC - 9 * DAY, NOW_SEC - 2 * DAY + 60))).not.toBeNull();
    expect(asInitiator(dated(NOW_SEC + 30 * DAY - 60, NOW_SEC + 90 * DAY))).not.toBeNull();
    bothRefuse(dated(NOW_SEC - 9 * DAY, NOW_SEC - 2 * DAY - 60), EXPIRED, /type 2 is out of date/);
    bothRefuse(dated(NOW_SEC + 30 * DAY + 60, NOW_SEC + 90 * DAY), EXPIRED, /type 2 is out of date/);
  });
  test('must be the one that vouches for the Ed25519 identity', () => {
    bothRefuse(one(CertType.RSA_IDENTITY, makeIdCert(stranger.rsa, NOW_SEC)), BAD, /type 7/);
  });
  test('must be a certificate at all', () => {
    for (const body of [new Uint8Array(0), Uint8Array.of(0x30, 0), relay.rsa.publicDer]) {
      expectMalformed(() => asResponder(one(CertType.RSA_IDENTITY, body)), /X\.509/);
    }
  });
});

describe('the cross-certificate', () => {
  const cross = (ed: Uint8Array, hours: number, rsa = relay.rsa) =>
    one(CertType.RSA_CROSS, encodeRsaEdCrossCert(ed, hours, rsa));

  test('must name the Ed25519 identity', () => {
    bothRefuse(cross(stranger.identity.publicKey, expirationHours), BAD, /type 7/);
  });
  test('must be signed by the RSA identity', () => {
    bothRefuse(cross(relay.identity.publicKey, expirationHours, stranger.rsa), BAD, /type 7/);
    bothRefuse(one(CertType.RSA_CROSS, flipLast(relay.certs.get(CertType.RSA_CROSS)!)), BAD, /type 7/);
  });
  test('must not be out of date', () => {
    const hours = Math.floor(NOW_SEC / HOUR);
    bothRefuse(cross(relay.identity.publicKey, hours), EXPIRED, /type 7 is out of date/, hours * HOUR + 1);
    expect(asInitiator(cross(relay.identity.publicKey, hours), [2, 4, 6, 7], hours * HOUR)).not.toBeNull();
  });
});

describe('the signing key certificate', () => {
  const good = {
    certType: CertType.SIGNING as number,
    certifiedKey: relay.signing.publicKey,
    signer: relay.identity,
    expirationHours,
    named: true,
  };
  const signing = (changes: Partial<typeof good & { keyType: number }>) =>
    one(CertType.SIGNING, makeEdCert({ ...good, ...changes }));

  test('must name its signer', () => bothRefuse(signing({ named: false }), BAD, /does not name/));
  test('must be signed by the key that it names', () => {
    bothRefuse(one(CertType.SIGNING, flipLast(relay.certs.get(CertType.SIGNING)!)), BAD, /type 4/);
  });
  test('must be signed by the cross-certified identity', () => {
    bothRefuse(signing({ signer: stranger.identity }), BAD, /type 7/);
  });
  test('must certify the key that signs the link or authentication certificate', () => {
    expectViolation(() => asResponder(signing({ certifiedKey: stranger.signing.publicKey })), BAD, /type 5/);
    expectViolation(() => asInitiator(signing({ certifiedKey: stranger.signing.publicKey })), BAD, /type 6/);
  });
  test('must be of its own type', () => {
    bothRefuse(signing({ certType: CertType.LINK }), BAD, /a certificate of type 5 stands as type 4/);
  });
  test('must certify an Ed25519 key', () => bothRefuse(signing({ keyType: 3 }), BAD, /key type 3/));
  test('must not be out of date', () => {
    const hours = Math.floor(NOW_SEC / HOUR);
    bothRefuse(signing({ expirationHours: hours }), EXPIRED, /type 4 is out of date/, hours * HOUR + 1);
    const changed = signing({ expirationHours: hours });
    expect(asInitiator(changed, [2, 4, 6, 7], hours * HOUR)).not.toBeNull();
  });
});

describe('the link certificate of a responder', () => {
  const good = {
    certType: CertType.LINK as number,
    certifiedKey: tlsDigest,
    keyType: CertKeyType.SHA256_OF_X509 as number,
    signer: relay.signing,
    expirationHours,
  };
  const refused = (changes: Partial<typeof good>, counter: string, why: RegExp, nowSec = NOW_SEC) => {
    const changed = one(CertType.LINK, makeEdCert({ ...good, ...changes }));
    expectViolation(() => asResponder(changed, [2, 4, 5, 7], nowSec), counter, why);
  };

  test('must name the certificate that TLS served', () => {
    refused({ certifiedKey: sha256(stranger.tlsCertDer) }, WRONG_TLS, /another TLS certificate/);
  });
  test('must be signed by the signing key', () => {
    refused({ signer: stranger.signing }, BAD, /type 5/);
    refused({ signer: relay.identity }, BAD, /type 5/);
  });
  test('must be of its own type', () => refused({ certType: CertType.AUTH }, BAD, /type 6 stands as type 5/));
  test('must certify a digest', () => refused({ keyType: 1 }, BAD, /key type 1/));
  test('must not be out of date', () => {
    const hours = Math.floor(NOW_SEC / HOUR);
    refused({ expirationHours: hours }, EXPIRED, /type 5 is out of date/, hours * HOUR + 1);
  });
});

describe('the authentication certificate of an initiator', () => {
  const good = {
    certType: CertType.AUTH as number,
    certifiedKey: relay.auth.publicKey,
    keyType: 1,
    signer: relay.signing,
    expirationHours,
  };
  const refused = (changes: Partial<typeof good>, counter: string, why: RegExp, nowSec = NOW_SEC) => {
    const changed = one(CertType.AUTH, makeEdCert({ ...good, ...changes }));
    expectViolation(() => asInitiator(changed, [2, 4, 6, 7], nowSec), counter, why);
  };

  test('must be signed by the signing key', () => refused({ signer: stranger.signing }, BAD, /type 6/));
  test('must be of its own type', () => refused({ certType: CertType.LINK }, BAD, /type 5 stands as type 6/));
  test('must certify an Ed25519 key', () => refused({ keyType: 3 }, BAD, /key type 3/));
  test('must not be out of date', () => {
    const hours = Math.floor(NOW_SEC / HOUR);
    refused({ expirationHours: hours }, EXPIRED, /type 6 is out of date/, hours * HOUR + 1);
  });
});

describe('truncation', () => {
  test('of the cell at any byte is malformed', () => {
    const body = certsBody(relay.certs, [2, 4, 5, 7]);
    for (let length = 0; length < body.length; length++) {
      expect(() => judgeResponder(body.subarray(0, length), tlsDigest, NOW_SEC)).toThrow(Malformed);
    }
  });
  test('of a certificate at any byte is refused', () => {
    for (const type of [2, 4, 5, 7]) {
      const cert = relay.certs.get(type)!;
      for (let length = 0; length < cert.length; length++) {
        expect(() => asResponder(one(type, cert.subarray(0, length)))).toThrow();
      }
    }
  });
  test('bytes behind a certificate are refused', () => {
    for (const type of [2, 4, 5, 7]) {
      const cert = relay.certs.get(type)!;
      const longer = new Uint8Array(cert.length + 1);
      longer.set(cert);
      expect(() => asResponder(one(type, longer))).toThrow();
    }
  });
});

describe('a network of C tors', () => {
  const vector = readVectors('link-handshake.txt');
  const certs = new Map([2, 4, 5, 7].map((type) => [type, vector(`cert${type}`)]));
  const nowSec = Date.UTC(2020, 8, 26, 18, 1, 20) / 1000;
  const digest = vector('tls-cert-sha256');
  const judge = (changed: Changed = new Map(), types = [2, 5, 7, 4]) =>
    judgeResponder(certsBody(certs, types, changed), digest, nowSec);

  test('has a relay that proves itself', () => {
    const peer = judge();
    expect(peer.rsaId).toEqual(vector('rsa-id'));
    expect(peer.ed25519Id).toEqual(vector('ed25519-id'));
  });
  test('that does not with a certificate missing', () => {
    for (const missing of [2, 4, 5, 7]) {
      const types = [2, 5, 7, 4].filter((type) => type !== missing);
      expectViolation(
        () => judge(new Map(), types),
        MISSING,
        new RegExp(`no certificate of type ${missing}`),
      );
    }
  });
  test('nor with a bent signature', () => {
    for (const type of [2, 4, 5, 7]) {
      expectViolation(() => judge(one(type, flipLast(vector(`cert${type}`)))), BAD, /./);
    }
  });
  test('nor over another TLS certificate, nor a year later', () => {
    const body = certsBody(certs, [2, 4, 5, 7]);
    expectViolation(
      () => judgeResponder(body, flipFirst(digest), nowSec),
      WRONG_TLS,
      /another TLS certificate/,
    );
    expectViolation(() => judgeResponder(body, digest, nowSec + 365 * DAY), EXPIRED, /out of date/);
  });
  test('and whose other cells read well', () => {
    expect(decodeVersions(vector('cell-versions-3-4-5').subarray(5))).toEqual([3, 4, 5]);
    expect(decodeCerts(vector('cell-certs-empty').subarray(7))).toEqual([]);
    expect(decodeAuthChallenge(vector('cell-auth-challenge').subarray(7)).methods).toEqual([3, 255]);
    expect(decodeNetinfo(vector('cell-netinfo-with-time').subarray(5))).toEqual({
      timestampSec: 0x48949290,
      otherAddress: Uint8Array.of(127, 0, 0, 2),
      myAddresses: [Uint8Array.of(127, 0, 0, 3)],
    });
  });
});
