/**
 * Consensus diffs: what changed from one consensus to another, as a small `ed` script between two digests.
 *
 * `directory/` fetches them and applies them here; `consensus-differ.ts` makes them. A diff names the consensus that
 * it applies to by the SHA3-256 of that one's signed part, and what comes out by the SHA3-256 of all of it. Commands
 * go from the document's end to its beginning, so each counts lines of the old document and one pass suffices.
 * Nothing is taken from a diff whose result has not the digest that it says, and the result's length is bounded.
 *
 * Accepted is what C tor accepts, but no command for line 0 other than `0a`.
 *
 * @source dir-spec "Limited ed diff format", "Consensus diffs"
 */
import { decodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { sha3_256 } from '../crypto/digest.ts';
import { Malformed } from '../fault.ts';

const NOUN = 'consensus diff';
export const DIFF_VERSION_LINE = 'network-status-diff-version 1';

/** The most that a document that comes out may measure: what C tor takes for a consensus. */
export const DIFFED_BYTES_MAX = (1 << 24) - 1;
const LINE_BYTES_MAX = 1 << 20;
const COMMAND_BYTES_MAX = 127;
const LINE_NUMBER_MAX = 0x7fffffff;
const LF = 0x0a;
const CHAR_ZERO = 0x30;

/** Which document a diff turns into which. */
export interface ConsensusDiffHead {
  /** SHA3-256 over the signed part of the document that it applies to. */
  readonly fromDigest: Uint8Array;
  /** SHA3-256 over the whole document that comes out. */
  readonly toDigest: Uint8Array;
}

/** A document's lines: line `n` (from 0) is `bytes[starts[n], starts[n + 1] - 1)`, its newline left out. */
export interface Lines {
  readonly bytes: Uint8Array;
  /** One more than there are lines; the last is the document's length. */
  readonly starts: Uint32Array;
  readonly count: number;
}

/** Whether bytes begin as a diff does, rather than a consensus. */
export function looksLikeConsensusDiff(bytes: Uint8Array): boolean {
  if (bytes.length < DIFF_VERSION_LINE.length) return false;
  for (let i = 0; i < DIFF_VERSION_LINE.length; i++) {
    if (bytes[i] !== DIFF_VERSION_LINE.charCodeAt(i)) return false;
  }
  return true;
}

/**
 * Find the lines of a document.
 * @throws Malformed when the last one has no newline, or one is absurdly long
 */
export function splitLines(bytes: Uint8Array, noun = NOUN): Lines {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let starts = new Uint32Array(Math.max(64, bytes.length >> 5));
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    const feed = buffer.indexOf(LF, at);
    if (feed < 0) throw new Malformed(noun, 'does not end with a newline', count + 1);
    if (feed - at > LINE_BYTES_MAX) throw new Malformed(noun, 'has a line that is too long', count + 1);
    if (count + 2 > starts.length) starts = grown(starts);
    starts[count++] = at;
    at = feed + 1;
  }
  starts[count] = bytes.length;
  return { bytes, starts: starts.subarray(0, count + 1), count };
}

function grown(starts: Uint32Array): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(starts.length * 2);
  next.set(starts);
  return next;
}

/**
 * Give the digest by which diffs and requests name a consensus: SHA3-256 from its first item through the space
 * behind the first `directory-signature`; over everything when it has none.
 */
export function signedSha3(consensus: Uint8Array): Uint8Array {
  const buffer = Buffer.from(consensus.buffer, consensus.byteOffset, consensus.length);
  const start = buffer.indexOf('network-status-version');
  const isStart = start === 0 || (start > 0 && buffer[start - 1] === LF);
  const signature = isStart ? buffer.indexOf('\ndirectory-signature', start) : -1;
  const space = signature < 0 ? -1 : buffer.indexOf(' ', signature + '\ndirectory-signature'.length);
  return sha3_256(space < 0 ? consensus : consensus.subarray(start, space + 1));
}

/**
 * Read a diff's first two lines.
 * @throws Malformed
 */
export function parseConsensusDiffHead(diff: Uint8Array): ConsensusDiffHead {
  return readHead(splitLines(diff));
}

function readHead(lines: Lines): ConsensusDiffHead {
  if (lines.count < 2) throw new Malformed(NOUN, 'is too short');
  if (textOf(lines, 0) !== DIFF_VERSION_LINE) throw new Malformed(NOUN, 'is of an unknown version', 1);
  const words = textOf(lines, 1).split(' ');
  if (words.length !== 3 || words[0] !== 'hash') throw new Malformed(NOUN, 'names no digests', 2);
  const [fromDigest, toDigest] = [decodeHex(words[1]!), decodeHex(words[2]!)];
  if (fromDigest?.length !== 32 || toDigest?.length !== 32) throw new Malformed(NOUN, 'has a bad digest', 2);
  return { fromDigest, toDigest };
}

function textOf({ bytes, starts }: Lines, line: number): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', starts[line]!, starts[line + 1]! - 1);
}

/**
 * Apply a diff to the consensus that it was made for.
 *
 * @param base - not changed
 * @param diff - not changed
 * @returns the new document, in memory of its own
 * @throws Malformed when it does not read, is for another consensus, or gives not what it says
 */
