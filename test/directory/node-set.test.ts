/** Sets of relays as torrc writes them. */
import { expect, test } from 'bun:test';
import { NodeSet } from '../../src/directory/node-set.ts';
import { listNodes } from '../../src/directory/path-node.ts';
import { fingerprintOf, makeConsensus } from './path-network.ts';

const V6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
const { consensus, factsOf } = makeConsensus([
  { nickname: 'Alpha', ipv4: [198, 51, 100, 1] },
  { nickname: 'beta', ipv4: [198, 51, 101, 1], ipv6: V6 },
  { nickname: 'gamma', ipv4: [203, 0, 113, 7] },
]);
const nodes = listNodes(consensus, factsOf);

test.each([
  ['', []],
  [fingerprintOf(1), ['Alpha']],
  [`$${fingerprintOf(3).toLowerCase()}~gamma, BETA`, ['beta', 'gamma']],
  ['alpha', ['Alpha']],
  ['198.51.100.1', ['Alpha']],
  ['198.51.0.0/16', ['Alpha', 'beta']],
  ['0.0.0.0/0', ['Alpha', 'beta', 'gamma']],
  ['[2001:db8::]/32', ['beta']],
  ['2001:db9::/32', []],
  ['198.51.100.2,nobody', []],
])('%p', (text, names) => {
  const set = new NodeSet(text);
  expect(set.unknown).toEqual([]);
  expect(nodes.filter((node) => set.has(node)).map(({ nickname }) => nickname)).toEqual([...names]);
});

test('what cannot be understood or looked up is named, and matches nobody', () => {
  const set = new NodeSet('{de}, gamma, 1.2.3.4/33, what ever, 300.1.1.1');
  expect(set.unknown).toEqual(['{de}', '1.2.3.4/33', 'what ever', '300.1.1.1']);
  expect(nodes.filter((node) => set.has(node)).map(({ nickname }) => nickname)).toEqual(['gamma']);
});
