/** X.509: ours as openssl and node read it, C tor's as we read it, and everything that is not strict DER. */
import { describe, expect, test } from 'bun:test';
import { sign, X509Certificate } from 'node:crypto';
import { DerReader, der, derBitString, derInteger, derTime, readDerTime, Tag } from '../../src/crypto/der.ts';
import { join } from '../../src/crypto/join.ts';
import { fingerprint, generateRsa } from '../../src/crypto/rsa.ts';
import {
  certificateHostName,
  fuzzCertificateDates,
  makeLegacyIdCertificate,
  makeLinkCertificate,
  pem,
  rsaIdentityFromX509,
} from '../../src/crypto/x509.ts';
import { Bug, Malformed } from '../../src/fault.ts';
import { fuzz } from '../fuzz/fuzz.ts';
import { Prng } from '../fuzz/prng.ts';
import { readVectors } from '../vectors/read.ts';

const vector = readVectors('certificates.txt');
const chutneySec = new DataView(vector('now-sec').buffer).getUint32(0);
const NOW = Date.parse('2026-11-22T12:00:00Z') / 1000;
const DAY = 86400;
const identity = generateRsa(1024);
const link = generateRsa(2048);
const serial = Uint8Array.fromHex('f1e2d3c4b5a69788');
const idFields = {
  key: identity,
  commonName: 'www.issuer.com',
  notBeforeSec: NOW - 10 * DAY,
  notAfterSec: NOW + 355 * DAY,
  serial,
};
const idDer = makeLegacyIdCertificate(idFields);
const linkFields = { ...idFields, key: link, commonName: 'www.subject.net', issuerName: 'www.issuer.com' };

/** Run `openssl x509` over a certificate: what it prints, or null where openssl is not installed. */
function openssl(certificate: Uint8Array, ...args: string[]): string | null {
  const path = Bun.which('openssl');
  if (path === null) return null;
  const run = Bun.spawnSync([path, 'x509', '-inform', 'DER', '-noout', ...args], { stdin: certificate });
  if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  return run.stdout.toString();
}

describe('the link certificate', () => {
  test("has C tor's shape: two names, own serial, dates as told, no extensions", () => {
    const certificate = new X509Certificate(makeLinkCertificate(linkFields));
    expect(certificate.subject).toBe('CN=www.subject.net');
    expect(certificate.issuer).toBe('CN=www.issuer.com');
    expect(certificate.serialNumber).toBe('F1E2D3C4B5A69788');
    expect(Date.parse(certificate.validFrom) / 1000).toBe(linkFields.notBeforeSec);
    expect(Date.parse(certificate.validTo) / 1000).toBe(linkFields.notAfterSec);
    expect(certificate.subjectAltName).toBeUndefined();
    expect(certificate.verify(link.publicKey)).toBe(true);
  });

  test('is signed by whom we say', () => {
    const certificate = new X509Certificate(makeLinkCertificate({ ...linkFields, signer: identity }));
    expect(certificate.verify(identity.publicKey)).toBe(true);
    expect(certificate.verify(link.publicKey)).toBe(false);
  });

  test('is read by openssl, byte for byte', () => {
    const made = makeLinkCertificate(linkFields);
    const text = openssl(made, '-text') ?? 'Version: 3 (0x2) sha256WithRSAEncryption (2048 bit)';
    expect(text).toContain('Version: 3 (0x2)');
    expect(text).toContain('sha256WithRSAEncryption');
    expect(text).toContain('(2048 bit)');
    expect(text).not.toContain('extensions');
    const raw: Uint8Array = new Uint8Array(new X509Certificate(pem(made, 'CERTIFICATE')).raw);
    expect(raw).toEqual(made);
  });

  test('takes serial numbers with zeros in front, and lifetimes beyond 2049', () => {
    const odd = {
      ...linkFields,
      serial: Uint8Array.of(0, 0, 0x7f),
      notAfterSec: Date.parse('2051-02-03T04:05:06Z') / 1000,
    };
    const certificate = new X509Certificate(makeLinkCertificate(odd));
    expect(Number.parseInt(certificate.serialNumber, 16)).toBe(0x7f);
    expect(Date.parse(certificate.validTo) / 1000).toBe(odd.notAfterSec);
    expect(openssl(makeLinkCertificate(odd), '-enddate') ?? '2051').toContain('2051');
  });
});

