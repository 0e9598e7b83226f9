/**
 * Makes consensus diffs: from each of many old consensuses to one new one.
 *
 * The lines of the new one are found and hashed once. Two consensuses are then walked together from one router that
 * both list to the next, as both are sorted by identity, and only the few lines between two such places are compared
 * with each other, for their longest common subsequence. So the time is linear in the documents' lengths. A stretch
 * that is too long to be compared is replaced as a whole: the diff is then longer, not wrong. Each diff is applied
 * once before it is given away. For a thread of its own: nothing here waits or keeps state between calls.
 *
 * @source dir-spec "Limited ed diff format"
 */
import { encodeHex } from '../bytes/base.ts';
import { joinAll } from '../bytes/join.ts';
import { sha3_256 } from '../crypto/digest.ts';
import { assert, Malformed } from '../fault.ts';
import { applyScript, DIFF_VERSION_LINE, type Lines, signedSha3, splitLines } from './consensus-diff.ts';

const NOUN = 'consensus';
/** A stretch is compared line by line when the product of its lengths in both documents is at most this. */
const COMPARED_CELLS_MAX = 1 << 22;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DOT = 0x2e;

/** Lines with their hashes, and where the entries of routers begin. */
interface HashedLines extends Lines {
  readonly hashes: Uint32Array;
  /** Numbers of the lines that begin a router's entry. */
  readonly routers: Uint32Array;
}

/** Makes diffs to one consensus. */
export class ConsensusDiffer {
  readonly #target: HashedLines;
  readonly #targetDigest: string;

