/**
 * Circuits of an unmodified client on which every hop is ours: C tor is only the authorities and the client.
 *
 * The network: three C tor authorities, one C tor client, and of ours three relays with two workers each, of which one
 * is an exit. The client uses none but ours, and one of them as its entry guard. First it lays circuits
 * where the test wants them, then where it likes. The tests run in this order on one network.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { findEntry } from './consensus-entry.ts';
import type { ControlPort } from './control-port.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { download, expectedTransfer, PayloadServer, type Transfer, upload } from './socks.ts';

const DOWN_BYTES = 50_000_000;
const UP_BYTES = 20_000_000;
const AT_ONCE = 8;
const WAIT_MS = 200_000;
const DEADLINE_MS = 300_000;
const AUTHORITIES = ['auth1', 'auth2', 'auth3'];
const OURS = ['guard', 'middle', 'exit'];

const PLANS: NodePlan[] = [
  ...AUTHORITIES.map((name) => ({ name, software: 'tor', role: 'authority' }) as const),
  ...['guard', 'middle'].map((name) => ({ name, software: 'onionrelay', role: 'relay' }) as const),
  { name: 'exit', software: 'onionrelay', role: 'exit' },
  { name: 'client', software: 'tor', role: 'client', late: true, instead: ['UseEntryGuards 1'] },
];

describe.skipIf(!needsCTor('test/net/all-ours'))('a client of a network of ours', () => {
  let net: Network;
  let server: PayloadServer;
  let client: ControlPort;

  /** A relay's flags in the consensus; none when it is not there. */
  async function flagsOf(name: string): Promise<readonly string[]> {
    const fingerprint = net.node(name).fingerprint();
    if (fingerprint === null) return [];
    return findEntry(await net.consensus('auth1'), fingerprint)?.flags ?? [];
  }

  beforeAll(async () => {
    server = new PayloadServer();
    net = new Network(PLANS);
    await net.start();
    await waitUntil(
      'ours as guard, middle and exit in the consensus',
      WAIT_MS,
      async () => {
        for (const node of net.nodes) node.assertRuns();
        const [guard, middle, exit] = await Promise.all(OURS.map(flagsOf));
        return (
          ['Guard', 'V2Dir', 'Running'].every((flag) => guard!.includes(flag)) &&
          middle!.includes('Running') &&
          ['Exit', 'Running'].every((flag) => exit!.includes(flag))
        );
      },
      () => net.node('auth1').log().slice(-2000),
    );
    const never = net.path(...AUTHORITIES).map((fingerprint) => `$${fingerprint}`);
    appendFileSync(
      join(net.node('client').directory, 'torrc'),
      `ExcludeNodes ${never.join(',')}\nEntryNodes $${net.path('guard')[0]}\n`,
    );
    net.node('client').start();
    client = await net.control('client');
    await net.usable('client', OURS, ['Running']);
    // An exit refuses streams that come over a relay which it does not know.
    await waitUntil('the exit to know the others', WAIT_MS, async () => {
      const consensus = await Bun.file(join(net.node('exit').directory, 'cached-consensus'))
        .text()
        .catch(() => '');
      return net.path('guard', 'middle').every((fingerprint) => findEntry(consensus, fingerprint) !== null);
    });
  }, DEADLINE_MS);

  afterAll(async () => {
    server?.stop();
    await net?.stop();
  }, DEADLINE_MS);

  /** Move so many bytes in each of several streams at once. */
  async function moved(
    move: (socksPort: number, port: number, bytes: number) => Promise<Transfer>,
    bytes: number,
    socksPort: number,
  ): Promise<void> {
    const all = Array.from({ length: AT_ONCE }, () => move(socksPort, server.port, bytes / AT_ONCE));
    const part = expectedTransfer(bytes / AT_ONCE);
    for (const got of await Promise.all(all)) expect(got).toEqual(part);
  }

  /** Every relay's count of cells that it passed on. */
  async function relayed(): Promise<number[]> {
    const counters = await Promise.all(OURS.map((name) => net.node(name).counters()));
    return counters.map((one) => one.get('cells_relayed') ?? 0);
  }

  for (const [what, move, bytes] of [
    ['down', download, DOWN_BYTES],
    ['up', upload, UP_BYTES],
  ] as const) {
    test(
      `${bytes / 1e6} MB ${what} pass whole through three of ours, also in ${AT_ONCE} streams at once`,
      async () => {
        const [guard, middle] = await relayed();
        await net.over('client', OURS, server.port, async (socksPort) => {
          expect(await move(socksPort, server.port, bytes)).toEqual(expectedTransfer(bytes));
          await moved(move, bytes, socksPort);
        });
        const after = await relayed();
        expect(after[0]! - guard!).toBeGreaterThan((2 * bytes) / 498);
        expect(after[1]! - middle!).toBeGreaterThan((2 * bytes) / 498);
      },
      DEADLINE_MS,
    );
  }

  test(
    'where the client chooses its paths itself, too',
    async () => {
      await client.command('SETCONF __LeaveStreamsUnattached=0');
      const { socksPort } = net.node('client');
      await moved(download, DOWN_BYTES, socksPort);
      await moved(upload, UP_BYTES, socksPort);
      const circuits = ((await client.getInfo('circuit-status')) ?? '').split('\n');
      const path = net.path(...OURS).map((fingerprint) => `\\$${fingerprint}\\S*`);
      expect(circuits.join('\n')).toMatch(new RegExp(`^\\d+ BUILT ${path.join(',')} .*PURPOSE=GENERAL`, 'm'));
    },
    DEADLINE_MS,
  );

  test(
    'nothing was out of step, and nothing is left',
    async () => {
      for (const name of OURS) {
        const counters = await net.node(name).counters();
        for (const wrong of [
          'circuit_unexpected_sendme',
          'circuit_sendme_wrong_tag',
          'stream_unexpected_sendme',
          'stream_window_exceeded',
        ]) {
          expect([name, wrong, counters.get(wrong) ?? 0]).toEqual([name, wrong, 0]);
        }
      }
      await waitUntil('every stream of the exit to be gone', WAIT_MS, async () => {
        const from = net.node('exit').log().length;
        await net.node('exit').counters();
        const open = [
          ...net
            .node('exit')
            .log()
            .slice(from)
            .matchAll(/ (\d+) streams\./g),
        ];
        return open.length > 0 && open.every(([, streams]) => streams === '0');
      });
    },
    DEADLINE_MS,
  );

  test('C tor warns of nothing that it would not warn of without ours', () => {
    expect(net.warnings(OURS)).toEqual([]);
  });

  test('ours have no error, no bug and no dead worker in their logs', () => {
    expect(net.faults(OURS)).toEqual([]);
  });
});
