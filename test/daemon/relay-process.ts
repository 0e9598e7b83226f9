/**
 * Our relay as a child process: on loopback, with a folder of its own, ended by its pid.
 *
 * ONIONRELAY_BINARY names a compiled executable to try instead of the sources.
 */

import { afterEach, expect } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../net/free-ports.ts';

const BINARY = process.env['ONIONRELAY_BINARY'];
const MAIN = join(import.meta.dir, '../../src/main.ts');

/** The command that starts us. */
export const COMMAND: readonly string[] = BINARY === undefined ? [process.execPath, MAIN] : [BINARY];

/** Enough for a machine that is busy with other tests. */
export const PATIENCE_MS = 60_000;

/** An authority that nobody answers for: nothing ever leaves loopback. */
const NOWHERE = `DirAuthority nowhere orport=1 v3ident=${'1'.repeat(40)} 127.0.0.1:1 ${'2'.repeat(40)}`;

const cleanup: (() => unknown)[] = [];

afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

/** Make a folder that is gone after the test. Open to all, so that a relay that dropped its rights can reach it. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'onionrelay-'));
  cleanup.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A port on which nobody listens at this moment. */
export function freePort(): number {
  return freePorts(1)[0]!;
}

/** The lines of a quiet relay with its DataDirectory in `at`. */
export function quietRelay(at: string, ...more: readonly string[]): string[] {
  return [
    `DataDirectory ${at}/data`,
    'ORPort 127.0.0.1:auto',
    'NumCPUs 1',
    'ContactInfo test@example.org',
    'AssumeReachable 1',
    'PublishServerDescriptor 0',
    'TestingTorNetwork 1',
    NOWHERE,
    ...more,
  ];
}

/** Write `at`/torrc and return its path. */
export function writeTorrc(at: string, lines: readonly string[]): string {
  const path = join(at, 'torrc');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/** How a process is started. */
export interface Started {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly command?: readonly string[];
  readonly stdin?: Uint8Array;
}

/** A started process of ours. */
export class RelayProcess {
  readonly child: Bun.Subprocess<'pipe' | 'ignore' | Uint8Array, 'pipe', 'pipe'>;
  out = '';
  err = '';
  private readonly readers: Promise<unknown>;
  private waiting: (() => void)[] = [];

  constructor(argv: readonly string[], started: Started = {}) {
    this.child = Bun.spawn([...(started.command ?? COMMAND), ...argv], {
      stdin: started.stdin ?? 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      cwd: started.cwd ?? tmpdir(),
      env: { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), TZ: 'UTC', ...started.env },
    });
    cleanup.push(() => this.kill());
    this.readers = Promise.all([
      this.gather(this.child.stdout, (text) => {
        this.out += text;
      }),
      this.gather(this.child.stderr, (text) => {
        this.err += text;
      }),
    ]);
  }

  private async gather(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      take(decoder.decode(chunk, { stream: true }));
      this.wake();
    }
    this.wake();
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const look of waiting) look();
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Wait until standard output has it `times` times. */
  async said(wanted: RegExp, times = 1): Promise<RegExpMatchArray> {
    const all = new RegExp(wanted.source, `${wanted.flags.replace('g', '')}g`);
    for (;;) {
      const found = [...this.out.matchAll(all)];
      if (found.length >= times) return found[times - 1]!;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        await this.readers;
        if ([...this.out.matchAll(all)].length >= times) continue;
        throw new Error(`ended without saying ${wanted}:\n${this.out}\n${this.err}`);
      }
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
        void this.child.exited.then(() => resolve());
      });
    }
  }

  /** Wait until it accepts connections. Returns the port. */
  async up(times = 1): Promise<number> {
    return Number((await this.said(/Listening for OR connections on \S+:(\d+)/, times))[1]);
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Wait for its end. Returns its exit code; both outputs are complete then. */
  async ended(): Promise<number> {
    const code = await this.child.exited;
    await this.readers;
    return code;
  }

  /** End it with TERM and expect that it goes in peace. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    expect(await this.ended()).toBe(0);
  }

  private async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.child.exited;
  }
}

/** Start a relay from these torrc lines. */
export function startRelay(at: string, lines: readonly string[], started: Started = {}): RelayProcess {
  return new RelayProcess(['-f', writeTorrc(at, lines)], started);
}

/** Run to its own end. */
export async function runToEnd(
  argv: readonly string[],
  started: Started = {},
): Promise<{ code: number; out: string; err: string }> {
  const relay = new RelayProcess(argv, started);
  const code = await relay.ended();
  return { code, out: relay.out, err: relay.err };
}

/** Read a file that may be absent. */
export function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

/** Wait until a condition holds that no output tells of. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(20);
}

/** Make a DataDirectory with an open door for whoever comes. */
export function makeFolder(path: string, mode: number): string {
  mkdirSync(path, { mode });
  return path;
}
