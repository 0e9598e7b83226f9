import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { coversHost } from '../../src/bytes/address-rule.ts';
import {
  composeExitPolicy,
  DEFAULT_EXIT_POLICY,
  descriptorPolicy,
  type ExitPolicyWish,
  firstRedundant,
  parsePolicyEntry,
  printRule,
  REDUCED_EXIT_POLICY,
  REJECT_ALL,
  rejectsAll,
  rejectsFamily,
  withoutRedundancies,
} from '../../src/netdoc/exit-policy.ts';
import { readOutcomes } from '../vectors/read.ts';

const VECTORS = 'netdoc/c-tor-exit-policies.txt';

const rulesOf = (list: string) =>
  list.split(',').flatMap((entry) => {
    const parsed = parsePolicyEntry(entry);
    if (parsed === null) throw new Error(entry);
    return [...parsed.rules];
  });

const printed = (rules: ReturnType<typeof rulesOf>) => rules.map((rule) => printRule(rule, 'torrc'));

const wish = (more: Partial<ExitPolicyWish>): ExitPolicyWish => ({
  rules: [],
  ipv6Exit: true,
  rejectPrivate: false,
  rejectHosts: [],
  end: 'reject',
  ...more,
});

describe('entries, as C tor and Arti read them', () => {
  for (const [entry, outcome] of readOutcomes(VECTORS, 'entry')) {
    test(`${entry} is ${outcome}`, () => {
      const parsed = parsePolicyEntry(entry!);
      const said = parsed === null ? 'bad' : parsed.rules.length === 0 ? 'ignored' : 'ok';
      expect(said).toBe(outcome!);
    });
  }
  for (const [pattern, outcome] of readOutcomes(VECTORS, 'match')) {
    test(`${pattern} ${outcome}`, () => {
      const [range, host, port] = pattern!.split(' ');
      const matches = rulesOf(`accept ${range}`).some(
        (rule) =>
          coversHost(rule, parseIp(host!)!) && rule.portMin <= Number(port) && Number(port) <= rule.portMax,
      );
      expect(matches).toBe(outcome === 'yes');
    });
  }
});

describe('parsePolicyEntry', () => {
  test('takes words apart', () => {
    expect(printed(rulesOf('reject *:25'))).toEqual(['reject *4:25', 'reject *6:25']);
    expect(printed(rulesOf('reject6 *:25'))).toEqual(['reject *6:25']);
    expect(printed(rulesOf('accept *4:80'))).toEqual(['accept *4:80']);
    expect(rulesOf('reject private:80')).toHaveLength(12);
    expect(printed(rulesOf('reject private:80')).at(-1)).toBe('reject [::]/127:80');
  });

  test('reads masks, ranges and addresses with and without brackets', () => {
    expect(printed(rulesOf('accept 192.0.2.0/255.255.255.0:80-90'))).toEqual(['accept 192.0.2.0/24:80-90']);
    expect(printed(rulesOf('accept 192.0.2.1'))).toEqual(['accept 192.0.2.1:*']);
    expect(printed(rulesOf('accept [2001:db8::1]:80'))).toEqual(['accept [2001:db8::1]:80']);
    expect(printed(rulesOf('accept 2001:db8::/32'))).toEqual(['accept [2001:db8::]/32:*']);
    expect(printed(rulesOf('accept 2001:db8::/32:443'))).toEqual(['accept [2001:db8::]/32:443']);
    expect(printed(rulesOf('accept [192.0.2.7]:80'))).toEqual(['accept 192.0.2.7:80']);
  });

  test('tells what it is odd about', () => {
    expect(parsePolicyEntry('accept6 1.2.3.4:*')).toEqual({ rules: [], oddity: 'ipv4-after-6' });
    expect(parsePolicyEntry('reject6 private:*')?.oddity).toBe('private-after-6');
    expect(parsePolicyEntry('reject private:*')?.oddity).toBeNull();
  });

  for (const bad of [
    'accept',
    'accept *:80 more',
    'Accept *:80',
    'accept private',
    'accept privateer:80',
    'accept *:0',
    'accept *:0-80',
    'accept *:65536',
    'accept *:80-',
    'accept *:-80',
    'accept 1.2.3.4/255.0.255.0:80',
    'accept [::1]x:80',
    'accept [::1]/255.0.0.0:80',
    'accept 1.2.3:80',
  ]) {
    test(`refuses "${bad}"`, () => expect(parsePolicyEntry(bad)).toBeNull());
  }

  test('in a descriptor * is IPv4, and there is no *4 and *6', () => {
    expect(parsePolicyEntry('accept *:80', 'descriptor')?.rules).toEqual(rulesOf('accept *4:80'));
    expect(parsePolicyEntry('accept *4:80', 'descriptor')).toBeNull();
    expect(parsePolicyEntry('accept6 *:80', 'descriptor')?.rules).toEqual(rulesOf('accept *6:80'));
  });
});