  /**
   * @param target - the new consensus, kept by reference
   * @throws Malformed when it has unsorted routers, or lines that no diff can carry
   */
  constructor(target: Uint8Array) {
    this.#target = hashLines(splitLines(target, NOUN));
    this.#targetDigest = encodeHex(sha3_256(target));
    checkRouters(this.#target);
  }

  /**
   * Make the diff from an old consensus.
   * @throws Malformed when the old one has unsorted routers, or lines that differ and no diff can carry
   */
  from(base: Uint8Array): Uint8Array {
    const all = splitLines(base, NOUN);
    const signatures = firstSignature(all);
    const kept: HashedLines = hashLines({ bytes: base, starts: all.starts, count: signatures });
    checkRouters(kept);
    const script = new Script(this.#target);
    new Walk(kept, this.#target, script).run();
    const head = `${DIFF_VERSION_LINE}\nhash ${encodeHex(signedSha3(base))} ${this.#targetDigest}\n`;
    const diff = script.print(head, deleteCommand(signatures, all.count));
    const result = applyScript(all, splitLines(diff), 2, this.#target.bytes.length);
    assert(Buffer.compare(result, this.#target.bytes) === 0, 'a consensus diff gives what it was made for');
    return diff;
  }
}

/** Make the diff from one consensus to another. @throws Malformed */
export function makeConsensusDiff(base: Uint8Array, target: Uint8Array): Uint8Array {
  return new ConsensusDiffer(target).from(base);
}

/** The number of the first signature's line: signatures are not signed, so they are never taken over. */
function firstSignature(lines: Lines): number {
  const keyword = 'directory-signature ';
  for (let line = 0; line < lines.count; line++) {
    if (startsWith(lines, line, keyword)) return line;
  }
  return lines.count;
}

function startsWith({ bytes, starts }: Lines, line: number, text: string): boolean {
  const at = starts[line]!;
  if (starts[line + 1]! - 1 - at < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** The command that removes the lines from `first` (from 0) to the end; empty when there are none. */
function deleteCommand(first: number, count: number): string {
  if (first === count) return '';
  return first + 1 === count ? `${count}d\n` : `${first + 1},$d\n`;
}

function hashLines(lines: Lines): HashedLines {
  const { bytes, starts, count } = lines;
  const hashes = new Uint32Array(count);
  const routers: number[] = [];
  for (let line = 0; line < count; line++) {
    const end = starts[line + 1]! - 1;
    let hash = 0x811c9dc5;
    for (let at = starts[line]!; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    hashes[line] = hash;
    if (startsWith(lines, line, 'r ') && identityAt(lines, line) > 0) routers.push(line);
  }
  return { ...lines, hashes, routers: Uint32Array.from(routers) };
}

/** Where the identity in a router's line begins, or 0 when it has none. */
function identityAt({ bytes, starts }: Lines, line: number): number {
  const end = starts[line + 1]! - 1;
  for (let at = starts[line]! + 2; at < end; at++) {
    if (bytes[at] === SPACE) return at + 1 < end && digit(bytes[at + 1]!) >= 0 ? at + 1 : 0;
  }
  return 0;
}

/** Value of a base64 digit, -1 for anything else. */
function digit(byte: number): number {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 26;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30 + 52;
  if (byte === 0x2b) return 62;
  return byte === 0x2f ? 63 : -1;
}

/** Compare the identities of two routers' lines, in the order of what they encode. */
function compareIdentities(a: Lines, lineA: number, b: Lines, lineB: number): number {
  let atA = identityAt(a, lineA);
  let atB = identityAt(b, lineB);
  for (; ; atA++, atB++) {
    // A newline ends every line, and is no digit.
    const digitA = digit(a.bytes[atA]!);
    const digitB = digit(b.bytes[atB]!);
    if (digitA !== digitB) return digitA - digitB;
    if (digitA < 0) return 0;
  }
}

function checkRouters(lines: HashedLines): void {
  const { routers } = lines;
  for (let i = 1; i < routers.length; i++) {
    if (compareIdentities(lines, routers[i - 1]!, lines, routers[i]!) < 0) continue;
    throw new Malformed(NOUN, 'has routers that are not sorted by identity', routers[i]! + 1);
  }
}

function sameLine(a: HashedLines, lineA: number, b: HashedLines, lineB: number): boolean {
  if (a.hashes[lineA] !== b.hashes[lineB]) return false;
  let atA = a.starts[lineA]!;
  let atB = b.starts[lineB]!;
  const endA = a.starts[lineA + 1]!;
  if (b.starts[lineB + 1]! - atB !== endA - atA) return false;
  for (; atA < endA; atA++, atB++) if (a.bytes[atA] !== b.bytes[atB]) return false;
  return true;
}

/** Goes through both documents and tells the script what goes and what comes. */
class Walk {
  readonly #base: HashedLines;
  readonly #target: HashedLines;
  readonly #script: Script;
  #lengths = new Uint16Array(1024);

  constructor(base: HashedLines, target: HashedLines, script: Script) {
    this.#base = base;
    this.#target = target;
    this.#script = script;
  }

  run(): void {
    const { routers: ofBase, count: baseCount } = this.#base;
    const { routers: ofTarget, count: targetCount } = this.#target;
    let baseAt = 0;
    let targetAt = 0;
    for (let i = 0, j = 0; i < ofBase.length && j < ofTarget.length; ) {
      const order = compareIdentities(this.#base, ofBase[i]!, this.#target, ofTarget[j]!);
      if (order === 0) {
        this.#compare(baseAt, ofBase[i]!, targetAt, ofTarget[j]!);
        baseAt = ofBase[i]!;
        targetAt = ofTarget[j]!;
      }
      if (order <= 0) i++;
      if (order >= 0) j++;
    }
    this.#compare(baseAt, baseCount, targetAt, targetCount);
  }

  /** Compare lines `[from, to)` of the old document with lines `[newFrom, newTo)` of the new one. */
  #compare(from: number, to: number, newFrom: number, newTo: number): void {
    const [base, target] = [this.#base, this.#target];
    let [start, end, newStart, newEnd] = [from, to, newFrom, newTo];
    while (start < end && newStart < newEnd && sameLine(base, start, target, newStart)) {
      start++;
      newStart++;
    }
    while (start < end && newStart < newEnd && sameLine(base, end - 1, target, newEnd - 1)) {
      end--;
      newEnd--;
    }
    const cells = (end - start) * (newEnd - newStart);
    if (cells === 0 || cells > COMPARED_CELLS_MAX) this.#script.replace(start, end, newStart, newEnd);
    else this.#align(start, end, newStart, newEnd);
  }

  /** Keep the longest common subsequence of two stretches. */
  #align(start: number, end: number, newStart: number, newEnd: number): void {
    const lengths = this.#commonLengths(start, end, newStart, newEnd);
    const width = newEnd - newStart + 1;
    let [i, j] = [start, newStart];
    // Where the lines begin that are not kept.
    let [gap, newGap] = [start, newStart];
    while (i < end && j < newEnd) {
      const at = (i - start) * width + (j - newStart);
      if (sameLine(this.#base, i, this.#target, j)) {
        this.#script.replace(gap, i, newGap, j);
        i++;
        j++;
        [gap, newGap] = [i, j];
      } else if (lengths[at + width]! >= lengths[at + 1]!) i++;
      else j++;
    }
    this.#script.replace(gap, end, newGap, newEnd);
  }

  /** Fill the table of how many lines the ends of both stretches have in common, row by row. */
  #commonLengths(start: number, end: number, newStart: number, newEnd: number): Uint16Array {
    const width = newEnd - newStart + 1;
    const cells = (end - start + 1) * width;
    if (this.#lengths.length < cells) this.#lengths = new Uint16Array(cells * 2);
    const lengths = this.#lengths;
    lengths.fill(0, cells - width, cells);
    for (let i = end - 1; i >= start; i--) {
      const row = (i - start) * width;
      lengths[row + width - 1] = 0;
      for (let j = newEnd - 1; j >= newStart; j--) {
        const at = row + j - newStart;
        lengths[at] = sameLine(this.#base, i, this.#target, j)
          ? lengths[at + width + 1]! + 1
          : Math.max(lengths[at + width]!, lengths[at + 1]!);
      }
    }
    return lengths;
  }
}

/** Collects the changes from the beginning on and prints them from the end on. */
class Script {
  readonly #target: Lines;
  /** Four numbers for each change: lines `[from, to)` become lines `[newFrom, newTo)`. */
  readonly #changes: number[] = [];

  constructor(target: Lines) {
    this.#target = target;
  }

  /** Note that lines `[from, to)` become lines `[newFrom, newTo)`. What touches the last change joins it. */
  replace(from: number, to: number, newFrom: number, newTo: number): void {
    if (from === to && newFrom === newTo) return;
    for (let line = newFrom; line < newTo; line++) checkCarried(this.#target, line);
    const changes = this.#changes;
    const last = changes.length - 4;
    if (last >= 0 && changes[last + 1] === from && changes[last + 3] === newFrom) {
      changes[last + 1] = to;
      changes[last + 3] = newTo;
      return;
    }
    changes.push(from, to, newFrom, newTo);
  }

  /** Print the whole diff: its head, the command for the signatures, then all changes. */
  print(head: string, removal: string): Uint8Array {
    const changes = this.#changes;
    const parts: Uint8Array[] = [Buffer.from(head + removal, 'latin1')];
    for (let at = changes.length - 4; at >= 0; at -= 4) {
      const [from, to, newFrom, newTo] = changes.slice(at, at + 4) as [number, number, number, number];
      parts.push(Buffer.from(command(from, to, newTo > newFrom), 'latin1'));
      if (newTo === newFrom) continue;
      parts.push(this.#target.bytes.subarray(this.#target.starts[newFrom]!, this.#target.starts[newTo]!));
      parts.push(Buffer.from('.\n', 'latin1'));
    }
    return joinAll(parts);
  }
}

/** Print the command for lines `[from, to)`, counted from 0. */
function command(from: number, to: number, hasNew: boolean): string {
  if (from === to) return `${from}a\n`;
  const action = hasNew ? 'c' : 'd';
  return to - from === 1 ? `${to}${action}\n` : `${from + 1},${to}${action}\n`;
}

/** A diff cannot carry a lone dot, and not every reader keeps a carriage return. @throws Malformed */
function checkCarried({ bytes, starts }: Lines, line: number): void {
  const start = starts[line]!;
  const end = starts[line + 1]! - 1;
  assert(bytes[end] === LF, 'a line ends with a newline');
  if (end > start && bytes[end - 1] === CR) throw new Malformed(NOUN, 'has a carriage return', line + 1);
  if (end - start === 1 && bytes[start] === DOT)
    throw new Malformed(NOUN, 'has a line that is a dot', line + 1);
}
