/**
 * One of ours as the exit of a private network of C tor: streams of an unmodified client, first without congestion
 * control, then with.
 *
 * The network: three C tor authorities, two C tor relays, one C tor exit to compare with, two of ours as exits, one C
 * tor client. The tests run in this order on one network.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { findEntry, validAfterSec } from './consensus-entry.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { connectOver, download, expectedTransfer, PayloadServer, upload } from './socks.ts';

const BULK_BYTES = 100_000_000;
const AT_ONCE = 16;
const SHORT_STREAMS = 10_000;
const WAIT_MS = 100_000;
const DEADLINE_MS = 300_000;
const OURS = ['ours1', 'ours2'];
/** What an exit policy line of ours refuses: one address, which clients' summaries of policies do not show. */
const CLOSED_HOST = '127.0.0.7';

const PLANS: NodePlan[] = [
  ...['auth1', 'auth2', 'auth3'].map(
    (name) => ({ name, software: 'tor', role: 'authority', torrc: ['ConsensusParams cc_alg=0'] }) as const,
  ),
  ...['relay1', 'relay2'].map((name) => ({ name, software: 'tor', role: 'relay' }) as const),
  { name: 'exit1', software: 'tor', role: 'exit' },
  { name: 'client', software: 'tor', role: 'client', late: true },
  ...OURS.map(
    (name) =>
      ({
        name,
        software: 'onionrelay',
        role: 'relay',
        torrc: ['ExitRelay 1', `ExitPolicy reject ${CLOSED_HOST}:*`, 'ExitPolicy accept *:*', 'IPv6Exit 1'],
      }) as const,
  ),
];

