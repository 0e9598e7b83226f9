/**
 * The DataDirectory's `state` file: what a relay remembers over a restart, as lines `Keyword value`.
 *
 * C tor and we write the same file, so every line that we do not know is kept as it stands, in its place. Writes
 * are put off: changes say within which time they should be on disk, and a relay writes at least every twelve
 * hours, by the clock that never jumps. Bytes above ASCII pass through unchanged. Times in the file are UTC,
 * `YYYY-MM-DD HH:MM:SS`, by the wall clock.
 */

import { lstatSync, readFileSync, renameSync } from 'node:fs';

import { fileErrorCode, fileFault, replaceFile } from '../atomic-file.ts';
import { assert, EXIT_CONFIG, OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import { type MonotonicClock, monotonicMs } from '../time/clock.ts';

/** How long C tor and we wait after a failed write, and between writes when nothing changes. */
const RETRY_MS = 3_600_000;
const CHECKPOINT_MS = 12 * 3_600_000;
const STATE_BYTES_MAX = 16 << 20;

interface StateLine {
  readonly key: string;
  readonly value: string;
  /** The line as it was read, with its continuations; null when it was set here. */
  readonly raw: string | null;
}

/** Print a time as `state` and directory documents do. */
function printTime(sec: number): string {
  return new Date(sec * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

/** Read such a time. Returns seconds since 1970, or null when it is none. */
function parseTime(text: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}$/.test(text)) return null;
  const ms = Date.parse(`${text.replace(' ', 'T')}Z`);
  return Number.isFinite(ms) ? ms / 1000 : null;
}

/** Split a file into lines, dropping comments and blank ones. A trailing backslash continues a line. */
function parseLines(text: string): StateLine[] {
  const lines: StateLine[] = [];
  let held: string[] = [];
  for (const line of text.split('\n')) {
    const trimmed = line.replace(/\r$/, '');
    if (held.length === 0 && (/^[ \t]*#/.test(trimmed) || trimmed.trim() === '')) continue;
    held.push(trimmed);
    if (trimmed.endsWith('\\')) continue;
    lines.push(toLine(held.join('\n')));
    held = [];
  }
  if (held.length > 0) lines.push(toLine(held.join('\n')));
  return lines;
}

function toLine(raw: string): StateLine {
  const text = raw.replace(/^[ \t]+/, '');
  const end = text.search(/[ \t\n]/);
  if (end < 0) return { key: text, value: '', raw };
  return { key: text.slice(0, end), value: text.slice(end + 1).trim(), raw };
}

/** A loaded `state` file. Belongs to the main thread. */
export class StateFile {
  readonly path: string;
  readonly #clock: MonotonicClock;
  #lines: StateLine[];
  /** When the next write is due: monotonic. */
  #dueMs: number;

  private constructor(path: string, lines: StateLine[], clock: MonotonicClock, delayMs: number) {
    this.path = path;
    this.#clock = clock;
    this.#lines = lines;
    this.#dueMs = clock() + delayMs;
  }

  /**
   * Load the file; a missing or empty one is an empty state, due to be written. One that is no text is moved
   * aside to `state.N`, as C tor does, with a warning.
   *
   * @param nowSec wall clock; @param clock what writes are put off by
   * @throws OperatorError when it cannot be read.
   */
  static load(
    path: string,
    nowSec: number,
    warn = (text: string) => log.warn('general', text),
    clock: MonotonicClock = monotonicMs,
  ): StateFile {
    const text = readState(path);
    if (text === null) return new StateFile(path, [], clock, 0);
    if (text.includes('\0')) {
      const aside = moveAside(path);
      warn(`${path}: is not a text file; moved to ${aside}, going on without what it remembered`);
      return new StateFile(path, [], clock, 0);
    }
    const state = new StateFile(path, parseLines(text), clock, CHECKPOINT_MS);
    const written = state.getTime('LastWritten');
    if (written !== null && written > nowSec) {
      warn(`${path}: was written ${written - nowSec} seconds in the future; is this machine's clock right?`);
    }
    return state;
  }

  /** The value of a line, or null. Keywords match in any case; the last of several counts. */
  get(key: string): string | null {
    return this.getAll(key).at(-1) ?? null;
  }

  /** The values of all lines with this keyword, in order. */
  getAll(key: string): string[] {
    return this.#lines.filter((line) => sameKey(line.key, key)).map((line) => line.value);
  }

  /**
   * Replace all lines with this keyword; an empty list deletes them. The first keeps its place in the file.
   * Does not say when to write: see `markDirty`.
   */
  set(key: string, value: string | readonly string[]): void {
    const values = typeof value === 'string' ? [value] : value;
    assert(/^[A-Za-z_][A-Za-z0-9_]*$/.test(key), 'a state keyword is a word');
    assert(!values.some((text) => /[\n\r\0]|\\$/.test(text)), 'a state value is one line');
    const at = this.#lines.findIndex((line) => sameKey(line.key, key));
    const kept = this.#lines.filter((line) => !sameKey(line.key, key));
    const lines = values.map((text) => ({ key, value: text, raw: null }));
    // Nothing with this keyword stands before `at`, so it is the place in `kept` too.
    kept.splice(at < 0 ? kept.length : at, 0, ...lines);
    this.#lines = kept;
  }

  /** A time in seconds since 1970; null when there is none or it is unreadable. */
  getTime(key: string): number | null {
    const value = this.get(key);
    return value === null ? null : parseTime(value);
  }

  /** Set a time and have the file written at the next opportunity. */
  setTime(key: string, sec: number): void {
    this.set(key, printTime(Math.floor(sec)));
    this.markDirty(0);
  }

  /** Ask for a write within `delayMs`; 0 means at the next opportunity. With AvoidDiskWrites, ask for an hour. */
  markDirty(delayMs: number): void {
    this.#dueMs = Math.min(this.#dueMs, this.#clock() + delayMs);
  }

  /** Whether a write is due. */
  get isDue(): boolean {
    return this.#clock() >= this.#dueMs;
  }

  /** The text of the file as it would be written. */
  print(nowSec: number): string {
    const local = new Date((nowSec - new Date(nowSec * 1000).getTimezoneOffset() * 60) * 1000);
    const stamp = local.toISOString().slice(0, 19).replace('T', ' ');
    const head =
      `# Tor state file last generated on ${stamp} local time\n` +
      '# Other times below are in UTC\n# You *do not* need to edit this file.\n\n';
    return `${head + this.#lines.map((line) => line.raw ?? `${line.key} ${line.value}`.trimEnd()).join('\n')}\n`;
  }

  /**
   * Write the file now, stamped with the time and our name.
   *
   * @param version e.g. `onionrelay 0.1.0`.
   * @throws OperatorError when the disk refuses; the next try is then due in an hour.
   */
  save(nowSec: number, version: string): void {
    this.set('TorVersion', version);
    this.set('LastWritten', printTime(nowSec));
    this.#dueMs = this.#clock() + RETRY_MS;
    replaceFile(this.path, Buffer.from(this.print(nowSec), 'latin1'));
    this.#dueMs = this.#clock() + CHECKPOINT_MS;
  }

  /** Write the file if a write is due; a disk that refuses is warned of, and tried again in an hour. */
  saveIfDue(nowSec: number, version: string, warn = (text: string) => log.warn('fs', text)): boolean {
    if (!this.isDue) return false;
    try {
      this.save(nowSec, version);
      return true;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      warn(`${error.message}; trying again in an hour`);
      return false;
    }
  }
}

function sameKey(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** The file's text, one character per byte; null when it is missing or empty. */
function readState(path: string): string | null {
  try {
    const stats = lstatSync(path);
    if (stats.isDirectory()) throw Object.assign(new Error('EISDIR: it is a directory'), { code: 'EISDIR' });
    if (stats.size > STATE_BYTES_MAX) {
      throw new OperatorError(`is absurdly large (${stats.size} bytes)`, path, 'move it away', EXIT_CONFIG);
    }
    const text = readFileSync(path).toString('latin1');
    return text === '' ? null : text;
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    if (fileErrorCode(error) === 'ENOENT') return null;
    throw fileFault(error, 'reading the state file', path);
  }
}

/** Rename the file to the first free `state.N`. Returns the new path. */
function moveAside(path: string): string {
  for (let i = 0; i < 100; i++) {
    const aside = `${path}.${i}`;
    if (lstatSync(aside, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      renameSync(path, aside);
    } catch (error) {
      throw fileFault(error, 'moving the damaged state file aside', path);
    }
    return aside;
  }
  throw new OperatorError(
    'is damaged, and 100 damaged ones stand beside it',
    path,
    'move them away',
    EXIT_CONFIG,
  );
}
