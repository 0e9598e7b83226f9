/** Runs our real relay on loopback for a test: the process, its workers, its log, its counters, its test hooks. */

import { setDefaultTimeout } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBase64, decodeHex } from '../../src/bytes/base.ts';
import { decodeTagged, TaggedForms } from '../../src/keys/tagged-file.ts';
import type { CounterName } from '../../src/shm/counter.ts';
import { onionrelayCommand, waitUntil } from './network-node.ts';

const DEADLINE_MS = 60_000;

// A busy machine is no fault of the relay's.
setDefaultTimeout(2 * DEADLINE_MS);

/** Lines of a relay that keeps to loopback, speaks with nobody on its own, and has two workers. */
const QUIET: readonly string[] = [
  'Address 127.0.0.1',
  'AssumeReachable 1',
  'ContactInfo nobody@example.com',
  'ExtendAllowPrivateAddresses 1',
  'NumCPUs 2',
  // Its files in /proc are counted.
  'DisableDebuggerAttachment 0',
  'PublishServerDescriptor 0',
  'SafeLogging 0',
  'ShutdownWaitLength 0',
  'SocksPort 0',
  'TestingTorNetwork 1',
  `DirAuthority nobody orport=1 no-v2 127.0.0.1:1 ${'A'.repeat(40)}`,
];

/** What one worker says of itself. */
export interface WorkerState {
  readonly channels: number;
  readonly halfOpen: number;
  readonly circuits: number;
}

/** One running relay. */
export class RelayProcess {
  readonly directory: string;
  readonly #child: Bun.Subprocess<'pipe', 'ignore', Bun.BunFile>;

  /**
   * Start one and wait until it listens.
   * @param lines torrc lines besides the quiet ones; without an ORPort line it listens on 127.0.0.1
   */
  static async start(lines: readonly string[] = []): Promise<RelayProcess> {
    const relay = new RelayProcess(lines);
    await relay.logged(/Listening for OR connections on /);
    return relay;
  }

  private constructor(lines: readonly string[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'onionrelay-'));
    const ports = lines.some((line) => line.startsWith('ORPort ')) ? [] : ['ORPort 127.0.0.1:auto'];
    const torrc = [
      `DataDirectory ${this.directory}`,
      `Log info file ${join(this.directory, 'log')}`,
      ...QUIET,
      ...ports,
      ...lines,
    ];
    writeFileSync(join(this.directory, 'torrc'), `${torrc.join('\n')}\n`);
    writeFileSync(join(this.directory, 'log'), '');
    this.#child = Bun.spawn([...onionrelayCommand(), '-f', join(this.directory, 'torrc'), '--quiet'], {
      env: { ...process.env, ONIONRELAY_TEST_HOOKS: '1' },
      stdin: 'pipe',
      stdout: 'ignore',
      stderr: Bun.file(join(this.directory, 'stderr')),
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Everything logged so far, from info upwards. */
  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8');
  }

  /** What the process wrote to stderr: empty unless something broke. */
  stderr(): string {
    return readFileSync(join(this.directory, 'stderr'), 'utf8');
  }

  /** Wait until the log behind `from` matches. @throws Error with the end of the log */
  async logged(pattern: RegExp, from = 0): Promise<RegExpMatchArray> {
    const end = performance.now() + DEADLINE_MS;
    for (;;) {
      const match = this.log().slice(from).match(pattern);
      if (match !== null) return match;
      if (this.#child.exitCode !== null || performance.now() > end) break;
      await Bun.sleep(20);
    }
    throw new Error(`the relay never logged ${pattern}:\n${this.stderr()}\n${this.log().slice(-3000)}`);
  }

  /** The port of its n-th OR listener. */
  port(n = 0): number {
    const found = [...this.log().matchAll(/Listening for OR connections on \S+:(\d+)/g)][n];
    return Number(found?.[1]);
  }

  get rsaId(): Uint8Array {
    return decodeHex(this.#words('fingerprint')[1]!)!;
  }

  get ed25519Id(): Uint8Array {
    return decodeBase64(this.#words('fingerprint-ed25519')[1]!)!;
  }

  /** The public half of the onion key in force. */
  get onionKey(): Uint8Array {
    const file = readFileSync(join(this.directory, 'keys/secret_onion_key_ntor'));
    return decodeTagged(TaggedForms.onionKey, new Uint8Array(file)).slice(32);
  }

  #words(file: string): string[] {
    return readFileSync(join(this.directory, file), 'utf8').trim().split(' ');
  }

  /** Do what only tests may: a line of `daemon/test-hook`. */
  hook(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    void this.#child.stdin.flush();
  }

  /** Change a bound or time limit of the workers; resolves when all of them act on it. */
  async setOption(name: string, value: number): Promise<void> {
    const from = this.log().length;
    const line = `worker-option ${name} ${value}`;
    this.hook(line);
    await this.logged(new RegExp(`Test hook obeyed: ${line}\\.`), from);
    // A dump is answered behind the option by every worker.
    await this.dump();
  }

  /** Have it tell about itself (USR1). Not twice at once. */
  async dump(): Promise<{ counters: ReadonlyMap<string, number>; workers: WorkerState[] }> {
    const from = this.log().length;
    this.#child.kill('SIGUSR1');
    const [, counted] = await this.logged(/(?:Counters: (.*)|All counters are 0)\.\n/, from);
    const counters = new Map<string, number>();
    for (const entry of counted?.split(', ') ?? []) {
      const [name, count] = entry.split(' ');
      counters.set(name!, Number(count));
    }
    const workers: WorkerState[] = [];
    const states = this.log()
      .slice(from)
      .matchAll(/Worker (\d+): (\d+) channels \((\d+) half open\), (\d+) circuits/g);
    for (const [, worker, channels, halfOpen, circuits] of states) {
      workers[Number(worker)] = {
        channels: Number(channels),
        halfOpen: Number(halfOpen),
        circuits: Number(circuits),
      };
    }
    return { counters, workers };
  }

  /** Read some counters now. */
  async counters<N extends CounterName>(...names: N[]): Promise<Record<N, number>> {
    const { counters } = await this.dump();
    return Object.fromEntries(names.map((name) => [name, counters.get(name) ?? 0])) as Record<N, number>;
  }

  /** Wait until a counter is at least so high. */
  async counted(name: CounterName, least: number): Promise<void> {
    let last = 0;
    await waitUntil(
      `${name} of ${least}`,
      DEADLINE_MS,
      async () => {
        last = (await this.counters(name))[name];
        return last >= least;
      },
      () => `(it is ${last})`,
    );
  }

  /** Sockets and files that the process has open. */
  openFiles(): number {
    return [...new Bun.Glob('*').scanSync({ cwd: `/proc/${this.pid}/fd`, onlyFiles: false })].length;
  }

  /** @throws Error when the process is gone, a worker died, or it warned of a bug */
  assertWell(): void {
    const wrong = this.log().match(/^.*(\[err\]|Worker \d+ died|No answer to).*$/m);
    const stderr = this.stderr();
    if (this.#child.exitCode === null && wrong === null && stderr === '') return;
    throw new Error(`the relay is not well: exit ${this.#child.exitCode}, ${wrong?.[0]}\n${stderr}`);
  }

  /** End it and take its directory away. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const gone = await Promise.race([this.#child.exited, Bun.sleep(DEADLINE_MS).then(() => null)]);
    if (gone === null) {
      this.#child.kill('SIGKILL');
      await this.#child.exited;
    }
    rmSync(this.directory, { recursive: true, force: true });
    if (gone === null) throw new Error('the relay did not end on TERM');
  }
}
