/** CREATE_FAST against C tor's answers. */
import { describe, expect, test } from 'bun:test';
import { clientFast, serverFast } from '../../../src/crypto/handshake/fast.ts';
import { Bug } from '../../../src/fault.ts';
import { readVectors } from '../../vectors/read.ts';

const vector = readVectors('create-fast.txt');

describe('CREATE_FAST', () => {
  for (const n of [0, 1]) {
    test(`answers vector ${n} on both sides`, () => {
      const x = vector(`cases-${n}-x`);
      const reply = vector(`cases-${n}-reply`);
      const y = reply.slice(0, 20);
      const { kh, keys } = serverFast(x, y, 100);
      expect(kh).toEqual(reply.slice(20));
      expect(keys).toEqual(vector(`cases-${n}-keys`));
      expect(clientFast(x, y, kh, 100)).toEqual(keys);
    });
  }

  test('the client refuses a proof that is wrong or short', () => {
    const x = new Uint8Array(20).fill(1);
    const y = new Uint8Array(20).fill(2);
    const { kh } = serverFast(x, y, 72);
    for (let at = 0; at < 20; at++) {
      const wrong = new Uint8Array(kh);
      wrong[at] ^= 1;
      expect(clientFast(x, y, wrong, 72)).toBeNull();
    }
    expect(clientFast(x, y, kh.subarray(0, 19), 72)).toBeNull();
  });

  test('halves of another length are our own mistake: the codec has checked them', () => {
    expect(() => serverFast(new Uint8Array(19), new Uint8Array(20), 72)).toThrow(Bug);
  });
});
