/**
 * Items of a directory document: one keyword line each, perhaps with a PEM-like object under it.
 *
 * The lowest layer of `netdoc/`: every document kind reads its items here and then says which of them it
 * wants. Reading takes one pass, so its cost grows with the length of the input and nothing else. Items hold
 * byte offsets into the document, because signatures cover exact byte ranges. Documents are bytes; text is
 * taken from them as Latin-1, so that an index into a string is an index into the bytes, and only free text
 * (contact, platform) is later read as UTF-8.
 *
 * Limits are C tor's: no NUL, lines and objects of at most 128 KiB, at most 512 arguments on a line.
 * Blank lines and lines that begin with `#` between items are skipped, `opt` before a keyword is ignored.
 *
 * @source dir-spec "Document meta-format"
 */
import { decodeBase64 } from '../bytes/base.ts';
import { Malformed } from '../fault.ts';

/** A document as it came: bytes, or text that is taken as UTF-8. */
export type DocumentText = Uint8Array | string;

const LINE_BYTES_MAX = 128 * 1024;
const OBJECT_BYTES_MAX = 128 * 1024;
const ARGUMENTS_MAX = 512;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const HASH = 0x23;
const DASH = 0x2d;

/** The block between `-----BEGIN label-----` and `-----END label-----`. */
export interface DocumentObject {
  readonly label: string;
  /** Decoded bytes, a copy. */
  readonly body: Uint8Array;
}

/** Give the bytes of a document; bytes are returned as they are. */
export function documentBytes(text: DocumentText): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

/** Read `bytes[from, to)` as Latin-1: one character per byte, in a string of its own. */
export function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', from, to);
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === CR;
}

/** One keyword line and its object. */
export class Item {
  /** The kind of document, for messages. */
  readonly noun: string;
  readonly keyword: string;
  /** Everything after the keyword and the blanks that follow it, without the line's end. Latin-1. */
  readonly rest: string;
  /** Offset of the line's first byte. */
  readonly start: number;
  /** Offset just after the line feed that ends the keyword line. */
  readonly lineEnd: number;
  /** Line number in the document, from 1. */
  readonly line: number;
  readonly object: DocumentObject | null;
  /** Whether the line began with the obsolete word `opt`. */
  readonly hasOpt: boolean;
  #args: string[] | null = null;

  constructor(
    noun: string,
    keyword: string,
    rest: string,
    range: { start: number; lineEnd: number; line: number; hasOpt: boolean },
    object: DocumentObject | null,
  ) {
    this.noun = noun;
    this.keyword = keyword;
    this.rest = rest;
    this.start = range.start;
    this.lineEnd = range.lineEnd;
    this.line = range.line;
    this.hasOpt = range.hasOpt;
    this.object = object;
  }

  /**
   * The line's arguments, split at blanks.
   * @throws Malformed when there are more than 512.
   */
  get args(): readonly string[] {
    if (this.#args === null) {
      const args = this.rest.split(/[ \t\r]+/, ARGUMENTS_MAX + 2);
      if (args[args.length - 1] === '') args.pop();
      if (args.length > ARGUMENTS_MAX) throw this.malformed('has too many arguments');
      this.#args = args;
    }
    return this.#args;
  }

  /** Make the error that says what is wrong with this item; its offset is the line number. */
  malformed(why: string): Malformed {
    return new Malformed(this.noun, `${printable(this.keyword)} ${why}`, this.line);
  }

  /** Give the argument at `index`. @throws Malformed when the line has fewer. */
  arg(index: number): string {
    const value = this.args[index];
    if (value === undefined) throw this.malformed('has too few arguments');
    return value;
  }

  /** Give the object's bytes. @throws Malformed when there is none, or under another label. */
  objectBody(label: string): Uint8Array {
    if (this.object === null) throw this.malformed('lacks its object');
    if (this.object.label !== label) throw this.malformed(`has an object that is not ${label}`);
    return this.object.body;
  }

  /**
   * Give the offset at which a signature's covered range ends when it reaches through this item's keyword
   * and one byte more (a space, or the line feed).
   * @throws Malformed when the line does not begin with exactly the keyword and that byte
   */
  signedEnd(bytes: Uint8Array, separator: ' ' | '\n'): number {
    const end = this.start + this.keyword.length;
    if (this.hasOpt || bytes[end] !== separator.charCodeAt(0)) throw this.malformed('is not a plain line');
    return end + 1;
  }
}

