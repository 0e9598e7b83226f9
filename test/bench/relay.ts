/**
 * Benchmark: cells through one relay, in CPU seconds per gigabyte, ours beside C tor in the same run.
 *
 *   bun test/bench/relay.ts --circuits 500 --connections 4 --direction both --gigabytes 1 --runs 3 --against tor
 *
 * A run starts a relay, opens the circuits, warms up, floods, and checks that no cell was lost or changed and that
 * every circuit's keystreams are in step. Runs of the relays alternate; medians are printed. Exit status 1 when a
 * run was not clean, or --bound was given and does not hold.
 */
import { parseArgs } from 'node:util';
import { Load } from '../../src/load/load.ts';
import {
  blemish,
  type Direction,
  type FloodPlan,
  type FloodReport,
  type LoadCheck,
} from '../../src/load/plan.ts';
import { startTarget, type Target, type TargetKind } from './target.ts';

const USAGE = `options:
  --circuits N       circuits (500)
  --connections N    client connections (4)
  --next-hops N      relays to extend to (1)
  --apart            each connection has next hops of its own (else every connection goes to all)
  --direction D      forward, backward or both (both)
  --gigabytes X      1e9 bytes of cells per run, all directions together (1)
  --warm-up X        the same, before the measurement (0.2)
  --runs N           runs of each relay (3)
  --target T         ours or tor (ours)
  --against T        alternate with tor or ours, and print the ratio
  --workers N        NumCPUs of the relay (2)
  --window N         cells under way per circuit and direction (20000 / circuits, 16 to 500)
  --burst N          cells of one circuit in a row (1)
  --rate X           1e6 bytes of cells per second, all directions together (as fast as it goes)
  --cores LIST       run the relay under taskset
  --torrc LINE       one more torrc line for the relay; repeatable
  --bound X          exit 1 when the ratio is above X
  --json             figures as JSON`;

interface FloodFigures extends FloodReport {
  readonly cpuSec: number;
  /** CPU seconds of the relay per 1e9 bytes of cells. */
  readonly cpuPerGb: number;
}

interface Run {
  readonly kind: TargetKind;
  readonly figures: FloodFigures;
  readonly check: LoadCheck;
  readonly rssBytes: number;
}

function fail(text: string): never {
  process.stderr.write(`bench: ${text}\n${USAGE}\n`);
  process.exit(2);
}

function parse() {
  const text = { type: 'string' } as const;
  return parseArgs({
    options: {
      circuits: { ...text, default: '500' },
      connections: { ...text, default: '4' },
      'next-hops': { ...text, default: '1' },
      apart: { type: 'boolean', default: false },
      direction: { ...text, default: 'both' },
      gigabytes: { ...text, default: '1' },
      'warm-up': { ...text, default: '0.2' },
      runs: { ...text, default: '3' },
      target: { ...text, default: 'ours' },
      against: text,
      workers: { ...text, default: '2' },
      window: text,
      burst: { ...text, default: '1' },
      rate: text,
      cores: text,
      torrc: { ...text, multiple: true },
      bound: text,
      json: { type: 'boolean', default: false },
    },
  }).values;
}

function readOptions() {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  const number = (name: string, value: string, least: number): number => {
    const n = Number(value);
    return Number.isFinite(n) && n >= least ? n : fail(`--${name} takes a number of at least ${least}`);
  };
  const kind = (name: string, value: string): TargetKind =>
    value === 'ours' || value === 'tor'
      ? value
      : fail(`--${name} takes "ours" or "tor": nothing else is on loopback`);
  const { direction } = values;
  if (direction !== 'forward' && direction !== 'backward' && direction !== 'both') {
    fail('--direction takes forward, backward or both');
  }
  const circuits = number('circuits', values.circuits, 1);
  const connections = number('connections', values.connections, 1);
  const nextHops = number('next-hops', values['next-hops'], 1);
  const usual = Math.min(500, Math.max(16, Math.round(20_000 / circuits)));
  const plan: FloodPlan = {
    mode: 'flood',
    direction: direction as Direction,
    circuits,
    links: { connections, ports: null, spare: 0 },
    route: { nextHops, routes: values.apart ? apart(connections, nextHops) : null, dialers: null },
    window: values.window === undefined ? usual : number('window', values.window, 1),
    burst: number('burst', values.burst, 1),
    bytes: number('gigabytes', values.gigabytes, 0) * 1e9,
    warmUpBytes: number('warm-up', values['warm-up'], 0) * 1e9,
    bytesPerSec: values.rate === undefined ? null : number('rate', values.rate, 0.001) * 1e6,
  };
  return {
    plan,
    runs: number('runs', values.runs, 1),
    target: kind('target', values.target),
    against: values.against === undefined ? null : kind('against', values.against),
    workers: number('workers', values.workers, 1),
    cores: values.cores ?? null,
    torrc: values.torrc ?? [],
    bound: values.bound === undefined ? null : number('bound', values.bound, 0),
    json: values.json,
  };
}

