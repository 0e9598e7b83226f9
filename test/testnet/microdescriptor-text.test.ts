/** Microdescriptors are, to the byte, those that C tor's authorities made of the same descriptors. */
import { describe, expect, test } from 'bun:test';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { makeMicrodescriptor, REJECT_ALL } from '../../src/testnet/microdescriptor-text.ts';
import { viewPolicy } from '../../src/testnet/policy-view.ts';
import { readDocuments, textOf } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';

const ns = parseConsensus(readDocuments('chutney-consensus-ns.txt', 'network-status-version')[0]!);
const micro = parseConsensus(readDocuments('chutney-consensus-microdesc.txt', 'network-status-version')[0]!);
const descriptors = readDocuments('chutney-descriptors.txt', 'router').map((text) =>
  parseServerDescriptor(text),
);

describe('microdescriptors', () => {
  test('have the digests that a consensus of C tor names', () => {
    let compared = 0;
    for (const descriptor of descriptors) {
      const listed = ns.routers.get(descriptor.rsaId);
      // The consensus may still name an older descriptor.
      if (listed === null || encodeHex(listed.digest) !== encodeHex(descriptor.digestSha1)) continue;
      const made = makeMicrodescriptor(descriptor, viewPolicy(descriptor.policy).summary)!;
      expect(encodeBase64Unpadded(made.digest), descriptor.nickname).toBe(
        encodeBase64Unpadded(micro.routers.get(descriptor.rsaId)!.digest),
      );
      compared++;
    }
    expect(compared).toBeGreaterThan(5);
  });

  test('say families and policies', () => {
    const [text] = readDocuments('c-tor-descriptor-family-ipv6.txt', 'router');
    const descriptor = parseServerDescriptor(text!);
    const { document } = makeMicrodescriptor(descriptor, viewPolicy(descriptor.policy).summary)!;
    const lines = textOf(document).split('\n');
    expect(lines).toContain(
      'family $000102030405060708090A0B0C0D0E0F10111213 $F66DD819A8B7E5987D479FB82EA3CEE6CFF5325B',
    );
    expect(lines.find((line) => line.startsWith('family-ids ed25519:'))).toBeDefined();
    expect(lines).toContain('p accept 80,443');
    expect(lines).toContain('p6 accept 80,443');
  });

  test('have members in one form, and the relay itself', () => {
    const relay = new PaperRelay('one');
    const family = ['$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=Name', 'Bob', 'bob'];
    const parsed = parseServerDescriptor(relay.descriptor({ family }));
    const descriptor = { ...parsed, family: [...parsed.family, '!odd'] };
    const { document } = makeMicrodescriptor(descriptor, REJECT_ALL)!;
    const line = /^family (.*)$/m.exec(textOf(document))![1]!;
    expect(line.split(' ')).toEqual(
      [`!odd`, `$${'A'.repeat(40)}`, `$${encodeHex(relay.rsaId)}`, 'bob'].sort(),
    );
    expect(textOf(document)).not.toMatch(/^p6? /m);
  });

  test('are not made without a TAP onion key', () => {
    const descriptor = parseServerDescriptor(new PaperRelay('one').descriptor({ tapOnionKey: null }));
    expect(makeMicrodescriptor(descriptor, REJECT_ALL)).toBeNull();
  });
});
