/** Extra-info documents: C tor's read and verified, ours printed, and both named by their digests. */
import { describe, expect, test } from 'bun:test';
import { createPublicKey } from 'node:crypto';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import type { BandwidthHistory } from '../../src/netdoc/extra-info.ts';
import {
  EXTRA_INFO_BYTES_MAX,
  parseExtraInfo,
  printExtraInfo,
  verifyExtraInfo,
} from '../../src/netdoc/extra-info.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { makeSigner, NOW_SEC, readCases, readDocuments, textOf } from './fixture.ts';

const signer = makeSigner();
const HISTORIES: BandwidthHistory[] = [
  { keyword: 'read-history', endSec: NOW_SEC, intervalSec: 86400, values: [1024, 0, 4398046511104] },
  { keyword: 'write-history', endSec: NOW_SEC - 86400, intervalSec: 86400, values: [2048] },
  { keyword: 'dirreq-read-history', endSec: NOW_SEC, intervalSec: 86400, values: [] },
];

describe('documents that C tor printed', () => {
  test.each(['c-tor-descriptor.txt', 'c-tor-descriptor-family-ipv6.txt'])('%s names its own', (file) => {
    const descriptor = parseServerDescriptor(readDocuments(file, 'router')[0]!);
    const extraInfo = parseExtraInfo(readDocuments(file, 'extra-info')[0]!);
    verifyExtraInfo(extraInfo, descriptor.rsaDer, extraInfo.publishedSec);
    expect(extraInfo.publishedSec).toBe(descriptor.publishedSec);
    expect(extraInfo.ed25519Id).toEqual(descriptor.ed25519Id);
    expect(extraInfo.digestSha1).toEqual(descriptor.extraInfoDigest!.sha1);
    expect(extraInfo.digestSha256).toEqual(descriptor.extraInfoDigest!.sha256!);
    expect(extraInfo.statistics.get('geoip-db-digest')).toBe('B08BFE286DC8F11F29AACEAFB6F7EF0F5C771042');
  });

  test('those of a private network are named by its descriptors', () => {
    const descriptors = readDocuments('chutney-descriptors.txt', 'router').map(parseServerDescriptor);
    const documents = readDocuments('chutney-extra-infos.txt', 'extra-info').map(parseExtraInfo);
    expect(documents.length).toBeGreaterThan(10);
    for (const extraInfo of documents) {
      const name = extraInfo.digestSha1.toHex();
      const descriptor = descriptors.find((each) => each.extraInfoDigest!.sha1.toHex() === name)!;
      verifyExtraInfo(extraInfo, descriptor.rsaDer, extraInfo.publishedSec);
      expect(extraInfo.digestSha256).toEqual(descriptor.extraInfoDigest!.sha256!);
    }
  });
});

describe('printExtraInfo', () => {
  const input = {
    nickname: 'onion1',
    publishedSec: NOW_SEC,
    histories: HISTORIES,
    statistics: ['padding-counts x'],
  };
  const signed = printExtraInfo(input, signer);

  test("puts the lines in C tor's order and leaves empty histories out", () => {
    const lines = textOf(signed.bytes).split('\n');
    const id = parseExtraInfo(signed.bytes).rsaId.toHex().toUpperCase();
    expect(lines.slice(0, 3)).toEqual([
      `extra-info onion1 ${id}`,
      'identity-ed25519',
      '-----BEGIN ED25519 CERT-----',
    ]);
    expect(lines.slice(7, 11)).toEqual([
      'published 2026-11-22 14:27:00',
      'write-history 2026-11-21 14:27:00 (86400 s) 2048',
      'read-history 2026-11-22 14:27:00 (86400 s) 1024,0,4398046511104',
      'padding-counts x',
    ]);
  });

  test('comes back as it went in, and verifies', () => {
    const read = parseExtraInfo(signed.bytes);
    verifyExtraInfo(read, signer.rsa.publicDer, NOW_SEC);
    expect(read.nickname).toBe('onion1');
    expect(read.histories).toEqual([HISTORIES[1]!, HISTORIES[0]!]);
    expect(read.statistics.get('padding-counts')).toBe('x');
    expect([read.digestSha1, read.digestSha256]).toEqual([signed.digestSha1, signed.digestSha256]);
  });

  test('refuses what authorities would refuse for its size', () => {
    const statistics = ['x'.repeat(EXTRA_INFO_BYTES_MAX)];
    expect(() => printExtraInfo({ ...input, statistics }, signer)).toThrow('longer than 50000 bytes');
  });

  test("is refused when another relay's key is asked", () => {
    const other = generateRsa(1024).publicDer;
    expect(() => verifyExtraInfo(parseExtraInfo(signed.bytes), other, NOW_SEC)).toThrow('another relay');
  });

  test('is refused when it was changed', () => {
    const changed = textOf(signed.bytes).replace('2048', '2049');
    expect(() => verifyExtraInfo(parseExtraInfo(changed), signer.rsa.publicDer, NOW_SEC)).toThrow(
      'signature is wrong',
    );
  });
});

describe('parseExtraInfo', () => {
  const good = textOf(
    printExtraInfo({ nickname: 'onion1', publishedSec: NOW_SEC, histories: HISTORIES }, signer).bytes,
  );

  test.each([
    ['a bad nickname', 'extra-info onion1', 'extra-info onion_1'],
    ['a bad fingerprint', /^extra-info onion1 ../, 'extra-info onion1 XX'],
    ['a bad time', 'published 2026', 'published 2o26'],
    ['a missing certificate', /^identity-ed25519\n[\s\S]*?END ED25519 CERT-----\n/m, ''],
    ['a second published line', 'published', 'published 2026-11-22 14:27:00\npublished'],
    ['a leading line', 'extra-info', 'x\nextra-info'],
  ])('refuses %s', (_, from: string | RegExp, to: string) => {
    expect(() => parseExtraInfo(good.replace(from, to))).toThrow(Malformed);
  });

  test("takes a history that it can't read for any other line", () => {
    const read = parseExtraInfo(good.replace('(86400 s) 2048', '(86400 s) 2048,x'));
    expect(read.histories.map((history) => history.keyword)).toEqual(['read-history']);
  });

  test('refuses every truncation', () => {
    for (let end = 0; end < good.length - 1; end += 3) {
      expect(() => parseExtraInfo(good.slice(0, end))).toThrow(Malformed);
    }
  });
});

describe("C tor's own cases", () => {
  for (const { name, document } of readCases('c-tor-extra-infos.txt')) {
    const [text, pem] = textOf(document).split('# key\n') as [string, string];
    test(name, () => {
      const der = new Uint8Array(createPublicKey(pem).export({ type: 'pkcs1', format: 'der' }));
      const run = (): void => {
        const extraInfo = parseExtraInfo(text);
        verifyExtraInfo(extraInfo, der, extraInfo.publishedSec);
      };
      if (name.endsWith(' good')) run();
      else expect(run).toThrow(Malformed);
    });
  }
});
