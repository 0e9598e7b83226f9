/**
 * Benchmark: how fast an unmodified C tor client moves bytes over one of ours as exit, beside a C tor exit in the same
 * network, over the same guards and middles, in alternating runs.
 *
 *   bun test/bench/exit-speed.ts [--flow windows,cc,conflux] [--streams 1,16] [--direction down,up] [--bytes N]
 *     [--runs N] [--bound R]
 *
 * A transfer of so many bytes is shared out among the streams, all of one circuit (or of one conflux set). Exit status 1
 * when a median of ours is below the bound times that of C tor's exit. Everything that arrives is checked.
 */
import { deepEqual } from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { findEntry } from '../net/consensus-entry.ts';
import type { ControlPort } from '../net/control-port.ts';
import { Network, type NodePlan, waitUntil } from '../net/network.ts';
import { download, expectedTransfer, PayloadServer, type Transfer, upload } from '../net/socks.ts';

const { values } = parseArgs({
  options: {
    flow: { type: 'string', default: 'windows,cc,conflux' },
    streams: { type: 'string', default: '1,16' },
    direction: { type: 'string', default: 'down,up' },
    bytes: { type: 'string', default: '100000000' },
    runs: { type: 'string', default: '5' },
    bound: { type: 'string', default: '1' },
  },
});
const WAIT_MS = 100_000;
const EXITS = ['ours', 'theirs'] as const;
type Exit = (typeof EXITS)[number];
const RELAYS = ['relay1', 'relay2', 'relay3', 'relay4'];

/** What the client does, and what the consensus says of congestion control. */
interface Flow {
  readonly name: string;
  readonly ccAlg: number;
  readonly conflux: boolean;
}

const FLOWS: readonly Flow[] = [
  { name: 'windows', ccAlg: 0, conflux: false },
  { name: 'cc', ccAlg: 2, conflux: false },
  { name: 'conflux', ccAlg: 2, conflux: true },
];

function plansOf(flow: Flow): NodePlan[] {
  const relay = (name: string) => ({ name, software: 'tor', role: 'relay' }) as const;
  const conflux = [
    'ConfluxEnabled 1',
    '__LeaveStreamsUnattached 0',
    '__DisablePredictedCircuits 0',
    'UseEntryGuards 1',
  ];
  return [
    ...['auth1', 'auth2', 'auth3'].map(
      (name) =>
        ({
          name,
          software: 'tor',
          role: 'authority',
          torrc: [`ConsensusParams cc_alg=${flow.ccAlg}`],
        }) as const,
    ),
    ...RELAYS.map(relay),
    { name: 'theirs', software: 'tor', role: 'exit' },
    { name: 'ours', software: 'onionrelay', role: 'exit' },
    {
      name: 'client',
      software: 'tor',
      role: 'client',
      late: true,
      ...(flow.conflux ? { instead: conflux } : {}),
    },
  ];
}

/** The network of one flow. */
class Course {
  readonly server = new PayloadServer();
  readonly #flow: Flow;
  readonly #net: Network;
  #client!: ControlPort;

  constructor(flow: Flow) {
    this.#flow = flow;
    this.#net = new Network(plansOf(flow));
  }

  async start(): Promise<void> {
    const net = this.#net;
    await net.start();
    await waitUntil('both exits in the consensus', 2 * WAIT_MS, async () => {
      for (const node of net.nodes) node.assertRuns();
      const consensus = await net.consensus('auth1');
      return [...EXITS, ...RELAYS].every((name) => {
        const fingerprint = net.node(name).fingerprint();
        return fingerprint !== null && findEntry(consensus, fingerprint)?.flags.includes('Running') === true;
      });
    });
    net.node('client').start();
    this.#client = await net.control('client');
    await net.usable('client', [...RELAYS, ...EXITS], ['Running']);
    for (const name of EXITS) {
      await waitUntil(`${name} to know the others`, WAIT_MS, () => /consensus/.test(net.node(name).log()));
    }
  }

