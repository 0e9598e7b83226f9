/** The exit side of the control plane: the policy in force, and whom workers are told to ask for names. */

import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIp, printEndpoint } from '../../src/bytes/address.ts';
import { ExitSide, NO_EXIT } from '../../src/daemon/exit-side.ts';
import { setLogSink } from '../../src/log.ts';
import { NO_PARAMS, type ParamName, paramValue } from '../../src/netdoc/consensus-params.ts';
import { printRule } from '../../src/netdoc/exit-policy.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import type { RelayOptions } from '../../src/torrc/relay-options.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

let at = '';
let said: string[] = [];

beforeEach(() => {
  at = mkdtempSync(join(tmpdir(), 'onionrelay-exit-'));
  said = [];
  setLogSink(({ severity, text }) => said.push(`${severity} ${text}`));
});

afterEach(() => {
  setLogSink(null);
  rmSync(at, { recursive: true, force: true });
});

function optionsOf(lines: readonly string[]): RelayOptions {
  const text = ['ORPort 9001', `ServerDNSResolvConfFile ${at}/resolv.conf`, ...lines].join('\n');
  return buildOptions({
    layers: [parseTorrc(text, 'torrc', () => 'none')],
    torrcName: 'torrc',
    home: '/root',
  }).options;
}

const ip = (text: string): Uint8Array => parseIp(text)!;

/** An exit side whose torrc can be changed, and what it asked its daemon for. */
function exitSide(...lines: string[]) {
  const now = { options: optionsOf(lines), ipv4: '203.0.113.1' };
  const changes: (string | null)[] = [];
  const side = new ExitSide({
    options: () => now.options,
    address: () => ({ ipv4: { host: ip(now.ipv4), port: 9001 }, ipv6: null, problem: null }) as never,
    listened: () => [ip('203.0.113.2'), ip('0.0.0.0')],
    onChange: (reason) => changes.push(reason),
    interfaces: () => [ip('2001:db8::9'), ip('203.0.113.3'), ip('10.0.0.1')],
  });
  return { side, now, changes };
}

const params = (side: ExitSide, set: Partial<Record<ParamName, number>> = {}) =>
  side.params((name) => set[name] ?? paramValue(NO_PARAMS, name));
const rules = (side: ExitSide) => side.rules.map((rule) => printRule(rule, 'torrc'));
const conf = (text: string) => writeFileSync(join(at, 'resolv.conf'), text);

describe('the policy', () => {
  test('rejects everything unless torrc makes us an exit', () => {
    const { side } = exitSide();
    side.start();
    expect(rules(side)).toEqual(['reject *4:*', 'reject *6:*']);
    expect(side.published()).toEqual({ policy: ['reject *:*'], ipv6Policy: null });
    expect(said.filter((line) => line.includes('no exit, as by default'))).toHaveLength(1);
  });

  test('of a relay that is no exit is that of a client, which has no nameserver either', () => {
    const { dns, ...rest } = params(exitSide().side);
    expect({ ...rest, dns: NO_EXIT.dns }).toEqual(NO_EXIT);
    const { generation, nameservers, testNames } = NO_EXIT.dns;
    expect({ ...dns, generation, nameservers, testNames }).toEqual(NO_EXIT.dns);
  });

  test('says nothing of it when torrc decided', () => {
    exitSide('ExitRelay 0').side.start();
    exitSide('BridgeRelay 1').side.start();
    expect(said).toEqual([]);
  });

  test('our own addresses are rejected, and change with us', () => {
    conf('nameserver 127.0.0.1');
    const { side, now } = exitSide(
      'ExitPolicy accept *:443,reject *:*',
      'ExitPolicyRejectPrivate 1',
      'ExitPolicyRejectLocalInterfaces 1',
      'OutboundBindAddressExit 203.0.113.4',
      'DirPort 203.0.113.5:80 NoAdvertise',
      'IPv6Exit 1',
    );
    side.start();
    const private_ = rules(side).indexOf('reject [::]/127:*');
    expect(private_).toBe(-1); // [::]/8 covers it.
    const own = rules(side).filter((rule) => rule.includes('203.0.113') || rule.includes('2001'));
    expect(own).toEqual([
      'reject 203.0.113.1:*',
      'reject 203.0.113.4:*',
      'reject 203.0.113.2:*',
      'reject 203.0.113.5:*',
      'reject 203.0.113.3:*',
      'reject [2001:db8::9]:*',
    ]);
    now.ipv4 = '203.0.113.77';
    expect(rules(side)).toContain('reject 203.0.113.77:*');
    expect(side.rules).toBe(side.rules);
    expect(side.published().ipv6Policy).toBe('accept 443');
    now.options = optionsOf(['ExitPolicy accept *:443,reject *:*', 'ExitPolicyRejectPrivate 0']);
    expect(rules(side)).toEqual(['reject *6:*', 'accept *4:443', 'reject *4:*']);
  });

  test('what workers get', () => {
    conf('nameserver 127.0.0.1');
    const { side } = exitSide('ExitRelay 1', 'OutboundBindAddress 203.0.113.8', 'ReevaluateExitPolicy 1');
    side.start();
    expect(params(side)).toMatchObject({
      ipv6Exit: false,
      refuseUnknown: true,
      allowReentry: false,
      reevaluate: true,
      bindIpv4: '203.0.113.8',
      bindIpv6: null,
    });
    expect(params(side, { refuseunknownexits: 0, 'allow-network-reentry': 1 })).toMatchObject({
      refuseUnknown: false,
      allowReentry: true,
    });
    const strict = exitSide(
      'ExitRelay 1',
      'RefuseUnknownExits 1',
      'OutboundBindAddressExit 203.0.113.9',
    ).side;
    expect(params(strict, { refuseunknownexits: 0 })).toMatchObject({
      refuseUnknown: true,
      bindIpv4: '203.0.113.9',
    });
  });
});

