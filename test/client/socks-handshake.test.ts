/** SOCKS 4, 4a and 5: whole, cut at every place, and wrong. */
import { describe, expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { SocksHandshake, type SocksRequest } from '../../src/client/socks-handshake.ts';

const text = (value: string): number[] => [...Buffer.from(value, 'latin1')];
const NAME = text('payload.test');

const GREETING = [5, 1, 0];
const WITH_PASSWORD = [5, 2, 0, 2];
const PASSWORD = [1, 3, ...text('bob'), 2, ...text('pw')];
const TO_NAME = [5, 1, 0, 3, NAME.length, ...NAME, 0x1f, 0x90];
const TO_IPV4 = [5, 1, 0, 1, 127, 0, 0, 1, 0, 80];
const TO_IPV6 = [5, 1, 0, 4, ...new Array(15).fill(0), 1, 0, 80];

/** Push all bytes in pieces; give what came of it. */
function run(bytes: readonly number[], cuts: readonly number[] = []) {
  const handshake = new SocksHandshake();
  const written: number[] = [];
  const edges = [0, ...cuts, bytes.length];
  for (let i = 1; i < edges.length; i++) {
    const step = handshake.push(Uint8Array.from(bytes.slice(edges[i - 1], edges[i])));
    written.push(...step.write);
    if (step.failed || step.request !== null) {
      const rest = [...step.rest, ...bytes.slice(edges[i])];
      return { handshake, written, request: step.request, failed: step.failed, rest };
    }
  }
  return { handshake, written, request: null, failed: false, rest: [] };
}

describe('SOCKS', () => {
  test.each([
    ['5 to a name', [...GREETING, ...TO_NAME], [5, 0], { host: 'payload.test', port: 8080, address: null }],
    [
      '5 to IPv4',
      [...GREETING, ...TO_IPV4],
      [5, 0],
      { host: '127.0.0.1', port: 80, address: Uint8Array.of(127, 0, 0, 1) },
    ],
    [
      '5 to IPv6',
      [...GREETING, ...TO_IPV6],
      [5, 0],
      { host: '::1', port: 80, address: new Uint8Array(16).fill(1, 15) },
    ],
    [
      '5 with a password',
      [...WITH_PASSWORD, ...PASSWORD, ...TO_NAME],
      [5, 2, 1, 0],
      { host: 'payload.test', port: 8080, address: null },
    ],
    [
      '4',
      [4, 1, 0, 80, 127, 0, 0, 1, ...text('bob'), 0],
      [],
      { host: '127.0.0.1', port: 80, address: Uint8Array.of(127, 0, 0, 1) },
    ],
    ['4a', [4, 1, 0, 80, 0, 0, 0, 1, 0, ...NAME, 0], [], { host: 'payload.test', port: 80, address: null }],
  ] as [string, number[], number[], Omit<SocksRequest, 'isolation'>][])(
    '%s, however it is cut',
    (_, bytes, written, request) => {
      const behind = [...bytes, 9, 9, 9];
      for (let cut = 1; cut < behind.length; cut++) {
        const got = run(behind, [cut]);
        expect(got.request, `cut at ${cut}`).toMatchObject(request);
        expect(got.written).toEqual(written);
        expect(got.rest).toEqual([9, 9, 9]);
      }
      expect(run(behind, behind.map((_b, i) => i).slice(1)).request).toMatchObject(request);
      for (let end = 0; end < bytes.length; end++)
        expect(run(bytes.slice(0, end))).toMatchObject({ request: null, failed: false });
    },
  );

  test('keeps apart who gives another name or password', () => {
    const isolation = (bytes: readonly number[]): string => run(bytes).request!.isolation;
    const other = [1, 3, ...text('bob'), 2, ...text('pq')];
    const bob = isolation([...WITH_PASSWORD, ...PASSWORD, ...TO_NAME]);
    expect(isolation([...WITH_PASSWORD, ...PASSWORD, ...TO_IPV4])).toBe(bob);
    expect(isolation([...WITH_PASSWORD, ...other, ...TO_NAME])).not.toBe(bob);
    expect(isolation([...GREETING, ...TO_NAME])).toBe('');
  });

  test.each([
    ['another version', [6, 1, 0], []],
    ['no method that we have', [5, 1, 1], [5, 255]],
    ['a password of another version', [5, 1, 2, 2, 1, 65, 1, 65], [5, 2, 1, 1]],
    ['another command', [...GREETING, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80], [5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
    ['another address type', [...GREETING, 5, 1, 0, 9, 0, 0, 0, 0], [5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0]],
    ['port 0', [...GREETING, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0], [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
    [
      'a name with a blank',
      [...GREETING, 5, 1, 0, 3, 3, ...text('a b'), 0, 80],
      [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
    ],
    ['an empty name', [...GREETING, 5, 1, 0, 3, 0, 0, 80], [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
    ['a bind of version 4', [4, 2, 0, 80, 127, 0, 0, 1, 0], [0, 91, 0, 0, 0, 0, 0, 0]],
    ['another version behind the greeting', [...GREETING, 4, 1, 0, 80, 0, 0], [5, 0]],
  ])('refuses %s', (_, bytes, written) => {
    const got = run(bytes);
    expect(got).toMatchObject({ request: null, failed: true, written });
    expect(got.handshake.push(Uint8Array.of(5)).failed).toBe(true);
  });

  test('does not collect bytes for ever', () => {
    expect(run([4, 1, 0, 80, 127, 0, 0, 1, ...new Array(1200).fill(65)]).failed).toBe(true);
  });

  test('answers in the version it was asked in', () => {
    const five = run([...GREETING, ...TO_NAME]).handshake;
    expect([...five.granted()]).toEqual([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect([...five.refused(EndReason.CONNECTREFUSED)].slice(0, 2)).toEqual([5, 5]);
    expect([...five.refused(EndReason.EXITPOLICY)].slice(0, 2)).toEqual([5, 2]);
    expect([...five.refused(EndReason.RESOLVEFAILED)].slice(0, 2)).toEqual([5, 4]);
    expect([...five.refused(EndReason.MISC)].slice(0, 2)).toEqual([5, 1]);
    const four = run([4, 1, 0, 80, 127, 0, 0, 1, 0]).handshake;
    expect([...four.granted()].slice(0, 2)).toEqual([0, 90]);
    expect([...four.refused(EndReason.MISC)].slice(0, 2)).toEqual([0, 91]);
  });
});
