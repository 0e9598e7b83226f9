/**
 * Names that a C tor client asks for through one of ours as exit, and through a C tor exit with the same nameserver:
 * what clients get, what the nameserver is asked, and what becomes of it when nameservers die, come back and change.
 *
 * The network: an authority, a relay and an exit of C tor, one of ours, a C tor client. Tests run in this order.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseIp } from '../../src/bytes/address.ts';
import { RecordType, ResponseCode } from '../../src/dns/message.ts';
import { type Answerer, TestNameserver } from '../dns/nameserver.ts';
import { warningsAgainst } from './c-tor-warnings.ts';
import { findEntry } from './consensus-entry.ts';
import type { ControlPort } from './control-port.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { socksResolve, socksReverse } from './socks-resolve.ts';

const { A, AAAA, PTR } = RecordType;
const WAIT_MS = 100_000;
const DEADLINE_MS = 240_000;

const ADDRESSES: Readonly<Record<string, readonly [string | null, string | null]>> = {
  'www.example.org': ['192.0.2.1', null],
  'both.example.org': ['192.0.2.2', '2001:db8::2'],
  'six.example.org': [null, '2001:db8::6'],
  // Of /etc/hosts, with another address: neither of us reads it.
  localhost: ['192.0.2.99', null],
};

const zone: Answerer = ({ name, type }) => {
  const lower = name.toLowerCase();
  if (type === PTR) {
    if (lower !== '7.2.0.192.in-addr.arpa') return { code: ResponseCode.NAME };
    return { records: [{ type: PTR, data: 'Seven.example.org' }] };
  }
  if (lower === 'broken.example.org') return { code: ResponseCode.SERVER_FAILED };
  const known = ADDRESSES[lower];
  if (known === undefined) return { code: ResponseCode.NAME };
  const address = type === A ? known[0] : type === AAAA ? known[1] : null;
  return address === null ? {} : { records: [{ type, data: parseIp(address)! }] };
};

describe.skipIf(!needsCTor('test/net/exit-dns'))('names over an exit', () => {
  let net: Network;
  let client: ControlPort;
  let nameserver: TestNameserver;
  let confFile = '';

  const useNameserver = (port: number) => writeFileSync(confFile, `nameserver 127.0.0.1:${port}\n`);

  beforeAll(async () => {
    nameserver = await TestNameserver.start(zone);
    const dns = ['ServerDNSDetectHijacking 0', 'IPv6Exit 1', 'ExitPolicyRejectPrivate 0'];
    const plans: NodePlan[] = [
      { name: 'auth1', software: 'tor', role: 'authority' },
      { name: 'relay1', software: 'tor', role: 'relay' },
      { name: 'exit1', software: 'tor', role: 'exit', torrc: [...dns] },
      {
        name: 'ours',
        software: 'onionrelay',
        role: 'relay',
        torrc: ['ExitRelay 1', 'ExitPolicy accept *:*', ...dns],
      },
      { name: 'client', software: 'tor', role: 'client', late: true },
    ];
    net = new Network(plans);
    confFile = join(net.directory, 'resolv.conf');
    useNameserver(nameserver.port);
    for (const name of ['exit1', 'ours']) {
      const { plan } = net.node(name);
      (plan.torrc as string[]).push(`ServerDNSResolvConfFile ${confFile}`);
    }
    await net.start();
    await waitUntil('ours as a running exit in the consensus', WAIT_MS, async () => {
      for (const node of net.nodes) node.assertRuns();
      const consensus = await net.consensus('auth1');
      return ['ours', 'exit1'].every((name) => {
        const fingerprint = net.node(name).fingerprint();
        const flags = fingerprint === null ? [] : (findEntry(consensus, fingerprint)?.flags ?? []);
        return flags.includes('Running') && flags.includes('Exit');
      });
    });
    net.node('client').start();
    client = await net.control('client');
    await net.usable('client', ['relay1', 'exit1', 'ours'], ['Running']);
  }, DEADLINE_MS);

  afterAll(async () => {
    await net?.stop();
    nameserver?.stop();
  }, DEADLINE_MS);

  /** Ask through one exit. */
  async function over<T>(exit: string, run: (socksPort: number) => Promise<T>): Promise<T> {
    const circuit = await client.buildCircuit(net.path('relay1', exit));
    const detach = client.attachStreams(0, circuit);
    try {
      return await run(net.node('client').socksPort);
    } finally {
      detach();
      await client.closeCircuit(circuit).catch(() => {});
    }
  }

  for (const name of [
    ...Object.keys(ADDRESSES),
    'none.example.org',
    'broken.example.org',
    'WWW.Example.org',
  ]) {
    test(
      `${name}: as over C tor`,
      async () => {
        const theirs = await over('exit1', (socks) => socksResolve(socks, name));
        const ours = await over('ours', (socks) => socksResolve(socks, name));
        expect(ours).toBe(theirs);
        const [ipv4, ipv6] = ADDRESSES[name.toLowerCase()] ?? [null, null];
        if (ipv4 !== null) expect(ours).toBe(ipv4);
        else if (ipv6 !== null) expect(ours).toBe(ipv6);
        else expect(ours).toStartWith('error');
      },
      DEADLINE_MS,
    );
  }

  for (const [address, expected] of [
    ['192.0.2.7', 'Seven.example.org'],
    ['192.0.2.8', 'error'],
    ['10.0.0.1', 'error'],
  ] as const) {
    test(
      `${address}: as over C tor`,
      async () => {
        const theirs = await over('exit1', (socks) => socksReverse(socks, address));
        const ours = await over('ours', (socks) => socksReverse(socks, address));
        expect(ours).toBe(theirs);
        expect(ours).toStartWith(expected);
      },
      DEADLINE_MS,
    );
  }

  test(
    'a second asker is answered from the cache, whichever worker it comes to',
    async () => {
      const asked = nameserver.count('both.example.org');
      for (let i = 0; i < 4; i++) {
        expect(await over('ours', (socks) => socksResolve(socks, 'both.example.org'))).toBe('192.0.2.2');
      }
      expect(nameserver.count('both.example.org')).toBe(asked);
      expect((await net.node('ours').counters()).get('dns_cache_hits')).toBeGreaterThan(0);
    },
    DEADLINE_MS,
  );

  test(
    'a nameserver that dies is told of once; names are answered again when it is back',
    async () => {
      const { port } = nameserver;
      nameserver.stop();
      for (let i = 0; i < 3; i++) {
        expect(await over('ours', (socks) => socksResolve(socks, `dead${i}.example.org`))).toStartWith(
          'error',
        );
      }
      const said = () =>
        net
          .node('ours')
          .log()
          .match(/No nameserver answers/g)?.length ?? 0;
      await waitUntil('a word on it', WAIT_MS, () => said() > 0);
      expect(said()).toBe(1);
      nameserver = await TestNameserver.start(
        (asked) => (asked.type === A ? { records: [{ type: A, data: Uint8Array.of(192, 0, 2, 3) }] } : {}),
        port,
      );
      expect(await over('ours', (socks) => socksResolve(socks, 'dead0.example.org'))).toBe('192.0.2.3');
      await waitUntil('a word on its return', WAIT_MS, () =>
        net.node('ours').log().includes('answers again'),
      );
    },
    DEADLINE_MS,
  );

  test(
    'another nameserver in the file is asked soon, without a reload',
    async () => {
      const other = await TestNameserver.start(({ type }) =>
        type === A ? { records: [{ type: A, data: Uint8Array.of(192, 0, 2, 4) }] } : {},
      );
      try {
        useNameserver(other.port);
        let tries = 0;
        await waitUntil('the other nameserver', WAIT_MS, async () => {
          const got = await over('ours', (socks) => socksResolve(socks, `new${tries++}.example.org`));
          return got === '192.0.2.4';
        });
        expect(other.asked.length).toBeGreaterThan(0);
      } finally {
        other.stop();
      }
    },
    DEADLINE_MS,
  );

  test('C tor has nothing to say against us', () => {
    const marks = [net.node('ours').marks()];
    for (const node of net.nodes) {
      // The only authority takes itself for down at first.
      if (node.software !== 'tor' || node.plan.role === 'authority') continue;
      // Its nameserver died and changed, too.
      const warnings = warningsAgainst(marks, node.log()).filter((line) => !line.includes('eventdns: '));
      expect([node.plan.name, warnings]).toEqual([node.plan.name, []]);
    }
  });
});
