/**
 * A relay of a test network as a child process: its start, its log, what it says of itself when asked, its end.
 *
 * It logs to its standard output, which is read here and of which the end is kept; nothing of it reaches a file. Asked
 * by SIGUSR1, it tells its counters.
 */
import { readFileSync } from 'node:fs';
import type { Subprocess } from 'bun';
import { parseCpuSec } from '../bench/proc.ts';
import type { Part } from './cast.ts';

const LOG_LINES_KEPT = 200;
const STOP_MS = 3000;

/** What a relay said of itself, and what the kernel says of it. */
export interface RelayVitals {
  /** Bytes that its links read and wrote since it started. */
  readonly read: number;
  readonly written: number;
  readonly circuits: number;
  /** CPU seconds of the process. */
  readonly cpuSec: number;
}

/** One child. */
export class RelayProcess {
  readonly part: Part;
  readonly pid: number;
  /** Settles with the exit code when it is gone. */
  readonly ended: Promise<number>;
  private readonly child: Subprocess<'ignore', 'pipe', 'pipe'>;
  private readonly lines: string[] = [];
  private vitals = { read: 0, written: 0, circuits: 0 };
  /** Circuits of each worker, as told last. */
  private readonly circuits = new Map<number, number>();
  private port: number | null = null;
  private lastCpuSec = 0;

  /** @param command - words that start it with its torrc */
  constructor(part: Part, command: readonly string[], directory: string) {
    this.part = part;
    this.child = Bun.spawn([...command], {
      cwd: directory,
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      // In a session of its own: Ctrl-C is for the network as a whole.
      detached: true,
    });
    this.pid = this.child.pid;
    this.ended = this.child.exited;
    void this.follow(this.child.stdout);
    void this.follow(this.child.stderr);
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The port that it listens on; null while it has not said so. */
  get orPort(): number | null {
    return this.port;
  }

  /** The end of its log. */
  get log(): string {
    return this.lines.join('\n');
  }

  private async follow(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = '';
    for await (const chunk of stream) {
      const lines = (rest + Buffer.from(chunk).toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.note(line);
    }
    if (rest !== '') this.note(rest);
  }

  private note(line: string): void {
    const worker = /Worker (\d+): .* (\d+) circuits,/.exec(line);
    const counters = /Counters: (.*)\.$/.exec(line);
    if (worker !== null) {
      this.circuits.set(Number(worker[1]), Number(worker[2]));
      return;
    }
    if (counters !== null) {
      const count = (name: string): number =>
        Number(new RegExp(`(?:^|, )${name} (\\d+)`).exec(counters[1]!)?.[1] ?? 0);
      const circuits = [...this.circuits.values()].reduce((sum, each) => sum + each, 0);
      this.vitals = { read: count('bytes_read'), written: count('bytes_written'), circuits };
      return;
    }
    const listening = /Listening for OR connections on [\d.]+:(\d+)/.exec(line);
    if (listening !== null) this.port = Number(listening[1]);
    this.lines.push(line);
    if (this.lines.length > LOG_LINES_KEPT) this.lines.shift();
  }

  /** Have it tell how it is: `read` gives the answer a moment later. */
  ask(): void {
    if (this.isRunning && this.port !== null) this.child.kill('SIGUSR1');
  }

  /** What it told last. */
  read(): RelayVitals {
    return { ...this.vitals, cpuSec: this.cpuSec() };
  }

  private cpuSec(): number {
    try {
      this.lastCpuSec = parseCpuSec(readFileSync(`/proc/${this.pid}/stat`, 'latin1'));
    } catch {
      // It is gone: what it took stays what it took.
    }
    return this.lastCpuSec;
  }

  /** End it as an operator would, and at once if that takes long. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.child.kill('SIGTERM');
    const isLate = await Promise.race([this.ended.then(() => false), Bun.sleep(STOP_MS).then(() => true)]);
    if (isLate) this.child.kill('SIGKILL');
    await this.ended;
  }

  /** End it at once. */
  kill(): void {
    if (this.isRunning) this.child.kill('SIGKILL');
  }
}
