/** The torrcs of a test network's relays are ones that our relay takes, and keep them on loopback. */
import { describe, expect, test } from 'bun:test';
import { isLoopback } from '../../src/bytes/address.ts';
import { castRelays } from '../../src/testnet/cast.ts';
import { relayTorrc } from '../../src/testnet/relay-torrc.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const LINE = `DirAuthority authority orport=5001 no-v2 v3ident=${'A'.repeat(40)} 127.0.0.1:7001 ${'B'.repeat(40)}`;
const PLAN = { authorityLine: LINE, resolvConf: '/nowhere/resolv.conf' };

function build(role: string, orPort = 'auto') {
  const part = castRelays(3, 1).find((one) => one.role === role)!;
  const text = relayTorrc(part, `/nowhere/${part.nickname}`, orPort, PLAN);
  const lines = parseTorrc(text, 'torrc', () => []);
  return { text, built: buildOptions({ layers: [[], lines, []], torrcName: 'torrc', home: null }) };
}

describe.each(['guard', 'middle', 'exit'])('the torrc of a %s', (role) => {
  const { text, built } = build(role);
  const { options } = built;

  test('is taken', () => {
    expect(options.testingTorNetwork).toBe(true);
    expect(options.dirAuthorities.map(({ text: line }) => `DirAuthority ${line}`)).toEqual([LINE]);
    expect(options.numCpus).toBe(1);
  });

  test('names no address but loopback ones', () => {
    for (const [address] of text.matchAll(/\b\d+\.\d+\.\d+\.\d+\b/g)) {
      expect(isLoopback(Uint8Array.from(address.split('.').map(Number)))).toBe(true);
    }
    expect(text).toContain('\nORPort 127.0.0.1:auto\n');
  });

  test('makes it what it is to be', () => {
    expect(/^DirCache 1$/m.test(text)).toBe(role === 'guard');
    expect(/^ExitPolicy accept/m.test(text)).toBe(role === 'exit');
    // An exit may be asked for anything, but leaves from loopback, from where nothing gets out.
    expect(/^OutboundBindAddressExit 127\.0\.0\.1$/m.test(text)).toBe(role === 'exit');
    expect(/^ServerDNSResolvConfFile \/nowhere\/resolv\.conf$/m.test(text)).toBe(role === 'exit');
  });
});

test('a port that is given is the one that is listened on', () => {
  expect(build('guard', '5001').text).toContain('ORPort 127.0.0.1:5001\n');
});
