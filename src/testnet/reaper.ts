/**
 * The reaper: a process that outlives a test network by a moment, to leave nothing behind however the network ended.
 *
 * The network starts it first and tells it on its standard input of the folder and of every child. When that input
 * ends, in good order or because the network was killed, it ends those children that still run and removes the folder.
 * A child is only ended if it still works in that folder, so that a number which the system has given away meanwhile
 * harms nobody.
 */
import { existsSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FileSink, Subprocess } from 'bun';

/** What every test network's folder begins with. */
export const FOLDER_PREFIX = 'onionrelay-testnet-';
/** The word that starts this program as a reaper. */
export const REAPER_WORD = 'reap';
const GONE_MS = 3000;
const POLL_MS = 20;

/** What a reaper was told. */
export class ReaperNotes {
  folder: string | null = null;
  readonly pids: number[] = [];
  private rest = '';

  /** Take text of standard input. */
  take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const folder = /^folder (.+)$/.exec(line)?.[1];
      if (folder !== undefined && isNetworkFolder(folder)) this.folder = folder;
      const pid = /^pid (\d+)$/.exec(line)?.[1];
      if (pid !== undefined) this.pids.push(Number(pid));
    }
  }
}

/** Whether a path is one of a test network's folder: nothing else is ever removed. */
export function isNetworkFolder(path: string): boolean {
  return dirname(path) === tmpdir() && path.startsWith(join(tmpdir(), FOLDER_PREFIX));
}

function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
      .replace(/ \(deleted\)$/, '')
      .startsWith(folder);
  } catch {
    return false;
  }
}

/** End what still runs, and remove the folder. */
export async function reap({ folder, pids }: ReaperNotes): Promise<void> {
  if (folder === null) return;
  const running = (): number[] => pids.filter((pid) => worksIn(pid, folder));
  for (const pid of running()) process.kill(pid, 'SIGKILL');
  for (let waitedMs = 0; waitedMs < GONE_MS && running().length > 0; waitedMs += POLL_MS) {
    await Bun.sleep(POLL_MS);
  }
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** Be a reaper: until standard input ends, then do it. */
export async function runReaper(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const notes = new ReaperNotes();
  for await (const chunk of Bun.stdin.stream()) notes.take(Buffer.from(chunk).toString('utf8'));
  await reap(notes);
}

/** The network's side of its reaper. */
export class Reaper {
  private readonly child: Subprocess<'pipe', 'ignore', 'ignore'>;
  private readonly input: FileSink;

  /** @param command - words that start this program */
  constructor(command: readonly string[], folder: string) {
    this.child = Bun.spawn([...command, 'testnet', REAPER_WORD], {
      stdin: 'pipe',
      stdout: 'ignore',
      stderr: 'ignore',
      detached: true,
    });
    this.input = this.child.stdin;
    this.tell(`folder ${folder}`);
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Tell it of a child. */
  watch(pid: number): void {
    this.tell(`pid ${pid}`);
  }

  private tell(line: string): void {
    this.input.write(`${line}\n`);
    void this.input.flush();
  }

  /** Have it do its work, and wait until it is gone, too. */
  async finish(): Promise<void> {
    await this.input.end();
    await this.child.exited;
  }
}
