/**
 * Two of ours as middle relays of a private network of C tor.
 *
 * The network: three C tor authorities, three C tor relays, one C tor exit, one C tor client; ours with two
 * workers each, the second listening on ::1 too. The tests run in this order on one network.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { findEntry, validAfterSec } from './consensus-entry.ts';
import type { ControlPort } from './control-port.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { download, expectedTransfer, PayloadServer, upload } from './socks.ts';

const BULK_BYTES = 100_000_000;
const SAMPLE_BYTES = 10_000_000;
const SHORT_CIRCUITS = 200;
const AT_ONCE = 10;
/** For one condition, and for a whole test; generous, for machines with much else to do. */
const WAIT_MS = 100_000;
const DEADLINE_MS = 240_000;
const OURS = ['ours1', 'ours2'];

const PLANS: NodePlan[] = [
  ...['auth1', 'auth2', 'auth3'].map((name) => ({ name, software: 'tor', role: 'authority' }) as const),
  ...['relay1', 'relay2', 'relay3'].map((name) => ({ name, software: 'tor', role: 'relay' }) as const),
  { name: 'exit1', software: 'tor', role: 'exit', ipv6: true },
  // It starts when ours are in the consensus, so that it need not wait for its next one.
  { name: 'client', software: 'tor', role: 'client', late: true },
  { name: 'ours1', software: 'onionrelay', role: 'relay' },
  { name: 'ours2', software: 'onionrelay', role: 'relay', ipv6: true },
];

