import { describe, expect, test } from 'bun:test';
import { printIp } from '../../src/bytes/address.ts';
import {
  encodeQuestion,
  messageId,
  mixCase,
  parseAnswer,
  RecordType,
  ResponseCode,
} from '../../src/dns/message.ts';
import { Malformed } from '../../src/fault.ts';
import { answerBytes, nameBytes, soa, type TestReply } from './answers.ts';

const { A, AAAA, CNAME, PTR } = RecordType;
const WWW = 'www.example.org';

const answer = (reply: TestReply, type: number = A, name = WWW) =>
  parseAnswer(answerBytes(7, name, type, reply));
const hosts = (reply: TestReply, type: number = A) => answer(reply, type).hosts.map(printIp);

describe('encodeQuestion', () => {
  test('byte for byte', () => {
    expect(encodeQuestion(0x1234, 'ab.C', AAAA).toHex()).toBe(
      '12340100000100000000000002616201430000' + '1c0001',
    );
    expect(encodeQuestion(0x1234, 'ab.C.', AAAA)).toEqual(encodeQuestion(0x1234, 'ab.C', AAAA));
  });

  test('the longest name', () => {
    const name = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    expect(encodeQuestion(1, name, A)).toHaveLength(12 + 255 + 4);
    expect(() => encodeQuestion(1, `${name}d`, A)).toThrow('fits');
  });
});

describe('parseAnswer', () => {
  test('addresses of both families, and the shortest TTL', () => {
    const records = [
      { type: A, ttlSec: 300, data: Uint8Array.of(192, 0, 2, 1) },
      { type: A, ttlSec: 200, data: Uint8Array.of(192, 0, 2, 2) },
      { type: AAAA, ttlSec: 1, data: new Uint8Array(16) },
    ];
    expect(hosts({ records })).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(answer({ records })).toMatchObject({ id: 7, name: WWW, type: A, code: 0, ttlSec: 200 });
    expect(hosts({ records }, AAAA)).toEqual(['::']);
  });

  test('of the name and its aliases only, in any order', () => {
    const target = { owner: 'b.example', type: A, data: Uint8Array.of(192, 0, 2, 7) };
    const aliases = [
      { type: CNAME, data: 'A.example' },
      { owner: 'a.EXAMPLE', type: CNAME, data: 'b.example' },
    ];
    expect(hosts({ records: [...aliases, target] })).toEqual(['192.0.2.7']);
    expect(hosts({ records: [target, ...aliases] })).toEqual(['192.0.2.7']);
    expect(hosts({ records: [aliases[0]!, target] })).toEqual([]);
    expect(hosts({ records: [target] })).toEqual([]);
  });

  test('aliases in a circle end', () => {
    const records = [
      { type: CNAME, data: 'a.example' },
      { owner: 'a.example', type: CNAME, data: WWW },
    ];
    expect(hosts({ records })).toEqual([]);
  });

  test('host names', () => {
    const reply = { records: [{ type: PTR, ttlSec: 99, data: 'Host.example' }] };
    expect(answer(reply, PTR, '1.2.0.192.in-addr.arpa')).toMatchObject({
      hostname: 'Host.example',
      hosts: [],
      ttlSec: 99,
    });
  });

  test('nothing, with and without a word on how long', () => {
    expect(answer({ code: ResponseCode.NAME })).toMatchObject({ code: 3, hosts: [], ttlSec: 0 });
    expect(answer({ code: ResponseCode.NAME, authorities: [soa(900, 1200)] }).ttlSec).toBe(900);
    expect(answer({ authorities: [soa(900, 300)] })).toMatchObject({ code: 0, hosts: [], ttlSec: 300 });
    const records = [{ type: A, data: Uint8Array.of(1, 2, 3, 4) }];
    expect(answer({ code: ResponseCode.SERVER_FAILED, records }).hosts).toEqual([]);
  });

  test('a TTL with its sign bit set is none', () => {
    expect(
      answer({ records: [{ type: A, ttlSec: 0x80000000, data: Uint8Array.of(1, 2, 3, 4) }] }).ttlSec,
    ).toBe(0);
  });

  test('truncated ones are not read further', () => {
    const bytes = answerBytes(7, WWW, A, {
      truncated: true,
      records: [{ type: A, data: new Uint8Array(4) }],
    });
    expect(parseAnswer(bytes.subarray(0, bytes.length - 9))).toMatchObject({ isTruncated: true, hosts: [] });
  });

  test('records of a wrong length do not count', () => {
    expect(hosts({ records: [{ type: A, data: new Uint8Array(5) }] })).toEqual([]);
  });

  test('refuses what cannot be', () => {
    const good = answerBytes(7, WWW, A, { records: [{ type: A, data: Uint8Array.of(1, 2, 3, 4) }] });
    for (let length = 0; length < good.length; length++) {
      expect(() => parseAnswer(good.subarray(0, length))).toThrow(Malformed);
    }
    expect(() => answer({ flags: 0x0100 })).toThrow('question');
    expect(() => answer({ flags: 0x8900 })).toThrow('something else');
    const twice = good.slice();
    twice[5] = 2;
    expect(() => parseAnswer(twice)).toThrow('one question');
    const chaos = good.slice();
    chaos[12 + nameBytes(WWW).length + 3] = 3;
    expect(() => parseAnswer(chaos)).toThrow('another class');
  });

  test('pointers lead backward', () => {
    const head = Buffer.from('000781800001000100000000', 'hex');
    const body = (name: number[]) => new Uint8Array([...head, ...name, 0, 1, 0, 1]);
    expect(() => parseAnswer(body([0xc0, 12]))).toThrow('forward');
    expect(() => parseAnswer(body([1, 97, 0xc0, 14]))).toThrow('forward');
    expect(() => parseAnswer(body([1, 97, 0xc0, 12]))).toThrow(Malformed);
    expect(() => parseAnswer(body([0xc0, 200]))).toThrow('forward');
    expect(() => parseAnswer(body([0x40, 1]))).toThrow('another kind');
    const long = [...Array.from({ length: 4 }, () => [63, ...new Array(63).fill(97)]).flat(), 1, 97, 0];
    expect(() => parseAnswer(body(long))).toThrow('too long');
  });
});

test('messageId', () => {
  expect(messageId(answerBytes(0xabcd, WWW, A))).toBe(0xabcd);
  expect(messageId(new Uint8Array(11))).toBeNull();
});

test('mixCase goes by the bits', () => {
  expect(mixCase('abc-Def.gh', Uint8Array.of(0b01010101, 0b10))).toBe('AbC-DeF.gH');
  expect(mixCase('ABCdef', new Uint8Array(1))).toBe('abcdef');
});
