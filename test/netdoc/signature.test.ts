/** The two seals of a router's documents. */
import { describe, expect, test } from 'bun:test';
import { sha1, sha256 } from '../../src/crypto/digest.ts';
import { generateRsa, signRaw } from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import type { ReadDocument } from '../../src/netdoc/item.ts';
import { readDocument } from '../../src/netdoc/item.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import {
  checkDocumentSignature,
  checkRouterSeal,
  isZero,
  printIdentityCert,
  printObject,
  publicKeyField,
  readRouterSeal,
  routerKeyField,
  sealRouterDocument,
  signedPartSha1,
} from '../../src/netdoc/signature.ts';
import { bytesOf, makeSigner, NOW_SEC, readDocuments, textOf } from './fixture.ts';

const RULES = {
  head: { min: 1 },
  'identity-ed25519': { min: 1, object: 'ED25519 CERT' },
  'router-sig-ed25519': { min: 1, args: 1 },
  'router-signature': { min: 1, object: 'SIGNATURE' },
};

const signer = makeSigner();
const sealed = sealRouterDocument('test', `head\n${printIdentityCert(signer)}body\n`, signer, 5000);

function read(bytes: Uint8Array): ReadDocument {
  return readDocument(bytes, 'test', RULES);
}

function sealOf(bytes: Uint8Array): ReturnType<typeof readRouterSeal> {
  const { items, table } = read(bytes);
  return readRouterSeal(bytes, items, table);
}

function check(bytes: Uint8Array, nowSec = NOW_SEC): void {
  checkRouterSeal('test', sealOf(bytes), signer.rsa.publicDer, nowSec);
}

function edited(from: string, to: string): Uint8Array {
  const text = textOf(sealed.bytes);
  expect(text).toContain(from);
  return Buffer.from(text.replace(from, to));
}

describe('a sealed document', () => {
  test('verifies, also behind leading blank lines', () => {
    check(sealed.bytes);
    check(Buffer.concat([Buffer.from('\n# comment\n'), sealed.bytes]));
  });

  test('gives both digests', () => {
    const text = textOf(sealed.bytes);
    const signedTo = text.indexOf('router-signature\n') + 'router-signature\n'.length;
    expect(sealed.digestSha1).toEqual(sha1(Buffer.from(text.slice(0, signedTo))));
    expect(sealed.digestSha256).toEqual(sha256(sealed.bytes));
    expect(sealOf(sealed.bytes).digestSha1).toEqual(sealed.digestSha1);
  });

  test.each([
    ['a changed body', 'body\n', 'bodi\n', 'Ed25519 signature is wrong'],
    ['a changed Ed25519 signature', 'router-sig-ed25519 ', 'router-sig-ed25519  ', 'signature is wrong'],
    [
      'a doubled space before the Ed25519 signature',
      'router-sig-ed25519 ',
      'router-sig-ed25519\t',
      'plain line',
    ],
    ['an opt before the RSA signature', 'router-signature', 'opt router-signature', 'plain line'],
    ['a blank behind router-signature', 'router-signature\n', 'router-signature \n', 'plain line'],
    ['a line behind the Ed25519 signature', 'router-signature', 'more\nrouter-signature', 'next to last'],
    ['a line before the certificate', 'head\n', 'head\nmore\n', 'second item'],
  ])('refuses %s', (_, from, to, why) => {
    expect(() => check(edited(from, to))).toThrow(why);
  });

  test('refuses a line behind the RSA signature', () => {
    expect(() => check(Buffer.concat([sealed.bytes, Buffer.from('more\n')]))).toThrow('next to last');
  });

  test('refuses an expired signing key', () => {
    expect(() => check(sealed.bytes, NOW_SEC + 31 * 86400)).toThrow('expired');
  });

  test('refuses another RSA identity', () => {
    const other = generateRsa(1024).publicDer;
    expect(() => checkRouterSeal('test', sealOf(sealed.bytes), other, NOW_SEC)).toThrow(
      'RSA signature is wrong',
    );
  });

  test('is never longer than it may be', () => {
    const size = sealed.bytes.length;
    const body = `head\n${printIdentityCert(signer)}body\n`;
    expect(sealRouterDocument('test', body, signer, size).bytes.length).toBe(size);
    expect(() => sealRouterDocument('test', body, signer, size - 1)).toThrow(Malformed);
  });
});

describe('keys in documents', () => {
  const keyItem = (body: Uint8Array) => {
    const bytes = Buffer.from(`key\n${printObject('RSA PUBLIC KEY', body)}`);
    return readDocument(bytes, 'test', { key: { object: null } }).table.get('key');
  };

  test("a router's has 1024 bits, any other doesn't matter", () => {
    const large = generateRsa(2048).publicDer;
    expect(publicKeyField(keyItem(large))).toEqual(large);
    expect(() => routerKeyField(keyItem(large))).toThrow('1024-bit');
    expect(routerKeyField(keyItem(signer.rsa.publicDer))).toEqual(signer.rsa.publicDer);
    expect(() => publicKeyField(keyItem(Uint8Array.of(1, 2, 3)))).toThrow(Malformed);
  });

  test('an RSA signature is over exactly the digest', () => {
    const { publicDer } = signer.rsa;
    const digest = sha1(Uint8Array.of(1));
    checkDocumentSignature('test', publicDer, digest, signRaw(signer.rsa, digest));
    const longer = signRaw(signer.rsa, Uint8Array.of(...digest, 0));
    expect(() => checkDocumentSignature('test', publicDer, digest, longer)).toThrow(Malformed);
    expect(() => checkDocumentSignature('test', publicDer, digest, new Uint8Array(128))).toThrow(Malformed);
  });

  test('isZero', () => {
    expect(isZero(new Uint8Array(3))).toBeTrue();
    expect(isZero(Uint8Array.of(0, 1))).toBeFalse();
  });
});

test('a document is named by its signed part, also when the rest does not parse', () => {
  const [document] = readDocuments('chutney-descriptors.txt', 'router');
  expect(signedPartSha1(document!)).toEqual(parseServerDescriptor(document!).digestSha1);
  const text = textOf(document!);
  expect(signedPartSha1(bytesOf(text.replace('bandwidth', 'bandwitdh')))?.length).toBe(20);
  expect(signedPartSha1(bytesOf(text.slice(0, text.indexOf('router-signature'))))).toBeNull();
});
