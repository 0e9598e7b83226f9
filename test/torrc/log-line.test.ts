import { describe, expect, test } from 'bun:test';
import { DOMAINS } from '../../src/log.ts';
import { defaultLogRule, parseLogLine } from '../../src/torrc/log-line.ts';

function parse(value: string) {
  return parseLogLine(
    { key: 'Log', value, prefix: '', file: 'torrc', line: 3 },
    (path) => `/expanded/${path}`,
  );
}

describe('parseLogLine', () => {
  test('a severity reaches up to err', () => {
    const { domains, target, where } = parse('warn');
    expect([domains.notice, domains.warn, domains.err]).toEqual([[], [...DOMAINS], [...DOMAINS]]);
    expect([target, where]).toEqual([{ kind: 'stdout' }, 'torrc:3']);
  });

  test('a range ends where it says; an upside-down one is empty', () => {
    expect(parse('debug-info stderr').domains.notice).toEqual([]);
    expect(Object.values(parse('err-notice stderr').domains).flat()).toEqual([]);
  });

  test('domains are chosen, excluded, or both', () => {
    expect(parse('[or, NET]info').domains.info).toEqual(['net', 'or']);
    expect(parse('[~or]info').domains.info).toEqual(DOMAINS.filter((domain) => domain !== 'or'));
    expect(parse('[*,~or]info').domains.info).toHaveLength(DOMAINS.length - 1);
  });

  test('paths keep their blanks and are expanded', () => {
    expect(parse('notice FILE my log').target).toEqual({ kind: 'file', path: '/expanded/my log' });
  });

  for (const value of [
    '',
    'loud',
    'notice-loud',
    '[or',
    '[or]',
    '[tea]info',
    'notice stdout x',
    'notice file',
  ]) {
    test(`refuses "${value}"`, () => expect(() => parse(value)).toThrow('torrc:3: Log '));
  }

  test('there is a rule for torrcs without Log', () => {
    expect(defaultLogRule('notice')).toMatchObject({ target: { kind: 'stdout' } });
    expect(defaultLogRule('notice').domains.info).toEqual([]);
  });
});