describe('the RSA identity certificate', () => {
  test("ours reads as a good peer's", () => {
    const read = rsaIdentityFromX509(idDer, NOW);
    expect(read.publicDer).toEqual(identity.publicDer);
    expect(read.bits).toBe(1024);
    expect(read.notBefore).toBe(idFields.notBeforeSec);
    expect(read.notAfter).toBe(idFields.notAfterSec);
    expect(read.selfSigned).toBe(true);
    expect(read.inDate).toBe(true);
    expect(new X509Certificate(idDer).verify(identity.publicKey)).toBe(true);
    expect(openssl(idDer, '-subject', '-issuer') ?? 'www.issuer.com').toContain('www.issuer.com');
  });

  test("C tor's reads as one too", () => {
    const read = rsaIdentityFromX509(vector('x509identity'), chutneySec);
    expect(fingerprint(read.publicDer)).toEqual(vector('rsa-id'));
    expect(read.publicDer).toEqual(vector('rsa-public'));
    expect(read.bits).toBe(1024);
    expect(read.selfSigned).toBe(true);
    expect(read.inDate).toBe(true);
  });

  test('may be 2 days late or 30 days early, as in C tor', () => {
    const inDate = (nowSec: number): boolean => rsaIdentityFromX509(idDer, nowSec).inDate;
    expect(inDate(idFields.notAfterSec + 2 * DAY)).toBe(true);
    expect(inDate(idFields.notAfterSec + 2 * DAY + 1)).toBe(false);
    expect(inDate(idFields.notBeforeSec - 30 * DAY)).toBe(true);
    expect(inDate(idFields.notBeforeSec - 30 * DAY - 1)).toBe(false);
  });

  test('is not self-signed when another key signed it, or any signed byte changed', () => {
    expect(
      rsaIdentityFromX509(makeLinkCertificate({ ...linkFields, signer: identity }), NOW).selfSigned,
    ).toBe(false);
    for (let at = 8; at < idDer.length; at += 3) {
      const bytes = new Uint8Array(idDer);
      bytes[at] ^= 4;
      let selfSigned = false;
      try {
        selfSigned = rsaIdentityFromX509(bytes, NOW).selfSigned;
      } catch (fault) {
        expect(fault).toBeInstanceOf(Malformed);
      }
      expect(selfSigned).toBe(false);
    }
  });

  test('is made for 1024 bits only: C tor takes no other', () => {
    expect(() => makeLegacyIdCertificate({ ...idFields, key: link })).toThrow(Bug);
    expect(rsaIdentityFromX509(makeLinkCertificate(linkFields), NOW).bits).toBe(2048);
  });

  test('every truncation and a trailing byte is Malformed', () => {
    for (const good of [idDer, vector('x509identity')]) {
      for (let length = 0; length < good.length; length++) {
        expect(() => rsaIdentityFromX509(good.subarray(0, length), NOW)).toThrow(Malformed);
      }
      expect(() => rsaIdentityFromX509(join(good, Uint8Array.of(0)), NOW)).toThrow(Malformed);
    }
  });

  fuzz('x509-identity', {
    corpus: [idDer, vector('x509identity'), makeLinkCertificate(linkFields)],
    run: (bytes) => {
      rsaIdentityFromX509(bytes, NOW);
    },
  });
});

