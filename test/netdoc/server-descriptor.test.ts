/** Server descriptors: C tor's read and verified, ours printed in C tor's order, and bad ones refused. */
import { describe, expect, test } from 'bun:test';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import type { ServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import {
  parseServerDescriptor,
  printServerDescriptor,
  SERVER_DESCRIPTOR_BYTES_MAX,
  verifyServerDescriptor,
} from '../../src/netdoc/server-descriptor.ts';
import { descriptorInput, makeSigner, NOW_SEC, readCases, readDocuments, textOf } from './fixture.ts';

function keywords(document: Uint8Array): string[] {
  const lines = textOf(document)
    .replaceAll(/-----BEGIN [\s\S]*?-----END [^\n]*\n/g, '')
    .split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(' ')[0]!);
}

function firstOf(file: string): ServerDescriptor {
  return parseServerDescriptor(readDocuments(file, 'router')[0]!);
}

const TAP = generateRsa(1024);
const signer = makeSigner();

describe('descriptors that C tor printed', () => {
  test('are read', () => {
    const descriptor = firstOf('c-tor-descriptor-family-ipv6.txt');
    expect(descriptor.nickname).toBe('probe1');
    expect(descriptor.address).toEqual(Uint8Array.of(127, 0, 0, 1));
    expect([descriptor.orPort, descriptor.dirPort]).toEqual([19001, 0]);
    expect(descriptor.ipv6).toEqual({ host: new Uint8Array(16).fill(1, 15), port: 19001 });
    expect(descriptor.platform).toBe('Tor 0.4.9.11 on Linux');
    expect(descriptor.proto).toStartWith('Conflux=1 Cons=1-2');
    expect(descriptor.publishedSec).toBe(1795358022);
    expect(descriptor.uptimeSec).toBe(4);
    expect(descriptor.bandwidth).toEqual({ rate: 4194304, burst: 10485760, observed: 0 });
    expect(descriptor.rsaId.toHex().toUpperCase()).toBe('F66DD819A8B7E5987D479FB82EA3CEE6CFF5325B');
    expect(descriptor.family).toEqual([
      '$000102030405060708090A0B0C0D0E0F10111213',
      '$F66DD819A8B7E5987D479FB82EA3CEE6CFF5325B',
    ]);
    expect(descriptor.familyCerts.map((cert) => cert.length)).toEqual([140]);
    expect(descriptor.contact).toBe('test@example.org');
    expect(descriptor.policy).toEqual(['accept *:80', 'accept *:443', 'reject *:*']);
    expect(descriptor.ipv6Policy).toBe('accept 80,443');
    expect([descriptor.hiddenServiceDir, descriptor.tunnelledDirServer, descriptor.hibernating]).toEqual([
      true,
      true,
      false,
    ]);
    expect(descriptor.extraInfoDigest!.sha1.toHex().toUpperCase()).toBe(
      '7496BAE9BAFD1228A8391B06B5AD0F7006E888CC',
    );
  });

  test.each([
    ['c-tor-descriptor.txt', 1],
    ['c-tor-descriptor-family-ipv6.txt', 1],
    ['chutney-descriptors.txt', 20],
  ])('of %s verify', (file, count) => {
    const documents = readDocuments(file, 'router');
    expect(documents.length).toBe(count);
    for (const document of documents) {
      const descriptor = parseServerDescriptor(document);
      verifyServerDescriptor(descriptor, descriptor.publishedSec);
      const lifetimeSec = 28 * 86400;
      expect(descriptor.ntorCrosscert.expirationHours).toBe(
        Math.ceil((descriptor.publishedSec + lifetimeSec) / 3600),
      );
    }
  });

  test('without the TAP key and its cross-certificate still parse', () => {
    const text = textOf(readDocuments('c-tor-descriptor.txt', 'router')[0]!);
    const half = text.replace(/^onion-key\n[\s\S]*?END RSA PUBLIC KEY-----\n/m, '');
    expect(() => parseServerDescriptor(half)).toThrow('only half');
    expect(
      parseServerDescriptor(half.replace(/^onion-key-crosscert\n[\s\S]*?END CROSSCERT-----\n/m, '')).tap,
    ).toBeNull();
  });

  test.each(readCases('bad-descriptors.txt'))('$name is refused', ({ document }) => {
    const run = (): void => {
      const descriptor = parseServerDescriptor(document);
      verifyServerDescriptor(descriptor, descriptor.publishedSec);
    };
    expect(run).toThrow(Malformed);
  });
});

