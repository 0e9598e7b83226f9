/** Damaged consensuses and protocol lists: taken or refused; what is taken is sorted, and means the same again. */
import { expect } from 'bun:test';
import { parseConsensus, verifyConsensus } from '../../src/netdoc/consensus.ts';
import { missingProtocols, parseProtocols, printProtocols } from '../../src/netdoc/protover.ts';
import { readVector } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';

const encoder = new TextEncoder();

fuzz('consensus', {
  corpus: [
    'chutney-consensus-ns.txt',
    'chutney-consensus-microdesc.txt',
    'chutney-2020-consensus-microdesc.txt',
  ].map(readVector),
  dictionary: [
    '\nr ',
    '\nopt r ',
    '\ns Running\n',
    '\npr Link=0-63\n',
    '\nw Bandwidth=4294967296\n',
    '\na [::1]:1\n',
    '\ndirectory-footer\n',
    '\ndirectory-signature sha256 ',
    '\nparams a=1 b=2\n',
    '\nshared-rand-current-value 1 A\n',
    '-----BEGIN SIGNATURE-----\n',
    '\n',
    '\0',
    '=',
  ].map((word) => encoder.encode(word)),
  run: (bytes) => {
    const consensus = parseConsensus(bytes);
    const { routers, voters } = consensus;
    for (let row = 0; row < routers.count; row++) expect(routers.find(routers.rsaId(row))).toBe(row);
    const ids = voters.map((voter) => voter.authorityId);
    expect(verifyConsensus(consensus, ids, [], consensus.validAfterSec).good).toBe(0);
  },
});

fuzz('protocol-list', {
  corpus: ['Link=3-5 LinkAuth=3 Relay=2-6', 'Foo=1,3 Bar=3 Baz= Quux=9-12,14,15-16'].map((text) =>
    encoder.encode(text),
  ),
  run: (bytes) => {
    const text = new TextDecoder('latin1').decode(bytes);
    const printed = printProtocols(parseProtocols(text));
    expect(printProtocols(parseProtocols(printed))).toBe(printed);
    expect(missingProtocols(text, printed)).toBe('');
  },
});
