/**
 * Benchmark: what a flood takes from honest circuits. Each flood runs against a fresh relay that carries honest
 * traffic at a pace; the table shows that traffic before, during and after, the relay's memory, and what it counted.
 *
 *   bun test/bench/floods.ts [--against tor] [--only a,b] [--seconds N] [--megabytes-per-sec N] [--nice N] [--bound R]
 *     [--attackers N] [--rate CONNECTS-PER-SECOND]
 *
 * Honest traffic is paced (40 MB/s of cells unless told otherwise) and comes from 127.0.0.1, attacks from 127.0.0.66
 * by a process of the lowest priority: on one machine an attacker must not be measured by the CPU that he himself
 * burns. The consensus' DoS defences are off. Exit status 1 when the traffic during or after a flood is under the
 * bound, or a cell is lost.
 */
import { parseArgs } from 'node:util';
import { AttackProcess, attackAddress } from './attacks/attack-process.ts';
import { ATTACK_NAMES, type AttackName } from './attacks/catalogue.ts';
import { HonestLoad } from './honest-load.ts';
import { startTarget, type Target, type TargetKind } from './target.ts';
import { readVitals } from './vitals.ts';

const BOUND = 0.7;
const PLAN = { circuits: 40, connections: 4 };
/** The least that C tor takes. */
const QUEUES_MB = 256;
const WARM_UP_MS = 2000;
const SETTLE_MS = 15_000;
const SAMPLE_MS = 250;
/** An attack needs a moment until it is at full strength. */
const RAMP_MS = 1000;

interface FloodRun {
  readonly kind: TargetKind;
  readonly attack: AttackName;
  /** Honest bytes of cells per second. */
  readonly before: number;
  readonly during: number;
  readonly after: number;
  /** CPU seconds of the relay per second while attacked. */
  readonly cpu: number;
  readonly rss: { readonly before: number; readonly max: number; readonly after: number };
  readonly blemish: string | null;
  /** What the attacker says that he did. */
  readonly attacker: Record<string, number>;
  /** What the relay counted meanwhile, without plain traffic. */
  readonly counted: Record<string, number>;
}

interface Options {
  readonly kinds: TargetKind[];
  readonly attacks: AttackName[];
  readonly seconds: number;
  readonly bytesPerSec: number;
  readonly nice: number;
  /** Processes that attack, each from an address of its own. */
  readonly attackers: number;
  /** Connections per second and attacker, where an attack is one of connections; null: the usual. */
  readonly rate: number | null;
  readonly workers: number;
  readonly bound: number;
  readonly json: boolean;
}

function fail(text: string): never {
  process.stderr.write(`floods: ${text}\n`);
  process.exit(2);
}

function readOptions(): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      against: text,
      only: text,
      seconds: { ...text, default: '6' },
      'megabytes-per-sec': { ...text, default: '40' },
      nice: { ...text, default: '19' },
      attackers: { ...text, default: '1' },
      rate: text,
      workers: { ...text, default: '2' },
      bound: { ...text, default: String(BOUND) },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.against !== undefined && values.against !== 'tor') fail('--against takes "tor"');
  const attacks = values.only === undefined ? ATTACK_NAMES : (values.only.split(',') as AttackName[]);
  for (const name of attacks) {
    if (!ATTACK_NAMES.includes(name)) fail(`no flood is named ${name}: ${ATTACK_NAMES.join(', ')}`);
  }
  return {
    kinds: values.against === undefined ? ['ours'] : ['ours', 'tor'],
    attacks,
    seconds: Number(values.seconds),
    bytesPerSec: Number(values['megabytes-per-sec']) * 1e6,
    nice: Number(values.nice),
    attackers: Number(values.attackers),
    rate: values.rate === undefined ? null : Number(values.rate),
    workers: Number(values.workers),
    bound: Number(values.bound),
    json: values.json,
  };
}

const TRAFFIC = /^(bytes|cells|channel_padding|channels_opened|links_accepted)/;

/** Read the counters of ours; C tor has none to compare. */
async function readCounters(target: Target): Promise<ReadonlyMap<string, number>> {
  return target.kind === 'tor' ? new Map() : (await readVitals(target)).counters;
}

