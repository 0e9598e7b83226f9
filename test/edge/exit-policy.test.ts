import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { type AddressRule, coversHost } from '../../src/bytes/address-rule.ts';
import { ExitPolicy } from '../../src/edge/exit-policy.ts';
import { composeExitPolicy, parsePolicyEntry, REJECT_ALL } from '../../src/netdoc/exit-policy.ts';
import { Prng } from '../fuzz/prng.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const rulesOf = (list: string): AddressRule[] =>
  list.split(',').flatMap((entry) => [...parsePolicyEntry(entry)!.rules]);

/** First rule that speaks of it; nothing is cleverer about it. */
function slowly(rules: readonly AddressRule[], host: Uint8Array, port: number): boolean {
  const rule = rules.find((each) => coversHost(each, host) && each.portMin <= port && port <= each.portMax);
  return rule?.accept ?? true;
}

describe('ExitPolicy', () => {
  test('the first rule that speaks of it decides', () => {
    const policy = new ExitPolicy(
      rulesOf('reject 1.2.0.0/16:80,accept 1.0.0.0/8:*,accept *6:443,reject *:*'),
    );
    expect(policy.allows(ip('1.2.3.4'), 80)).toBe(false);
    expect(policy.allows(ip('1.2.3.4'), 81)).toBe(true);
    expect(policy.allows(ip('1.3.3.4'), 80)).toBe(true);
    expect(policy.allows(ip('2.3.3.4'), 80)).toBe(false);
    expect(policy.allows(ip('2001:db8::1'), 443)).toBe(true);
    expect(policy.allows(ip('2001:db8::1'), 80)).toBe(false);
  });

  test('what no rule speaks of is accepted', () => {
    const policy = new ExitPolicy(rulesOf('reject 1.2.3.4:*'));
    expect(policy.allows(ip('1.2.3.4'), 65535)).toBe(false);
    expect(policy.allows(ip('1.2.3.5'), 1)).toBe(true);
    expect(new ExitPolicy([]).allows(ip('::1'), 65535)).toBe(true);
  });

  test('never the address "any", never port 0', () => {
    const policy = new ExitPolicy(rulesOf('accept *:*'));
    expect(policy.allows(ip('0.0.0.0'), 80)).toBe(false);
    expect(policy.allows(ip('::'), 80)).toBe(false);
    expect(policy.allows(ip('1.2.3.4'), 0)).toBe(false);
    expect(policy.allows(ip('1.2.3.4'), 65536)).toBe(false);
    expect(policy.allowsPortSomewhere(0)).toBe(false);
    expect(policy.allowsPortSomewhere(65536)).toBe(false);
  });

  test('IPv4 in IPv6 form needs both', () => {
    const host = ip('::ffff:10.0.0.1');
    expect(new ExitPolicy(rulesOf('accept *6:*,reject *4:*')).allows(host, 80)).toBe(false);
    expect(new ExitPolicy(rulesOf('reject *6:*,accept *4:*')).allows(host, 80)).toBe(false);
    expect(new ExitPolicy(rulesOf('reject 10.0.0.0/8:*,accept *:*')).allows(host, 80)).toBe(false);
    expect(new ExitPolicy(rulesOf('accept *:*')).allows(host, 80)).toBe(true);
  });

  test('tells whether it rejects everything, by family', () => {
    const flags = (rules: readonly AddressRule[]) => {
      const policy = new ExitPolicy(rules);
      return [policy.isRejectAllIpv4, policy.isRejectAllIpv6, policy.isRejectAll];
    };
    expect(flags(REJECT_ALL)).toEqual([true, true, true]);
    expect(flags(rulesOf('reject *6:*,accept *:80,reject *:*'))).toEqual([false, true, false]);
    expect(flags(rulesOf('accept6 *:80,reject *:*'))).toEqual([true, false, false]);
    expect(flags(rulesOf('reject 0.0.0.0/1:*,reject 128.0.0.0/1:*,reject *6:*'))).toEqual([true, true, true]);
    expect(flags([])).toEqual([false, false, false]);
  });

  test('tells whether a port is accepted somewhere', () => {
    const policy = new ExitPolicy(
      rulesOf('reject *:25,accept 9.9.9.9:25,accept 8.0.0.0/8:7,accept6 *:80,reject *:*'),
    );
    expect(policy.allowsPortSomewhere(25)).toBe(false);
    expect(policy.allowsPortSomewhere(7)).toBe(true);
    expect(policy.allowsPortSomewhere(7, false, true)).toBe(false);
    expect(policy.allowsPortSomewhere(80, true, false)).toBe(false);
    expect(policy.allowsPortSomewhere(80)).toBe(true);
    expect(policy.allowsPortSomewhere(81)).toBe(false);
  });

  test('agrees with a slow search, whatever the rules', () => {
    const prng = new Prng(20261128);
    const pick = (n: number): number => prng.below(n);
    for (let round = 0; round < 40; round++) {
      const rules: AddressRule[] = [];
      for (let n = pick(60); n > 0; n--) {
        const bytes = pick(2) === 0 ? 4 : 16;
        const host = new Uint8Array(bytes).map((_, i) => (i < 2 || i > bytes - 2 ? pick(4) << 6 : 0));
        const low = 1 + pick(100);
        rules.push({
          accept: pick(2) === 0,
          host,
          bits: [0, 1, 7, 8, 9, 16, bytes * 8 - 1, bytes * 8][pick(8)]!,
          portMin: pick(3) === 0 ? 1 : low,
          portMax: pick(3) === 0 ? 65535 : low + pick(100),
        });
      }
      const policy = new ExitPolicy(rules);
      for (let probe = 0; probe < 400; probe++) {
        const bytes = pick(2) === 0 ? 4 : 16;
        const host = new Uint8Array(bytes).map((_, i) => (i < 2 || i > bytes - 2 ? pick(256) : 0));
        host[0] = host[0] || 1;
        const port = 1 + pick(210);
        expect([host, port, policy.allows(host, port)]).toEqual([host, port, slowly(rules, host, port)]);
        if (policy.allows(host, port)) expect(policy.allowsPortSomewhere(port)).toBe(true);
      }
    }
  });

  test('is made anew only for other rules', () => {
    const policy = new ExitPolicy(rulesOf('accept *:80,reject *:*'));
    expect(policy.createFrom(rulesOf('accept *:80,reject *:*'))).toBe(policy);
    const other = policy.createFrom(rulesOf('accept *:81,reject *:*'));
    expect([other.allows(ip('1.2.3.4'), 80), other.allows(ip('1.2.3.4'), 81)]).toEqual([false, true]);
  });

  test('takes thousands of addresses', () => {
    const rules = composeExitPolicy({
      rules: Array.from({ length: 5000 }, (_, i) => ({
        accept: false,
        host: Uint8Array.of(20, i >> 8, i & 255, 7),
        bits: 32,
        portMin: 1,
        portMax: 65535,
      })),
      ipv6Exit: true,
      rejectPrivate: true,
      rejectHosts: [],
      end: 'reduced',
    });
    const policy = new ExitPolicy(rules);
    expect(policy.allows(Uint8Array.of(20, 10, 1, 7), 443)).toBe(false);
    expect(policy.allows(Uint8Array.of(20, 10, 1, 8), 443)).toBe(true);
    expect(policy.allows(Uint8Array.of(20, 10, 1, 8), 25)).toBe(false);
  });
});
