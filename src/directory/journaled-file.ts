/**
 * Documents on disk as C tor keeps them: a main file that is only ever written anew as a whole, and beside it a journal,
 * `NAME.new`, to which what comes is appended. Both are read at the start.
 *
 * When the journal has grown, or much of the main file is out of use, the main file is written anew and the journal
 * emptied; who dies in between leaves documents in both, which does no harm. A tail that was cut off costs its document
 * only. A disk that refuses makes the next start slower and costs a warning, nothing else.
 */
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileErrorCode, replaceFile } from '../atomic-file.ts';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';

/** Sizes of a file's parts in bytes, by which it is decided whether to write it anew. */
export interface JournalSizes {
  readonly main: number;
  readonly journal: number;
  /** Of both, what is no longer needed. */
  readonly dropped: number;
}

/** Whether a file is to be written anew. */
export type RebuildRule = (sizes: JournalSizes) => boolean;

/** C tor's rule for `cached-descriptors` and `cached-extrainfo`. */
export function isDescriptorFileGrown({ main, journal, dropped }: JournalSizes): boolean {
  return main > 1 << 16 ? journal > main / 2 || dropped > main / 2 : journal > 1 << 15;
}

/** C tor's rule for `cached-microdescs`. */
export function isMicrodescFileGrown({ main, journal, dropped }: JournalSizes): boolean {
  return journal >= 16384 && (dropped > (main + journal) / 3 || journal > main / 2);
}

const FILE_BYTES_MAX = 1 << 29;

/** A main file and its journal. */
export class JournaledFile {
  readonly name: string;
  readonly #path: string;
  readonly #isGrown: RebuildRule;
  #main = 0;
  #journal = 0;
  #dropped = 0;

  /** @param directory - null keeps nothing on disk */
  constructor(directory: string | null, name: string, isGrown: RebuildRule) {
    this.name = name;
    this.#path = directory === null ? '' : join(directory, name);
    this.#isGrown = isGrown;
  }

  /** Read both parts, the main file first; empty for what is not there. */
  read(): { main: Uint8Array; journal: Uint8Array } {
    const main = readWhole(this.#path);
    const journal = readWhole(this.#path === '' ? '' : `${this.#path}.new`);
    this.#main = main.length;
    this.#journal = journal.length;
    return { main, journal };
  }

  get sizes(): JournalSizes {
    return { main: this.#main, journal: this.#journal, dropped: this.#dropped };
  }

  /** Append to the journal. */
  append(chunks: readonly Uint8Array[]): void {
    if (this.#path === '' || chunks.length === 0) return;
    const bytes = Buffer.concat(chunks);
    try {
      appendFileSync(`${this.#path}.new`, bytes, { mode: 0o600 });
      this.#journal += bytes.length;
    } catch (error) {
      log.warn('fs', `Cannot append to ${this.#path}.new: ${messageOf(error)}`);
    }
  }

  /** Note that bytes of the file are no longer needed. */
  drop(bytes: number): void {
    this.#dropped += bytes;
  }

  /**
   * Write the main file anew and empty the journal, if it is time.
   * @param chunks - gives everything that is to be kept
   * @param force - whether it is time or not
   */
  tidy(chunks: () => readonly Uint8Array[], force = false): void {
    if (this.#path === '' || !(force || this.#isGrown(this.sizes))) return;
    const bytes = Buffer.concat(chunks());
    try {
      replaceFile(this.#path, bytes);
      replaceFile(`${this.#path}.new`, '');
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      log.warn('fs', error.message);
      return;
    }
    this.#main = bytes.length;
    this.#journal = 0;
    this.#dropped = 0;
  }
}

function readWhole(path: string): Uint8Array {
  if (path === '') return new Uint8Array(0);
  try {
    if (statSync(path).size > FILE_BYTES_MAX) {
      log.warn('fs', `${path} is too long to be what its name says; not read`);
      return new Uint8Array(0);
    }
    return readFileSync(path);
  } catch (error) {
    if (fileErrorCode(error) !== 'ENOENT') log.warn('fs', `Cannot read ${path}: ${messageOf(error)}`);
    return new Uint8Array(0);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
