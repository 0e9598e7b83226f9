/** One process of a private network: its torrc, its keys, its start and its end. */

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { Subprocess } from 'bun';
import type { OwnMarks } from './c-tor-warnings.ts';

const ROOT = resolve(import.meta.dir, '../..');
/**
 * How often the authorities vote, and how long each of the two phases of a vote lasts. The shortest that C tor
 * allows is 10 s; with two cores for a dozen processes a vote must not be that tight. The interval divides a day.
 */
const VOTING_INTERVAL_SEC = 20;
const VOTE_PHASE_SEC = 4;
const STOP_DEADLINE_MS = 60_000;
const STOP_AGAIN_MS = 10_000;
const STOP_HARD_MS = 30_000;

export type Software = 'tor' | 'onionrelay';

/** What a process shall be. */
export interface NodePlan {
  /** Its nickname and the name of its folder. */
  readonly name: string;
  readonly software: Software;
  readonly role: 'authority' | 'relay' | 'exit' | 'client';
  /** Listen on ::1 as well, and say so in the descriptor. */
  readonly ipv6?: boolean;
  /** More torrc lines, after all others. */
  readonly torrc?: readonly string[];
  /** Torrc lines that stand in place of those of the same options. */
  readonly instead?: readonly string[];
  /** Do not start it with the others; a test does. */
  readonly late?: boolean;
}

/** Wait for a condition, looking five times a second. @throws Error naming it when the deadline passes */
export async function waitUntil(
  what: string,
  deadlineMs: number,
  holds: () => boolean | Promise<boolean>,
  explain: () => string = () => '',
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > end)
      throw new Error(`still waiting for ${what} after ${deadlineMs / 1000} s ${explain()}`);
    await Bun.sleep(200);
  }
}

/** The command that starts our relay: the compiled executable if ONIONRELAY_BINARY names one. */
export function onionrelayCommand(): string[] {
  const binary = process.env['ONIONRELAY_BINARY'];
  if (binary !== undefined && binary !== '') return [resolve(ROOT, binary)];
  return [join(ROOT, 'node_modules/.bin/bun'), join(ROOT, 'src/main.ts')];
}

/** What the kernel says of a process: its state, what it waits for and who its threads are. */
function processState(pid: number): string {
  try {
    const wanted = /^(?:Name|State|PPid|Threads|SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):.*$/gm;
    const lines = readFileSync(`/proc/${pid}/status`, 'utf8').match(wanted) ?? [];
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^(\d+ \(.*\) \S).*\n/, '$1'),
    );
    return [...lines, ...threads].join(', ').replace(/\t/g, ' ');
  } catch {
    return `there is no process ${pid}`;
  }
}

/** A process of the network, running or not. */
export class NetworkNode {
  readonly plan: NodePlan;
  readonly directory: string;
  readonly orPort: number;
  readonly orPort6: number;
  readonly dirPort: number;
  readonly controlPort: number;
  readonly socksPort: number;
  /** What runs in this DataDirectory now; a test may change it between a stop and a start. */
  software: Software;
  #process: Subprocess | null = null;
  #authorityIdentity = '';
  /** Who wrote the log from which character on. */
  readonly #starts: { readonly by: Software; readonly from: number }[] = [];

  constructor(plan: NodePlan, directory: string, ports: readonly number[]) {
    this.plan = plan;
    this.directory = directory;
    this.software = plan.software;
    [this.orPort, this.orPort6, this.dirPort, this.controlPort, this.socksPort] = ports as [
      number,
      number,
      number,
      number,
      number,
    ];
  }

  get pid(): number | null {
    return this.#process?.exitCode === null ? this.#process.pid : null;
  }

  /** The relay's RSA fingerprint in hex, null before its first start. */
  fingerprint(): string | null {
    return this.#file('fingerprint')?.trim().split(' ')[1] ?? null;
  }

  /** What names this relay in a log of C tor. @throws Error before its first start */
  marks(): OwnMarks {
    const ed25519 = this.#file('fingerprint-ed25519')?.trim().split(' ')[1];
    const rsa = this.fingerprint();
    if (rsa === null || ed25519 === undefined) throw new Error(`${this.plan.name} has no identity yet`);
    return {
      nickname: this.plan.name,
      identities: [rsa, ed25519.replace(/=+$/, '')],
      ports: [this.orPort, this.orPort6],
    };
  }

