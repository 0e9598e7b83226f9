/**
 * What we print, as python3-stem reads it: it validates the form of descriptor and extra-info and checks the RSA
 * signature of the descriptor and the Ed25519 signatures of both.
 *
 * Needs Debian's `python3-stem` and `python3-cryptography`. Without them the tests are skipped with a warning;
 * with CI=true that is a failure.
 */
import { describe, expect, test } from 'bun:test';
import { generateRsa } from '../../src/crypto/rsa.ts';
import { printExtraInfo } from '../../src/netdoc/extra-info.ts';
import { printServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { descriptorInput, makeSigner, NOW_SEC } from './fixture.ts';

const PYTHON = '/usr/bin/python3';

const SCRIPT = `
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from stem.descriptor.certificate import Ed25519Certificate
from stem.descriptor.server_descriptor import RelayDescriptor
from stem.descriptor.extrainfo_descriptor import RelayExtraInfoDescriptor

documents = json.load(sys.stdin)
raw = documents['descriptor'].encode('utf-8')
d = RelayDescriptor(raw, validate=True)
d.certificate.validate(d)
e = RelayExtraInfoDescriptor(documents['extraInfo'].encode('utf-8'), validate=True)
# Stem reads the certificate and signature of an extra-info document but leaves the check to its user.
certificate = Ed25519Certificate.from_base64(e.ed25519_certificate)
signed = documents['extraInfo'].split('router-sig-ed25519 ')[0] + 'router-sig-ed25519 '
digest = hashlib.sha256(b'Tor router descriptor signature v1' + signed.encode('utf-8')).digest()
Ed25519PublicKey.from_public_bytes(certificate.key).verify(base64.b64decode(e.ed25519_signature + '=='), digest)
print(json.dumps({
  'nickname': d.nickname, 'fingerprint': d.fingerprint, 'address': d.address, 'orPort': d.or_port,
  'orAddresses': d.or_addresses, 'platform': d.platform.decode('utf-8'), 'operatingSystem': d.operating_system,
  'published': str(d.published), 'uptime': d.uptime, 'contact': d.contact.decode('utf-8'),
  'rate': d.average_bandwidth, 'burst': d.burst_bandwidth, 'observed': d.observed_bandwidth,
  'policy': str(d.exit_policy), 'family': sorted(d.family), 'hibernating': d.hibernating,
  'digest': d.digest(), 'extraInfoDigest': d.extra_info_digest, 'extraInfoSha256': d.extra_info_sha256_digest,
  'protocols': {k: v for k, v in d.protocols.items()}, 'masterKey': d.ed25519_master_key,
  'ntor': d.ntor_onion_key, 'unrecognized': d.get_unrecognized_lines(),
  'extraNickname': e.nickname, 'extraFingerprint': e.fingerprint, 'extraPublished': str(e.published),
  'extraDigest': e.digest(), 'write': e.write_history_values, 'read': e.read_history_values,
  'writeEnd': str(e.write_history_end), 'extraUnrecognized': e.get_unrecognized_lines(),
}))
`;

function python(script: string, input: string): { ok: boolean; out: string; error: string } {
  const child = Bun.spawnSync([PYTHON, '-c', script], { stdin: Buffer.from(input) });
  return { ok: child.success, out: child.stdout.toString(), error: child.stderr.toString() };
}

function hasStem(): boolean {
  try {
    return python('import stem.descriptor, cryptography', '').ok;
  } catch {
    return false;
  }
}

const isThere = hasStem();
if (!isThere) console.warn('python3-stem is missing: descriptors are NOT checked against it');

describe('stem', () => {
  test('is there when it has to be', () => {
    expect(isThere || process.env['CI'] !== 'true').toBeTrue();
  });

  test.skipIf(!isThere)('validates our descriptor and extra-info', () => {
    const signer = makeSigner(Math.floor(Date.now() / 1000) + 30 * 86400);
    const extraInfo = printExtraInfo(
      {
        nickname: 'onion1',
        publishedSec: NOW_SEC,
        histories: [
          { keyword: 'write-history', endSec: NOW_SEC, intervalSec: 86400, values: [1024, 2048] },
          { keyword: 'read-history', endSec: NOW_SEC, intervalSec: 86400, values: [4096] },
        ],
      },
      signer,
    );
    const descriptor = printServerDescriptor(
      descriptorInput({
        ipv6: { host: new Uint8Array(16).fill(1, 15), port: 9001 },
        tapOnionKey: generateRsa(1024),
        extraInfoDigest: { sha1: extraInfo.digestSha1, sha256: extraInfo.digestSha256 },
        contact: 'relay@example.org',
        family: ['$000102030405060708090A0B0C0D0E0F10111213'],
      }),
      signer,
    );
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    const documents = { descriptor: text(descriptor.bytes), extraInfo: text(extraInfo.bytes) };
    const { out, error } = python(SCRIPT, JSON.stringify(documents));
    expect(error).toBe('');
    const read = JSON.parse(out);
    expect(read).toMatchObject({
      nickname: 'onion1',
      address: '127.0.0.1',
      orPort: 9001,
      orAddresses: [['::1', 9001, true]],
      platform: 'onionrelay 0.1.0 on Linux',
      published: '2026-11-22 14:27:00',
      uptime: 27,
      contact: 'relay@example.org',
      rate: 1073741824,
      burst: 1073741824,
      observed: 0,
      policy: 'reject *:*',
      hibernating: false,
      digest: descriptor.digestSha1.toHex().toUpperCase(),
      extraInfoDigest: extraInfo.digestSha1.toHex().toUpperCase(),
      unrecognized: [],
      extraNickname: 'onion1',
      extraPublished: '2026-11-22 14:27:00',
      extraDigest: extraInfo.digestSha1.toHex().toUpperCase(),
      write: [1024, 2048],
      read: [4096],
      writeEnd: '2026-11-22 14:27:00',
      extraUnrecognized: [],
    });
    expect(read.protocols.Relay).toEqual([2, 3, 4]);
    expect(read.extraFingerprint).toBe(read.fingerprint);
    expect(read.family).toContain(`$${read.fingerprint}`);
  });

  test.skipIf(!isThere)('refuses what was changed afterwards', () => {
    const signer = makeSigner(Math.floor(Date.now() / 1000) + 30 * 86400);
    const input = { nickname: 'onion1', publishedSec: NOW_SEC, histories: [] };
    const extraInfo = new TextDecoder().decode(printExtraInfo(input, signer).bytes);
    const { bytes } = printServerDescriptor(descriptorInput({ tapOnionKey: generateRsa(1024) }), signer);
    const descriptor = new TextDecoder().decode(bytes).replace('uptime 27', 'uptime 28');
    const { ok, error } = python(SCRIPT, JSON.stringify({ descriptor, extraInfo }));
    expect(ok).toBeFalse();
    expect(error).toContain('ValueError');
  });
});