type Options = ReturnType<typeof readOptions>;

/** Routes by which no two connections meet at a next hop, where there are enough of them. */
function apart(connections: number, nextHops: number): number[][] {
  return Array.from({ length: connections }, (_, connection) => {
    const own: number[] = [];
    for (let hop = connection % nextHops; hop < nextHops; hop += connections) own.push(hop);
    return own;
  });
}

async function measure(load: Load, target: Target): Promise<FloodFigures> {
  let cpuSec = 0;
  const report = await load.measure({
    begin() {
      cpuSec = target.cpuSec();
    },
    end() {
      cpuSec = target.cpuSec() - cpuSec;
    },
  });
  if (report.mode !== 'flood') throw new Error('a flood reports a flood');
  return { ...report, cpuSec, cpuPerGb: cpuSec / (report.bytes / 1e9) };
}

async function runOnce(kind: TargetKind, options: Options): Promise<Run> {
  const target = await startTarget({
    kind,
    workers: options.workers,
    cores: options.cores,
    torrc: options.torrc,
  });
  let load: Load | null = null;
  try {
    const { port, rsaId, ed25519Id, onionKey } = target.hop;
    const relay = { host: '127.0.0.1', port, rsaId, ed25519Id, ntorOnionKey: onionKey! };
    load = Load.start(options.plan, relay);
    await load.prepare();
    const figures = await measure(load, target);
    const rssBytes = target.rssBytes();
    return { kind, figures, check: await load.check(), rssBytes };
  } catch (fault) {
    process.stderr.write(`the log of ${kind} ends:\n${target.log().slice(-2000)}\n`);
    throw fault;
  } finally {
    load?.close();
    await target.stop();
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function line(name: string, cpuPerGb: number, bytesPerSec: number, rssBytes: number, rest: string): string {
  const columns = [
    name.padEnd(14),
    cpuPerGb.toFixed(2).padStart(9),
    (bytesPerSec / 1e6).toFixed(0).padStart(8),
    (rssBytes / 1e6).toFixed(0).padStart(8),
  ];
  return `${columns.join(' ')}  ${rest}\n`;
}

async function main(): Promise<number> {
  const options = readOptions();
  const { plan, json } = options;
  const { links, route } = plan;
  const kinds = options.against === null ? [options.target] : [options.target, options.against];
  const say = (text: string) => (json ? process.stderr : process.stdout).write(text);
  say(
    `${plan.circuits} circuits, ${links.connections} connections, ${route.nextHops} next hops, ${plan.direction}, ` +
      `window ${plan.window}, ${plan.bytes / 1e9} GB a run, ${options.workers} workers\n`,
  );
  say('               CPU s/GB     MB/s   RSS MB\n');
  const runs: Run[] = [];
  let clean = true;
  for (let n = 1; n <= options.runs; n++) {
    for (const kind of kinds) {
      const run = await runOnce(kind, options);
      runs.push(run);
      const why = blemish(run.check);
      if (why !== null) clean = false;
      const { cpuPerGb, bytesPerSec } = run.figures;
      say(
        line(
          `${kind} ${n}`,
          cpuPerGb,
          bytesPerSec,
          run.rssBytes,
          why ?? `${run.check.sampled} cells sampled`,
        ),
      );
    }
  }
  const of = (kind: TargetKind) => {
    const mine = runs.filter((run) => run.kind === kind);
    return {
      kind,
      cpuPerGb: median(mine.map(({ figures }) => figures.cpuPerGb)),
      bytesPerSec: median(mine.map(({ figures }) => figures.bytesPerSec)),
      rssBytes: median(mine.map(({ rssBytes }) => rssBytes)),
    };
  };
  const medians = kinds.map(of);
  for (const { kind, cpuPerGb, bytesPerSec, rssBytes } of medians) {
    say(line(`${kind} median`, cpuPerGb, bytesPerSec, rssBytes, ''));
  }
  const ratio = medians.length === 2 ? medians[0]!.cpuPerGb / medians[1]!.cpuPerGb : null;
  if (ratio !== null) say(`ratio of CPU per GB, ${kinds.join(' / ')}: ${ratio.toFixed(2)}\n`);
  if (json) process.stdout.write(`${JSON.stringify({ plan, medians, ratio, clean, runs }, null, 2)}\n`);
  const held = options.bound === null || ratio === null || ratio <= options.bound;
  return clean && held ? 0 : 1;
}

process.exit(await main());