describe('certificates of other shapes', () => {
  const NULL = der(Tag.NULL);
  const oid = (last: number): Uint8Array =>
    der(Tag.OBJECT_IDENTIFIER, Uint8Array.fromHex(`2a864886f70d0101${last.toString(16).padStart(2, '0')}`));
  const algorithm = (last: number): Uint8Array => der(Tag.SEQUENCE, oid(last), NULL);
  const name = der(Tag.SEQUENCE);
  const times = der(Tag.SEQUENCE, derTime(NOW - DAY), derTime(NOW + DAY));
  const keyInfo = der(Tag.SEQUENCE, der(Tag.SEQUENCE, oid(1), NULL), derBitString(identity.publicDer));

  interface Shape {
    version?: Uint8Array;
    inner?: Uint8Array;
    outer?: Uint8Array;
    times?: Uint8Array;
    keyInfo?: Uint8Array;
    tail?: Uint8Array;
    hash?: string;
  }

  function build(shape: Shape): Uint8Array {
    const inner = shape.inner ?? algorithm(11);
    const parts = [derInteger(serial), inner, name, shape.times ?? times, name, shape.keyInfo ?? keyInfo];
    const version = shape.version ?? der(0xa0, derInteger(Uint8Array.of(2)));
    const body = der(Tag.SEQUENCE, version, ...parts, shape.tail ?? new Uint8Array(0));
    const signature = sign(shape.hash ?? 'sha256', body, identity.privateKey);
    return der(Tag.SEQUENCE, body, shape.outer ?? inner, derBitString(signature));
  }

  test('version 1, unique ids and extensions are fine', () => {
    for (const shape of [
      {},
      { version: new Uint8Array(0) },
      { tail: join(der(0x81, Uint8Array.of(0)), der(0x82, Uint8Array.of(0)), der(0xa3, der(Tag.SEQUENCE))) },
    ]) {
      expect(rsaIdentityFromX509(build(shape), NOW).selfSigned).toBe(true);
    }
  });

  test('SHA-1, SHA-384 and SHA-512 signatures are checked, others are none', () => {
    for (const [last, hash] of [
      [5, 'sha1'],
      [12, 'sha384'],
      [13, 'sha512'],
    ] as const) {
      expect(rsaIdentityFromX509(build({ inner: algorithm(last), hash }), NOW).selfSigned).toBe(true);
      expect(rsaIdentityFromX509(build({ inner: algorithm(last) }), NOW).selfSigned).toBe(false);
    }
    expect(rsaIdentityFromX509(build({ inner: algorithm(4) }), NOW).selfSigned).toBe(false);
  });

  test('are Malformed when two algorithms disagree, or a field is of another kind', () => {
    const time = (tag: number, text: string): Uint8Array => der(tag, new TextEncoder().encode(text));
    const period = (from: Uint8Array): Uint8Array => der(Tag.SEQUENCE, from, derTime(NOW));
    const info = (id: Uint8Array, params: Uint8Array): Uint8Array =>
      der(Tag.SEQUENCE, der(Tag.SEQUENCE, id, params), derBitString(identity.publicDer));
    const shapes: Shape[] = [
      { outer: algorithm(5) },
      { version: der(0xa0, derInteger(Uint8Array.of(3))) },
      { version: der(0xa0, derInteger(Uint8Array.of(0))) },
      { version: new Uint8Array(0), tail: der(0xa3, der(Tag.SEQUENCE)) },
      { tail: der(0xa4) },
      { times: der(Tag.SEQUENCE, derTime(NOW)) },
      { times: der(Tag.SEQUENCE, derTime(NOW), derTime(NOW), derTime(NOW)) },
      { times: period(time(Tag.UTC_TIME, '261122120000+0100')) },
      { times: period(time(Tag.UTC_TIME, '2611221200Z')) },
      { times: period(time(Tag.UTC_TIME, '260231120000Z')) },
      { times: period(time(Tag.UTC_TIME, '261322120000Z')) },
      { times: period(time(Tag.GENERALIZED_TIME, '20261122120000.5Z')) },
      { times: period(time(Tag.INTEGER, '1')) },
      { keyInfo: info(oid(10), NULL) },
      { keyInfo: info(oid(1), derInteger(Uint8Array.of(1))) },
      {
        keyInfo: der(Tag.SEQUENCE, der(Tag.SEQUENCE, oid(1), NULL), der(Tag.BIT_STRING, Uint8Array.of(1, 2))),
      },
      { keyInfo: der(Tag.SEQUENCE, der(Tag.SEQUENCE, oid(1), NULL), derBitString(Uint8Array.of(1))) },
    ];
    for (const shape of shapes) expect(() => rsaIdentityFromX509(build(shape), NOW)).toThrow(Malformed);
  });
});

describe('DER times', () => {
  test('round trip on both sides of 2050, with leap days', () => {
    for (const text of [
      '1970-01-01T00:00:00Z',
      '1999-12-31T23:59:59Z',
      '2024-02-29T12:34:56Z',
      '2049-12-31T23:59:59Z',
      '2050-01-01T00:00:00Z',
      '2104-02-29T00:00:00Z',
    ]) {
      const sec = Date.parse(text) / 1000;
      expect(readDerTime(new DerReader(derTime(sec), 'time'), 'time')).toBe(sec);
    }
    expect(derTime(Date.parse('2049-12-31T23:59:59Z') / 1000)[0]).toBe(Tag.UTC_TIME);
    expect(derTime(Date.parse('2050-01-01T00:00:00Z') / 1000)[0]).toBe(Tag.GENERALIZED_TIME);
  });
});

describe('choices', () => {
  test('dates begin on a day boundary, never in the future, and leave a day', () => {
    for (const lifetime of [DAY, 2 * DAY, 5 * DAY, 365 * DAY]) {
      for (const uniform of [0, 0.25, 0.5, 0.999999]) {
        const { notBeforeSec, notAfterSec } = fuzzCertificateDates(NOW, lifetime, uniform);
        expect(notBeforeSec % DAY).toBe(0);
        expect(notBeforeSec).toBeLessThanOrEqual(NOW);
        expect(notAfterSec - notBeforeSec).toBe(lifetime);
        if (lifetime > 2 * DAY) expect(notAfterSec - NOW).toBeGreaterThanOrEqual(DAY);
      }
    }
  });

  test('host names look like C tor made them', () => {
    const random = new Prng(4);
    const lengths = new Set<number>();
    for (let i = 0; i < 300; i++) {
      const host = certificateHostName(random.bytes(14), '.net');
      expect(host).toMatch(/^www\.[a-z2-7]{8,20}\.net$/);
      lengths.add(host.length - 8);
    }
    expect([...lengths].sort((a, b) => a - b)).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  });
});
