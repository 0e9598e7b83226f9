import { describe, expect, test } from 'bun:test';
import { encodeBase64Unpadded } from '../../src/bytes/base.ts';
import { Malformed } from '../../src/fault.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { parseMicrodescriptor, parseMicrodescriptors } from '../../src/netdoc/microdescriptor.ts';
import { summaryAllows } from '../../src/netdoc/port-summary.ts';
import { bytesOf, readCases, readVector, textOf } from './fixture.ts';

const GOOD = new Map(readCases('microdescriptors.txt').map(({ name, document }) => [name, document]));

test('one with all that there is', () => {
  const md = parseMicrodescriptor(GOOD.get('microdesc1')!);
  expect(md.digest.toHex()).toBe('cddf9c5db3fbc80a0883630dbf3a76f0a639ab82d10cf776d0cd48b45f631483');
  expect(encodeBase64Unpadded(md.ntorOnionKey)).toBe('gkQqYIYcecF1KwS2wVV/oVQAuf6oeTWzswXFkEVs/nE');
  expect(encodeBase64Unpadded(md.ed25519Id!)).toBe('k3TwldYWObTQkjmY83o+uG6xcbD5b/Zda8QPc/C5Ftg');
  expect(md.family.length).toBeGreaterThan(10);
  expect(md.family[0]).toBe('$0BC8BA32CC3CB0F598E0C92778F7C0946DFBCE91');
  expect(summaryAllows(md.policy!, 443)).toBe(true);
  expect(summaryAllows(md.policy!, 25)).toBe(false);
  expect(summaryAllows(md.ipv6Policy!, 443)).toBe(true);
});

test('several with annotations', () => {
  const { list, bad } = parseMicrodescriptors(GOOD.get('microdesc2')!);
  expect(bad).toEqual([]);
  expect(list.map(({ lastListedSec }) => new Date(lastListedSec * 1000).toISOString())).toEqual([
    '2020-01-27T18:52:09.000Z',
    '2020-01-27T18:52:09.000Z',
    '2020-01-27T18:52:10.000Z',
    '2020-01-27T18:52:09.000Z',
  ]);
  const [first] = list.map(({ microdescriptor }) => microdescriptor);
  expect(first!.digest.toHex()).toBe('38c71329a87098cb341c46c9c62bd646622b4445f7eb985a0e6adb23a22ccf4f');
  expect(first!.ntorOnionKey.toHex()).toBe(
    '5e895d65304a3a1894616660143f7af5757fe08bc18045c7855ee8debb9e6c47',
  );
  expect(first!.ed25519Id!.toHex()).toBe('2d85fdc88e6c1bcfb46897fca1dba6d1354f93261d68a79e0b5bc170dd923084');
  expect([993, 25].map((port) => summaryAllows(first!.policy!, port))).toEqual([true, false]);
});

test('one without a TAP key, and family ids', () => {
  expect(parseMicrodescriptor(GOOD.get('microdesc3')!).policy).toBeNull();
  const { list } = parseMicrodescriptors(GOOD.get('microdesc4')!);
  expect(list.map(({ microdescriptor }) => microdescriptor.familyIds)).toEqual([
    [],
    ['ed25519:dXMgdGhlIHRyaXVtcGguICAgIC1UaG9tYXMgUGFpbmU', 'other:Example'],
  ]);
});

test("those of C tor's journal are the ones that its consensus lists", () => {
  const { routers } = parseConsensus(readVector('chutney-consensus-microdesc.txt'));
  const { list, problems } = parseMicrodescriptors(readVector('chutney-microdescs.txt'));
  expect(problems).toEqual([]);
  const held = list.map(({ microdescriptor }) => microdescriptor.digest.toHex()).sort();
  const listed = Array.from({ length: routers.count }, (_, row) => routers.digest(row).toHex()).sort();
  expect(held).toEqual(listed);
});

describe('faults', () => {
  const bad = new Map(readCases('bad-microdescriptors.txt').map(({ name, document }) => [name, document]));
  const good = textOf(GOOD.get('microdesc3')!);

  test('a policy that does not read is none, as in C tor', () => {
    expect(parseMicrodescriptor(bad.get('bogus-policy')!).ipv6Policy).toBeNull();
    expect(parseMicrodescriptor(bad.get('non-ascii-policy')!).ipv6Policy).toBeNull();
  });

  test('an identity of another kind is none', () => {
    expect(parseMicrodescriptor(bad.get('wrong-id')!).ed25519Id).toBeNull();
  });

  const cases: [string, string][] = [
    ['another first line', textOf(bad.get('wrong-start')!)],
    ['no ntor key', good.replace('ntor-onion-key', 'other-onion-key')],
    ['a short ntor key', good.replace(/(?<=ntor-onion-key )\S{4}/, '')],
    ['a second identity', `${good}${good.match(/id ed25519 .*\n/)![0]}`],
    ['a short identity', good.replace(/(?<=id ed25519 )\S{4}/, '')],
    ['a second onion key', `${good}ntor-onion-key ${'A'.repeat(43)}\n`],
    [
      'a broken RSA key',
      good.replace(
        'onion-key\n',
        'onion-key\n-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n',
      ),
    ],
    ['too long', `${good}x ${'x'.repeat(1 << 17)}\n`],
  ];
  test.each(cases)('%s', (_, text) => {
    expect(() => parseMicrodescriptor(text)).toThrow(Malformed);
  });

  test('one that does not parse costs only itself, and is named by its digest', () => {
    const text = `${good.replace('ntor-onion-key', 'other')}${good}@last-listed nonsense\n${good}`;
    const { list, bad: digests, problems } = parseMicrodescriptors(bytesOf(text));
    expect([list.length, digests.length, problems.length]).toEqual([2, 1, 1]);
    expect(digests[0]!.length).toBe(32);
    expect(list.map(({ lastListedSec }) => lastListedSec)).toEqual([0, 0]);
  });
});
