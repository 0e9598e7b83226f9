/** The resolver of a test network: one name, and no other. */
import { afterAll, describe, expect, test } from 'bun:test';
import { Resolver } from 'node:dns/promises';
import { answerQuestion, PAYLOAD_NAME, startNameServer } from '../../src/testnet/name-server.ts';
import { Prng } from '../fuzz/prng.ts';

/** A question as it stands on the wire. */
function question(name: string, type = 1, flags = 0x0100): Uint8Array {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Uint8Array.from([
    0xab,
    0xcd,
    flags >> 8,
    flags & 255,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    ...labels,
    0,
    0,
    type,
    0,
    1,
  ]);
}

const codeOf = (answer: Uint8Array | null): number => answer![3]! & 15;
const countOf = (answer: Uint8Array | null): number => answer![7]!;

describe('an answer', () => {
  test('gives loopback for the one name, however it is written', () => {
    for (const name of [PAYLOAD_NAME, PAYLOAD_NAME.toUpperCase()]) {
      const asked = question(name);
      const answer = answerQuestion(asked)!;
      expect([codeOf(answer), countOf(answer)]).toEqual([0, 1]);
      expect([...answer.subarray(-4)]).toEqual([127, 0, 0, 1]);
      // Id and question are repeated, letter by letter.
      expect(answer.subarray(0, 2)).toEqual(asked.subarray(0, 2));
      expect(answer.subarray(12, asked.length)).toEqual(asked.subarray(12));
    }
  });

  test('has no other address for it', () => {
    const answer = answerQuestion(question(PAYLOAD_NAME, 28));
    expect([codeOf(answer), countOf(answer)]).toEqual([0, 0]);
  });

  test.each(['example.com', 'www.google.com', 'testnet', `x.${PAYLOAD_NAME}`])('knows no %s', (name) => {
    const answer = answerQuestion(question(name));
    expect([codeOf(answer), countOf(answer)]).toEqual([3, 0]);
  });

  test('is not given to what is no question', () => {
    const good = question(PAYLOAD_NAME);
    for (let length = 0; length < good.length; length++)
      expect(answerQuestion(good.subarray(0, length))).toBeNull();
    expect(answerQuestion(question(PAYLOAD_NAME, 1, 0x8000))).toBeNull();
    expect(codeOf(answerQuestion(question(PAYLOAD_NAME, 1, 0x0800)))).toBe(4);
  });

  test('never fails', () => {
    const random = new Prng(3);
    for (let run = 0; run < 3000; run++) {
      const bytes = question(PAYLOAD_NAME);
      for (let i = 0; i < 3; i++) bytes[random.below(bytes.length)] = random.below(256);
      answerQuestion(bytes);
    }
  });
});

describe('the server', async () => {
  const server = await startNameServer('127.0.0.1');
  afterAll(() => server.stop());

  test('answers a resolver', async () => {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${server.port}`]);
    expect(await resolver.resolve4(PAYLOAD_NAME)).toEqual(['127.0.0.1']);
    expect(await resolver.resolve4('example.com').catch((error: { code: string }) => error.code)).toMatch(
      /NOTFOUND/,
    );
  });
});