function printable(text: string): string {
  return text.slice(0, 40).replace(/[^\x21-\x7e]/g, '?');
}

/** Reads items one after the other. */
export class ItemReader {
  readonly #bytes: Uint8Array;
  readonly #buffer: Buffer;
  readonly #noun: string;
  readonly #end: number;
  #at: number;
  #line = 1;

  /**
   * @param noun - kind of document, for messages
   * @throws Malformed when the range holds a NUL byte
   */
  constructor(bytes: Uint8Array, noun: string, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, end);
    this.#noun = noun;
    this.#at = at;
    this.#end = end;
    if (this.#buffer.indexOf(0, at) >= 0) throw new Malformed(noun, 'contains a NUL byte');
  }

  /** Offset of the next unread byte. */
  get at(): number {
    return this.#at;
  }

  /**
   * Read the next item, or null at the end of the document.
   * @throws Malformed when a limit is passed or an object is broken
   */
  next(): Item | null {
    this.#skipBlankLines();
    if (this.#at >= this.#end) return null;
    const start = this.#at;
    const line = this.#line;
    const textEnd = this.#lineEnd(start);
    let [keywordAt, keywordEnd] = this.#word(start, textEnd);
    let hasOpt = false;
    if (keywordEnd - keywordAt === 3 && this.#text(keywordAt, keywordEnd) === 'opt') {
      hasOpt = true;
      [keywordAt, keywordEnd] = this.#word(keywordEnd, textEnd);
    }
    const [restAt] = this.#word(keywordEnd, textEnd);
    const keyword = this.#text(keywordAt, keywordEnd);
    const rest = this.#text(restAt, textEnd);
    this.#at = Math.min(textEnd + 1, this.#end);
    this.#line++;
    const lineEnd = this.#at;
    const object = this.#object(line);
    return new Item(this.#noun, keyword, rest, { start, lineEnd, line, hasOpt }, object);
  }

  #text(from: number, to: number): string {
    return this.#buffer.toString('latin1', from, to);
  }

  #skipBlankLines(): void {
    while (this.#at < this.#end) {
      const byte = this.#bytes[this.#at]!;
      if (byte === LF) this.#line++;
      if (byte === HASH) {
        this.#at = this.#lineEnd(this.#at);
      } else if (byte === LF || isBlank(byte)) {
        this.#at++;
      } else {
        return;
      }
    }
  }

  #lineEnd(from: number): number {
    const found = this.#buffer.indexOf(LF, from);
    const end = found < 0 ? this.#end : found;
    if (end - from > LINE_BYTES_MAX) throw new Malformed(this.#noun, 'line is too long', this.#line);
    return end;
  }

