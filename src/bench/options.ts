/**
 * The words behind `onionrelay bench`: which options there are, and what they ask for.
 *
 * Pure but for a torrc that is named to find a relay by.
 */
import { parseArgs } from 'node:util';
import type { OperatorError } from '../fault.ts';
import type { ChurnHandshake, Direction } from '../load/plan.ts';
import { type AttachWish, parseLoopback, placeInTorrc, portOf } from './attach.ts';
import { type Bound, parseBound } from './bounds.ts';
import type { FigureName } from './figure.ts';
import type { MemoryWish } from './memory.ts';
import { PLACEMENTS } from './placement.ts';
import { MODE_SHAPES, type Mode, type Shape, USUAL_SHAPE } from './shape.ts';
import {
  C_TOR,
  DIRECTORY_TORRC,
  type Entry,
  EXIT_TORRC,
  OURS,
  pickRows,
  type Row,
  UNKNOWN_PACE,
} from './suite.ts';
import { LOOPBACK, refuse } from './target.ts';

/** One option as the help shows it. */
export interface OptionSpec {
  readonly name: string;
  /** What follows it; null when nothing does. */
  readonly hint: string | null;
  readonly text: string;
  readonly multiple?: boolean;
}

const MODES: readonly Mode[] = ['flood', 'paced', 'latency', 'churn', 'idle', 'exit', 'directory'];
/** Words that stand for all rows. */
const SUITE = ['suite', 'all'];
const CHART = 'chart';
const MEMORY = 'memory';
/** What `cpu` means in a bound. */
const CPU_OF: Readonly<Record<Mode, FigureName>> = {
  flood: 'cpuPerGb',
  paced: 'cpuPerGb',
  latency: 'cores',
  churn: 'cpuPerCircuit',
  idle: 'cpuPerLink',
  exit: 'cpuPerGb',
  directory: 'cpuPerRequest',
};
const GIGABYTES_LEAST = 1e-6;

/** What may stand as the first word. */
export const MODE_WORDS: readonly string[] = [...MODES, MEMORY, ...SUITE, CHART];