  /** Everything logged so far from info upwards, over all starts, or only what this software logged. */
  log(software?: Software): string {
    const text = this.#file('log') ?? '';
    if (software === undefined) return text;
    return this.#starts
      .map(({ by, from }, at) => (by === software ? text.slice(from, this.#starts[at + 1]?.from) : ''))
      .join('');
  }

  /** What the process printed, for messages about a process that ended by itself. */
  output(): string {
    return this.#file('output') ?? '';
  }

  /** Start the process. Its files stay where they are. */
  start(): void {
    this.#starts.push({ by: this.software, from: this.log().length });
    const torrc = join(this.directory, 'torrc');
    // C tor ends by itself when the test's process goes away.
    const owned = ['--__OwningControllerProcess', String(process.pid)];
    const command = this.software === 'tor' ? ['tor', ...owned] : onionrelayCommand();
    const output = openSync(join(this.directory, 'output'), 'a');
    this.#process = Bun.spawn([...command, '-f', torrc], {
      cwd: this.directory,
      stdin: 'ignore',
      stdout: output,
      stderr: output,
    });
    closeSync(output);
  }

  /** Ask one of ours for its counters, by name; those at 0 are missing. */
  async counters(): Promise<ReadonlyMap<string, number>> {
    const before = this.log().length;
    let match: RegExpMatchArray | null = null;
    this.#process?.kill('SIGUSR1');
    await waitUntil(
      `counters of ${this.plan.name}`,
      STOP_DEADLINE_MS,
      () => {
        match = this.log()
          .slice(before)
          .match(/(?:Counters: (.*)|All counters are 0)\.\n/);
        return match !== null;
      },
      () => this.#condition(),
    );
    const pairs = (match![1]?.split(', ') ?? []).map((pair) => pair.split(' ') as [string, string]);
    return new Map(pairs.map(([name, value]) => [name, Number(value)]));
  }

  /** What is known of the process, for messages about one that does not do what it should. */
  #condition(): string {
    const { pid, exitCode, signalCode } = this.#process ?? { pid: 0, exitCode: null, signalCode: null };
    const ends = [`exit ${exitCode}, signal ${signalCode}`, processState(pid)];
    return `\n${ends.join('; ')}\n${this.output().slice(-2000)}\n${this.log().slice(-2000)}`;
  }