describe('the resolver configuration', () => {
  const servers = (side: ExitSide) => params(side).dns.nameservers.map(printEndpoint);

  test('is read at the start and when it changes', () => {
    conf('nameserver 127.0.0.1:5301\nsearch a.example\noptions ndots:2');
    const { side, changes } = exitSide('ExitRelay 1', 'ServerDNSSearchDomains 1');
    side.start();
    expect(servers(side)).toEqual(['127.0.0.1:5301']);
    expect(params(side).dns).toMatchObject({ search: ['a.example'], ndots: 2, generation: 1 });
    side.tick(1000);
    expect(changes).toEqual([]);
    conf('nameserver 127.0.0.1:5302\nnameserver 127.0.0.1:5303');
    side.tick(2000);
    expect(changes).toEqual([]);
    side.tick(6000);
    expect(changes).toEqual([null]);
    expect(servers(side)).toEqual(['127.0.0.1:5302', '127.0.0.1:5303']);
    expect(params(side).dns.generation).toBe(2);
    side.reload();
    expect(params(side).dns.generation).toBe(2);
    conf('nameserver 127.0.0.1:5304');
    side.reload();
    expect(params(side).dns.generation).toBe(3);
  });

  test('search domains only if torrc wants them; timeouts from the consensus, as C tor counts them', () => {
    conf('nameserver 127.0.0.1\nsearch a.example');
    const { side } = exitSide(
      'ExitRelay 1',
      'ServerDNSRandomizeCase 0',
      'ServerDNSAllowNonRFC953Hostnames 1',
    );
    side.start();
    expect(params(side).dns).toMatchObject({
      search: [],
      randomizeCase: false,
      allowNonRfc953: true,
      timeoutMs: 1000,
      attempts: 2,
      detectHijacking: true,
    });
    expect(params(side, { exit_dns_timeout: 3000, exit_dns_num_attempts: 0 }).dns).toMatchObject({
      timeoutMs: 3000,
      attempts: 1,
    });
    expect(params(side, { exit_dns_timeout: 5 }).dns.timeoutMs).toBe(1000);
  });

  test('none, or an empty one: 127.0.0.1 is asked, and the operator is told once', () => {
    const { side } = exitSide('ExitRelay 1');
    side.start();
    expect(servers(side)).toEqual(['127.0.0.1:53']);
    expect(said.filter((line) => line.startsWith('warn'))).toHaveLength(2);
    side.tick(10_000);
    side.reload();
    expect(said.filter((line) => line.startsWith('warn'))).toHaveLength(2);
    expect(rules(side)).not.toEqual(['reject *4:*', 'reject *6:*']);
    conf('');
    side.tick(20_000);
    expect(servers(side)).toEqual(['127.0.0.1:53']);
    expect(said.at(-1)).toContain('No nameserver is named in');
  });

  test('one that cannot be read: no exit until it can', () => {
    // A folder cannot be read, not even by root.
    const { side, changes, now } = exitSide('ExitRelay 1', `ServerDNSResolvConfFile ${at}`);
    side.start();
    expect(rules(side)).toEqual(['reject *4:*', 'reject *6:*']);
    expect(said.at(-1)).toContain('This relay is no exit until it can be read');
    now.options = optionsOf(['ExitRelay 1']);
    conf('nameserver 127.0.0.1');
    side.tick(10_000);
    expect(changes).toEqual(['dns resolvers back']);
    expect(rules(side)).not.toEqual(['reject *4:*', 'reject *6:*']);
  });

  test('a reload that finds it gone, or back, has a new descriptor made', () => {
    conf('nameserver 127.0.0.1');
    const { side, changes, now } = exitSide('ExitRelay 1');
    side.start();
    side.reload();
    expect(changes).toEqual([]);
    now.options = optionsOf(['ExitRelay 1', `ServerDNSResolvConfFile ${at}`]);
    side.reload();
    side.tick(10_000);
    now.options = optionsOf(['ExitRelay 1']);
    side.reload();
    expect(changes).toEqual(['dns resolvers failed', 'dns resolvers back']);
  });

  test('ServerDNSAllowBrokenConfig 0 refuses to start without', () => {
    const lines = ['ExitRelay 1', `ServerDNSResolvConfFile ${at}`, 'ServerDNSAllowBrokenConfig 0'];
    expect(() => exitSide(...lines).side.start()).toThrow(
      `${at}: the resolver configuration cannot be read, and ServerDNSAllowBrokenConfig is 0`,
    );
  });

  test('nobody who is no exit reads it', () => {
    const { side } = exitSide('ExitRelay 0', `ServerDNSResolvConfFile ${at}`, 'ServerDNSAllowBrokenConfig 0');
    side.start();
    side.tick(10_000);
    side.reload();
    expect(said).toEqual([]);
  });
});

