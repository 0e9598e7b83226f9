/**
 * Documents with annotations before them, one behind the other: the form of C tor's cache files.
 *
 * An annotation is a line that begins with `@`; it tells of its keeper, not of the document, and is neither signed nor
 * hashed. Lines before the first document that are none of its annotations are left out.
 *
 * @source dir-spec "Microdescriptor format" (annotations); C tor's cached-descriptors and cached-microdescs
 */
import { printTime } from './field.ts';
import { latin1 } from './item.ts';

const LF = 0x0a;
const AT = 0x40;

/** Where a document and its annotations stand. */
export interface AnnotatedRange {
  /** Text of each annotation by its name, without the `@`. */
  readonly annotations: ReadonlyMap<string, string>;
  /** Offset of the document's first byte. */
  readonly start: number;
  /** Offset after its last byte. */
  readonly end: number;
}

const NO_ANNOTATIONS: ReadonlyMap<string, string> = new Map();

/**
 * Find the documents that begin with a line of this keyword. A document reaches to the next one, or to an annotation.
 */
export function splitAnnotated(bytes: Uint8Array, keyword: string): AnnotatedRange[] {
  return [...annotatedRanges(bytes, keyword)];
}

/** Find the same documents one after the other. */
export function* annotatedRanges(bytes: Uint8Array, keyword: string): Generator<AnnotatedRange> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let annotations: Map<string, string> | null = null;
  let start = -1;
  let of = NO_ANNOTATIONS;
  for (let at = 0; at < bytes.length; ) {
    const feed = buffer.indexOf(LF, at);
    const end = feed < 0 ? bytes.length : feed;
    const isAnnotation = bytes[at] === AT;
    const isHead = !isAnnotation && beginsWith(bytes, at, end, keyword);
    if ((isAnnotation || isHead) && start >= 0) {
      yield { annotations: of, start, end: at };
      start = -1;
    }
    if (isAnnotation) {
      annotations ??= new Map();
      addAnnotation(annotations, latin1(bytes, at + 1, end));
    } else if (isHead) {
      start = at;
      of = annotations ?? NO_ANNOTATIONS;
      annotations = null;
    }
    at = end + 1;
  }
  if (start >= 0) yield { annotations: of, start, end: bytes.length };
}

/** The first annotation of a name counts. */
function addAnnotation(annotations: Map<string, string>, line: string): void {
  const space = line.indexOf(' ');
  const name = space < 0 ? line : line.slice(0, space);
  if (!annotations.has(name)) annotations.set(name, space < 0 ? '' : line.slice(space + 1));
}

function beginsWith(bytes: Uint8Array, at: number, end: number, keyword: string): boolean {
  if (end - at < keyword.length) return false;
  for (let i = 0; i < keyword.length; i++) if (bytes[at + i] !== keyword.charCodeAt(i)) return false;
  const next = at + keyword.length;
  return next === end || bytes[next] === 0x20 || bytes[next] === 0x09;
}

/** Say when a consensus last listed a microdescriptor. */
export function printLastListed(sec: number): string {
  return `@last-listed ${printTime(sec)}\n`;
}

/** Say when, and from whom, a server descriptor was downloaded. */
export function printDownloaded(sec: number, source: string): string {
  return `@downloaded-at ${printTime(sec)}\n@source "${source.replace(/[^ !#-[\]-~]/g, '?')}"\n`;
}