  /** Skip blanks, then give where the next word begins and ends. */
  #word(from: number, end: number): [number, number] {
    let at = from;
    while (at < end && isBlank(this.#bytes[at]!)) at++;
    const start = at;
    while (at < end && !isBlank(this.#bytes[at]!)) at++;
    return [start, at];
  }

  #object(line: number): DocumentObject | null {
    if (this.#bytes[this.#at] !== DASH) return null;
    const fail = (why: string): Malformed => new Malformed(this.#noun, why, line);
    const beginEnd = this.#buffer.indexOf(LF, this.#at);
    const begin = '-----BEGIN ';
    if (beginEnd < 0 || beginEnd - this.#at < begin.length) return null;
    if (this.#text(this.#at, this.#at + begin.length) !== begin) return null;
    if (beginEnd - this.#at > LINE_BYTES_MAX) throw fail('object label is too long');
    const head = this.#text(this.#at, beginEnd);
    if (head.length <= 16 || !head.endsWith('-----')) throw fail('object has a bad BEGIN line');
    const label = head.slice(begin.length, -5);
    const bodyAt = beginEnd + 1;
    const bodyEnd = this.#buffer.indexOf('-----END ', bodyAt, 'latin1');
    if (bodyEnd < 0) throw fail('object has no END line');
    if (bodyEnd - bodyAt > OBJECT_BYTES_MAX) throw fail('object is too long');
    const tail = `-----END ${label}-----`;
    const tailEnd = bodyEnd + tail.length;
    const isWhole = tailEnd <= this.#end && this.#text(bodyEnd, tailEnd) === tail;
    if (!isWhole || (tailEnd < this.#end && this.#bytes[tailEnd] !== LF))
      throw fail('object ends under another label');
    const text = this.#text(bodyAt, bodyEnd);
    const body = decodeBase64(text.replace(/[\s]+/g, ''));
    if (body === null) throw fail('object is not base64');
    this.#line += 2 + countLines(text);
    this.#at = Math.min(tailEnd + 1, this.#end);
    return { label, body };
  }
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++;
  return lines;
}

/** What a document kind demands of one keyword. */
export interface ItemRule {
  /** How often it must appear at least; default 0. */
  readonly min?: number;
  /** How often it may appear at most; default 1. */
  readonly max?: number;
  /** Least number of arguments; default 0. */
  readonly args?: number;
  /** Label of the object it must have; absent: it must have none; null: it may have any. */
  readonly object?: string | null;
}

/** The rules of a document kind, by keyword. Keywords without a rule are ignored. */
export type ItemRules = Readonly<Record<string, ItemRule>>;

/**
 * Check one item against its rule.
 * @throws Malformed
 */
export function checkItem(item: Item, rule: ItemRule): void {
  if (rule.args !== undefined && item.args.length < rule.args) throw item.malformed('has too few arguments');
  if (rule.object === undefined) {
    if (item.object !== null) throw item.malformed('has an unexpected object');
  } else if (rule.object !== null) {
    item.objectBody(rule.object);
  }
}

/** The items of one document, grouped by keyword. */
export class ItemTable {
  readonly #noun: string;
  readonly #byKeyword = new Map<string, Item[]>();

  constructor(noun: string) {
    this.#noun = noun;
  }

  /** Put an item into the table. */
  add(item: Item): void {
    const list = this.#byKeyword.get(item.keyword);
    if (list === undefined) this.#byKeyword.set(item.keyword, [item]);
    else list.push(item);
  }

  /** Give all items of a keyword, in order. */
  all(keyword: string): readonly Item[] {
    return this.#byKeyword.get(keyword) ?? [];
  }

  /** Give the first item of a keyword, or null. */
  find(keyword: string): Item | null {
    return this.#byKeyword.get(keyword)?.[0] ?? null;
  }

  /** Give the first item of a keyword. @throws Malformed when there is none. */
  get(keyword: string): Item {
    const item = this.find(keyword);
    if (item === null) throw new Malformed(this.#noun, `${keyword} is missing`);
    return item;
  }

  /** Check how often each keyword appeared. @throws Malformed */
  checkCounts(rules: ItemRules): void {
    for (const [keyword, rule] of Object.entries(rules)) {
      const count = this.all(keyword).length;
      if (count < (rule.min ?? 0)) throw new Malformed(this.#noun, `${keyword} is missing`);
      const most = rule.max ?? 1;
      if (count > most) throw this.all(keyword)[most]!.malformed('appears too often');
    }
  }
}

/** A whole document read by a rule table. */
export interface ReadDocument {
  /** All items, also those without a rule. */
  readonly items: readonly Item[];
  /** The items that have a rule. */
  readonly table: ItemTable;
}

/**
 * Read a document of one kind in `bytes[at, end)` and check it against its rules.
 * Items without a rule are kept in `items` and otherwise ignored, as C tor does.
 *
 * @throws Malformed
 */
export function readDocument(
  bytes: Uint8Array,
  noun: string,
  rules: ItemRules,
  at = 0,
  end = bytes.length,
): ReadDocument {
  const reader = new ItemReader(bytes, noun, at, end);
  const items: Item[] = [];
  const table = new ItemTable(noun);
  for (let item = reader.next(); item !== null; item = reader.next()) {
    items.push(item);
    const rule = Object.hasOwn(rules, item.keyword) ? rules[item.keyword]! : null;
    if (rule === null) continue;
    checkItem(item, rule);
    table.add(item);
  }
  table.checkCounts(rules);
  return { items, table };
}

/**
 * Cut a run of concatenated documents at the lines that begin with one of `keywords`.
 * Bytes before the first such line are left out.
 *
 * @returns the range of each document: offsets of its first byte and after its last
 */
export function splitDocuments(
  bytes: Uint8Array,
  keywords: readonly string[],
): { start: number; end: number }[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const heads = keywords.map((keyword) => `${keyword} `);
  const longest = Math.max(...heads.map((head) => head.length));
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const text = latin1(bytes, at, Math.min(at + longest, bytes.length));
    if (heads.some((head) => text.startsWith(head))) starts.push(at);
    const feed = buffer.indexOf(LF, at);
    if (feed < 0) break;
    at = feed + 1;
  }
  return starts.map((start, index) => ({ start, end: starts[index + 1] ?? bytes.length }));
}