  /** End the process as an operator would, and wait for it. @throws Error when it does not end */
  async stop(): Promise<void> {
    const child = this.#process;
    if (child === null) return;
    child.kill('SIGINT');
    // A C tor that was stopped while it still started may miss that; a second SIGINT ends it at once.
    const again = setTimeout(() => {
      if (this.software === 'tor') child.kill('SIGINT');
    }, STOP_AGAIN_MS);
    // One that makes consensus diffs right then may say that it exits and never do; its files are all written by then.
    const hard = setTimeout(() => {
      const said = this.log().slice(this.#starts.at(-1)!.from);
      if (this.software !== 'tor' || !said.includes('Clean shutdown finished')) return;
      console.warn(`${this.plan.name}, a C tor, does not end: ${this.#condition()}`);
      child.kill('SIGKILL');
    }, STOP_HARD_MS);
    await waitUntil(
      `end of ${this.plan.name}`,
      STOP_DEADLINE_MS,
      () => child.exitCode !== null || child.signalCode !== null,
      () => this.#condition(),
    ).finally(() => {
      clearTimeout(again);
      clearTimeout(hard);
    });
    this.#process = null;
  }

  /** End the process at once. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null) return;
    child.kill('SIGKILL');
    await child.exited;
  }

  /** @throws Error with what the process printed, when it ended by itself */
  assertRuns(): void {
    if (this.#process === null || this.#process.exitCode === null) return;
    const { exitCode } = this.#process;
    throw new Error(`${this.plan.name} ended with ${exitCode}:\n${this.output().slice(-4000)}`);
  }

  /** Make an authority's identity, signing key and certificate, and its relay identity. */
  async makeAuthorityKeys(): Promise<void> {
    const keys = join(this.directory, 'keys');
    mkdirSync(keys, { mode: 0o700 });
    const gencert = Bun.spawn(
      [
        'tor-gencert',
        '--create-identity-key',
        ...['-i', join(keys, 'authority_identity_key')],
        ...['-s', join(keys, 'authority_signing_key')],
        ...['-c', join(keys, 'authority_certificate')],
        ...['-m', '1', '-a', `127.0.0.1:${this.dirPort}`, '--passphrase-fd', '0'],
      ],
      { stdin: Buffer.from('a private test network\n'), stdout: 'ignore', stderr: 'pipe' },
    );
    const listing = Bun.spawn(
      [
        ...['tor', '--quiet', '--ignore-missing-torrc', '-f', join(this.directory, 'none')],
        ...['--DataDirectory', this.directory, '--Nickname', this.plan.name],
        ...['--ORPort', String(this.orPort), '--list-fingerprint'],
      ],
      { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' },
    );
    const [status] = await Promise.all([gencert.exited, listing.exited]);
    if (status !== 0) throw new Error(`tor-gencert: ${await new Response(gencert.stderr).text()}`);
    const certificate = readFileSync(join(keys, 'authority_certificate'), 'utf8');
    this.#authorityIdentity = certificate.match(/^fingerprint ([0-9A-F]{40})$/m)![1]!;
  }

  /** The `DirAuthority` line that everyone in the network needs. */
  authorityLine(): string {
    return (
      `DirAuthority ${this.plan.name} orport=${this.orPort} no-v2 v3ident=${this.#authorityIdentity} ` +
      `127.0.0.1:${this.dirPort} ${this.fingerprint()}`
    );
  }

  /** Write the torrc: what all share, what the role needs, what the plan adds. */
  writeTorrc(common: readonly string[]): void {
    const lines = [
      `Nickname ${this.plan.name}`,
      `DataDirectory ${this.directory}`,
      'Address 127.0.0.1',
      `Log notice stdout`,
      `Log info file ${join(this.directory, 'log')}`,
      'SafeLogging 0',
      'ProtocolWarnings 1',
      'ShutdownWaitLength 0',
      // Circuits that C tor lays on its own cost CPU, and at times extend back to the previous hop, with a warning.
      '__DisablePredictedCircuits 1',
      ...common,
      ...this.#roleLines(),
      ...(this.plan.torrc ?? []),
    ];
    const instead = this.plan.instead ?? [];
    const replaced = new Set(instead.map(optionOf));
    const kept = lines.filter((line) => !replaced.has(optionOf(line)));
    writeFileSync(join(this.directory, 'torrc'), `${[...kept, ...instead].join('\n')}\n`);
  }

  #roleLines(): string[] {
    const control = this.plan.software === 'tor' ? [`ControlPort 127.0.0.1:${this.controlPort}`] : [];
    if (this.plan.role === 'client') return [...control, ...clientLines(this.socksPort)];
    return [
      ...control,
      'SocksPort 0',
      `ORPort 127.0.0.1:${this.orPort}`,
      ...(this.plan.ipv6 === true ? [`ORPort [::1]:${this.orPort6}`] : []),
      'ContactInfo nobody@example.com',
      ...(this.plan.role === 'authority' ? authorityLines(this.dirPort) : []),
      ...(this.plan.role === 'exit' ? ['ExitRelay 1', 'ExitPolicy accept *:*', 'RefuseUnknownExits 0'] : []),
      ...(this.plan.software === 'onionrelay' ? ['NumCPUs 2'] : []),
    ];
  }

  #file(name: string): string | null {
    const path = join(this.directory, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : null;
  }
}

/** The option that a torrc line sets. */
function optionOf(line: string): string {
  return line.split(' ')[0]!;
}

function authorityLines(dirPort: number): string[] {
  return [
    `DirPort 127.0.0.1:${dirPort}`,
    'AuthoritativeDirectory 1',
    'V3AuthoritativeDirectory 1',
    'AuthDirHasIPv6Connectivity 1',
    `V3AuthVotingInterval ${VOTING_INTERVAL_SEC} seconds`,
    `V3AuthVoteDelay ${VOTE_PHASE_SEC} seconds`,
    `V3AuthDistDelay ${VOTE_PHASE_SEC} seconds`,
    `TestingV3AuthInitialVotingInterval ${VOTING_INTERVAL_SEC} seconds`,
    `TestingV3AuthInitialVoteDelay ${VOTE_PHASE_SEC} seconds`,
    `TestingV3AuthInitialDistDelay ${VOTE_PHASE_SEC} seconds`,
    'V3AuthNIntervalsValid 9',
    'TestingMinFastFlagThreshold 0',
    'TestingMinExitFlagThreshold 0',
    'TestingDirAuthVoteGuard *',
    'ExitPolicy reject *:*',
  ];
}

/** A client that builds no circuit which it was not told to build. */
function clientLines(socksPort: number): string[] {
  return [
    `SocksPort 127.0.0.1:${socksPort}`,
    '__LeaveStreamsUnattached 1',
    'UseEntryGuards 0',
    'LearnCircuitBuildTimeout 0',
    'CircuitBuildTimeout 60',
    'CircuitStreamTimeout 120',
    'MaxCircuitDirtiness 1 hour',
    'ConfluxEnabled 0',
    // As the public network's consensus asks of clients.
    'ExtendByEd25519ID 1',
    'ClientUseIPv6 1',
    'ClientPreferIPv6ORPort 1',
    'PathsNeededToBuildCircuits 0.25',
    // A client fetches the next consensus late in the old one's life; a test cannot wait for that.
    'FetchDirInfoEarly 1',
    'FetchDirInfoExtraEarly 1',
  ];
}
