/** Consensuses of the test authority: ours reads and believes them, so does stem; their lines are C tor's. */
import { describe, expect, test } from 'bun:test';
import {
  parseAuthorityCertificate,
  printAuthorityCertificate,
} from '../../src/netdoc/authority-certificate.ts';
import { parseConsensus, verifyConsensus } from '../../src/netdoc/consensus.ts';
import { RouterFlag } from '../../src/netdoc/router-table.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { makeAuthorityKeys } from '../../src/testnet/authority-keys.ts';
import { CONSENSUS_METHOD, type ListedRelay, printConsensus } from '../../src/testnet/consensus-text.ts';
import { makeMicrodescriptor } from '../../src/testnet/microdescriptor-text.ts';
import { NOW_SEC, readDocuments, textOf } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';
import { needsStem, python } from './stem.ts';

const HOST = Uint8Array.of(127, 0, 0, 1);
const keys = makeAuthorityKeys();
const VOTER = { nickname: 'auth', host: HOST, dirPort: 7000, orPort: 5000, keys };
const CERTIFICATE = printAuthorityCertificate(keys, { host: HOST, port: 7000 }, NOW_SEC - 60);
const IPV6 = { host: new Uint8Array(16).fill(1, 15), port: 9001 };

function list(nickname: string, changes: Partial<ListedRelay>, platform: string): ListedRelay {
  const relay = new PaperRelay(nickname);
  const descriptor = parseServerDescriptor(relay.descriptor({ platform, ipv6: IPV6 }));
  const summary = changes.policySummary ?? 'reject 1-65535';
  return {
    descriptor,
    dirPort: 0,
    microdescriptorDigest: makeMicrodescriptor(descriptor, summary)!.digest,
    flags: ['Fast', 'Running', 'Stable', 'Valid'],
    bandwidth: 1000,
    policySummary: summary,
    ...changes,
  };
}

const RELAYS = [
  list(
    'guard',
    { flags: ['Authority', 'Fast', 'Guard', 'Running', 'Stable', 'V2Dir', 'Valid'], dirPort: 7000 },
    'Tor 0.4.9.11 on Linux',
  ),
  list('middle', {}, 'onionrelay 0.1.0 on Linux'),
  list(
    'exit',
    { flags: ['Exit', 'Fast', 'Running', 'Stable', 'Valid'], policySummary: 'accept 80,443' },
    'onionrelay 0.1.0 on Linux',
  ),
];

const CONTENT = {
  validAfterSec: NOW_SEC,
  freshUntilSec: NOW_SEC + 10,
  validUntilSec: NOW_SEC + 40,
  params: new Map([
    ['refuseunknownexits', 0],
    ['ExtendByEd25519ID', 1],
  ]),
  sharedRandom: { previous: new Uint8Array(32).fill(1), current: new Uint8Array(32).fill(2) },
  relays: RELAYS,
};

const documents = {
  ns: printConsensus(CONTENT, 'ns', VOTER),
  microdesc: printConsensus(CONTENT, 'microdesc', VOTER),
};