export const BENCH_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'target',
    hint: 'ours|tor|HOST:PORT',
    text: 'what is measured: a relay started here (ours), or one that runs on loopback',
  },
  { name: 'against', hint: 'ours|tor', text: 'what is measured beside it, in alternating runs, for ratios' },
  { name: 'data-directory', hint: 'DIR', text: 'the DataDirectory of a running relay, for its keys' },
  {
    name: 'torrc-file',
    hint: 'FILE',
    text: 'the torrc of a running relay, for its DataDirectory and ORPort',
  },
  { name: 'port', hint: 'PORT', text: 'the ORPort of a running relay' },
  { name: 'rsa-id', hint: 'HEX', text: 'its RSA identity, where its DataDirectory cannot be read' },
  { name: 'ed25519-id', hint: 'BASE64', text: 'its Ed25519 identity' },
  { name: 'ntor-key', hint: 'BASE64', text: 'its onion key' },
  { name: 'pid', hint: 'PID', text: 'its process, if it cannot be told by the port' },
  { name: 'executable', hint: 'FILE', text: 'the onionrelay to start as ours; this one otherwise' },
  { name: 'tor', hint: 'FILE', text: 'the C tor to start; tor otherwise' },
  { name: 'workers', hint: 'N', text: 'workers of a relay that is started (2)' },
  { name: 'cores', hint: 'LIST', text: 'cores that it may run on, as taskset takes them' },
  { name: 'torrc', hint: 'LINE', text: 'a line of torrc for it; may be repeated', multiple: true },
  { name: 'runs', hint: 'N', text: 'runs of each relay; medians are printed (3; suite: 5)' },
  {
    name: 'only',
    hint: 'NAME',
    text: 'suite: run only this row, or rows whose names begin so; may be repeated',
    multiple: true,
  },
  {
    name: 'circuits',
    hint: 'N',
    text: 'flood, paced, latency: standing circuits (500); exit: circuits that carry streams (4; directory: 20)',
  },
  { name: 'connections', hint: 'N', text: 'connections of the client (4; paced: 100; exit, directory: 2)' },
  { name: 'next-hops', hint: 'N', text: 'relays that circuits are extended to (1; paced: 100)' },
  {
    name: 'direction',
    hint: 'forward|backward|both',
    text: 'which way cells, or bytes of streams, flow (both)',
  },
  {
    name: 'gigabytes',
    hint: 'N',
    text: 'cells, or bytes of streams, to pump in a run, in 1e9 bytes (1; exit: 0.5)',
  },
  { name: 'warm-up', hint: 'N', text: 'the same before the measured part (0.2; exit: 0.1)' },
  {
    name: 'window',
    hint: 'CELLS',
    text: 'cells of a circuit that may be under way (20000 over all circuits, 16 to 500 each)',
  },
  { name: 'burst', hint: 'CELLS', text: 'cells of a circuit in a row (1; paced: 4)' },
  {
    name: 'rate',
    hint: 'MB/s|SHARE%',
    text: 'paced (60), latency: load in both directions together; a share is of what --against can do',
  },
  {
    name: 'placement',
    hint: 'local|half|remote',
    text: 'flood: how many circuits cross between the two workers of ours',
  },
  { name: 'probes', hint: 'N', text: 'latency: round trips to measure (2000); churn: a probe beside it (0)' },
  { name: 'gap', hint: 'MS', text: 'latency: mean pause between two (4)' },
  {
    name: 'total',
    hint: 'N',
    text: 'churn: circuits of a run (60000); directory: requests of a run (60000); memory: circuits that come and go (100000)',
  },
  { name: 'hops', hint: '1|2', text: 'churn: length of its circuits (1)' },
  { name: 'handshake', hint: 'ntor|ntor-v3|fast', text: 'churn: handshake of the first hop (ntor)' },
  { name: 'in-flight', hint: 'N', text: 'churn: handshakes under way (64)' },
  { name: 'links', hint: 'N', text: 'idle: links to open; memory: links that come and go (5000)' },
  {
    name: 'streams',
    hint: 'N',
    text: 'exit: streams to a destination on loopback (16); directory: requests at once (500)',
  },
  { name: 'flow', hint: 'congestion|windows', text: 'exit: flow control of the circuits (congestion)' },
  { name: 'relays', hint: 'N', text: 'directory: relays of the network that it knows (2000)' },
  { name: 'hold', hint: 'SECONDS', text: 'idle: how long to hold them (10)' },
  {
    name: 'bound',
    hint: 'BOUND',
    text: 'exit with 1 unless it holds: 0.45 or cpu=0.45 (ratios), rss<200, rate>100; may be repeated',
    multiple: true,
  },
  { name: 'json', hint: '[FILE]', text: 'print results as JSON, or keep them in a file beside the table' },
  { name: 'chart', hint: 'FILE', text: 'draw CPU per gigabyte as SVG' },
];

/** What a call asks for. */
export type Call =
  | {
      readonly kind: 'measure';
      readonly suite: boolean;
      readonly rows: readonly Row[];
      readonly setup: SetupWish;
      readonly output: Output;
    }
  | {
      readonly kind: 'memory';
      readonly entry: Entry;
      readonly wish: MemoryWish;
      readonly setup: SetupWish;
      readonly output: Output;
    }
  | { readonly kind: 'chart'; readonly from: string; readonly chart: string | null };

/** What of a setup the command line decides. */
export interface SetupWish {
  readonly executable: string | null;
  readonly tor: string;
  readonly attach: AttachWish | null;
  readonly workers: number;
  readonly torrc: readonly string[];
  readonly cores: string | null;
  readonly runs: number;
}

export interface Output {
  /** JSON to standard output, and no table there. */
  readonly json: boolean;
  readonly jsonFile: string | null;
  readonly chart: string | null;
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function bad(what: string, where: string, hint = 'see onionrelay bench --help'): OperatorError {
  return refuse(what, where, hint);
}

/** `--json` may stand alone or before a file: give the second kind its own name. */
function splitJson(words: readonly string[]): string[] {
  return words.map((word, i) => {
    const next = words[i + 1];
    if (word.startsWith('--json=')) return `--json-file=${word.slice('--json='.length)}`;
    return word === '--json' && next !== undefined && !next.startsWith('-') && !MODE_WORDS.includes(next)
      ? '--json-file'
      : word;
  });
}

function read(words: readonly string[]): { values: Values; words: string[] } {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {
    json: { type: 'boolean' },
    'json-file': { type: 'string' },
  };
  for (const { name, hint, multiple } of BENCH_OPTIONS) {
    if (name !== 'json')
      options[name] = { type: hint === null ? 'boolean' : 'string', multiple: multiple ?? false };
  }
  try {
    const { values, positionals } = parseArgs({ args: splitJson(words), options, allowPositionals: true });
    return { values, words: positionals };
  } catch (error) {
    // The rest of its message tells how to write an argument that looks like an option.
    throw bad(error instanceof Error ? error.message.split('. ', 1)[0]! : String(error), 'bench');
  }
}

/** The values of a command line, each checked as it is taken. */
class Wishes {
  private readonly values: Values;

