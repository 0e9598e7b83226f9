/** Authority certificates of two private networks: read, verified, and refused when something is off. */
import { describe, expect, test } from 'bun:test';
import { sha1 } from '../../src/crypto/digest.ts';
import { Malformed } from '../../src/fault.ts';
import {
  parseAuthorityCertificate,
  parseAuthorityCertificates,
  verifyAuthorityCertificate,
} from '../../src/netdoc/authority-certificate.ts';
import { readCases, readDocuments, readVector, textOf } from './fixture.ts';

const FILE = 'chutney-authority-certificates.txt';
const documents = readDocuments(FILE, 'dir-key-certificate-version');
const good = textOf(documents[0]!);

function parse(text: string): ReturnType<typeof parseAuthorityCertificate> {
  return parseAuthorityCertificate(text);
}

describe('parseAuthorityCertificate', () => {
  test('reads one', () => {
    const certificate = parse(good);
    expect(certificate.authorityId.toHex().toUpperCase()).toBe('0B8997614EC647C1C6B6A044E2B5408F0B823FB0');
    expect(certificate.signingKeyDigest.toHex().toUpperCase()).toBe(
      '0AB4001EFFC43324B6B79ADC1336CF492A88FF79',
    );
    expect(certificate.signingKeyDigest).toEqual(sha1(certificate.signingKeyDer));
    expect(certificate.dirAddress).toEqual({ host: Uint8Array.of(127, 0, 0, 1), port: 7101 });
    expect(certificate.expiresSec).toBeGreaterThan(certificate.publishedSec);
  });

  test.each(['chutney-authority-certificates.txt', 'chutney-2020-authority-certificates.txt'])(
    'all of %s verify',
    (name) => {
      const { certificates, problems } = parseAuthorityCertificates(readVector(name));
      expect(problems).toEqual([]);
      expect(certificates.length).toBeGreaterThan(2);
      for (const certificate of certificates) verifyAuthorityCertificate(certificate);
    },
  );

  test('one without an address is fine', () => {
    expect(parse(good.replace(/^dir-address .*\n/m, '')).dirAddress).toBeNull();
  });

  test('a malformed one costs only itself', () => {
    const text = `${good.replace('dir-key-published 20', 'dir-key-published x')}${textOf(documents[1]!)}`;
    const { certificates, problems } = parseAuthorityCertificates(text);
    expect(certificates.length).toBe(1);
    expect(problems.length).toBe(1);
  });

  test('a flood of bad ones is not read to its end', () => {
    const { certificates, problems } = parseAuthorityCertificates(
      'dir-key-certificate-version 3\n'.repeat(100_000),
    );
    expect(certificates).toEqual([]);
    expect(problems.length).toBe(17);
    expect(problems.at(-1)!.message).toContain('too many');
  });

  test.each(readCases('bad-authority-certificates.txt'))('$name is refused', ({ document }) => {
    expect(() => verifyAuthorityCertificate(parseAuthorityCertificate(document))).toThrow(Malformed);
  });

  test('a trailing line is refused, a trailing blank line is not', () => {
    expect(() => parse(`${good}more\n`)).toThrow(Malformed);
    verifyAuthorityCertificate(parse(`${good}\n`));
  });

  test('one over 128 KiB is refused', () => {
    expect(() =>
      parse(good.replace('\ndir-key-published', `\nx ${'y\nx '.repeat(40000)}\ndir-key-published`)),
    ).toThrow('too long');
  });

  test('survives every truncation', () => {
    for (let end = 0; end < good.length - 1; end += 7) {
      expect(() => parse(good.slice(0, end))).toThrow(Malformed);
    }
  });
});

describe('verifyAuthorityCertificate', () => {
  test('refuses a document that was changed', () => {
    const changed = parse(good.replace('dir-address 127.0.0.1:7101', 'dir-address 127.0.0.1:7102'));
    expect(() => verifyAuthorityCertificate(changed)).toThrow('RSA signature is wrong');
  });

  test('refuses the crosscert of another signing key', () => {
    const certificate = parse(good);
    const other = parse(textOf(documents[1]!));
    expect(() => verifyAuthorityCertificate({ ...certificate, crosscert: other.crosscert })).toThrow(
      Malformed,
    );
  });
});
