import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import type { ConsensusFlavour } from '../../src/netdoc/consensus.ts';
import { ROUTER_RULES, RouterReader } from '../../src/netdoc/consensus-router.ts';
import { readDocument } from '../../src/netdoc/item.ts';
import { flagNames, type RouterStatus } from '../../src/netdoc/router-table.ts';
import { bytesOf } from './fixture.ts';

const ID = 'A'.repeat(27);
const DIGEST = `${'B'.repeat(26)}A`;
const MICRO = `${'C'.repeat(42)}A`;
const NS = `r one ${ID} ${DIGEST} 2026-11-22 14:00:00 192.0.2.1 9001 80
a [2001:db8::1]:9002
s Exit Fast Whatever
v Tor 0.4.9.11
pr Link=4-5
w Bandwidth=77 Unmeasured=1
p accept 80,443
`;
const MD = NS.replace(`${DIGEST} `, '')
  .replace(/\np .*\n/, '\n')
  .replace('\ns ', `\nm ${MICRO}\ns `);

function read(flavour: ConsensusFlavour, text: string): RouterStatus {
  return new RouterReader(flavour).read(readDocument(bytesOf(text), 'consensus', ROUTER_RULES).table);
}

test('all lines of either flavour', () => {
  const both = {
    nickname: 'one',
    address: Uint8Array.of(192, 0, 2, 1),
    orPort: 9001,
    dirPort: 80,
    bandwidth: 77,
    isUnmeasured: true,
    proto: 'Link=4-5',
    version: 'Tor 0.4.9.11',
  };
  for (const entry of [read('ns', NS), read('microdesc', MD)]) {
    expect(entry).toMatchObject(both);
    expect(flagNames(entry.flags)).toEqual(['Exit', 'Fast', 'Running', 'Valid']);
    expect(entry.ipv6?.port).toBe(9002);
  }
  expect(read('ns', NS).digest.toBase64()).toStartWith(DIGEST.slice(0, 26));
  expect(read('microdesc', MD).digest.toBase64()).toStartWith(MICRO.slice(0, 42));
});

test('what may be missing', () => {
  const bare = read('microdesc', MD.replace(/^(a|m|v|w) .*\n/gm, ''));
  expect(bare).toMatchObject({ ipv6: null, version: null, bandwidth: 0, isUnmeasured: false });
  expect(bare.digest).toEqual(new Uint8Array(32));
});

describe('what costs the document', () => {
  const bad: [string, string][] = [
    ['a short line', NS.replace(' 9001 80', '')],
    ['a bad time', NS.replace('14:00:00', '25:00:00')],
    ['a bad address', NS.replace('192.0.2.1', '192.0.2')],
    ['a bad bandwidth', NS.replace('=77', '=x')],
    ['a bad digest', NS.replace(DIGEST, 'AAAA')],
    ['no flags', NS.replace(/^s .*\n/m, '')],
    ['no protocols', NS.replace(/^pr .*\n/m, '')],
    ['bad protocols', NS.replace('Link=4-5', 'Link=5-4')],
    ['a bad policy', NS.replace('accept', 'maybe')],
  ];
  test.each(bad)('%s', (_, text) => {
    expect(() => read('ns', text)).toThrow(Malformed);
  });
});
