/** The network as the client knows it: paths out of signed documents. */
import { describe, expect, test } from 'bun:test';
import { printAuthorityCertificate } from '../../src/netdoc/authority-certificate.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { AuthorityDocuments } from '../../src/testnet/authority-documents.ts';
import { makeAuthorityKeys } from '../../src/testnet/authority-keys.ts';
import { ClientNetwork } from '../../src/testnet/client-network.ts';
import { printConsensus } from '../../src/testnet/consensus-text.ts';
import { makeMicrodescriptor } from '../../src/testnet/microdescriptor-text.ts';
import { viewPolicy } from '../../src/testnet/policy-view.ts';
import { NOW_SEC } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';

const HOST = Uint8Array.of(127, 0, 0, 1);
const keys = makeAuthorityKeys();
const documents = new AuthorityDocuments(
  keys,
  printAuthorityCertificate(keys, { host: HOST, port: 7000 }, NOW_SEC),
  new Uint8Array(20),
);

function publish(names: readonly string[], signing = keys): void {
  const relays = names.map((nickname) => {
    const policy = nickname.startsWith('exit') ? ['accept *:*'] : ['reject *:*'];
    const descriptor = parseServerDescriptor(new PaperRelay(nickname).descriptor({ policy }));
    const { summary, isExit } = viewPolicy(policy);
    const microdescriptor = makeMicrodescriptor(descriptor, summary)!;
    documents.putMicrodescriptor(microdescriptor);
    const flags = ['Fast', 'Running', 'Stable', 'Valid'] as const;
    return {
      descriptor,
      dirPort: 0,
      microdescriptorDigest: microdescriptor.digest,
      flags: [...(isExit ? (['Exit'] as const) : []), ...flags],
      bandwidth: 1000,
      policySummary: summary,
    };
  });
  const random = new Uint8Array(32);
  const content = {
    validAfterSec: NOW_SEC,
    freshUntilSec: NOW_SEC + 10,
    validUntilSec: NOW_SEC + 40,
    params: new Map([['cc_alg', 2]]),
    sharedRandom: { previous: random, current: random },
    relays,
  };
  const voter = { nickname: 'auth', host: HOST, dirPort: 7000, orPort: 5000, keys: signing };
  const document = printConsensus(content, 'microdesc', voter);
  documents.putConsensus('microdesc', { document, validAfterSec: NOW_SEC, freshUntilSec: NOW_SEC + 10 });
}

describe('the client', () => {
  const network = new ClientNetwork(documents, keys.v3Ident, Math.random);
  const WISH = { port: 80, isIpv6: false };

  test('knows no path before a consensus', () => {
    network.refresh(NOW_SEC);
    expect(network.choose(WISH)).toBeNull();
    expect(network.params.size).toBe(0);
  });

  test('chooses three relays, the last one an exit', () => {
    publish(['one', 'two', 'three', 'exit1', 'exit2']);
    network.refresh(NOW_SEC);
    for (let i = 0; i < 50; i++) {
      const path = network.choose(WISH)!;
      expect(new Set(path.nicknames).size).toBe(3);
      expect(path.nicknames[2]).toStartWith('exit');
      expect(path.hops.every(({ onionKey, ed25519Id }) => onionKey !== null && ed25519Id !== null)).toBe(
        true,
      );
    }
    expect(network.params.get('cc_alg')).toBe(2);
  });

  test('knows none where there are too few, or no exit', () => {
    publish(['one', 'exit1']);
    network.refresh(NOW_SEC);
    expect(network.choose(WISH)).toBeNull();
    publish(['one', 'two', 'three']);
    network.refresh(NOW_SEC);
    expect(network.choose(WISH)).toBeNull();
    // Exits of this network let nobody out over IPv6.
    publish(['one', 'two', 'exit1']);
    network.refresh(NOW_SEC);
    expect(network.choose({ port: 80, isIpv6: true })).toBeNull();
  });

  test('believes nothing that the authority did not sign', () => {
    publish(['one', 'two', 'exit1'], { ...keys, signing: makeAuthorityKeys().signing });
    expect(() => network.refresh(NOW_SEC)).toThrow('signs its consensuses');
  });
});