describe.skipIf(!needsCTor('test/net/middle'))('in a network of C tors', () => {
  let net: Network;
  let server: PayloadServer;
  let client: ControlPort;

  beforeAll(async () => {
    server = new PayloadServer();
    net = new Network(PLANS);
    await net.start();
    await waitUntil(
      'the first consensus',
      WAIT_MS,
      async () => {
        for (const node of net.nodes) node.assertRuns();
        return (await net.consensus('auth1')) !== '';
      },
      () => net.node('auth1').log().slice(-2000),
    );
  }, DEADLINE_MS);

  afterAll(async () => {
    server?.stop();
    await net?.stop();
  }, DEADLINE_MS);

  /** Run something that opens one stream over a circuit of the client. */
  const over = <T>(names: readonly string[], transfer: (socksPort: number) => Promise<T>): Promise<T> =>
    net.over('client', names, server.port, transfer);

  test(
    'ours have Fast, Running and Valid in the second consensus after their upload',
    async () => {
      let uploadedSec = 0;
      await waitUntil('every authority to take our descriptors', WAIT_MS, () => {
        uploadedSec = Math.max(...OURS.map((name) => acceptedSec(net, name)));
        return Number.isFinite(uploadedSec);
      });
      let consensus = '';
      // Every consensus is seen: they come every twenty seconds.
      for (let after = uploadedSec, seen = 0; seen < 2; seen++) {
        await waitUntil('the next consensus', WAIT_MS, async () => {
          consensus = await net.consensus('auth1');
          return validAfterSec(consensus) > after;
        });
        after = validAfterSec(consensus);
      }
      for (const name of OURS) {
        const entry = findEntry(consensus, net.node(name).fingerprint()!);
        expect(entry?.flags).toEqual(expect.arrayContaining(['Fast', 'Running', 'Valid']));
        expect(entry?.protocols).toContain('Relay=2-4');
      }
      net.node('client').start();
      client = await net.control('client');
      await net.usable('client', ['relay1', 'relay2', 'relay3', 'exit1', ...OURS], ['Running']);
      // An exit refuses streams that come over a relay which it does not know.
      await net.knows('exit1', ['relay1', 'relay2', 'relay3', ...OURS]);
    },
    DEADLINE_MS,
  );

  test(
    '100 MB pass whole through one of ours as middle',
    async () => {
      const path = ['relay1', 'ours1', 'exit1'];
      const got = await over(path, (socksPort) => download(socksPort, server.port, BULK_BYTES));
      expect(got).toEqual(expectedTransfer(BULK_BYTES));
    },
    DEADLINE_MS,
  );

  test(
    '100 MB pass whole over four hops through both of ours',
    async () => {
      const path = ['relay1', 'ours1', 'ours2', 'exit1'];
      const got = await over(path, (socksPort) => download(socksPort, server.port, BULK_BYTES));
      expect(got).toEqual(expectedTransfer(BULK_BYTES));
    },
    DEADLINE_MS,
  );

  test(
    'an upload passes whole over four hops through both of ours',
    async () => {
      const path = ['relay2', 'ours2', 'ours1', 'exit1'];
      const got = await over(path, (socksPort) => upload(socksPort, server.port, SAMPLE_BYTES));
      expect(got).toEqual(expectedTransfer(SAMPLE_BYTES));
    },
    DEADLINE_MS,
  );

  test(
    'a client reaches ours over ::1',
    async () => {
      const port = net.node('ours2').orPort6;
      const path = ['ours2', 'relay2', 'exit1'];
      const got = await over(path, (socksPort) => {
        expect(linksTo(port)).toBeGreaterThan(0);
        return download(socksPort, server.port, SAMPLE_BYTES);
      });
      expect(got).toEqual(expectedTransfer(SAMPLE_BYTES));
      // The client prefers IPv6; the first hop of its circuit was dialled at this address.
      expect(net.node('client').log()).toContain(`[::1]:${port}`);
    },
    DEADLINE_MS,
  );

  test(
    `${SHORT_CIRCUITS} short circuits are built and torn down`,
    async () => {
      // Links that come in are spread over the workers; so many before one link out must cross between workers.
      const before = ['auth1', 'auth2', 'auth3', 'relay1', 'relay2', 'relay3'];
      const paths = OURS.flatMap((ours) => [
        ...before.map((name) => [name, ours, 'exit1']),
        [ours, 'relay2'],
      ]);
      paths.push(['relay2', 'ours1', 'ours2', 'exit1'], ['ours2', 'ours1']);
      const buildAndClose = async (some: readonly (readonly string[])[]) => {
        const circuits = await Promise.all(some.map((names) => client.buildCircuit(net.path(...names))));
        await Promise.all(circuits.map((circuit) => client.closeCircuit(circuit)));
      };
      for (let built = 0; built < SHORT_CIRCUITS; built += AT_ONCE) {
        await buildAndClose(Array.from({ length: AT_ONCE }, (_, at) => paths[(built + at) % paths.length]!));
      }
      // Whose circuits there are, should one of ours not be rid of them.
      const openCircuits = async (): Promise<string[]> => {
        const theirs = net.nodes.filter(({ software }) => software === 'tor').map(({ plan }) => plan.name);
        return await Promise.all(
          theirs.map(async (name) => `${name}: ${await (await net.control(name)).getInfo('circuit-status')}`),
        );
      };
      let crossed = 0;
      for (const name of OURS) {
        let counters: ReadonlyMap<string, number> = new Map();
        let open: string[] = [];
        const closed = async (): Promise<boolean> => {
          await Bun.sleep(500);
          counters = await net.node(name).counters();
          if (counters.get('circuits_created') === counters.get('circuits_closed')) return true;
          // C tor, also among its own, keeps all but one of several DESTROYs back until it has another cell for
          // that link; so it gets some, one circuit at a time.
          for (const names of paths) await buildAndClose([names]);
          open = await openCircuits();
          return false;
        };
        await waitUntil(`every circuit of ${name} closed`, WAIT_MS, closed, () =>
          [`${JSON.stringify([...counters])}; circuits of the C tors:`, ...open].join('\n'),
        );
        expect(counters.get('circuits_created')).toBeGreaterThanOrEqual(SHORT_CIRCUITS / 2);
        crossed += counters.get('leg_opened') ?? 0;
      }
      expect(crossed).toBeGreaterThan(0);
    },
    DEADLINE_MS,
  );

  test(
    "a C tor's DataDirectory moves to us and back",
    async () => {
      const mover = net.node('relay3');
      const fingerprint = mover.fingerprint()!;
      const keys = readKeys(mover.directory);
      expect(Object.keys(keys)).toContain('secret_id_key');
      for (const software of ['onionrelay', 'tor'] as const) {
        await net.stopNode('relay3');
        mover.software = software;
        mover.start();
        const oursNow = software === 'onionrelay';
        let consensus = '';
        await waitUntil(`relay3 as ${software} in the consensus`, WAIT_MS, async () => {
          mover.assertRuns();
          consensus = await net.consensus('auth1');
          const entry = findEntry(consensus, fingerprint);
          return (
            entry?.flags.includes('Running') === true && entry.protocols.includes('Relay=2-4') === oursNow
          );
        });
        // Until then the client asks for what the other software can do, such as other relay encryption.
        await net.caughtUp('client', 'relay3', validAfterSec(consensus));
        await net.current('exit1', validAfterSec(consensus));
        expect(mover.fingerprint()).toBe(fingerprint);
        expect(readKeys(mover.directory)).toEqual(keys);
        const got = await over(['relay1', 'relay3', 'exit1'], (socksPort) =>
          download(socksPort, server.port, SAMPLE_BYTES),
        );
        expect(got).toEqual(expectedTransfer(SAMPLE_BYTES));
      }
    },
    2 * DEADLINE_MS,
  );

  test('C tor warns of nothing that it would not warn of without ours', () => {
    expect(net.warnings(OURS)).toEqual([]);
  });

  test(
    'ours counted links over both families',
    async () => {
      const counters = await net.node('ours2').counters();
      expect(counters.get('links_accepted_ipv6')).toBeGreaterThan(0);
      expect(counters.get('links_accepted')).toBeGreaterThan(counters.get('links_accepted_ipv6')!);
      for (const name of OURS) {
        const dialled = (await net.node(name).counters()).get('links_dialled') ?? 0;
        expect(dialled).toBeLessThanOrEqual(2 * net.nodes.length);
      }
    },
    DEADLINE_MS,
  );

  test('ours have no error, no bug and no dead worker in their logs', () => {
    expect(net.faults(OURS)).toEqual([]);
  });
});

/** When the last of the three authorities took this relay's first descriptor; infinite while one has not. */
function acceptedSec(net: Network, name: string): number {
  const times = ['auth1', 'auth2', 'auth3'].map((authority) => {
    const log = net.node(authority).log();
    const taken = log.match(
      new RegExp(`^(\\w+ \\d+ [\\d:]+)\\S* \\[info\\] .*Added descriptor from '${name}'`, 'm'),
    );
    if (taken === null) return Number.POSITIVE_INFINITY;
    // The log has no year and is in local time.
    return Date.parse(`${taken[1]} ${new Date().getFullYear()}`) / 1000;
  });
  return Math.max(...times);
}

/** Every file of the keys directory, in hex. */
function readKeys(directory: string): Record<string, string> {
  const names = readdirSync(`${directory}/keys`).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(`${directory}/keys/${name}`, 'hex')]));
}

/** How many established connections there are to this port of ::1. */
function linksTo(port: number): number {
  const local = `00000000000000000000000001000000:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const established = '01';
  return readFileSync('/proc/net/tcp6', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, from, , state]) => from === local && state === established).length;
}
