/**
 * Conflux sets of an unmodified C tor client through exits of ours, with middles of C tor and of ours.
 *
 * The network: three C tor authorities, one C tor relay; two exits of ours with two workers each, two middles of ours,
 * and a C tor exit to compare with. The client lays its own circuits: sets of two legs over different guards and middles, so that
 * the legs come to an exit over different links, and those fall to its workers by chance. The tests run in this order
 * on one network.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { findEntry, validAfterSec } from './consensus-entry.ts';
import type { ControlPort } from './control-port.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { download, expectedTransfer, PayloadServer, upload } from './socks.ts';

const BULK_BYTES = 100_000_000;
const SAMPLE_BYTES = 2_000_000;
const AT_ONCE = 16;
const WAIT_MS = 100_000;
const DEADLINE_MS = 300_000;
const EXITS = ['exit1', 'exit2'];
const OURS = [...EXITS, 'middle1', 'middle2'];
/** So many cells are more than what only builds circuits. */
const CELLS_OF_SETS = 1000;
/** A set of the client has its legs on two workers by chance; so many are tried with the links that there are. */
const SETS_MOST = 20;
const SETS_AGAIN = 6;
/** When a closed circuit's news have not come by then, they are held back somewhere. */
const HELD_MS = 10_000;
/** The client's other circuits, for onion services, may go back to their guard where there are so few relays. */
const BACK_AND_FORTH =
  /^.*\[warn\] Client asked me to extend back to the previous hop\.\n.*\[warn\] connection_edge_process_relay_cell \(away from origin\) failed\.\n/gm;

const PLANS: NodePlan[] = [
  ...['auth1', 'auth2', 'auth3'].map((name) => ({ name, software: 'tor', role: 'authority' }) as const),
  { name: 'relay1', software: 'tor', role: 'relay' },
  { name: 'theirs', software: 'tor', role: 'exit' },
  ...EXITS.map((name) => ({ name, software: 'onionrelay', role: 'exit' }) as const),
  ...['middle1', 'middle2'].map((name) => ({ name, software: 'onionrelay', role: 'relay' }) as const),
  {
    name: 'client',
    software: 'tor',
    role: 'client',
    late: true,
    instead: [
      'ConfluxEnabled 1',
      '__LeaveStreamsUnattached 0',
      '__DisablePredictedCircuits 0',
      'UseEntryGuards 1',
    ],
  },
];

