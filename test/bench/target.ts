/**
 * The relay under test: C tor or ours, a child process on loopback with a DataDirectory of its own, and what /proc
 * says of it.
 */
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBase64, decodeHex } from '../../src/bytes/base.ts';
import { decodeTagged, TaggedForms } from '../../src/keys/tagged-file.ts';
import type { Hop } from '../../src/load/client.ts';
import { freePorts } from '../net/free-ports.ts';

export type TargetKind = 'ours' | 'tor';

const ROOT = join(import.meta.dir, '../..');
const START_MS = 30_000;
/** What proc(5) counts CPU time in; the kernel's user interface fixes it. */
const TICKS_PER_SEC = 100;

export interface TargetConfig {
  readonly kind: TargetKind;
  readonly workers: number;
  /** torrc lines besides those that keep it on loopback. */
  readonly torrc?: readonly string[];
  /** Obey lines on standard input. */
  readonly testHooks?: boolean;
  /** torrc's User, whose the DataDirectory will be. */
  readonly user?: { readonly name: string; readonly uid: number; readonly gid: number };
  /** Cores to run on, as taskset takes them. */
  readonly cores?: string | null;
}

/** A relay that runs. */
export interface Target {
  readonly kind: TargetKind;
  readonly pid: number;
  readonly directory: string;
  readonly hop: Hop;
  /** CPU seconds so far, all threads, user and system. */
  cpuSec(): number;
  /** Resident memory, bytes. */
  rssBytes(): number;
  /** Everything that it logged. */
  log(): string;
  /** Write a line to its standard input. */
  say(line: string): void;
  /** Exit code once it has ended, null while it runs. */
  readonly exitCode: number | null;
  stop(): Promise<void>;
}

/** Find a port on loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return Promise.resolve(freePorts(1)[0]!);
}

function torrcOf(config: TargetConfig, directory: string, port: number): string {
  return [
    `DataDirectory ${directory}/data`,
    `Log notice file ${directory}/log`,
    'SafeLogging 0',
    'TestingTorNetwork 1',
    // An authority that does not exist: a testing network must name one.
    `DirAuthority nobody orport=1 no-v2 127.0.0.1:1 ${'A'.repeat(40)}`,
    'SocksPort 0',
    `ORPort 127.0.0.1:${port}`,
    'Address 127.0.0.1',
    'Nickname target',
    'AssumeReachable 1',
    'PublishServerDescriptor 0',
    'ExtendAllowPrivateAddresses 1',
    'ExitRelay 0',
    'ShutdownWaitLength 0',
    `NumCPUs ${config.workers}`,
    ...(config.kind === 'tor' ? ['DoSCircuitCreationEnabled 0', 'DoSConnectionEnabled 0'] : []),
    ...(config.user === undefined ? [] : [`User ${config.user.name}`]),
    ...(config.torrc ?? []),
    '',
  ].join('\n');
}

function commandOf(config: TargetConfig, torrc: string): string[] {
  const cores = config.cores ? ['taskset', '-c', config.cores] : [];
  if (config.kind === 'tor') return [...cores, 'tor', '--hush', '-f', torrc];
  const binary = process.env['ONIONRELAY_BINARY'];
  const program = binary === undefined ? [process.execPath, join(ROOT, 'src/main.ts')] : [binary];
  return [...cores, ...program, '-f', torrc];
}

/** Read a relay's identities and onion key out of its DataDirectory. */
function readHop(data: string, port: number): Hop | null {
  const read = (name: string) => readFileSync(join(data, name));
  for (const name of ['fingerprint', 'fingerprint-ed25519', 'keys/secret_onion_key_ntor']) {
    if (!existsSync(join(data, name))) return null;
  }
  const rsaId = decodeHex(read('fingerprint').toString().trim().split(' ').pop()!);
  const ed25519Id = decodeBase64(read('fingerprint-ed25519').toString().trim().split(' ').pop()!);
  if (rsaId === null || ed25519Id === null) return null;
  const onion = decodeTagged(TaggedForms.onionKey, read('keys/secret_onion_key_ntor'));
  return { port, rsaId, ed25519Id, onionKey: onion.slice(32) };
}

async function answers(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/** Start a relay and wait until it listens. @throws Error with its log when it does not */
export async function startTarget(config: TargetConfig): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), `bench-${config.kind}-`));
  const port = await freePort();
  const torrc = join(directory, 'torrc');
  writeFileSync(torrc, torrcOf(config, directory, port));
  writeFileSync(join(directory, 'output'), '');
  if (config.user !== undefined) chownSync(directory, config.user.uid, config.user.gid);
  const output = Bun.file(join(directory, 'output'));
  const child = Bun.spawn(commandOf(config, torrc), {
    cwd: directory,
    stdin: 'pipe',
    stdout: output,
    stderr: output,
    env: { ...process.env, ...(config.testHooks ? { ONIONRELAY_TEST_HOOKS: '1' } : {}) },
  });
  const text = (name: string) =>
    existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : '';
  const log = () => text('output') + text('log');
  const stop = async () => {
    child.kill('SIGKILL');
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  };
  let hop: Hop | null = null;
  for (let waitedMs = 0; waitedMs < START_MS && child.exitCode === null && hop === null; waitedMs += 50) {
    await Bun.sleep(50);
    if (await answers(port)) hop = readHop(join(directory, 'data'), port);
  }
  if (hop === null) {
    const said = log();
    await stop();
    throw new Error(`the relay did not start:\n${said.slice(-3000)}`);
  }
  const proc = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8');
  return {
    kind: config.kind,
    pid: child.pid,
    directory,
    hop,
    cpuSec() {
      // Behind the name in parentheses: fields 3 and up; utime is 14, stime 15.
      const fields = proc('stat').split(') ').pop()!.split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SEC;
    },
    rssBytes: () => Number(/VmRSS:\s+(\d+)/.exec(proc('status'))![1]) * 1024,
    log,
    say(line) {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    },
    get exitCode() {
      return child.exitCode;
    },
    stop,
  };
}
