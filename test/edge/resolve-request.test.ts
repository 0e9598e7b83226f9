/** Answers to RESOLVE. */
import { expect, test } from 'bun:test';
import { decodeResolved, ResolvedType } from '../../src/cell/stream-message.ts';
import { nameOf, resolvedError, resolvedOf } from '../../src/edge/resolve-request.ts';
import { answerOf } from '../sim/destinations.ts';

test('addresses, IPv4 first, each for a minute', () => {
  const ipv4 = Uint8Array.of(192, 0, 2, 1);
  const ipv6 = new Uint8Array(16).fill(7);
  expect(decodeResolved(resolvedOf(answerOf({ ipv4, ipv6, ttlSec: 3600 })))).toEqual([
    { type: ResolvedType.IPV4, value: ipv4, ttl: 60 },
    { type: ResolvedType.IPV6, value: ipv6, ttl: 60 },
  ]);
});

test('a host name', () => {
  const [answer] = decodeResolved(resolvedOf(answerOf({ hostname: 'a.example' })));
  expect([answer!.type, Buffer.from(answer!.value).toString()]).toEqual([ResolvedType.HOSTNAME, 'a.example']);
});

test('errors say what C tor says', () => {
  for (const transient of [true, false]) {
    const [answer] = decodeResolved(resolvedError(transient));
    expect(answer!.type).toBe(transient ? ResolvedType.ERROR_TRANSIENT : ResolvedType.ERROR);
    expect(Buffer.from(answer!.value).toString()).toBe('Error resolving hostname');
    expect(resolvedOf(answerOf({ failure: transient ? 'transient' : 'not-found' }))).toEqual(
      resolvedError(transient),
    );
  }
});

test('the question ends at its NUL', () => {
  expect(nameOf(new TextEncoder().encode('a.example\0rest'))).toBe('a.example');
});
