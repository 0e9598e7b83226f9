import { describe, expect, test } from 'bun:test';
import { parsePolicyLine } from '../../src/torrc/policy-line.ts';

function parse(value: string) {
  return parsePolicyLine('ExitPolicy', { key: 'ExitPolicy', value, prefix: '', file: 'torrc', line: 7 });
}

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
