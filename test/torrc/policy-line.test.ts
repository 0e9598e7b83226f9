import { describe, expect, test } from 'bun:test';
import { parsePolicyLine, rejectsEverything } from '../../src/torrc/policy-line.ts';

function parse(value: string) {
  return parsePolicyLine('ExitPolicy', { key: 'ExitPolicy', value, prefix: '', file: 'torrc', line: 7 });
}

describe('rejectsEverything', () => {
  const known: [string, boolean][] = [
    ['reject *:*', true],
    ['reject *', true],
    ['REJECT *:1-65535', true],
    ['reject *4:*, reject *6:*', true],
    ['reject 0.0.0.0/0:*, reject [::]/0:*', true],
    ['reject private:*, reject *:*, accept *:*', true],
    ['reject *4:*, accept *4:80, reject *6:*', true],
    ['reject6 *:*, reject *:*', true],
    ['reject *4:*', false],
    ['reject6 *:*', false],
    ['reject *:1-1024', false],
    ['accept 192.0.2.1:80, reject *:*', false],
    ['reject *4:*, accept6 *:80, reject *:*', false],
    ['', false],
  ];
  for (const [policy, expected] of known) {
    test(`"${policy}"`, () => expect(rejectsEverything(parse(policy))).toBe(expected));
  }
});

describe('parsePolicyLine', () => {
  const bad = [
    'accept',
    'deny *:*',
    'accept *:0',
    'accept *:65536',
    'accept *:90-80',
    'accept 1.2.3:80',
    'accept 1.2.3.4/33:80',
    'accept 1.2.3.4/255.0.255.0:80',
    'accept [::1]/129:80',
    'accept 1.2.3.4/8/8:80',
    'accept *:x',
  ];
  for (const policy of bad) {
    test(`refuses "${policy}"`, () => expect(() => parse(policy)).toThrow('torrc:7: ExitPolicy entry'));
  }

  test('takes masks in both forms', () => {
    expect(parse('accept 10.0.0.0/255.0.0.0:80, accept 10.0.0.0/8:80')).toHaveLength(2);
  });
});
