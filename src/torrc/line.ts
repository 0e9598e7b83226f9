/**
 * The grammar of torrc: lines of `Key value` with comments, continuations, quotes, `%include`, `+` and `/`.
 *
 * Pure: files named by `%include` are read by the function passed in. Work is linear in the text. A torrc that
 * cannot be read is an `OperatorError` naming `file:line`; whether a key means anything is not asked here.
 *
 * @source C tor's manual page, section "The configuration file format"
 */

import { OperatorError } from '../fault.ts';

/** One line of a torrc, or one `--Option value` of the command line (then `line` is 0). */
export interface TorrcLine {
  /** The key without its prefix, as written. */
  readonly key: string;
  /** The value, unquoted and joined; empty for a `/Key` line. */
  readonly value: string;
  /** `+Key` appends to what an earlier file set, `/Key` clears it. */
  readonly prefix: '' | '+' | '/';
  readonly file: string;
  /** Line number of the key, from 1. */
  readonly line: number;
}

/** A file that an `%include` names. */
export interface IncludedFile {
  readonly name: string;
  readonly text: string;
}

/**
 * Read the files that `%include PATTERN` names, in order (a folder means its files, sorted). Returns why it
 * cannot be read instead, as one clause.
 */
export type ReadInclude = (pattern: string) => readonly IncludedFile[] | string;

/** How deep `%include` may nest, as in C tor. */
const INCLUDE_DEPTH_MAX = 31;

/** How many lines all included files may have together: an `%include` of a glob must not eat the memory. */
const LINES_MAX = 1_000_000;

/** Say where a line stands: `torrc:41`, or `command line`. */
export function whereOf(line: Pick<TorrcLine, 'file' | 'line'>): string {
  return line.line === 0 ? line.file : `${line.file}:${line.line}`;
}

/**
 * Parse a torrc and everything that it includes to a flat list of lines, in order.
 *
 * @throws {OperatorError} on a bad quote, an unreadable or too deep include, a NUL character
 */
export function parseTorrc(text: string, fileName: string, readInclude: ReadInclude): TorrcLine[] {
  const out: TorrcLine[] = [];
  parseInto(out, text, fileName, readInclude, 1);
  return out;
}

function parseInto(out: TorrcLine[], text: string, file: string, readInclude: ReadInclude, depth: number) {
  const cursor = new Cursor(text, file);
  for (let line = cursor.next(); line !== null; line = cursor.next()) {
    if (line.key !== '%include') {
      out.push(line);
      if (out.length > LINES_MAX) {
        throw new OperatorError(`more than ${LINES_MAX} lines`, whereOf(line), 'include fewer files');
      }
      continue;
    }
    if (depth >= INCLUDE_DEPTH_MAX) {
      throw new OperatorError(
        `%include nests deeper than ${INCLUDE_DEPTH_MAX} files`,
        whereOf(line),
        'look for a file that includes itself',
      );
    }
    const files = line.value === '' ? 'it names no file' : readInclude(line.value);
    if (typeof files === 'string') {
      throw new OperatorError(
        `${`%include ${line.value}`.trimEnd()} cannot be read: ${files}`,
        whereOf(line),
        'name a file, a folder or a pattern that matches some',
      );
    }
    for (const each of files) parseInto(out, each.text, each.name, readInclude, depth + 1);
  }
}

const SPACE = /[ \t\r\n\v\f]/;