  async stop(): Promise<void> {
    this.server.stop();
    await this.#net.stop();
  }

  /** Move bytes in so many streams. Returns MB/s. */
  async run(exit: Exit, streams: number, isDown: boolean, bytes: number): Promise<number> {
    const part = Math.floor(bytes / streams);
    const want = expectedTransfer(part);
    const transfer = async (socks: number): Promise<number> => {
      const began = performance.now();
      const all = await Promise.all(
        Array.from({ length: streams }, () => (isDown ? download : upload)(socks, this.server.port, part)),
      );
      const rate = (part * streams) / 1000 / (performance.now() - began);
      for (const got of all) deepEqual(got, want satisfies Transfer);
      return rate;
    };
    if (!this.#flow.conflux) {
      return this.#net.over('client', ['relay1', 'relay2', exit], this.server.port, transfer);
    }
    await this.#linkTo(exit);
    return transfer(this.#net.node('client').socksPort);
  }

  /** Have the client use this exit, on a new set with all its legs. */
  async #linkTo(exit: Exit): Promise<void> {
    await this.#client.command(
      `SETCONF ExitNodes="${this.#net.path(exit).join()}" StrictNodes=1 ExcludeNodes="${this.#net.path(...EXITS.filter((name) => name !== exit)).join()}"`,
    );
    for (const id of [...(await this.#legs()).values()].flat())
      await this.#client.command(`CLOSECIRCUIT ${id}`).catch(() => {});
    await waitUntil('a linked set', WAIT_MS, async () =>
      [...(await this.#legs()).values()].some((ids) => ids.length > 1),
    );
  }

  /** The client's linked circuits, by set. */
  async #legs(): Promise<Map<string, string[]>> {
    const sets = new Map<string, string[]>();
    for (const line of ((await this.#client.getInfo('circuit-status')) ?? '').split('\n')) {
      const id = line.match(/^(\d+) BUILT .*PURPOSE=CONFLUX_LINKED/)?.[1];
      const set = line.match(/CONFLUX_ID=(\w+)/)?.[1];
      if (id !== undefined && set !== undefined) sets.set(set, [...(sets.get(set) ?? []), id]);
    }
    return sets;
  }
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function spread(numbers: readonly number[]): string {
  return `${median(numbers).toFixed(1)} (${Math.min(...numbers).toFixed(1)}–${Math.max(...numbers).toFixed(1)})`;
}

/** Measure one flow. Returns whether its bounds held. */
async function measure(flow: Flow): Promise<boolean> {
  const course = new Course(flow);
  let held = true;
  try {
    await course.start();
    for (const streams of values.streams.split(',').map(Number)) {
      for (const direction of values.direction.split(',')) {
        const rates = { ours: [] as number[], theirs: [] as number[] };
        for (let run = 0; run < Number(values.runs); run++) {
          // Who goes first changes, too.
          for (const exit of run % 2 === 0 ? EXITS : EXITS.toReversed()) {
            rates[exit].push(await course.run(exit, streams, direction === 'down', Number(values.bytes)));
          }
        }
        const ratio = median(rates.ours) / median(rates.theirs);
        const holds = ratio >= Number(values.bound);
        held &&= holds;
        process.stdout.write(
          `| ${flow.name} | ${streams} | ${direction} | ${spread(rates.ours)} | ${spread(rates.theirs)} | ` +
            `${ratio.toFixed(2)}${holds ? '' : ' **missed**'} |\n`,
        );
      }
    }
  } finally {
    await course.stop();
  }
  return held;
}

process.stdout.write(
  '| flow | streams | way | over ours, MB/s | over C tor’s | ratio |\n| --- | --- | --- | --- | --- | --- |\n',
);
let held = true;
for (const flow of FLOWS) {
  if (values.flow.split(',').includes(flow.name)) held = (await measure(flow)) && held;
}
process.stdout.write(held ? 'held\n' : 'not held\n');
process.exit(held ? 0 : 1);
