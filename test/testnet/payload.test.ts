/** The payload: every byte known, whatever the pieces; and the server that sends it. */
import { afterAll, describe, expect, test } from 'bun:test';
import { BLOCK_BYTES, fillBlock, PayloadCheck, PayloadServer, parseSize } from '../../src/testnet/payload.ts';
import { Prng } from '../fuzz/prng.ts';

const server = new PayloadServer('127.0.0.1');
afterAll(() => server.stop());

function payload(bytes: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES);
  for (let index = 0; index * BLOCK_BYTES < bytes; index++) {
    fillBlock(out.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES), index);
  }
  return out.subarray(0, bytes);
}

describe('the check', () => {
  test('takes the payload in any pieces', () => {
    const bytes = payload(300_000);
    const random = new Prng(5);
    const check = new PayloadCheck();
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + random.below(random.below(2) === 0 ? 600 : 100_000);
      expect(check.take(bytes.subarray(at, at + length))).toBe(true);
      at += length;
    }
    expect(check.received).toBe(bytes.length);
  });

  test.each([
    ['a changed byte', (bytes: Uint8Array) => void (bytes[150_000]! ^= 1)],
    ['two cells in another order', (bytes: Uint8Array) => void bytes.copyWithin(100_000, 100_498, 100_996)],
    ['a lost block', (bytes: Uint8Array) => void bytes.copyWithin(BLOCK_BYTES, 2 * BLOCK_BYTES)],
  ])('finds %s', (_, spoil) => {
    const bytes = payload(300_000);
    spoil(bytes);
    const check = new PayloadCheck();
    let good = true;
    for (let at = 0; at < bytes.length && good; at += 498) good = check.take(bytes.subarray(at, at + 498));
    expect(good).toBe(false);
  });
});

describe('the server', () => {
  test.each([
    ['1', 1],
    ['700KB', 700_000],
    ['3MB', 3_000_000],
  ])('sends %s', async (name, bytes) => {
    const reply = await fetch(`http://127.0.0.1:${server.port}/${name}`);
    expect(reply.headers.get('content-length')).toBe(String(bytes));
    expect(Buffer.from(await reply.arrayBuffer()).equals(payload(bytes))).toBe(true);
  });

  test.each(['', 'index.html', '-1', '9999999GB'])('has nothing of name %j', async (name) => {
    expect((await fetch(`http://127.0.0.1:${server.port}/${name}`)).status).toBe(404);
  });

  test('does not listen to endless requests', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: server.port,
      socket: { data() {}, close: () => resolve() },
    });
    socket.write('x'.repeat(10_000));
    await promise;
  });
});

test.each([
  ['10', 10],
  ['10b', 10],
  ['10k', 10_000],
  ['10MB', 10_000_000],
  ['1G', 1_000_000_000],
  ['', null],
  ['MB', null],
  ['1.5MB', null],
  ['1TB', null],
])('a size of %j is %p', (text, bytes) => expect(parseSize(text)).toBe(bytes));
