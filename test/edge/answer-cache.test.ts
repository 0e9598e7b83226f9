/** Answers that are kept: found until others were asked for more lately, within the bound. */
import { describe, expect, test } from 'bun:test';
import { AnswerCache } from '../../src/edge/answer-cache.ts';
import { Prng } from '../fuzz/prng.ts';

const body = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value);
const ENTRY = 128;

describe('what is kept', () => {
  test('is found by its name, and only by that', () => {
    const cache = new AnswerCache(10_000);
    expect(cache.find('a')).toBeNull();
    const one = body(100);
    cache.keep('a', one);
    expect(cache.find('a')).toBe(one);
    expect(cache.find('b')).toBeNull();
    expect(cache.heldBytes).toBe(ENTRY + 101);
    // What was kept first stays: both are the same.
    cache.keep('a', body(200));
    expect([cache.find('a'), cache.heldBytes]).toEqual([one, ENTRY + 101]);
  });

  test('goes when others were asked for more lately', () => {
    const cache = new AnswerCache(10 * (ENTRY + 1 + 871));
    for (const name of 'abcdefghij') cache.keep(name, body(871));
    cache.find('a');
    cache.keep('k', body(871));
    expect([...'abcdefghijk'].filter((name) => cache.find(name) !== null).join('')).toBe('acdefghijk');
  });

  test('is nothing that is an eighth of all', () => {
    const cache = new AnswerCache(8000);
    cache.keep('a', body(1000 - ENTRY));
    expect([cache.find('a'), cache.heldBytes]).toEqual([null, 0]);
    cache.keep('a', body(1000 - ENTRY - 1));
    expect(cache.find('a')).not.toBeNull();
  });

  test('is all gone when it is cleared', () => {
    const cache = new AnswerCache(8000);
    cache.keep('a', body(10));
    cache.clear();
    expect([cache.find('a'), cache.heldBytes]).toEqual([null, 0]);
  });
});

test('whatever is asked for, the bytes are those of what is there, and never more than the bound', () => {
  const prng = new Prng(7);
  const cache = new AnswerCache(20_000);
  const lengths = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const name = `n${prng.below(200)}`;
    const length = lengths.get(name) ?? prng.below(3000);
    lengths.set(name, length);
    const found = cache.find(name);
    if (found === null) cache.keep(name, body(length, Number(name.slice(1))));
    else
      expect([found.length, found.every((byte) => byte === Number(name.slice(1)))]).toEqual([length, true]);
    expect(cache.heldBytes).toBeLessThanOrEqual(20_000);
  }
  let held = 0;
  for (const [name, length] of lengths) if (cache.find(name) !== null) held += ENTRY + name.length + length;
  expect(cache.heldBytes).toBe(held);
});
