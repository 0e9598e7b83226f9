/**
 * The relay under test, started here on loopback with a DataDirectory of its own and thrown away afterwards.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBase64, decodeHex } from '../bytes/base.ts';
import { OperatorError } from '../fault.ts';
import { FINGERPRINT_ED25519_FILE, FINGERPRINT_FILE } from '../keys/fingerprint-file.ts';
import { ONION_KEY_FILE } from '../keys/onion-key.ts';
import { decodeTagged, TaggedForms } from '../keys/tagged-file.ts';
import type { LoadTarget } from '../load/plan.ts';
import type { PaperNetwork } from './paper-network.ts';
import { type ProcessReading, readProcess } from './proc.ts';

/** The exit code when nothing could be measured: a wrong command line, a relay that is not there. */
export const EXIT_USAGE = 2;

export const LOOPBACK = '127.0.0.1';
const START_MS = 60_000;
const POLL_MS = 50;
const LOG_TAIL = 3000;
const LINKS_MS = 20_000;
const LINKS_END = 'Links told.';

export type RelayKind = 'ours' | 'tor';

/** A relay to start. */
export interface StartConfig {
  readonly kind: RelayKind;
  /** The words of the command, without arguments. */
  readonly command: readonly string[];
  readonly workers: number;
  /** torrc lines besides those that keep it on loopback. */
  readonly torrc: readonly string[];
  /** Cores to run on, as taskset takes them; null: all. */
  readonly cores: string | null;
  /** A network whose documents the relay has; it knows of none without. */
  readonly network?: PaperNetwork | null;
}

/** Which links one worker holds. */
export interface WorkerLinks {
  readonly worker: number;
  /** Ports that links come from. */
  readonly from: ReadonlySet<number>;
  /** Ports that it dialled. */
  readonly to: ReadonlySet<number>;
}

/** A relay that runs. */
export interface Target {
  readonly load: LoadTarget;
  readonly pid: number;
  read(): ProcessReading;
  /** The end of what it logged; empty when we do not know its log. */
  logTail(): string;
  /** Ask which worker holds which links; null when it cannot be asked. */
  readonly links: (() => Promise<WorkerLinks[]>) | null;
  /** Stop it if we started it. */
  stop(): Promise<void>;
}

/** What to throw when nothing can be measured. */
export function refuse(what: string, where: string, hint: string): OperatorError {
  return new OperatorError(what, where, hint, EXIT_USAGE);
}

/** Relays that run because of us, to be ended whatever happens. */
const started = new Set<() => void>();

/** End all relays that were started here, at once. */
export function killStarted(): void {
  for (const kill of started) kill();
}

/** Find the C tor to compare with. @throws OperatorError when it is not installed */
export function findTor(name: string): string {
  const path = Bun.which(name);
  if (path !== null) return path;
  throw refuse(
    `C tor is not installed (no "${name}" in PATH)`,
    'bench',
    'install it (Debian: apt install tor, Fedora: dnf install tor, Alpine: apk add tor), or name it with --tor FILE',
  );
}

/** Remove a relay's folder. One that was just killed may still be writing to it. */
function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** The torrc of a relay that only this machine can reach. */
export function benchTorrc(config: StartConfig, directory: string): string {
  return [
    `DataDirectory ${directory}/data`,
    `Log notice file ${directory}/log`,
    'SafeLogging 0',
    'TestingTorNetwork 1',
    // An authority that does not exist: a testing network must name one.
    config.network?.authority ?? `DirAuthority nobody orport=1 no-v2 127.0.0.1:1 ${'A'.repeat(40)}`,
    'SocksPort 0',
    // The kernel's choice, so that no other program can be quicker; the log tells it.
    `ORPort ${LOOPBACK}:auto`,
    `Address ${LOOPBACK}`,
    'Nickname target',
    'AssumeReachable 1',
    'PublishServerDescriptor 0',
    'ExtendAllowPrivateAddresses 1',
    'ExitRelay 0',
    'ShutdownWaitLength 0',
    // All load comes from one address.
    'DoSCircuitCreationEnabled 0',
    'DoSConnectionEnabled 0',
    `NumCPUs ${config.workers}`,
    ...config.torrc,
    '',
  ].join('\n');
}