export function applyConsensusDiff(
  base: Uint8Array,
  diff: Uint8Array,
  bytesMax = DIFFED_BYTES_MAX,
): Uint8Array {
  const script = splitLines(diff);
  const { fromDigest, toDigest } = readHead(script);
  if (!equal(signedSha3(base), fromDigest)) throw new Malformed(NOUN, 'is for another consensus');
  const result = applyScript(splitLines(base, 'consensus'), script, 2, bytesMax);
  if (!equal(sha3_256(result), toDigest)) throw new Malformed(NOUN, 'gives another consensus than it says');
  return result;
}

/** Byte ranges of the result from its end to its beginning. */
class Pieces {
  readonly #bytesMax: number;
  readonly #sources: Uint8Array[] = [];
  readonly #ranges: number[] = [];
  #total = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Put lines `[from, to)` before everything that is there. */
  prepend({ bytes, starts }: Lines, from: number, to: number): void {
    if (from === to) return;
    const start = starts[from]!;
    const end = starts[to]!;
    this.#total += end - start;
    if (this.#total > this.#bytesMax) throw new Malformed(NOUN, `gives more than ${this.#bytesMax} bytes`);
    this.#sources.push(bytes);
    this.#ranges.push(start, end);
  }

  join(): Uint8Array {
    const out = new Uint8Array(this.#total);
    let at = 0;
    for (let i = this.#sources.length - 1; i >= 0; i--) {
      const part = this.#sources[i]!.subarray(this.#ranges[2 * i], this.#ranges[2 * i + 1]);
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/** One command of a script; `from` and `to` are numbers of lines, from 1, both included. */
interface Command {
  readonly action: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Apply the commands of a script, from one of its lines on.
 * @throws Malformed
 */
export function applyScript(base: Lines, script: Lines, firstLine: number, bytesMax: number): Uint8Array {
  const pieces = new Pieces(bytesMax);
  // Lines of the base that no command has reached yet.
  let left = base.count;
  for (let at = firstLine; at < script.count; at++) {
    const { action, from, to } = readCommand(script, at, base.count);
    if (to > left) throw new Malformed(NOUN, 'has commands that are not in reverse order', at + 1);
    pieces.prepend(base, to, left);
    left = action === 'a' ? to : from - 1;
    if (action === 'd') continue;
    const end = findDot(script, at + 1);
    pieces.prepend(script, at + 1, end);
    at = end;
  }
  pieces.prepend(base, 0, left);
  return pieces.join();
}

/** Find the line that ends an insertion which begins at `from`. */
function findDot({ bytes, starts, count }: Lines, from: number): number {
  for (let line = from; line < count; line++) {
    if (starts[line + 1]! - starts[line]! !== 2 || bytes[starts[line]!] !== 0x2e) continue;
    if (line === from) throw new Malformed(NOUN, 'inserts no lines', from);
    return line;
  }
  throw new Malformed(NOUN, 'has an insertion without an end', from);
}

function readCommand(script: Lines, line: number, baseCount: number): Command {
  const fail = (why: string): Malformed => new Malformed(NOUN, why, line + 1);
  const { bytes, starts } = script;
  const end = starts[line + 1]! - 1;
  if (end - starts[line]! > COMMAND_BYTES_MAX) throw fail('has a command that is too long');
  const number = new LineNumber(bytes, starts[line]!, end);
  const from = number.value;
  if (from < 0) throw fail('has a command without a line number');
  let { at } = number;
  let to = from;
  let isToEnd = false;
  const isRange = bytes[at] === 0x2c;
  if (isRange) {
    isToEnd = bytes[at + 1] === 0x24;
    const last = new LineNumber(bytes, at + 1, end);
    to = isToEnd ? baseCount : last.value;
    at = isToEnd ? at + 2 : last.at;
    if (to < 0) throw fail('has a range without an end');
    if (to <= from) throw fail('has an empty range');
  }
  if (at !== end - 1)
    throw fail(at >= end ? 'has a line without a command' : 'has a command of several letters');
  const action = String.fromCharCode(bytes[at]!);
  if (action !== 'a' && action !== 'c' && action !== 'd') throw fail('has an unknown command');
  if (isToEnd && action !== 'd') throw fail('has "$" where nothing is deleted');
  if (isRange && action === 'a') throw fail('appends to a range');
  if (from === 0 && action !== 'a') throw fail('has a command for line 0');
  return { action, from, to };
}

/** Decimal digits at a place; `value` is -1 when there are none or too many. */
class LineNumber {
  readonly value: number;
  /** Just after the last digit. */
  readonly at: number;

  constructor(bytes: Uint8Array, from: number, end: number) {
    let at = from;
    let value = 0;
    for (; at < end && isDigit(bytes[at]!); at++) value = value * 10 + bytes[at]! - CHAR_ZERO;
    this.at = at;
    this.value = at === from || value > LINE_NUMBER_MAX ? -1 : value;
  }
}

function isDigit(byte: number): boolean {
  return byte >= CHAR_ZERO && byte <= CHAR_ZERO + 9;
}
