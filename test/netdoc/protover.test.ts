/** Subprotocol lists, on the cases that C tor's own tests have, and more. */
import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import { missingProtocols, parseProtocols, printProtocols, speaks } from '../../src/netdoc/protover.ts';

const ALL_OF_C_TOR =
  'Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=3-5 LinkAuth=3 ' +
  'Microdesc=1-3 Padding=2 Relay=2-6';

describe('protocol lists', () => {
  test.each([
    ['', ''],
    ['Foo=1,3 Bar=3 Baz= Quux=9-12,14,15-16', 'Bar=3 Foo=1,3 Quux=9-12,14-16'],
    ['Foo=1-10,63 Bar=1,3-7,8', 'Bar=1,3-8 Foo=1-10,63'],
    ['Foo=1 Foo=3', 'Foo=1,3'],
    ['Sleen=0-63', 'Sleen=0-63'],
    ['Foo=2,1', 'Foo=1-2'],
    ['  Foo=1   Bar=2 ', 'Bar=2 Foo=1'],
    [ALL_OF_C_TOR, ALL_OF_C_TOR],
  ])('%p reads and prints', (text, printed) => {
    expect(printProtocols(parseProtocols(text))).toBe(printed);
  });

  test.each([
    '!!3@*',
    'Link=4 Haprauxymatyve Desc=9',
    'Link=4 =3 Desc=9',
    'Link=fred',
    'Link=1,fred',
    'Link=1,fred,3',
    'Link=1,9-8,3',
    'Faux=-0',
    'Faux=64',
    'Faux=1-64',
    'Faux=1-4294967295',
    'Faux=1,',
    'Faux=,1',
    'Faux=1-',
    'Faux=1--2',
    'Faux=+1',
    'Fa_ux=1',
    `${'a'.repeat(101)}=1`,
  ])('%p is refused', (text) => {
    expect(() => parseProtocols(text)).toThrow(Malformed);
  });

  test('say what is spoken', () => {
    const set = parseProtocols('Link=4-5 LinkAuth=3');
    expect([3, 4, 5, 6].map((version) => speaks(set, 'Link', version))).toEqual([false, true, true, false]);
    expect(speaks(set, 'Relay', 2)).toBeFalse();
  });
});

describe('missingProtocols', () => {
  const ours = 'Link=3-5 Desc=1-4';
  test.each([
    ['', ''],
    ['Link=3-4', ''],
    ['Link=3-4 Desc=2', ''],
    ['Fribble=', ''],
    ['Wombat=9', 'Wombat=9'],
    ['Link=60', 'Link=60'],
    ['Link=3-4 Wombat=9', 'Wombat=9'],
    ['Link=3-60', 'Link=6-60'],
    ['Link=1-3,50-63', 'Link=1-2,50-63'],
    ['Link=3,5-12 Quokka=40-41', 'Link=6-12 Quokka=40-41'],
  ])('of %p it is %p', (required, missing) => {
    expect(missingProtocols(required, ours)).toBe(missing);
  });

  test('names what a middle relay still lacks on the public network', () => {
    const required =
      'Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Relay=2-4';
    const relay = 'Cons=1-2 Desc=1-4 Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4';
    expect(missingProtocols(required, relay)).toBe('DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2');
    expect(missingProtocols(required, ALL_OF_C_TOR)).toBe('');
  });
});