describe('printServerDescriptor', () => {
  test('puts every line where C tor puts it', () => {
    const theirs = readDocuments('c-tor-descriptor-family-ipv6.txt', 'router')[0]!;
    const ours = printServerDescriptor(
      descriptorInput({
        ipv6: { host: new Uint8Array(16).fill(1, 15), port: 9001 },
        extraInfoDigest: { sha1: new Uint8Array(20).fill(7), sha256: new Uint8Array(32).fill(8) },
        tapOnionKey: TAP,
        family: ['$000102030405060708090A0B0C0D0E0F10111213'],
        familyCerts: [new Uint8Array(140)],
        hiddenServiceDir: true,
        contact: 'test@example.org',
        policy: ['accept *:80', 'accept *:443', 'reject *:*'],
        ipv6Policy: 'accept 80,443',
        tunnelledDirServer: true,
      }),
      signer,
    );
    expect(keywords(ours.bytes)).toEqual(keywords(theirs));
    // Apart from keys, names and values, the text is C tor's too.
    const shape = (document: Uint8Array): string[] =>
      textOf(document)
        .split('\n')
        .filter(
          (line) => line.startsWith('-----') || /^(fingerprint|family|extra-info-digest|master)/.test(line),
        )
        .map((line) => line.replaceAll(/[0-9A-Za-z+/]/g, 'x').slice(0, 60));
    expect(shape(ours.bytes)).toEqual(shape(theirs));
  });

  test('says that it keeps extra-infos of others, where C tor says so', () => {
    const digest = { sha1: new Uint8Array(20), sha256: null };
    const input = descriptorInput({ cachesExtraInfo: true, extraInfoDigest: digest });
    const { bytes } = printServerDescriptor(input, signer);
    expect(textOf(bytes)).toMatch(/\nextra-info-digest 0{40}\ncaches-extra-info\nsigning-key\n/);
    expect(parseServerDescriptor(bytes).cachesExtraInfo).toBe(true);
  });

  test('claims only what is passed in', () => {
    const { bytes } = printServerDescriptor(descriptorInput(), signer);
    expect(keywords(bytes)).toEqual([
      'router',
      'identity-ed25519',
      'master-key-ed25519',
      'platform',
      'proto',
      'published',
      'fingerprint',
      'uptime',
      'bandwidth',
      'signing-key',
      'ntor-onion-key-crosscert',
      'ntor-onion-key',
      'reject',
      'router-sig-ed25519',
      'router-signature',
    ]);
  });

  test('comes back as it went in, and verifies', () => {
    const input = descriptorInput({
      ipv6: { host: new Uint8Array(16).fill(9), port: 443 },
      extraInfoDigest: { sha1: new Uint8Array(20).fill(7), sha256: new Uint8Array(32).fill(8) },
      tapOnionKey: TAP,
      family: ['$FF0102030405060708090A0B0C0D0E0F10111213', '$000102030405060708090A0B0C0D0E0F10111213'],
      contact: 'relay@example.org — Zoë',
      hibernating: true,
      overloadedSec: NOW_SEC,
    });
    const signed = printServerDescriptor(input, signer);
    const read = parseServerDescriptor(signed.bytes);
    verifyServerDescriptor(read, NOW_SEC);
    const { nickname, address, orPort, ipv6, platform, proto, publishedSec, uptimeSec, bandwidth, contact } =
      input;
    expect(read).toMatchObject({
      nickname,
      address,
      orPort,
      ipv6,
      platform,
      proto,
      publishedSec,
      uptimeSec,
      bandwidth,
      contact,
      extraInfoDigest: input.extraInfoDigest,
      hibernating: true,
      policy: ['reject *:*'],
      overloadedSec: NOW_SEC - (NOW_SEC % 3600),
      ntorOnionKey: input.ntorOnionKey.publicKey,
    });
    expect(read.tap!.keyDer).toEqual(TAP.publicDer);
    expect(read.digestSha1).toEqual(signed.digestSha1);
    const own = `$${read.rsaId.toHex().toUpperCase()}`;
    expect(read.family).toEqual([...input.family, own].sort());
  });

  test('keeps a contact on one line', () => {
    const { bytes } = printServerDescriptor(descriptorInput({ contact: 'a\nreject *:*\rb' }), signer);
    expect(textOf(bytes)).toContain('contact "a\\nreject *:*\\rb"\n');
    expect(parseServerDescriptor(bytes).policy).toEqual(['reject *:*']);
  });

  test('keeps bandwidth within 32 bits', () => {
    const bandwidth = { rate: 1e12, burst: 2147483648, observed: 12.7 };
    const { bytes } = printServerDescriptor(descriptorInput({ bandwidth }), signer);
    expect(textOf(bytes)).toContain('\nbandwidth 2147483647 2147483647 12\n');
  });

  test('refuses what authorities would refuse for its size', () => {
    const contact = 'x'.repeat(SERVER_DESCRIPTOR_BYTES_MAX);
    expect(() => printServerDescriptor(descriptorInput({ contact }), signer)).toThrow(
      'longer than 20000 bytes',
    );
  });
});