test('printing for a descriptor', () => {
  const print = (entry: string) => printRule(rulesOf(entry)[0]!, 'descriptor');
  expect(print('reject6 [FC00::]/7:*')).toBe('reject6 [fc00::]/7:*');
  expect(print('accept6 *:80')).toBe('accept6 *:80');
  expect(print('accept 8.8.8.8/32:1-65535')).toBe('accept 8.8.8.8:*');
  expect(print('accept 8.8.8.0/24:7')).toBe('accept 8.8.8.0/24:7');
});

describe('what a policy rejects', () => {
  test('all of a family, as C tor tells', () => {
    expect(rejectsFamily(rulesOf('reject 192.168.0.0/16:*'), 4)).toBe(true);
    expect(rejectsFamily(rulesOf('accept6 *:*'), 4)).toBe(true);
    expect(rejectsFamily(rulesOf('accept6 *:*'), 16)).toBe(false);
    expect(rejectsFamily(rulesOf('reject *:25,accept *:*'), 4)).toBe(false);
    expect(rejectsFamily(rulesOf('reject *:*,accept *:80'), 4)).toBe(true);
    expect(rejectsAll(REJECT_ALL)).toBe(true);
    expect(rejectsAll(rulesOf('reject *4:*,accept *6:80'))).toBe(false);
  });

  test('a descriptor has only IPv4 rules', () => {
    expect(descriptorPolicy(rulesOf('reject *:25,accept [2001:db8::]/32:*,accept *:*'))).toEqual([
      'reject *:25',
      'accept *:*',
    ]);
    expect(descriptorPolicy(rulesOf('reject *:*'))).toEqual(['reject *:*']);
  });
});

describe('redundancies', () => {
  test('four rules are left of C tor’s example', () => {
    const rules = composeExitPolicy(
      wish({ rules: rulesOf('accept *:80,reject private:*,reject *:*'), end: 'default' }),
    );
    expect(printed(rules)).toEqual(['accept *4:80', 'accept *6:80', 'reject *4:*', 'reject *6:*']);
  });

  test('a rule stays whose later cover has a contrary one before it', () => {
    expect(
      printed(withoutRedundancies(rulesOf('accept 1.0.0.0/8:80,reject 1.0.0.0/16:80,accept *4:*'))),
    ).toEqual(['accept *4:*']);
    expect(
      printed(withoutRedundancies(rulesOf('accept 1.0.0.0/24:80,reject 1.0.0.0/16:80,accept *4:*'))),
    ).toEqual(['accept 1.0.0.0/24:80', 'reject 1.0.0.0/16:80', 'accept *4:*']);
    expect(
      printed(withoutRedundancies(rulesOf('accept 2.0.0.0/24:80,reject 1.0.0.0/16:80,accept *4:*'))),
    ).toEqual(['reject 1.0.0.0/16:80', 'accept *4:*']);
  });

  test('the first rule in vain is found, of torrc’s own', () => {
    expect(firstRedundant(rulesOf('reject *:*'))).toBeNull();
    expect(firstRedundant(rulesOf('accept *:80,reject *4:*,accept 1.2.3.4:25,reject *6:*'))).toBeNull();
    const found = firstRedundant(rulesOf('reject *:*,accept 1.2.3.4:25'));
    expect(printRule(found!, 'torrc')).toBe('accept 1.2.3.4:25');
  });
});

describe('composeExitPolicy', () => {
  test('IPv6Exit 0 rejects IPv6 before all', () => {
    const rules = composeExitPolicy(wish({ rules: rulesOf('accept *:*'), ipv6Exit: false }));
    expect(printed(rules)).toEqual(['reject *6:*', 'accept *4:*']);
  });

  test('own addresses are rejected, once, unless they are private or IPv6 is off', () => {
    const rejectHosts = ['1.2.3.4', '10.1.1.1', '2001:db8::1', '1.2.3.4', '0.0.0.0', '224.0.0.1', '::'].map(
      (text) => parseIp(text)!,
    );
    const rules = rulesOf('accept *:*');
    expect(printed(composeExitPolicy(wish({ rules, rejectHosts })))).toEqual([
      'reject 1.2.3.4:*',
      'reject [2001:db8::1]:*',
      'accept *4:*',
      'accept *6:*',
    ]);
    expect(printed(composeExitPolicy(wish({ rules, rejectHosts, ipv6Exit: false })))).toEqual([
      'reject *6:*',
      'reject 1.2.3.4:*',
      'accept *4:*',
    ]);
  });

  test('the ends', () => {
    expect(printed(composeExitPolicy(wish({})))).toEqual(['reject *4:*', 'reject *6:*']);
    expect(composeExitPolicy(wish({ end: 'default' }))).toEqual(rulesOf(DEFAULT_EXIT_POLICY));
    expect(composeExitPolicy(wish({ end: 'reduced' }))).toEqual(rulesOf(REDUCED_EXIT_POLICY));
    // What torrc says goes before, and makes rules of the end redundant.
    const rules = composeExitPolicy(wish({ rules: rulesOf('accept *:25'), end: 'default' }));
    expect(printed(rules).slice(0, 3)).toEqual(['reject *4:119', 'reject *6:119', 'reject *4:135-139']);
  });
});