/** Start a relay and wait until it listens. @throws OperatorError with the end of its log when it does not */
export async function startTarget(config: StartConfig): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), `onionrelay-bench-${config.kind}-`));
  const torrc = join(directory, 'torrc');
  const output = join(directory, 'output');
  writeFileSync(torrc, benchTorrc(config, directory));
  writeFileSync(output, '');
  config.network?.layInto(join(directory, 'data'));
  const pin = config.cores === null ? [] : ['taskset', '-c', config.cores];
  const child = Bun.spawn([...pin, ...config.command, '-f', torrc], {
    cwd: directory,
    stdin: 'pipe',
    stdout: Bun.file(output),
    stderr: Bun.file(output),
    env: { ...process.env, ONIONRELAY_TEST_HOOKS: '1' },
  });
  const kill = () => {
    child.kill('SIGKILL');
    remove(directory);
  };
  started.add(kill);
  const text = (name: string): string => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const log = () => text('output') + text('log');
  const stop = async () => {
    child.kill('SIGKILL');
    await child.exited;
    started.delete(kill);
    remove(directory);
  };
  let load: LoadTarget | null = null;
  for (
    let waitedMs = 0;
    waitedMs < START_MS && child.exitCode === null && load === null;
    waitedMs += POLL_MS
  ) {
    await Bun.sleep(POLL_MS);
    const port = parsePort(text('log'));
    if (port !== null && (await answers(port))) load = readIds(join(directory, 'data'), port);
  }
  if (load === null) {
    const said = log().slice(-LOG_TAIL);
    await stop();
    throw refuse(`did not start:\n${said}`, config.command.join(' '), '');
  }
  const ask = (line: string) => {
    child.stdin.write(`${line}\n`);
    child.stdin.flush();
  };
  return {
    load,
    pid: child.pid,
    read: () => readProcess(child.pid),
    logTail: () => log().slice(-LOG_TAIL),
    links: config.kind === 'ours' ? () => askLinks(ask, () => text('log')) : null,
    stop,
  };
}

/** The port that a relay says it listens on, in our words or C tor's; null while it has not said so. */
export function parsePort(log: string): number | null {
  const found =
    /(?:Listening for OR connections|Opened OR listener connection \(ready\)) on [\d.]+:(\d+)/.exec(log);
  return found === null ? null : Number(found[1]);
}

/** Whether somebody listens on a port of loopback. */
export async function answers(port: number, host = LOOPBACK): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: host, port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

async function askLinks(ask: (line: string) => void, log: () => string): Promise<WorkerLinks[]> {
  const from = log().length;
  ask('links');
  for (let waitedMs = 0; waitedMs < LINKS_MS; waitedMs += POLL_MS) {
    await Bun.sleep(POLL_MS);
    const said = log().slice(from);
    if (said.includes(LINKS_END)) return parseLinks(said);
  }
  throw refuse('did not tell which worker holds which links', 'the relay', 'see whether it is stuck');
}

/** Read the lines that answer the test hook `links`. */
export function parseLinks(text: string): WorkerLinks[] {
  const out: WorkerLinks[] = [];
  for (const [, worker, list] of text.matchAll(/Links of worker (\d+):(.*)/g)) {
    const ports = (sign: string) =>
      new Set([...list!.matchAll(new RegExp(`${sign}(\\d+)`, 'g'))].map(([, port]) => Number(port)));
    out.push({ worker: Number(worker), from: ports('<'), to: ports('>') });
  }
  return out.sort((a, b) => a.worker - b.worker);
}

/** Read a relay's identities and onion key out of its DataDirectory; null while they are not all there. */
export function readIds(directory: string, port: number, host = LOOPBACK): LoadTarget | null {
  const word = (name: string): string | undefined => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path, 'latin1').trim().split(' ').pop() : undefined;
  };
  const rsaId = decodeHex(word(FINGERPRINT_FILE) ?? '');
  const ed25519Id = decodeBase64(word(FINGERPRINT_ED25519_FILE) ?? '');
  const onionPath = join(directory, 'keys', ONION_KEY_FILE);
  if (rsaId?.length !== 20 || ed25519Id?.length !== 32 || !existsSync(onionPath)) return null;
  const onion = decodeTagged(TaggedForms.onionKey, readFileSync(onionPath));
  return { host, port, rsaId, ed25519Id, ntorOnionKey: onion.slice(32) };
}
