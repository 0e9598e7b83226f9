import { expect, test } from 'bun:test';
import type { DirectoryAuthority } from '../../src/directory/authority.ts';
import { AuthorityPicker } from '../../src/directory/authority-picker.ts';
import { AUTHORITIES } from './chutney.ts';
import { seededRandom } from './virtual-time.ts';

test('picks by weight', () => {
  const [a, b] = AUTHORITIES.map((authority, i) => ({ ...authority, weight: i === 0 ? 3 : 1 }));
  const picker = new AuthorityPicker([a!, b!], seededRandom(1));
  let first = 0;
  for (let i = 0; i < 4000; i++) if (picker.pick() === a) first++;
  expect(first).toBeGreaterThan(2800);
  expect(first).toBeLessThan(3200);
});

test('passes over who failed while others are left, and who is busy always', () => {
  const picker = new AuthorityPicker(AUTHORITIES, seededRandom(1));
  const picked = (isFree?: (authority: DirectoryAuthority) => boolean): Set<DirectoryAuthority | null> =>
    new Set(Array.from({ length: 100 }, () => picker.pick(isFree)));
  const [a, b, c, d] = AUTHORITIES as readonly [
    DirectoryAuthority,
    DirectoryAuthority,
    DirectoryAuthority,
    DirectoryAuthority,
  ];
  picker.shun(a);
  picker.shun(b);
  expect(picked()).toEqual(new Set([c, d]));
  expect(picked((each) => each !== c)).toEqual(new Set([d]));
  // Of those that are free, all failed: they get another chance, the busy one that failed does not.
  picker.shun(c);
  expect(picked((each) => each === c || each === a)).toEqual(new Set([a, c]));
  expect(picked()).toEqual(new Set([a, c, d]));
  expect(picked(() => false)).toEqual(new Set([null]));
  picker.forgive();
  expect(picked()).toEqual(new Set(AUTHORITIES));
});