/** Walks through one file's text. */
class Cursor {
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #line = 1;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
    const nul = text.indexOf('\0');
    if (nul >= 0) {
      const line = text.slice(0, nul).split('\n').length;
      throw new OperatorError('a NUL character', `${file}:${line}`, 'save the file as plain text');
    }
  }

  /** Read the next line that has a key, or null at the end. */
  next(): TorrcLine | null {
    this.#skipBlank();
    if (this.#at >= this.#text.length) return null;
    const line = this.#line;
    const written = this.#readKey();
    const first = written[0];
    const prefix = first === '+' || first === '/' ? first : '';
    const key = written.slice(prefix.length);
    if (key === '') {
      throw new OperatorError(
        prefix === '' ? 'a line that continues nothing' : `"${prefix}" without an option`,
        `${this.#file}:${line}`,
        prefix === '' ? 'remove the backslash' : `write ${prefix}Option`,
      );
    }
    while (this.#peek() === ' ' || this.#peek() === '\t') this.#at++;
    const value = this.#peek() === '"' ? this.#readQuoted() : this.#readPlain();
    return { key, value: prefix === '/' ? '' : value, prefix, file: this.#file, line };
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #isContinuation(): boolean {
    return this.#peek() === '\\' && this.#text[this.#at + 1] === '\n';
  }

  /** Skip white space and comments before a key. */
  #skipBlank(): void {
    for (;;) {
      const char = this.#peek();
      if (char === '#') this.#skipToNewline();
      else if (char !== '' && SPACE.test(char)) this.#step();
      else return;
    }
  }

  #step(): void {
    if (this.#text[this.#at] === '\n') this.#line++;
    this.#at++;
  }

  #skipToNewline(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  #readKey(): string {
    const start = this.#at;
    for (let char = this.#peek(); char !== '' && char !== '#'; char = this.#peek()) {
      if (SPACE.test(char) || this.#isContinuation()) break;
      this.#at++;
    }
    return this.#text.slice(start, this.#at);
  }

  /**
   * Read an unquoted value. A backslash before the newline joins the next line; once a value is continued,
   * comments inside it are dropped and the line after a comment belongs to it too, as in C tor.
   */
  #readPlain(): string {
    const parts: string[] = [];
    let continued = false;
    let start = this.#at;
    for (let char = this.#peek(); char !== '' && char !== '\n'; char = this.#peek()) {
      if (char === '#') {
        if (!continued) break;
        parts.push(this.#text.slice(start, this.#at));
        this.#skipToNewline();
        if (this.#peek() === '\n') this.#step();
        start = this.#at;
      } else if (this.#isContinuation()) {
        continued = true;
        parts.push(this.#text.slice(start, this.#at));
        this.#at++;
        this.#step();
        start = this.#at;
      } else {
        this.#at++;
      }
    }
    parts.push(this.#text.slice(start, this.#at));
    return trimEnd(parts.join(''));
  }

  /** Read a quoted value with C escapes; bytes written as escapes are taken as UTF-8. */
  #readQuoted(): string {
    const bytes: number[] = [];
    let plain = '';
    const chunks: Uint8Array[] = [];
    const flushPlain = () => {
      if (plain !== '') chunks.push(new TextEncoder().encode(plain));
      plain = '';
    };
    const flushBytes = () => {
      if (bytes.length > 0) chunks.push(Uint8Array.from(bytes.splice(0)));
    };
    for (this.#at++; ; ) {
      const char = this.#peek();
      if (char === '"') break;
      if (char === '' || char === '\n')
        throw this.#bad('a quoted value without its closing quote', 'add a "');
      if (char !== '\\') {
        flushBytes();
        plain += char;
        this.#at++;
        continue;
      }
      flushPlain();
      bytes.push(this.#readEscape());
    }
    this.#at++;
    flushPlain();
    flushBytes();
    this.#expectEndOfLine();
    return new TextDecoder().decode(concat(chunks));
  }

  #readEscape(): number {
    const rest = this.#text.slice(this.#at, this.#at + 4);
    const found = /^\\(?:[xX]([0-9a-fA-F]{2})|([0-7]{1,3})|([nrt"'\\]))/.exec(rest);
    if (found === null) throw this.#bad('an unknown escape in a quoted value', 'write a backslash as \\\\');
    this.#at += found[0].length;
    const [, hex, octal, letter] = found;
    let byte = 0;
    if (hex !== undefined) byte = Number.parseInt(hex, 16);
    else if (octal !== undefined) byte = Number.parseInt(octal, 8);
    else byte = { n: 10, r: 13, t: 9 }[letter!] ?? letter!.charCodeAt(0);
    if (byte === 0 || byte > 255) throw this.#bad('an escape for no character', 'use \\001 to \\377');
    return byte;
  }

  #expectEndOfLine(): void {
    const rest = /[ \t]*(\r(?=\n))?/y;
    rest.lastIndex = this.#at;
    this.#at += rest.exec(this.#text)?.[0].length ?? 0;
    const char = this.#peek();
    if (char !== '' && char !== '\n' && char !== '#') {
      throw this.#bad('text after the closing quote', 'put the whole value inside the quotes');
    }
  }

  #bad(what: string, hint: string): OperatorError {
    return new OperatorError(what, `${this.#file}:${this.#line}`, hint);
  }
}

/** Trim white space at the end; a loop, because /\s+$/ is quadratic on runs of blanks inside. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