describe.skipIf(!needsCTor('test/net/conflux'))('a client with conflux', () => {
  let net: Network;
  let server: PayloadServer;
  let client: ControlPort;

  beforeAll(async () => {
    server = new PayloadServer();
    net = new Network(PLANS);
    await net.start();
    let consensus = '';
    await waitUntil(
      'ours as running exits in the consensus',
      2 * WAIT_MS,
      async () => {
        for (const node of net.nodes) node.assertRuns();
        consensus = await net.consensus('auth1');
        return OURS.every((name) => {
          const fingerprint = net.node(name).fingerprint();
          const entry = fingerprint === null ? null : findEntry(consensus, fingerprint);
          return entry?.flags.includes('Running') === true && entry.protocols.includes('Conflux=1');
        });
      },
      () => net.node('auth1').log().slice(-2000),
    );
    net.node('client').start();
    client = await net.control('client');
    await net.usable('client', ['relay1', ...OURS], ['Running']);
    await net.usable('client', [...EXITS, 'theirs'], ['Exit']);
    await exitOver(EXITS);
    // An exit tells relays from clients by its consensus.
    for (const name of EXITS) {
      await waitUntil(`${name} to know the others`, WAIT_MS, () =>
        net.node(name).log().includes('consensus'),
      );
    }
    expect(validAfterSec(consensus)).toBeGreaterThan(0);
  }, 2 * DEADLINE_MS);

  afterAll(async () => {
    server?.stop();
    await net?.stop();
  }, DEADLINE_MS);

  /** A counter of both exits together. */
  async function counted(name: string): Promise<number> {
    let sum = 0;
    for (const exit of EXITS) sum += (await net.node(exit).counters()).get(name) ?? 0;
    return sum;
  }

  const socksPort = () => net.node('client').socksPort;
  const get = (bytes: number) => download(socksPort(), server.port, bytes);

  /** The client's linked circuits, by set. */
  async function legs(): Promise<Map<string, string[]>> {
    const sets = new Map<string, string[]>();
    for (const line of ((await client.getInfo('circuit-status')) ?? '').split('\n')) {
      const id = line.match(/^(\d+) BUILT .*PURPOSE=CONFLUX_LINKED/)?.[1];
      const set = line.match(/CONFLUX_ID=(\w+)/)?.[1];
      if (id === undefined || set === undefined) continue;
      sets.set(set, [...(sets.get(set) ?? []), id]);
    }
    return sets;
  }

  /** Have the client use these exits only, on new circuits. */
  async function exitOver(exits: readonly string[]): Promise<void> {
    await client.command(`SETCONF ExitNodes="${net.path(...exits).join(',')}" StrictNodes=1`);
    for (const id of [...(await legs()).values()].flat())
      await client.command(`CLOSECIRCUIT ${id}`).catch(() => {});
    await linked();
  }

  /** Wait until the client has a set with all its legs. */
  async function linked(): Promise<void> {
    await waitUntil('a linked set', WAIT_MS, async () =>
      [...(await legs()).values()].some((ids) => ids.length > 1),
    );
  }

  /**
   * Wait for something that a DESTROY brings about. A C tor keeps all but one of several DESTROYs back until it has
   * another cell for that link, also among its own: so every link gets some, by a circuit over it.
   */
  async function waitForDestroy(what: string, holds: () => Promise<boolean>): Promise<void> {
    const since = performance.now();
    const relays = net.nodes.map(({ plan }) => plan.name).filter((name) => name !== 'client');
    await waitUntil(what, WAIT_MS, async () => {
      if (await holds()) return true;
      if (performance.now() - since < HELD_MS) return false;
      for (const guard of relays) {
        for (const next of relays) {
          if (next === guard) continue;
          const circuit = await client.buildCircuit(net.path(guard, next)).catch(() => null);
          if (circuit !== null) await client.closeCircuit(circuit);
        }
      }
      return await holds();
    });
  }

  /** Have the exits' links made anew: all of them may have fallen to one worker, and sets come over no others. */
  async function dealAgain(): Promise<void> {
    for (const name of EXITS) {
      const node = net.node(name);
      await net.stopNode(name);
      const from = node.log().length;
      node.start();
      await waitUntil(`${name} to be back`, WAIT_MS, () =>
        node.log().slice(from).includes('Listening for OR connections'),
      );
    }
    await exitOver(EXITS);
  }

  /**
   * Download until it went over a set whose legs are on two workers: a twentieth of the cells crossed, at least.
   * Returns how fast that was, in MB/s.
   */
  async function crossing(bytes: number): Promise<number> {
    for (let i = 1; i <= SETS_MOST; i++) {
      const before = await counted('joint_messages');
      const began = performance.now();
      expect(await get(bytes)).toEqual(expectedTransfer(bytes));
      const rate = bytes / 1000 / (performance.now() - began);
      if ((await counted('joint_messages')) - before > bytes / 498 / 20) return rate;
      if (i % SETS_AGAIN === 0) await dealAgain();
      // Not this set again: the client builds others.
      for (const id of [...(await legs()).values()].flat())
        await client.command(`CLOSECIRCUIT ${id}`).catch(() => {});
      await linked();
    }
    throw new Error(`none of ${SETS_MOST} sets had its legs on two workers`);
  }

  test(
    'links sets with ours, whose legs also fall to different workers',
    async () => {
      await linked();
      await crossing(SAMPLE_BYTES);
      expect(await counted('conflux_sets')).toBeGreaterThan(0);
      expect(await counted('conflux_legs_linked')).toBeGreaterThan(1);
      expect(await counted('conflux_legs_remote')).toBeGreaterThan(0);
    },
    DEADLINE_MS,
  );

  test(
    '100 MB come down whole, over legs on two workers',
    async () => {
      const rate = await crossing(BULK_BYTES);
      console.log(`conflux, download: ${rate.toFixed(1)} MB/s`);
    },
    DEADLINE_MS,
  );

  test(
    '100 MB go up whole',
    async () => {
      const began = performance.now();
      expect(await upload(socksPort(), server.port, BULK_BYTES)).toEqual(expectedTransfer(BULK_BYTES));
      console.log(`conflux, upload: ${(BULK_BYTES / 1000 / (performance.now() - began)).toFixed(1)} MB/s`);
    },
    DEADLINE_MS,
  );

  test(
    'a download and an upload beside those over a C tor exit',
    async () => {
      const rates = new Map<string, number>();
      for (const exit of ['theirs', 'exit1']) {
        await exitOver([exit]);
        for (const [way, transfer] of [
          ['down', get],
          ['up', (bytes: number) => upload(socksPort(), server.port, bytes)],
        ] as const) {
          const began = performance.now();
          expect(await transfer(BULK_BYTES)).toEqual(expectedTransfer(BULK_BYTES));
          rates.set(`${exit} ${way}`, BULK_BYTES / 1000 / (performance.now() - began));
        }
      }
      await exitOver(EXITS);
      console.log([...rates].map(([name, rate]) => `conflux, ${name}: ${rate.toFixed(1)} MB/s`).join('; '));
    },
    DEADLINE_MS,
  );

  test(
    `${AT_ONCE} streams at once come down and go up whole`,
    async () => {
      const bytes = BULK_BYTES / AT_ONCE;
      const both = (i: number) => (i % 2 === 0 ? get(bytes) : upload(socksPort(), server.port, bytes));
      for (const transfer of [() => get(bytes), () => upload(socksPort(), server.port, bytes), both]) {
        const all = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => transfer(i)));
        for (const one of all) expect(one).toEqual(expectedTransfer(bytes));
      }
    },
    DEADLINE_MS,
  );

  test(
    'goes on with other sets when a leg is closed in the middle of a transfer',
    async () => {
      await linked();
      expect(await get(SAMPLE_BYTES)).toEqual(expectedTransfer(SAMPLE_BYTES));
      const torn = await counted('conflux_sets_torn');
      let ended: 'whole' | 'broken' | null = null;
      get(BULK_BYTES).then(
        () => {
          ended = 'whole';
        },
        () => {
          ended = 'broken';
        },
      );
      await waitUntil('the transfer to be under way', WAIT_MS, async () =>
        ((await client.getInfo('stream-status')) ?? '').includes('SUCCEEDED'),
      );
      const [, , circuit] = ((await client.getInfo('stream-status')) ?? '')
        .split('\n')
        .find((line) => line.includes('SUCCEEDED'))!
        .split(' ');
      const set = [...(await legs()).values()].find((ids) => ids.includes(circuit!))!;
      expect(set.length).toBe(2);
      await client.command(`CLOSECIRCUIT ${circuit}`);
      await waitForDestroy('the end of the transfer', async () => ended !== null);
      expect<string | null>(ended).toBe('broken');
      await waitForDestroy('the set to end at the exit', async () => {
        await Bun.sleep(300);
        return (await counted('conflux_sets_torn')) > torn;
      });
      expect(await get(SAMPLE_BYTES)).toEqual(expectedTransfer(SAMPLE_BYTES));
    },
    DEADLINE_MS,
  );

  test(
    'goes over ours all the way, too',
    async () => {
      const carried = async (name: string) => (await net.node(name).counters()).get('cells_relayed') ?? 0;
      for (const name of ['middle1', 'middle2']) {
        // The client draws middles by chance, anew for each set.
        for (let i = 0; i < SETS_MOST && (await carried(name)) <= CELLS_OF_SETS; i++) {
          await exitOver(EXITS);
          expect(await get(SAMPLE_BYTES)).toEqual(expectedTransfer(SAMPLE_BYTES));
        }
        expect(await carried(name)).toBeGreaterThan(CELLS_OF_SETS);
      }
    },
    DEADLINE_MS,
  );

  test(
    'ours refused nothing',
    async () => {
      const names = [
        'conflux_off_refused',
        'conflux_uncontrolled_refused',
        'conflux_further_hops_refused',
        'conflux_twice_refused',
        'conflux_streams_refused',
        'conflux_link_malformed',
        'conflux_too_many_legs',
        'conflux_data_loss',
        'conflux_bad_sequence',
        'conflux_sequence_back',
        'conflux_queue_full',
        'conflux_unexpected_linked_ack',
        'conflux_unexpected_switch',
        'conflux_early_message',
        'conflux_begin_dir_refused',
        'conflux_home_died',
        'joint_queue_full',
        'worker_bugs',
        'circuit_relay_malformed',
      ];
      for (const name of names) expect([name, await counted(name)]).toEqual([name, 0]);
    },
    DEADLINE_MS,
  );

  test('C tor warns of nothing that it would not warn of without ours', () => {
    expect(net.warnings(OURS, (log) => log.replace(BACK_AND_FORTH, ''))).toEqual([]);
  });

  test('ours have no error, no bug and no dead worker in their logs', () => {
    expect(net.faults(OURS)).toEqual([]);
  });
});
