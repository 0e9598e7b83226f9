import { expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { LiteralResolver } from '../../src/edge/literal-resolver.ts';
import type { NameAnswer } from '../../src/edge/resolver.ts';

test('addresses are their own answer, names are for later', () => {
  const resolver = new LiteralResolver();
  const answers: NameAnswer[] = [];
  const done = (answer: NameAnswer): void => void answers.push(answer);
  resolver.resolve('192.0.2.1', { ipv4: true, ipv6: true }, done).cancel();
  resolver.resolve('[2001:db8::1]', { ipv4: true, ipv6: true }, done);
  resolver.resolve('192.0.2.1', { ipv4: false, ipv6: true }, done);
  resolver.resolveMessage('a.example', done);
  resolver.reverse(Uint8Array.of(192, 0, 2, 1), done);
  expect(answers.map(({ ipv4, ipv6, failure }) => [ipv4, ipv6, failure])).toEqual([
    [parseIp('192.0.2.1'), null, null],
    [null, parseIp('2001:db8::1'), null],
    [null, null, 'transient'],
    [null, null, 'transient'],
    [null, null, 'transient'],
  ]);
});
