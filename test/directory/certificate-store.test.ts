import { expect, test } from 'bun:test';
import { CertificateStore, summariseProblems } from '../../src/directory/certificate-store.ts';

test('problems make one line, however many there are', () => {
  expect(summariseProblems(['a'])).toBe('a');
  expect(summariseProblems(['a', 'b', 'c'])).toBe('a; b; c');
  expect(summariseProblems(Array.from({ length: 500 }, (_, i) => `p${i}`))).toBe('p0; p1; p2; and 497 more');
});

test('a store without authorities keeps nothing and misses nothing', () => {
  const store = new CertificateStore([]);
  expect(store.add(new Uint8Array(0))).toEqual({ added: [], unknown: 0, problems: [] });
  expect(store.all()).toEqual([]);
  expect(store.missing(0)).toEqual([]);
  expect(store.print()).toEqual(new Uint8Array(0));
});
