/**
 * Reading torrc files from disk: the file itself, and what its `%include` lines name.
 *
 * The only file of this folder that touches the disk. It reads; it never writes.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../fault.ts';
import { type CommandLine, USUAL_DEFAULTS_PATH, usualTorrcPaths } from './command-line.ts';
import { type IncludedFile, parseTorrc, type TorrcLine } from './line.ts';

/** Most bytes that one configuration file may have. */
const FILE_BYTES_MAX = 16 << 20;

/**
 * Read a torrc and all that it includes; `-` is standard input. Returns null when the file itself does not exist.
 *
 * @throws {OperatorError} when it exists but cannot be read, or does not parse
 */
export function readTorrcFile(path: string): TorrcLine[] | null {
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw new OperatorError(
      `cannot be read (${reasonOf(error)})`,
      path,
      'check the path and its permissions',
    );
  }
  return parseTorrc(text, path, readIncludes);
}

/** Read the files that an `%include` pattern names, sorted; folders give their visible files. */
export function readIncludes(pattern: string): IncludedFile[] | string {
  try {
    const files: IncludedFile[] = [];
    for (const path of hasGlob(pattern) ? expandGlob(pattern) : [pattern]) {
      if (!statSync(path).isDirectory()) {
        files.push({ name: path, text: readText(path) });
        continue;
      }
      for (const name of readdirSync(path).sort()) {
        const inside = join(path, name);
        if (!name.startsWith('.') && statSync(inside).isFile()) {
          files.push({ name: inside, text: readText(inside) });
        }
      }
    }
    return files;
  } catch (error) {
    return reasonOf(error);
  }
}

/** The lines of all layers, and which files they came from. */
export interface LoadedLayers {
  /** torrc-defaults, torrc, command line. */
  readonly layers: readonly (readonly TorrcLine[])[];
  /** The torrc that was read; null when there is none. */
  readonly torrcName: string | null;
}

/**
 * Read the configuration files that a command line names, or those in the usual places.
 *
 * @throws {OperatorError} when a named file does not exist, or one cannot be read or does not parse
 */
export function loadLayers(commandLine: CommandLine, home: string | null): LoadedLayers {
  const defaults = readTorrcFile(commandLine.defaultsPath ?? USUAL_DEFAULTS_PATH);
  if (defaults === null && commandLine.defaultsPath !== null) throw missing(commandLine.defaultsPath);
  const { torrcPath, overrides } = commandLine;
  if (torrcPath !== null) {
    const lines = readTorrcFile(torrcPath);
    if (lines === null && !commandLine.ignoreMissing) throw missing(torrcPath);
    return { layers: [defaults ?? [], lines ?? [], overrides], torrcName: lines === null ? null : torrcPath };
  }
  for (const path of usualTorrcPaths(home)) {
    const lines = readTorrcFile(path);
    if (lines !== null) return { layers: [defaults ?? [], lines, overrides], torrcName: path };
  }
  return { layers: [defaults ?? [], [], overrides], torrcName: null };
}

function missing(path: string): OperatorError {
  return new OperatorError('there is no such file', path, 'check the path, or add --ignore-missing-torrc');
}

let standardInputRead: Uint8Array | null = null;

/** What was read from standard input as a torrc; null when nothing was. */
export function standardInput(): Uint8Array | null {
  return standardInputRead;
}

function readText(path: string): string {
  // It can be read only once, and a reload wants it again.
  if (path === '-') standardInputRead ??= readFileSync(0);
  const bytes = path === '-' ? standardInputRead! : readFileSync(path);
  if (bytes.length > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`);
  return new TextDecoder().decode(bytes);
}

function hasGlob(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Expand `*` and `?` in each part of the path; names beginning with a dot are matched only by a dot. */
function expandGlob(pattern: string): string[] {
  const parts = pattern.split('/');
  let paths = [parts[0] === '' ? '/' : ''];
  for (const part of parts[0] === '' ? parts.slice(1) : parts) {
    if (part === '') continue;
    const next: string[] = [];
    for (const base of paths) {
      if (!hasGlob(part)) next.push(join(base, part));
      else for (const name of listMatching(base, part)) next.push(join(base, name));
    }
    paths = next;
  }
  return paths.filter((path) => statSync(path, { throwIfNoEntry: false }) !== undefined).sort();
}

function listMatching(folder: string, pattern: string): string[] {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const matcher = new RegExp(`^${source}$`, 's');
  try {
    const names = readdirSync(folder === '' ? '.' : folder);
    return names.filter((name) => matcher.test(name) && (pattern.startsWith('.') || !name.startsWith('.')));
  } catch {
    return [];
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function reasonOf(error: unknown): string {
  const known: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is no folder',
  };
  return known[codeOf(error)] ?? (error instanceof Error ? error.message : String(error));
}
