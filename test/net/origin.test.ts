/**
 * Circuits of our own in a network of C tors: built through them, streams over their exit, documents from their
 * caches; and one of ours that tests itself, publishes when others reach it, and tests its bandwidth.
 *
 * The network: three C tor authorities, three C tor relays and an exit, all on ::1 too; ours, with AssumeReachable 0.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EndReason } from '../../src/cell/reason.ts';
import { MicrodescriptorStore } from '../../src/directory/microdescriptor-store.ts';
import { hopOf, listNodes } from '../../src/directory/path-node.ts';
import { systemTiming } from '../../src/directory/timing.ts';
import { Tunnels } from '../../src/directory/tunnel-exchange.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import type { OriginCircuit } from '../../src/origin/origin-circuit.ts';
import type { OriginStream } from '../../src/origin/origin-stream.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';
import { findEntry } from './consensus-entry.ts';
import { freePorts } from './free-ports.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { OriginLoop } from './origin-loop.ts';
import { expectedTransfer, PayloadServer } from './socks.ts';

const TRANSFER_BYTES = 20_000_000;
const WAIT_MS = 100_000;
const DEADLINE_MS = 240_000;
const RELAYS = ['relay1', 'relay2', 'relay3', 'exit1'];

const PLANS: NodePlan[] = [
  ...['auth1', 'auth2', 'auth3'].map((name) => ({ name, software: 'tor', role: 'authority' }) as const),
  ...['relay1', 'relay2', 'relay3'].map(
    (name) => ({ name, software: 'tor', role: 'relay', ipv6: true }) as const,
  ),
  { name: 'exit1', software: 'tor', role: 'exit', ipv6: true },
  {
    name: 'ours',
    software: 'onionrelay',
    role: 'relay',
    ipv6: true,
    torrc: ['AssumeReachable 0', 'AssumeReachableIPv6 0'],
  },
  // No cache: it asks the others' caches through circuits. Only IPv4 at first.
  {
    name: 'plain',
    software: 'onionrelay',
    role: 'relay',
    ipv6: true,
    late: true,
    torrc: ['AssumeReachable 0', 'AssumeReachableIPv6 0', 'DirCache 0', 'AddressDisableIPv6 1'],
  },
];

describe.skipIf(!needsCTor('test/net/origin'))('in a network of C tors', () => {
  let net: Network;
  let server: PayloadServer;
  let ours: OriginLoop;
  const hops = new Map<string, OriginHop>();

  beforeAll(async () => {
    server = new PayloadServer();
    ours = new OriginLoop();
    net = new Network(PLANS);
    await net.start();
    await waitUntil(
      'microdescriptors of every relay',
      2 * WAIT_MS,
      () => {
        for (const node of net.nodes) node.assertRuns();
        readHops(net, hops);
        return RELAYS.every((name) => hops.has(name));
      },
      () => net.node('auth1').log().slice(-2000),
    );
  }, DEADLINE_MS);

  afterAll(async () => {
    ours?.stop();
    server?.stop();
    await net?.stop();
  }, DEADLINE_MS);

  const path = (...names: string[]): OriginHop[] => names.map((name) => hops.get(name)!);

  test(
    'one hop by CREATE_FAST, ntor and ntor-v3; three hops by ntor and ntor-v3',
    async () => {
      const relay = hops.get('relay1')!;
      for (const changed of [{ onionKey: null }, { ntorV3: false }, {}]) {
        const circuit = await ours.open([{ ...relay, ...changed }]);
        expect(circuit.hops).toBe(1);
        circuit.close();
      }
      for (const ntorV3 of [false, true]) {
        const three = path('relay1', 'relay2', 'exit1').map((hop) => ({ ...hop, ntorV3 }));
        const circuit = await ours.open(three);
        expect(circuit.hops).toBe(3);
        circuit.close();
      }
      expect(ours.count('origin_circuits_built')).toBe(5);
    },
    DEADLINE_MS,
  );

  test.each([true, false])(
    `${TRANSFER_BYTES} bytes down and up over a C tor exit, congestion control %p`,
    async (congestionControl) => {
      const three = path('relay1', 'relay2', 'exit1').map((hop) => ({ ...hop, congestionControl }));
      const circuit = await ours.open(three);
      expect(circuit.hasStreamWindows).toBe(!congestionControl);
      const down = await transfer(circuit, server.port, `GET ${TRANSFER_BYTES}\n`, null);
      expect({ bytes: down.length, hash: hashOf(down) }).toEqual(expectedTransfer(TRANSFER_BYTES));
      // What came down goes up again: the server answers with its hash.
      const up = await transfer(circuit, server.port, `PUT ${TRANSFER_BYTES}\n`, down);
      expect(Buffer.from(up).toString('latin1')).toBe(hashOf(down));
      circuit.close();
    },
    DEADLINE_MS,
  );

  test(
    'a stream that is held stops C tor, and goes on when it is let go',
    async () => {
      const circuit = await ours.open(path('relay2', 'relay3', 'exit1'));
      let stream: OriginStream | null = null;
      let held = 0;
      const got = await transfer(
        circuit,
        server.port,
        `GET ${TRANSFER_BYTES}\n`,
        null,
        (opened) => {
          stream = opened;
        },
        (received) => {
          if (held > 0 || received < 2_000_000) return;
          held = received;
          stream!.hold(true);
          setTimeout(() => stream!.hold(false), 500);
        },
      );
      expect(held).toBeGreaterThan(0);
      expect({ bytes: got.length, hash: hashOf(got) }).toEqual(expectedTransfer(TRANSFER_BYTES));
      circuit.close();
    },
    DEADLINE_MS,
  );

  test(
    'a stream to where nobody listens ends with the exit’s reason, and the circuit lives on',
    async () => {
      const [closed] = freePorts(1);
      const circuit = await ours.open(path('relay1', 'relay3', 'exit1'));
      const reason = await new Promise<number>((resolve) => {
        circuit.connect(`127.0.0.1:${closed}`, 0, {
          onOpen: () => {},
          onData: () => {},
          onRoom: () => {},
          onEnd: resolve,
        });
      });
      // C tor says MISC of a connection that fails at once.
      expect([EndReason.CONNECTREFUSED, EndReason.MISC] as number[]).toContain(reason);
      const got = await transfer(circuit, server.port, 'GET 1000\n', null);
      expect(got.length).toBe(1000);
      circuit.close();
    },
    DEADLINE_MS,
  );

  test.each([
    ['over one hop, by CREATE_FAST', ['relay1'], { onionKey: null }],
    ['over one hop, by ntor-v3', ['relay1'], {}],
    ['over three hops', ['relay2', 'exit1', 'relay1'], {}],
  ] as const)(
    'a consensus from a C tor cache %s',
    async (_name, names, changed) => {
      const tunnels = new Tunnels(ours.client, systemTiming());
      const along = path(...names).map((hop) => ({ ...hop, ...changed }));
      const ask = async () =>
        await tunnels.exchange({
          endpoint: along[0]!.ipv4!,
          hops: along,
          method: 'GET',
          path: '/tor/status-vote/current/consensus-microdesc',
          headers: {},
          body: null,
          bytesMax: 1_000_000,
          stallMs: 30_000,
          deadlineMs: 60_000,
        }).reply;
      let answer = await ask();
      // A relay has the first consensus a little later than the authorities.
      await waitUntil(`a consensus at ${names.at(-1)}`, WAIT_MS, async () => {
        if (answer.status !== 200) answer = await ask();
        return answer.status === 200;
      });
      const { headers, body } = answer;
      expect(['deflate', 'gzip', 'x-zstd']).toContain(headers['content-encoding']!);
      expect(parseConsensus(body).flavour).toBe('microdesc');
      tunnels.stop();
    },
    DEADLINE_MS,
  );

  test(
    'ours finds that others reach it over IPv4 and IPv6, publishes then, and tests its bandwidth',
    async () => {
      const node = net.node('ours');
      const ports = [`127.0.0.1:${node.orPort}`, `[::1]:${node.orPort6}`];
      const log = (): string => node.log();
      for (const port of ports) {
        await waitUntil(
          `${port} to be found reachable`,
          2 * WAIT_MS,
          () => log().includes(`Self-testing indicates your ORPort ${port} is reachable from the outside.`),
          () => log().slice(-3000),
        );
      }
      await waitUntil(
        'the bandwidth self-test',
        WAIT_MS,
        () => log().includes('Performing bandwidth self-test...done.'),
        () => log().slice(-3000),
      );
      const lines = log().split('\n');
      const firstOf = (text: string): number => lines.findIndex((line) => line.includes(text));
      for (const port of ports) {
        const asked = firstOf(`ORPort ${port} is reachable... (this may take up to`);
        const found = firstOf(`Self-testing indicates your ORPort ${port}`);
        expect(asked).toBeGreaterThanOrEqual(0);
        expect(found).toBeGreaterThan(asked);
        expect(firstOf('Publishing a descriptor for')).toBeGreaterThan(found);
      }
      expect(lines.filter((line) => line.includes('Performing bandwidth self-test')).length).toBe(1);
      const counters = await node.counters();
      expect(counters.get('own_ipv4_reached')).toBeGreaterThan(0);
      expect(counters.get('own_ipv6_reached')).toBeGreaterThan(0);
      await waitUntil('ours in the consensus', WAIT_MS, async () => {
        const entry = findEntry(await net.consensus('auth1'), node.fingerprint()!);
        return entry?.flags.includes('Running') === true;
      });
    },
    2 * DEADLINE_MS,
  );

  test(
    'one of ours that is no cache fetches over BEGIN_DIR once it knows caches, and publishes too',
    async () => {
      const node = net.node('plain');
      node.start();
      await waitUntil(
        'plain in the consensus',
        2 * WAIT_MS,
        async () => {
          const fingerprint = node.fingerprint();
          if (fingerprint === null) return false;
          return findEntry(await net.consensus('auth1'), fingerprint)?.flags.includes('Running') === true;
        },
        () => node.log().slice(-3000),
      );
      expect(node.log()).toContain(
        `Self-testing indicates your ORPort 127.0.0.1:${node.orPort} is reachable`,
      );
      const counters = await node.counters();
      // Test circuits alone are fewer than what was fetched besides.
      expect(counters.get('origin_circuits_built')).toBeGreaterThan(4);
      expect(counters.get('own_ipv6_reached') ?? 0).toBe(0);
      // The first consensus came from an authority; caches are known from it, and asked for the next ones.
      const asked = /Asking the directory of ([0-9A-F]{40}) through a circuit for \S*consensus/;
      await waitUntil(
        'a consensus over BEGIN_DIR',
        WAIT_MS,
        () => {
          const from = asked.exec(node.log());
          return from !== null && /New \S+ consensus from/.test(node.log().slice(from.index));
        },
        () => node.log().slice(-3000),
      );
      const fingerprints = [...RELAYS, 'ours'].map((name) => net.node(name).fingerprint()!);
      expect(fingerprints).toContain(asked.exec(node.log())![1]!);
    },
    2 * DEADLINE_MS,
  );

  test(
    'an IPv6 address that is added while every relay has a link to us is found reachable all the same',
    async () => {
      const node = net.node('plain');
      // All that have an IPv6 address themselves.
      const testers = [...RELAYS, 'ours'];
      await waitUntil('the hops of plain and of all that could test it', WAIT_MS, () => {
        readHops(net, hops);
        return ['plain', ...testers].every((name) => hops.has(name));
      });
      expect(hops.get('plain')!.ipv6).toBeNull();
      for (const name of testers) (await ours.open(path(name, 'plain'))).close();
      const torrc = join(node.directory, 'torrc');
      writeFileSync(
        torrc,
        readFileSync(torrc, 'utf8').replace('AddressDisableIPv6 1', 'AddressDisableIPv6 0'),
      );
      const from = node.log().length;
      process.kill(node.pid!, 'SIGHUP');
      await waitUntil(
        'the address that was added to be found reachable',
        2 * WAIT_MS,
        () => node.log().slice(from).includes(`Self-testing indicates your ORPort [::1]:${node.orPort6} is`),
        () => node.log().slice(from).slice(-3000),
      );
      expect(node.log().slice(from)).toContain(
        'Every relay that could test our IPv6 ORPort has a link to us',
      );
      expect((await node.counters()).get('own_ipv6_reached')).toBeGreaterThan(0);
    },
    2 * DEADLINE_MS,
  );

  test('C tor warns of nothing that it would not warn of without ours', () => {
    expect(net.warnings(['ours', 'plain'])).toEqual([]);
  });

  test('and ours warns of nothing', () => {
    const warnings = net
      .node('ours')
      .log()
      .split('\n')
      .filter((line) => / \[(warn|err)\] /.test(line))
      // What this network is, and that its torrc says things twice.
      .filter((line) => !/\/torrc:\d+: |The consensus of this testing network requires/.test(line));
    expect(warnings).toEqual([]);
  });
});

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Read relays out of what an authority has on its disk. */
function readHops(net: Network, hops: Map<string, OriginHop>): void {
  const directory = net.node('auth1').directory;
  let document: Uint8Array;
  try {
    document = readFileSync(join(directory, 'cached-microdesc-consensus'));
  } catch {
    return;
  }
  const store = new MicrodescriptorStore(directory);
  store.load();
  for (const node of listNodes(parseConsensus(document), (digest) => store.get(digest))) {
    if (node.facts !== null) hops.set(node.nickname, hopOf(node));
  }
}

/** Send a request, and a body behind it, over a stream; returns what came until it ended. @throws Error */
function transfer(
  circuit: OriginCircuit,
  port: number,
  request: string,
  body: Uint8Array | null,
  onStream: (stream: OriginStream) => void = () => {},
  onBytes: (received: number) => void = () => {},
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const chunks: Uint8Array[] = [];
  let received = 0;
  let left: Uint8Array = body === null ? Buffer.from(request) : Buffer.concat([Buffer.from(request), body]);
  const send = (): void => {
    left = left.subarray(stream!.write(left));
  };
  const stream = circuit.connect(`127.0.0.1:${port}`, 0, {
    onOpen: () => {},
    onData: (data) => {
      chunks.push(data.slice());
      received += data.length;
      onBytes(received);
    },
    onRoom: send,
    onEnd: (reason) => {
      if (reason === EndReason.DONE) resolve(Buffer.concat(chunks));
      else reject(new Error(`${request.trim()}: ended with ${reason} after ${received} bytes`));
    },
  });
  onStream(stream!);
  send();
  return promise;
}
