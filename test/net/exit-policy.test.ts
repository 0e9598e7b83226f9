/**
 * Exit policies of torrcs, ours and C tor's: the policy lines of the descriptor, its ipv6-policy, and the whole policy as
 * the control port tells it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIp } from '../../src/bytes/address.ts';
import { ExitSide } from '../../src/daemon/exit-side.ts';
import { printRule, rejectsAll } from '../../src/netdoc/exit-policy.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';
import { type CTor, startCTor } from './c-tor.ts';
import { ControlPort } from './control-port.ts';
import { needsCTor } from './network.ts';

const ADDRESS = '203.0.113.7';

/** Lines of a torrc, option and value apart. */
const CASES: readonly (readonly (readonly [string, string])[])[] = [
  [
    ['ExitRelay', '0'],
    ['ExitPolicy', 'accept *:*'],
  ],
  [['ExitRelay', '1']],
  [
    ['ExitRelay', '1'],
    ['IPv6Exit', '1'],
  ],
  [['ReducedExitPolicy', '1']],
  [
    ['ReducedExitPolicy', '1'],
    // C tor 0.4.9.11 ends on an assertion when neither line nor option leaves a rule before the default policy.
    ['ExitPolicy', 'accept *:25'],
    ['IPv6Exit', '1'],
    ['ExitPolicyRejectPrivate', '0'],
  ],
  [['ExitPolicy', 'reject *:*']],
  [
    ['ExitPolicy', 'accept *:80,accept *:443'],
    ['ExitPolicy', 'reject *:*'],
  ],
  [
    ['ExitPolicy', 'reject *:80'],
    ['ExitPolicyRejectPrivate', '0'],
    ['IPv6Exit', '1'],
  ],
  [
    ['ExitPolicy', 'accept6 [2001:db8::]/32:443,reject6 *:*,accept 198.51.100.7:1-1024'],
    ['IPv6Exit', '1'],
  ],
  [
    ['ExitPolicy', 'accept 10.1.2.3:80,reject private:*,accept *4:*'],
    ['ExitPolicyRejectPrivate', '0'],
  ],
  [
    [
      'ExitPolicy',
      'accept 43.3.0.0/9:*,accept 43.0.0.0/8:80,reject 43.3.7.7/255.255.0.0:81,accept *:6660-6669',
    ],
  ],
  [
    ['ExitPolicy', 'reject 1.0.0.0/8:80,accept 1.2.3.4:80,accept *:*,reject *:*'],
    ['IPv6Exit', '1'],
  ],
  [
    ['ExitPolicyRejectLocalInterfaces', '1'],
    ['ExitRelay', '1'],
    ['OutboundBindAddressExit', '198.51.100.9'],
  ],
  [
    ['ExitPolicyRejectLocalInterfaces', '1'],
    ['ExitPolicyRejectPrivate', '0'],
    ['IPv6Exit', '1'],
    ['OutboundBindAddress', '198.51.100.9'],
    ['OutboundBindAddressOR', '198.51.100.8'],
    ['OutboundBindAddressExit', '2001:db8::8'],
  ],
  [
    ['BridgeRelay', '1'],
    ['ExitPolicy', 'accept *:443'],
    ['ExitRelay', '1'],
  ],
  [
    ['ExitPolicy', 'reject 0.0.0.0/1:80,reject 128.0.0.0/1:80,reject6 2000::/3:443'],
    ['IPv6Exit', '1'],
  ],
];

/** What a descriptor says of exiting. */
const policyLines = (descriptor: string) =>
  descriptor.split('\n').filter((line) => /^(accept|reject|ipv6-policy)\b/.test(line));

describe.skipIf(!needsCTor('test/net/exit-policy'))('policies as C tor prints them', () => {
  let tor: CTor;
  let control: ControlPort;
  let scratch = '';

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'onionrelay-policy-'));
    const portFile = join(scratch, 'port');
    writeFileSync(join(scratch, 'resolv.conf'), 'nameserver 127.0.0.1:1\n');
    tor = await startCTor([
      'ORPort 127.0.0.1:auto',
      `Address ${ADDRESS}`,
      'AssumeReachable 1',
      'PublishServerDescriptor 0',
      `ServerDNSResolvConfFile ${scratch}/resolv.conf`,
      'ServerDNSDetectHijacking 0',
      'ControlPort 127.0.0.1:auto',
      `ControlPortWriteToFile ${portFile}`,
    ]);
    for (let i = 0; !existsSync(portFile) && i < 600; i++) await Bun.sleep(50);
    control = await ControlPort.open(Number(/:(\d+)/.exec(readFileSync(portFile, 'utf8'))![1]));
  }, 60_000);

  afterAll(async () => {
    control?.close();
    await tor?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  for (const lines of CASES) {
    const torrc = lines.map(([name, value]) => `${name} ${value}`);
    test(torrc.join('; '), async () => {
      // In a test network ExitPolicyRejectPrivate would be off.
      const settings = lines.some(([name]) => name === 'ExitPolicyRejectPrivate')
        ? lines
        : [...lines, ['ExitPolicyRejectPrivate', '1'] as const];
      await control.command(`SETCONF ${settings.map(([name, value]) => `${name}="${value}"`).join(' ')}`);
      const fresh = await control.command('GETINFO status/fresh-relay-descs');

      const ours = exitSideOf(settings.map(([name, value]) => `${name} ${value}`));
      const { policy, ipv6Policy } = ours.published();
      const router = fresh.lines.join('\n').split('\nextra-info ')[0]!;
      expect([...policy, ...(ipv6Policy === null ? [] : [`ipv6-policy ${ipv6Policy}`])]).toEqual(
        policyLines(router),
      );
      const whole = rejectsAll(ours.rules)
        ? ['reject *:*']
        : ours.rules.map((rule) => printRule(rule, 'descriptor'));
      // The control port tells the policy of the descriptor in use, which C tor makes anew a little later.
      let full: string[] = [];
      for (let i = 0; i < 200 && !Bun.deepEquals(full, whole); i++) {
        if (i > 0) await Bun.sleep(50);
        full = ((await control.getInfo('exit-policy/full')) ?? '').split('\n');
      }
      expect(full).toEqual(whole);
      const names = [...new Set(settings.map(([name]) => name))];
      await control.command(`RESETCONF ${names.join(' ')}`);
    }, 30_000);
  }

  function exitSideOf(lines: readonly string[]): ExitSide {
    const text = [
      'ORPort 127.0.0.1:9001',
      `Address ${ADDRESS}`,
      `ServerDNSResolvConfFile ${scratch}/resolv.conf`,
      ...lines,
    ].join('\n');
    const { options } = buildOptions({
      layers: [parseTorrc(text, 'torrc', () => 'none')],
      torrcName: 'torrc',
      home: '/root',
    });
    const side = new ExitSide({
      options: () => options,
      address: () => ({ ipv4: { host: parseIp(ADDRESS)!, port: 9001 }, ipv6: null, problem: null }) as never,
      listened: () => [parseIp('127.0.0.1')!],
      onChange: () => {},
    });
    side.start();
    return side;
  }
});