describe('what workers learn of nameservers', () => {
  const hijackedHosts = [ip('203.0.113.80')];

  test('is forgotten with the nameservers, and a new descriptor says so', () => {
    conf('nameserver 127.0.0.1');
    const { side, changes } = exitSide('ExitRelay 1');
    side.start();
    side.onReport({ generation: 1, hijackedHosts, useless: true });
    conf('nameserver 127.0.0.2');
    side.tick(10_000);
    expect(changes).toEqual(['dns hijacking confirmed', 'dns resolvers back']);
    expect(side.published().policy).not.toEqual(['reject *:*']);
  });

  test('goes to all workers; useless nameservers end the exit until the configuration changes', () => {
    conf('nameserver 127.0.0.1');
    const { side, changes } = exitSide('ExitRelay 1');
    side.start();
    side.onReport({ generation: 1, hijackedHosts, useless: false });
    side.onReport({ generation: 1, hijackedHosts, useless: false });
    expect(changes).toEqual([null]);
    expect(params(side).dns.hijackedHosts).toEqual(hijackedHosts);
    side.onReport({ generation: 1, hijackedHosts, useless: true });
    expect(changes).toEqual([null, 'dns hijacking confirmed']);
    expect(side.published().policy).toEqual(['reject *:*']);
    // Workers go on testing, so that it can be told when it is over.
    expect(params(side).dns.detectHijacking).toBe(true);
    conf('nameserver 127.0.0.1:5353');
    side.reload();
    expect(params(side).dns).toMatchObject({ hijackedHosts: [], generation: 2 });
    expect(side.published().policy).not.toEqual(['reject *:*']);
  });

  test('of an earlier configuration does not count', () => {
    conf('nameserver 127.0.0.1');
    const { side, changes } = exitSide('ExitRelay 1');
    side.start();
    side.onReport({ generation: 0, hijackedHosts, useless: true });
    expect(changes).toEqual([]);
  });
});