describe.each(['ns', 'microdesc'] as const)('a consensus of flavour %s', (flavour) => {
  const text = textOf(documents[flavour]);
  const consensus = parseConsensus(documents[flavour]);

  test('is believed with the certificate of the authority', () => {
    const certificate = parseAuthorityCertificate(CERTIFICATE);
    const verdict = verifyConsensus(consensus, [keys.v3Ident], [certificate], NOW_SEC);
    expect(verdict).toMatchObject({ good: 1, needed: 1, bad: 0, missing: [] });
    const other = makeAuthorityKeys();
    const strange = printConsensus(CONTENT, flavour, { ...VOTER, keys: { ...keys, signing: other.signing } });
    expect(verifyConsensus(parseConsensus(strange), [keys.v3Ident], [certificate], NOW_SEC).good).toBe(0);
  });

  test('says what it was told', () => {
    expect(consensus.flavour).toBe(flavour);
    expect(consensus.method).toBe(CONSENSUS_METHOD);
    expect([consensus.validAfterSec, consensus.freshUntilSec, consensus.validUntilSec]).toEqual([
      NOW_SEC,
      NOW_SEC + 10,
      NOW_SEC + 40,
    ]);
    expect(consensus.params).toEqual(CONTENT.params);
    expect(consensus.sharedRandomCurrent).toEqual({ reveals: 1, value: CONTENT.sharedRandom.current });
    expect(consensus.sharedRandomPrevious).toEqual({ reveals: 1, value: CONTENT.sharedRandom.previous });
    expect(consensus.voters).toEqual([
      { nickname: 'auth', authorityId: keys.v3Ident, address: HOST, dirPort: 7000, orPort: 5000 },
    ]);
    expect(consensus.bandwidthWeights.size).toBe(19);
  });

  test('lists its relays', () => {
    expect(consensus.routers.count).toBe(RELAYS.length);
    for (const relay of RELAYS) {
      const { nickname, rsaId, digestSha1, orPort, proto } = relay.descriptor;
      const entry = consensus.routers.get(rsaId)!;
      expect(entry).toMatchObject({
        nickname,
        orPort,
        proto,
        dirPort: relay.dirPort,
        bandwidth: 1000,
        ipv6: IPV6,
      });
      expect(entry.digest).toEqual(flavour === 'ns' ? digestSha1 : relay.microdescriptorDigest);
      expect(entry.flags).toBe(relay.flags.reduce((bits, flag) => bits | RouterFlag[flag], 0));
      expect(entry.version).toBe(nickname === 'guard' ? 'Tor 0.4.9.11' : null);
      expect(entry.isUnmeasured).toBe(false);
    }
  });

  test('has the keywords of one of C tor, in its order', () => {
    const keywords = (document: string): string[] =>
      document
        .replaceAll(/-----BEGIN [\s\S]*?-----END [^\n]*\n/g, '')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.split(' ')[0]!);
    const theirs = textOf(readDocuments(`chutney-consensus-${flavour}.txt`, 'network-status-version')[0]!);
    // One voter has no recommendations about protocols; a network of minutes has no shared randomness.
    const known = [...new Set(keywords(theirs))].filter((word) => !/-protocols$/.test(word));
    const order = [...new Set(keywords(text))].filter(
      (word) => !['a', 'v'].includes(word) && !word.startsWith('shared-rand'),
    );
    expect(order).toEqual(known.filter((word) => order.includes(word)));
    expect(order.length).toBeGreaterThan(15);
    if (flavour === 'ns') expect(text).toContain('\np accept 80,443\n');
    else expect(text).toContain(' 2038-01-01 00:00:00 127.0.0.1 9001 ');
  });
});

describe.skipIf(!needsStem('test/testnet/consensus-text'))('stem', () => {
  test('validates both flavours and their signatures', () => {
    const result = python(
      `
import json, sys
from stem.descriptor.networkstatus import KeyCertificate, NetworkStatusDocumentV3
given = json.load(sys.stdin)
out = []
for name in ('ns', 'microdesc'):
  body = given[name].encode('utf-8')
  # Stem cannot read that nothing is recommended, which is how C tor writes it.
  plain = body.replace(b'client-versions \\n', b'').replace(b'server-versions \\n', b'')
  document = NetworkStatusDocumentV3(plain, validate=True)
  if name == 'ns':
    NetworkStatusDocumentV3(body).validate_signatures([KeyCertificate(given['certificate'].encode('utf-8'), validate=True)])
  out.append([name, document.consensus_method, sorted(r.nickname for r in document.routers.values()), len(document.bandwidth_weights), document.get_unrecognized_lines()])
print(json.dumps(out))
`,
      JSON.stringify({
        ns: textOf(documents.ns),
        microdesc: textOf(documents.microdesc),
        certificate: CERTIFICATE,
      }),
    );
    expect(result.error).toBe('');
    const names = ['exit', 'guard', 'middle'];
    expect(JSON.parse(result.out)).toEqual([
      ['ns', CONSENSUS_METHOD, names, 19, []],
      ['microdesc', CONSENSUS_METHOD, names, 19, []],
    ]);
  });
});