describe.skipIf(!needsCTor('test/net/exit'))('an exit in a network of C tors', () => {
  let net: Network;
  let server: PayloadServer;
  let server6: Server;

  beforeAll(async () => {
    server = new PayloadServer();
    server6 = createServer((peer) => peer.end('six')).listen(0, '::1');
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
    let consensus = '';
    await waitUntil('ours as running exits in the consensus', WAIT_MS, async () => {
      consensus = await net.consensus('auth1');
      return OURS.every((name) => {
        const fingerprint = net.node(name).fingerprint();
        const flags = fingerprint === null ? [] : (findEntry(consensus, fingerprint)?.flags ?? []);
        return flags.includes('Running') && flags.includes('Exit');
      });
    });
    net.node('client').start();
    await net.usable('client', ['relay1', 'relay2', 'exit1', ...OURS], ['Running']);
  }, DEADLINE_MS);

  afterAll(async () => {
    server?.stop();
    server6?.close();
    await net?.stop();
  }, DEADLINE_MS);

  /** Run something that opens streams to a port over a circuit of the client. */
  const over = <T>(
    names: readonly string[],
    transfer: (socksPort: number) => Promise<T>,
    port = server.port,
  ): Promise<T> => net.over('client', names, port, transfer);

  /** Run a transfer of so many bytes over an exit: how fast it was, and what it cost the exit. */
  async function timed(exit: string, bytes: number, run: () => Promise<unknown>): Promise<Cost> {
    const { pid } = net.node(exit);
    const cpu = cpuSec(pid!);
    const began = performance.now();
    await run();
    return {
      mbPerSec: bytes / 1000 / (performance.now() - began),
      cpuPerGb: ((cpuSec(pid!) - cpu) / bytes) * 1e9,
    };
  }

  function tell(what: string, ours: Cost, theirs: Cost): void {
    console.log(
      `${what}: ours ${ours.mbPerSec.toFixed(1)} MB/s and ${ours.cpuPerGb.toFixed(1)} CPU s/GB, ` +
        `C tor ${theirs.mbPerSec.toFixed(1)} MB/s and ${theirs.cpuPerGb.toFixed(1)} CPU s/GB, ` +
        `ratios ${(ours.mbPerSec / theirs.mbPerSec).toFixed(2)} and ${(ours.cpuPerGb / theirs.cpuPerGb).toFixed(2)}`,
    );
  }

  const whole = expectedTransfer(BULK_BYTES);
  const part = expectedTransfer(BULK_BYTES / AT_ONCE);

  function both(phase: string, withCc: boolean): void {
    test(
      `${phase}: 100 MB come down whole, also beside a C tor exit`,
      async () => {
        const get = async (exit: string): Promise<void> => {
          const got = await over(['relay1', 'relay2', exit], (socks) =>
            download(socks, server.port, BULK_BYTES),
          );
          expect(got).toEqual(whole);
        };
        const theirs = await timed('exit1', BULK_BYTES, () => get('exit1'));
        const ours = await timed('ours1', BULK_BYTES, () => get('ours1'));
        tell(`${phase}, download`, ours, theirs);
        const counters = await net.node('ours1').counters();
        expect(counters.get('stream_cells_sent')).toBeGreaterThan(BULK_BYTES / 498);
      },
      DEADLINE_MS,
    );

    test(
      `${phase}: 100 MB go up whole`,
      async () => {
        const put = async (exit: string): Promise<void> => {
          const got = await over(['relay1', 'relay2', exit], (socks) =>
            upload(socks, server.port, BULK_BYTES),
          );
          expect(got).toEqual(whole);
        };
        const theirs = await timed('exit1', BULK_BYTES, () => put('exit1'));
        const ours = await timed('ours2', BULK_BYTES, () => put('ours2'));
        tell(`${phase}, upload`, ours, theirs);
      },
      DEADLINE_MS,
    );

    test(
      `${phase}: ${AT_ONCE} streams of one circuit at once, down and up`,
      async () => {
        await over(['relay2', 'ours2'], async (socks) => {
          const all = Array.from({ length: AT_ONCE }, (_, i) =>
            (i % 2 === 0 ? download : upload)(socks, server.port, BULK_BYTES / AT_ONCE),
          );
          for (const got of await Promise.all(all)) expect(got).toEqual(part);
        });
      },
      DEADLINE_MS,
    );

    test(
      `${phase}: flow control is what was negotiated`,
      async () => {
        for (const name of OURS) {
          const counters = await net.node(name).counters();
          expect(counters.get('circuit_unexpected_sendme') ?? 0).toBe(0);
          expect(counters.get('circuit_sendme_wrong_tag') ?? 0).toBe(0);
          expect(counters.get('stream_unexpected_sendme') ?? 0).toBe(0);
          expect(counters.get('stream_window_exceeded') ?? 0).toBe(0);
        }
        const log = net.node('client').log();
        expect(/CC: TOR_VEGAS/.test(log)).toBe(withCc);
      },
      DEADLINE_MS,
    );
  }

  both('windows of old', false);

  test(
    'the authorities turn congestion control on',
    async () => {
      const before = validAfterSec(await net.consensus('auth1'));
      for (const name of ['auth1', 'auth2', 'auth3']) {
        const torrc = `${net.node(name).directory}/torrc`;
        writeFileSync(torrc, readFileSync(torrc, 'utf8').replace('cc_alg=0', 'cc_alg=2'));
        process.kill(net.node(name).pid!, 'SIGHUP');
      }
      let consensus = '';
      await waitUntil('a consensus with cc_alg=2', WAIT_MS, async () => {
        consensus = await net.consensus('auth1');
        return validAfterSec(consensus) > before && /^params .*cc_alg=2/m.test(consensus);
      });
      // A relay that does without refuses clients that want it for the newer encryption of relay cells.
      for (const name of ['relay1', 'relay2', 'exit1', 'client']) {
        await net.current(name, validAfterSec(consensus));
      }
      await net.usable('client', ['relay1', 'relay2', 'exit1', ...OURS], ['Running']);
      await waitUntil('ours to go by it', WAIT_MS, () =>
        OURS.every((name) => {
          const path = `${net.node(name).directory}/cached-consensus`;
          return existsSync(path) && /^params .*cc_alg=2/m.test(readFileSync(path, 'latin1'));
        }),
      );
    },
    DEADLINE_MS,
  );

  both('congestion control', true);

  test(
    'a destination over IPv6',
    async () => {
      const { port } = server6.address() as { port: number };
      const got = await over(['relay1', 'ours1'], (socks) => connectOver(socks, '::1', port), port);
      expect(got).toBe('six');
    },
    DEADLINE_MS,
  );

  test(
    'what the policy refuses is refused',
    async () => {
      const refused = over(['relay1', 'ours1'], (socks) => connectOver(socks, CLOSED_HOST, server.port));
      await expect(refused).rejects.toThrow('SOCKS refused');
      const counters = await net.node('ours1').counters();
      expect(counters.get('stream_policy_refused')).toBeGreaterThan(0);
    },
    DEADLINE_MS,
  );

  test(
    `${SHORT_STREAMS} short streams leave nothing behind`,
    async () => {
      const node = net.node('ours2');
      await over(['relay1', 'ours2'], async (socks) => {
        const run = async (count: number): Promise<void> => {
          for (let done = 0; done < count; done += AT_ONCE) {
            const all = Array.from({ length: AT_ONCE }, () => download(socks, server.port, 1000));
            await Promise.all(all);
          }
        };
        await run(SHORT_STREAMS / 4);
        const before = usage(node.pid!);
        await run((SHORT_STREAMS * 3) / 4);
        const after = usage(node.pid!);
        console.log(`short streams: RSS ${before.rssMb} MB before, ${after.rssMb} MB after`);
        expect(after.files).toBeLessThanOrEqual(before.files + AT_ONCE);
        expect(after.rssMb).toBeLessThan(before.rssMb + 40);
      });
      const counters = await node.counters();
      expect(counters.get('streams_begun')).toBeGreaterThanOrEqual(SHORT_STREAMS);
    },
    2 * DEADLINE_MS,
  );

  test('C tor warns of nothing that it would not warn of without ours', () => {
    expect(net.warnings(OURS)).toEqual([]);
  });

  test('ours have no error, no bug and no dead worker in their logs', () => {
    expect(net.faults(OURS)).toEqual([]);
  });
});

interface Cost {
  readonly mbPerSec: number;
  readonly cpuPerGb: number;
}

/** Seconds of CPU that a process has used. */
function cpuSec(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Memory and open files of a process. */
function usage(pid: number): { rssMb: number; files: number } {
  const rss = readFileSync(`/proc/${pid}/status`, 'latin1').match(/^VmRSS:\s+(\d+) kB/m)![1];
  return { rssMb: Math.round(Number(rss) / 1024), files: readdirSync(`/proc/${pid}/fd`).length };
}