/** Keeps the highest RSS. */
class Peak {
  bytes = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(target: Target) {
    this.#timer = setInterval(() => {
      if (target.exitCode === null) this.bytes = Math.max(this.bytes, target.rssBytes());
    }, SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** End attackers. Returns the sums of what they say that they did. */
async function stopAll(attackers: AttackProcess[]): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const tally of await Promise.all(attackers.splice(0).map((attacker) => attacker.stop()))) {
    for (const [name, count] of Object.entries(tally)) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

async function runOnce(kind: TargetKind, attack: AttackName, options: Options): Promise<FloodRun> {
  const target = await startTarget({
    kind,
    workers: options.workers,
    torrc: [`MaxMemInQueues ${QUEUES_MB} MB`, ...(kind === 'ours' ? ['DisableDebuggerAttachment 0'] : [])],
  });
  let honest: HonestLoad | null = null;
  const attackers: AttackProcess[] = [];
  try {
    honest = await HonestLoad.open(target.hop, { ...PLAN, bytesPerSec: options.bytesPerSec });
    honest.start();
    await Bun.sleep(WARM_UP_MS);
    const before = await honest.measure(options.seconds * 500);
    const counted = await readCounters(target);
    const rssBefore = target.rssBytes();
    const peak = new Peak(target);
    for (let i = 0; i < options.attackers; i++) {
      const strength = options.rate === null ? {} : { connectsPerSec: options.rate };
      const from = attackAddress(i);
      attackers.push(AttackProcess.start(attack, target.hop, { ...strength, from }, options.nice));
    }
    await Bun.sleep(RAMP_MS);
    const cpuBefore = target.cpuSec();
    const during = await honest.measure(options.seconds * 1000);
    const cpu = (target.cpuSec() - cpuBefore) / options.seconds;
    const did = await stopAll(attackers);
    await Bun.sleep(RAMP_MS);
    const after = await honest.measure(options.seconds * 500);
    const check = await honest.stop();
    peak.stop();
    const rssAfter = await settledRss(target, rssBefore);
    const counters = await readCounters(target);
    const differences: Record<string, number> = {};
    for (const [name, count] of counters) {
      const more = count - (counted.get(name) ?? 0);
      if (more !== 0 && !TRAFFIC.test(name)) differences[name] = more;
    }
    return {
      kind,
      attack,
      before,
      during,
      after,
      cpu,
      rss: { before: rssBefore, max: peak.bytes, after: rssAfter },
      blemish:
        check.closed.length > 0
          ? `${check.closed.length} circuits closed (${check.closed[0]})`
          : check.lost !== 0 || check.corrupt !== 0 || check.inStep !== PLAN.circuits
            ? `${check.lost} cells lost, ${check.corrupt} changed, ${check.inStep} circuits in step`
            : null,
      attacker: did,
      counted: differences,
    };
  } catch (fault) {
    process.stderr.write(`the log of ${kind} ends:\n${target.log().slice(-2000)}\n`);
    throw fault;
  } finally {
    await stopAll(attackers);
    honest?.close();
    await target.stop();
  }
}

/** Where memory stands after it had time to come back: the collector works when a thread rests. */
async function settledRss(target: Target, goal: number): Promise<number> {
  const endMs = performance.now() + SETTLE_MS;
  while (target.rssBytes() > goal * 1.1 && performance.now() < endMs) await Bun.sleep(SAMPLE_MS);
  return target.rssBytes();
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);

function line(run: FloodRun): string {
  const { before, during, after, rss } = run;
  const top = Object.entries(run.counted)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 6)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
  const did = Object.entries(run.attacker)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
  const columns = [
    run.attack.padEnd(17),
    run.kind.padEnd(5),
    ...[before, during, after].map((rate) => (rate / 1e6).toFixed(1).padStart(7)),
    (during / before).toFixed(2).padStart(6),
    (after / before).toFixed(2).padStart(6),
    run.cpu.toFixed(2).padStart(5),
    ...[rss.before, rss.max, rss.after].map((bytes) => mb(bytes).padStart(5)),
  ];
  return `${columns.join(' ')}  ${run.blemish ?? 'whole'}\n    attacker: ${did}\n    relay: ${top}\n`;
}

async function main(): Promise<number> {
  const options = readOptions();
  const out = options.json ? process.stderr : process.stdout;
  out.write(
    `${PLAN.circuits} honest circuits on ${PLAN.connections} links, ${mb(options.bytesPerSec)} MB/s offered; ` +
      `${options.seconds} s of each flood, ${options.attackers} attacker(s) at nice ${options.nice}; ${options.workers} workers\n` +
      'flood             relay  before during  after  ratio  after   CPU   RSS   max  then (MB)\n',
  );
  const runs: FloodRun[] = [];
  for (const attack of options.attacks) {
    for (const kind of options.kinds) {
      const run = await runOnce(kind, attack, options);
      runs.push(run);
      out.write(line(run));
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify(runs, null, 2)}\n`);
  const broken = runs.filter(
    ({ kind, before, during, after, blemish }) =>
      kind === 'ours' &&
      (blemish !== null || during < options.bound * before || after < options.bound * before),
  );
  for (const { attack } of broken) out.write(`under the bound: ${attack}\n`);
  return broken.length === 0 ? 0 : 1;
}

process.exit(await main());
