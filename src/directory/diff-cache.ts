/**
 * The folder `diff-cache`: old consensuses, in C tor's form, so that either program makes diffs from what the other
 * one left.
 *
 * A file is lines of labels, a zero byte, then the body. Files are named by numbers, of which C tor knows 256. We keep
 * consensuses there, deflated, and the newest ones also as zstd; diffs are made anew at a start, as they all lead to
 * the consensus that is the newest then.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileErrorCode, passStep, replaceFile } from '../atomic-file.ts';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';

const FIRST_NUMBER = 1000;
const FILES_MOST = 256;
/** Labels of any entry are shorter. */
const LABEL_BYTES_MAX = 8192;

/** A file and what its labels say. */
export interface CacheEntry {
  readonly name: string;
  readonly path: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Where the body begins. */
  readonly offset: number;
}

/** The folder. */
export class DiffCache {
  private readonly directory: string;
  private readonly taken = new Set<string>();

  /** @param directory where the folder lies, or is made */
  constructor(directory: string) {
    this.directory = join(directory, 'diff-cache');
  }

  /** Read what is there. Files that are none of this form are left alone, but their names count as taken. */
  load(): CacheEntry[] {
    this.taken.clear();
    const entries: CacheEntry[] = [];
    for (const name of this.names()) {
      this.taken.add(name);
      const entry = this.readHead(name);
      if (entry !== null) entries.push(entry);
    }
    return entries;
  }

  private names(): string[] {
    try {
      return readdirSync(this.directory).filter((name) => /^\d+$/.test(name));
    } catch (error) {
      if (fileErrorCode(error) !== 'ENOENT') warn(`Cannot read ${this.directory}`, error);
      return [];
    }
  }

  private readHead(name: string): CacheEntry | null {
    const path = join(this.directory, name);
    const head = Buffer.alloc(LABEL_BYTES_MAX);
    let length: number;
    try {
      const fd = openSync(path, 'r');
      try {
        length = readSync(fd, head, 0, head.length, 0);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      warn(`Cannot read ${path}`, error);
      return null;
    }
    const end = head.subarray(0, length).indexOf(0);
    if (end < 0) return null;
    const labels = new Map<string, string>();
    for (const line of head.toString('latin1', 0, end).split('\n')) {
      const space = line.indexOf(' ');
      if (space > 0) labels.set(line.slice(0, space), line.slice(space + 1));
    }
    return { name, path, labels, offset: end + 1 };
  }

  /** Write a new file. Null when there is no number left, or it cannot be written: it is then only not kept. */
  add(labels: Readonly<Record<string, string>>, body: Uint8Array): CacheEntry | null {
    const name = this.freeName();
    if (name === null) return null;
    const path = join(this.directory, name);
    const lines = Object.entries(labels).map(([key, value]) => `${key} ${value}\n`);
    const head = Buffer.from(`${lines.join('')}\0`, 'latin1');
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      replaceFile(path, Buffer.concat([head, body]));
    } catch (error) {
      if (!(error instanceof OperatorError) && fileErrorCode(error) === '') throw error;
      warn(`Cannot keep an old consensus for diffs in ${path}`, error);
      return null;
    }
    this.taken.add(name);
    return { name, path, labels: new Map(Object.entries(labels)), offset: head.length };
  }

  private freeName(): string | null {
    for (let number = FIRST_NUMBER; number < FIRST_NUMBER + FILES_MOST; number++) {
      if (!this.taken.has(String(number))) return String(number);
    }
    return null;
  }

  /** Delete a file. */
  remove(entry: CacheEntry): void {
    try {
      unlinkSync(entry.path);
      passStep();
    } catch (error) {
      if (fileErrorCode(error) !== 'ENOENT') {
        warn(`Cannot delete ${entry.path}`, error);
        return;
      }
    }
    this.taken.delete(entry.name);
  }
}

function warn(what: string, error: unknown): void {
  log.warn('fs', `${what}: ${error instanceof Error ? error.message : String(error)}`);
}
