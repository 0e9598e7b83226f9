import { expect, test } from 'bun:test';
import { createCipheriv } from 'node:crypto';
import { GIVE_BACK_BYTES, giveBack } from '../../src/bytes/chunk.ts';

test('a long chunk has no bytes afterwards', () => {
  const chunk = new Uint8Array(GIVE_BACK_BYTES).fill(1);
  giveBack(chunk);
  expect(chunk.length).toBe(0);
  expect(chunk.buffer.byteLength).toBe(0);
});

test('a short chunk stays as it is', () => {
  const chunk = new Uint8Array(GIVE_BACK_BYTES - 1).fill(1);
  giveBack(chunk);
  expect(chunk.length).toBe(GIVE_BACK_BYTES - 1);
});

test('a view of a part of a buffer takes nothing from the others', () => {
  const whole = new Uint8Array(2 * GIVE_BACK_BYTES).fill(1);
  giveBack(whole.subarray(0, GIVE_BACK_BYTES));
  giveBack(whole.subarray(GIVE_BACK_BYTES));
  expect(whole.length).toBe(2 * GIVE_BACK_BYTES);
});

test('shared memory is left alone', () => {
  const chunk = new Uint8Array(new SharedArrayBuffer(GIVE_BACK_BYTES));
  giveBack(chunk);
  expect(chunk.length).toBe(GIVE_BACK_BYTES);
});

test('what a cipher gives goes alone', () => {
  const cipher = createCipheriv('aes-128-ctr', new Uint8Array(16), new Uint8Array(16));
  const first = cipher.update(new Uint8Array(GIVE_BACK_BYTES));
  const second = cipher.update(new Uint8Array(GIVE_BACK_BYTES));
  const kept = Uint8Array.from(second);
  giveBack(first);
  expect(first.length).toBe(0);
  expect(Uint8Array.from(second)).toEqual(kept);
});