  constructor(values: Values) {
    this.values = values;
  }

  text(name: string): string | null {
    const value = this.values[name];
    return typeof value === 'string' ? value : null;
  }

  flag(name: string): boolean {
    return this.values[name] === true;
  }

  list(name: string): string[] {
    const value = this.values[name];
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  }

  number(name: string, least: number, usual: number): number {
    const text = this.text(name);
    if (text === null) return usual;
    const n = Number(text);
    if (text.trim() !== '' && Number.isFinite(n) && n >= least) return n;
    throw bad(`"${text}" is not a number of at least ${least}`, `--${name}`);
  }

  count(name: string, least: number, usual: number): number {
    const n = this.number(name, least, usual);
    if (Number.isInteger(n)) return n;
    throw bad(`${n} is not a whole number`, `--${name}`);
  }

  choice<T extends string>(name: string, choices: readonly T[], usual: T): T {
    const text = this.text(name);
    const found = choices.find((choice) => choice === text);
    if (text === null) return usual;
    if (found === undefined) throw bad(`"${text}" is none of ${choices.join(', ')}`, `--${name}`);
    return found;
  }
}

/**
 * Read a command line. `home` is the user's home, where a torrc may be.
 *
 * @throws OperatorError on anything that is not understood, and for a target that is not on loopback
 */
export function parseCall(given: readonly string[], home: string | null): Call {
  const { values, words } = read(given);
  const wishes = new Wishes(values);
  const [mode = 'flood', ...rest] = words;
  if (!MODE_WORDS.includes(mode))
    throw bad(`there is no mode "${mode}"`, 'bench', `write one of ${MODE_WORDS.join(', ')}`);
  if (mode === CHART) {
    if (rest.length === 1) return { kind: 'chart', from: rest[0]!, chart: wishes.text('chart') };
    throw bad(
      'one file of results is needed',
      'bench chart',
      'write onionrelay bench chart FILE.json --chart FILE.svg',
    );
  }
  if (rest.length > 0) throw bad(`"${rest[0]}" is one word too many`, 'bench');
  const suite = SUITE.includes(mode);
  const attach = attachOf(wishes, home);
  if (suite) checkSuite(wishes, attach);
  else if (wishes.list('only').length > 0) throw bad('is for the suite', '--only');
  const setup: SetupWish = {
    executable: wishes.text('executable'),
    tor: wishes.text('tor') ?? 'tor',
    attach,
    workers: wishes.count('workers', 1, 2),
    torrc: wishes.list('torrc'),
    cores: wishes.text('cores'),
    runs: wishes.count('runs', 1, suite ? 5 : 3),
  };
  const jsonFile = wishes.text('json-file');
  const output: Output = { json: wishes.flag('json'), jsonFile, chart: wishes.text('chart') };
  if (mode === MEMORY)
    return { kind: 'memory', entry: firstEntry(wishes, attach), wish: memoryWish(wishes), setup, output };
  const rows = suite
    ? pickRows(wishes.list('only')).map((row) => scaled(row, wishes))
    : [rowOf(mode as Mode, wishes, attach)];
  return { kind: 'measure', suite, rows, setup, output };
}

/** How much comes and goes while memory is watched. */
function memoryWish(wishes: Wishes): MemoryWish {
  const needless = ['against', 'bound', 'chart'].find(
    (name) => wishes.text(name) !== null || wishes.list(name).length > 0,
  );
  if (needless !== undefined) throw bad('has no meaning for memory, whose bound is fixed', `--${needless}`);
  return { circuits: wishes.count('total', 1, 100_000), links: wishes.count('links', 1, 5000) };
}

function firstEntry(wishes: Wishes, attach: AttachWish | null): Entry {
  if (attach !== null) {
    return { name: `${attach.host}:${attach.port}`, kind: 'attached', workers: null, placement: null };
  }
  return wishes.text('target') === 'tor' ? C_TOR : OURS;
}

/** What the rows of the suite say themselves. How much is pumped may be said beside. */
const FIXED = [
  'target against placement circuits connections next-hops direction window burst rate gap hops handshake',
  'in-flight links hold streams flow relays bound',
].join(' ');

function checkSuite(wishes: Wishes, attach: AttachWish | null): void {
  const given = FIXED.split(' ').find((name) => wishes.text(name) !== null || wishes.list(name).length > 0);
  if (given !== undefined) throw bad('has no meaning for the suite, whose rows are fixed', `--${given}`);
  if (attach !== null) throw bad('the suite starts its relays itself', 'bench suite');
}

/** A row of the suite with as much work as the command line says. */
function scaled(row: Row, wishes: Wishes): Row {
  const { shape } = row;
  const { bytes, warmUpBytes, churned, warmUpChurned, probes } = shape;
  return {
    ...row,
    shape: {
      ...shape,
      bytes: wishes.number('gigabytes', GIGABYTES_LEAST, bytes / 1e9) * 1e9,
      warmUpBytes: wishes.number('warm-up', 0, warmUpBytes / 1e9) * 1e9,
      churned: wishes.count('total', 1, churned),
      warmUpChurned: Math.min(warmUpChurned, wishes.count('total', 1, warmUpChurned)),
      requests: wishes.count('total', 1, shape.requests),
      warmUpRequests: Math.min(shape.warmUpRequests, wishes.count('total', 1, shape.warmUpRequests)),
      probes: probes === 0 ? 0 : wishes.count('probes', 1, probes),
    },
  };
}

function attachOf(wishes: Wishes, home: string | null): AttachWish | null {
  const target = wishes.text('target');
  const file = wishes.text('torrc-file');
  const named = target === 'ours' || target === 'tor' ? null : target;
  let dataDirectory = wishes.text('data-directory');
  const keys = {
    rsaId: wishes.text('rsa-id'),
    ed25519Id: wishes.text('ed25519-id'),
    ntorKey: wishes.text('ntor-key'),
  };
  if (named === null && file === null && dataDirectory === null) {
    const stray = ['port', 'pid', 'rsa-id', 'ed25519-id', 'ntor-key'].find(
      (name) => wishes.text(name) !== null,
    );
    if (stray !== undefined)
      throw bad(
        'is for a running relay',
        `--${stray}`,
        'name it with --target HOST:PORT or --data-directory DIR',
      );
    return null;
  }
  let place: { host: string; port: number } | null = named === null ? null : parseLoopback(named);
  if (file !== null) {
    const found = placeInTorrc(file, home);
    dataDirectory ??= found.dataDirectory;
    place ??= found;
  }
  const port = wishes.text('port') === null ? null : wishes.count('port', 1, 1);
  if (place === null && port !== null) place = { host: LOOPBACK, port };
  place ??= portOf(dataDirectory ?? '', home);
  const pid = wishes.text('pid') === null ? null : wishes.count('pid', 1, 1);
  return { ...keys, dataDirectory, host: place.host, port: port ?? place.port, pid };
}

function rowOf(mode: Mode, wishes: Wishes, attach: AttachWish | null): Row {
  const placement =
    wishes.text('placement') === null ? null : wishes.choice('placement', PLACEMENTS, 'local');
  const against =
    wishes.text('against') === null ? null : wishes.choice('against', ['ours', 'tor'] as const, 'tor');
  const first = firstEntry(wishes, attach);
  const beside = against === null ? null : against === 'tor' ? C_TOR : OURS;
  const place = (entry: Entry): Entry => (entry.kind === 'ours' ? { ...entry, placement } : entry);
  const unlike =
    beside !== null && beside.name === first.name ? { ...beside, name: `${beside.name} again` } : beside;
  const entries = unlike === null ? [place(first)] : [place(first), place(unlike)];
  if (placement !== null) checkPlacement(mode, wishes, entries);
  const { shape, paceShare } = shapeOf(mode, wishes);
  if (paceShare !== null && entries.length < 2)
    throw bad('a share is of what the relay beside can do', '--rate', 'add --against tor');
  const cpu = CPU_OF[mode];
  const bounds = wishes.list('bound').map((text): Bound => parseBound(text, cpu));
  const needless = bounds.find(({ of }) => of === 'ratio');
  if (needless !== undefined && entries.length < 2) {
    throw bad(
      'a ratio needs something beside',
      '--bound',
      'add --against tor, or write a limit such as cpu<2.5 or rss<200',
    );
  }
  return {
    name: mode,
    title: mode,
    shape,
    entries,
    bounds,
    torrc: mode === 'exit' ? EXIT_TORRC : mode === 'directory' ? DIRECTORY_TORRC : [],
    paceShare,
    runsMost: Number.POSITIVE_INFINITY,
  };
}

function checkPlacement(mode: Mode, wishes: Wishes, entries: readonly Entry[]): void {
  if (mode !== 'flood' && mode !== 'paced') throw bad('is for floods', '--placement');
  if (!entries.some(({ kind }) => kind === 'ours'))
    throw bad('needs a relay of ours that is started here', '--placement');
  if (wishes.count('workers', 1, 2) !== 2) throw bad('needs two workers', '--placement', 'write --workers 2');
  if (wishes.count('connections', 1, 4) < 2)
    throw bad('needs two connections', '--placement', 'write --connections 4');
}

function shapeOf(mode: Mode, wishes: Wishes): { shape: Shape; paceShare: number | null } {
  const usual: Shape = { ...USUAL_SHAPE, ...MODE_SHAPES[mode] };
  const rate = wishes.text('rate');
  const share = rate === null ? null : /^(\d+(?:\.\d+)?)%$/.exec(rate);
  if (rate !== null && mode !== 'paced' && mode !== 'latency')
    throw bad('is for paced and latency', '--rate');
  const bytesPerSec =
    share !== null ? UNKNOWN_PACE : rate === null ? usual.bytesPerSec : wishes.number('rate', 0.001, 0) * 1e6;
  const shape: Shape = {
    ...usual,
    mode,
    circuits: wishes.count('circuits', 1, usual.circuits),
    connections: wishes.count('connections', 1, usual.connections),
    nextHops: wishes.count('next-hops', 1, usual.nextHops),
    direction: wishes.choice<Direction>('direction', ['forward', 'backward', 'both'], usual.direction),
    bytes: wishes.number('gigabytes', GIGABYTES_LEAST, usual.bytes / 1e9) * 1e9,
    warmUpBytes: wishes.number('warm-up', 0, usual.warmUpBytes / 1e9) * 1e9,
    window: wishes.text('window') === null ? null : wishes.count('window', 1, 1),
    burst: wishes.count('burst', 1, usual.burst),
    bytesPerSec,
    probes: wishes.count('probes', mode === 'churn' ? 0 : 1, usual.probes),
    gapMs: wishes.number('gap', 1, usual.gapMs),
    churned: wishes.count('total', 1, usual.churned),
    warmUpChurned: Math.min(usual.warmUpChurned, wishes.count('total', 1, usual.churned)),
    hops: wishes.choice('hops', ['1', '2'], '1') === '2' ? 2 : 1,
    handshake: wishes.choice<ChurnHandshake>('handshake', ['ntor', 'ntor-v3', 'fast'], usual.handshake),
    inFlight: wishes.count('in-flight', 1, usual.inFlight),
    links: wishes.count('links', 1, usual.links),
    holdMs: wishes.number('hold', 0.1, usual.holdMs / 1000) * 1000,
    streams: wishes.count('streams', 1, usual.streams),
    requests: wishes.count('total', 1, usual.requests),
    warmUpRequests: Math.min(usual.warmUpRequests, wishes.count('total', 1, usual.requests)),
    relays: wishes.count('relays', 1, usual.relays),
    congestion: wishes.choice('flow', ['congestion', 'windows'], 'congestion') === 'congestion',
  };
  const fitting = { ...shape, addresses: Math.max(1, Math.ceil(shape.links / 100)) };
  return { shape: fitting, paceShare: share === null ? null : Number(share[1]) / 100 };
}