describe('verifyServerDescriptor', () => {
  const descriptor = (): ServerDescriptor =>
    parseServerDescriptor(printServerDescriptor(descriptorInput({ tapOnionKey: TAP }), signer).bytes);

  test('refuses an expired onion key', () => {
    expect(() => verifyServerDescriptor(descriptor(), NOW_SEC + 29 * 86400)).toThrow(/crosscert: expired/);
  });

  test('refuses cross-certificates of other keys', () => {
    const ours = descriptor();
    const theirs = firstOf('c-tor-descriptor.txt');
    const verify = (changes: Partial<ServerDescriptor>) => () =>
      verifyServerDescriptor({ ...ours, ...changes }, NOW_SEC);
    expect(verify({ ntorCrosscert: theirs.ntorCrosscert })).toThrow('another identity');
    expect(verify({ ntorOnionKey: theirs.ntorOnionKey })).toThrow('badly signed');
    const sign = ours.ntorCrosscertSign === 0 ? 1 : 0;
    expect(verify({ ntorCrosscertSign: sign })).toThrow('badly signed');
    // Minus one is no u-coordinate of the curve.
    const nowhere = new Uint8Array(32).fill(255);
    nowhere[0] = 236;
    nowhere[31] = 127;
    expect(verify({ ntorOnionKey: nowhere })).toThrow('no point');
    expect(verify({ tap: theirs.tap })).toThrow('onion-key-crosscert is wrong');
    expect(verify({ tap: { keyDer: TAP.publicDer, crosscert: theirs.tap!.crosscert } })).toThrow(
      'onion-key-crosscert',
    );
    expect(verify({ rsaDer: theirs.rsaDer })).toThrow('RSA signature is wrong');
  });
});

describe('parseServerDescriptor', () => {
  const good = textOf(printServerDescriptor(descriptorInput({ tapOnionKey: TAP }), signer).bytes);

  test.each([
    ['a bad nickname', 'router onion1', 'router onion-1'],
    ['an IPv6 address first', '127.0.0.1', '::1'],
    ['OR port 0', '9001 0 0', '0 0 0'],
    ['a port over 65535', '9001 0 0', '65536 0 0'],
    ['a bandwidth of 0', 'bandwidth 1073741824', 'bandwidth 0'],
    ['a bandwidth line that is short', 'bandwidth 1073741824 ', 'bandwidth '],
    ['a bad time', 'published 2026', 'published 202x'],
    ['a bad protocol list', 'proto Cons=1-2', 'proto Cons=2-1'],
    ['a missing protocol list', 'proto ', 'prot '],
    ['a missing policy', 'reject *:*\n', ''],
    ['a second uptime', 'uptime 27\n', 'uptime 27\nuptime 28\n'],
    ['a zero onion key', /^ntor-onion-key .*/m, `ntor-onion-key ${'A'.repeat(43)}`],
    ['a sign bit that is none', /^ntor-onion-key-crosscert [01]/m, 'ntor-onion-key-crosscert 2'],
    ['a fingerprint of another', /^fingerprint ..../m, 'fingerprint 0123'],
    ['a leading line', 'router onion1', 'x\nrouter onion1'],
    ['an opt before router', 'router onion1', 'opt router onion1'],
  ])('refuses %s', (_, from: string | RegExp, to: string) => {
    const text = good.replace(from, to);
    expect(text).not.toBe(good);
    expect(() => parseServerDescriptor(text)).toThrow(Malformed);
  });

  test("ignores lines that it doesn't know", () => {
    const text = good.replace(
      'uptime 27\n',
      'uptime 27\nnovelty of the year\n-----BEGIN X-----\nAAEC\n-----END X-----\n',
    );
    expect(parseServerDescriptor(text).uptimeSec).toBe(27);
  });

  test('refuses every truncation', () => {
    for (let end = 0; end < good.length - 1; end += 5) {
      expect(() => parseServerDescriptor(good.slice(0, end))).toThrow(Malformed);
    }
  });
});

describe("C tor's own cases", () => {
  for (const { name, document } of readCases('c-tor-server-descriptors.txt')) {
    test(name, () => {
      const run = (): void => {
        const descriptor = parseServerDescriptor(document);
        verifyServerDescriptor(descriptor, descriptor.publishedSec);
      };
      if (name.endsWith(' good')) run();
      else expect(run).toThrow(Malformed);
    });
  }
});
