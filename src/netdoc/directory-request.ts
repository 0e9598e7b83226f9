/**
 * Requests of the directory protocol: a small, old part of HTTP, read byte for byte as C tor reads it.
 *
 * `RequestReader` collects one request from a stream's bytes; `parseDirectoryRequest` says what its head asks for.
 * A head has fewer than 50,000 bytes. Of a body only as much is kept as anything that is taken can have; the rest is
 * counted. What C tor closes without an answer is `Malformed`; what it answers with an error is a query of that kind.
 * Lists in a URL are sorted and every element counts once, so an answer's order is that of the identities.
 *
 * @source dir-spec "Standards compliance", "List of directory URLs"; C tor 0.4.9.11 as it answered
 */
import { decodeHex } from '../bytes/base.ts';
import { Malformed } from '../fault.ts';
import type { ConsensusFlavour } from './consensus.ts';
import { acceptedEncodings, Encoding } from './content-coding.ts';
import { parseHttpTime } from './http-time.ts';

const NOUN = 'directory request';
/** A head, with the empty line that ends it, has fewer bytes than this. */
export const REQUEST_HEAD_BYTES_MAX = 50_000;
/** A body has fewer bytes than this, or the stream is closed. */
const BODY_BYTES_MAX = (1 << 24) - 1;
const CONTENT_LENGTH_MAX = 0x7fffffff;
/** Of a longer body only the length is kept: the longest that is of use is an onion service's descriptor. */
export const REQUEST_BODY_KEPT_MAX = 1 << 16;
const HEAD_END = '\r\n\r\n';

/** A request that is complete. */
export interface ReceivedRequest {
  /** Everything through the empty line, as Latin-1. */
  readonly head: string;
  /** The body; null when it was too long to be kept. */
  readonly body: Uint8Array | null;
}

/**
 * Read a request that came in one piece: most do, and need nobody to collect them.
 *
 * @returns null when more of it is to come, or when it is not so plain: a `RequestReader` must take it
 */
export function readWholeRequest(data: Uint8Array): string | null {
  if (data.length >= REQUEST_HEAD_BYTES_MAX) return null;
  const head = Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1');
  const found = head.indexOf(HEAD_END);
  if (found < 0 || found + HEAD_END.length !== head.length) return null;
  return head.includes('\r\nContent-Length: ') ? null : head;
}

/** Collects one request from the bytes of a stream. */
export class RequestReader {
  #bytes = new Uint8Array(0);
  #length = 0;
  /** Where to look on for the end of the head. */
  #lookAt = 0;
  #head: string | null = null;
  #bodyBytes = 0;
  /** What Content-Length says, or -1. */
  #bodyExpected = -1;

  /** Bytes of memory that are held for the request. */
  get heldBytes(): number {
    return this.#bytes.length + (this.#head?.length ?? 0);
  }

  /**
   * Take more bytes of the stream; they are copied.
   *
   * @returns the request once it is complete; what follows it is ignored
   * @throws Malformed when the stream is to be closed without an answer
   */
  push(data: Uint8Array): ReceivedRequest | null {
    if (this.#head !== null) this.#takeBody(data);
    else {
      this.#append(data);
      const end = this.#findHeadEnd();
      if (end < 0) return null;
      this.#takeHead(end);
    }
    if (this.#bodyBytes >= BODY_BYTES_MAX) throw new Malformed(NOUN, 'body is too long');
    if (this.#bodyBytes < this.#bodyExpected) return null;
    return { head: this.#head!, body: this.#body() };
  }

  #append(data: Uint8Array): void {
    const needed = this.#length + data.length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(
        Math.max(needed, Math.min(2 * this.#bytes.length, REQUEST_HEAD_BYTES_MAX), 512),
      );
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(data, this.#length);
    this.#length = needed;
  }

  /** Find the offset behind the head, or -1 while it is not all there. @throws Malformed when it is too long */
  #findHeadEnd(): number {
    const found = Buffer.from(this.#bytes.buffer, 0, this.#length).indexOf(HEAD_END, this.#lookAt);
    const end = found < 0 ? -1 : found + HEAD_END.length;
    if ((end < 0 ? this.#length : end) >= REQUEST_HEAD_BYTES_MAX)
      throw new Malformed(NOUN, 'head is too long');
    this.#lookAt = Math.max(0, this.#length - HEAD_END.length + 1);
    return end;
  }

  #takeHead(end: number): void {
    this.#head = Buffer.from(this.#bytes.buffer, 0, end).toString('latin1');
    this.#bodyExpected = contentLength(this.#head);
    const rest = this.#bytes.slice(end, this.#length);
    this.#bytes = new Uint8Array(0);
    this.#length = 0;
    this.#takeBody(rest);
  }

  #takeBody(data: Uint8Array): void {
    this.#bodyBytes += data.length;
    if (this.#bodyBytes <= REQUEST_BODY_KEPT_MAX) this.#append(data);
    else {
      this.#bytes = new Uint8Array(0);
      this.#length = 0;
    }
  }

  /** The body, cut to what Content-Length says. */
  #body(): Uint8Array | null {
    const length = this.#bodyExpected < 0 ? this.#bodyBytes : this.#bodyExpected;
    return this.#bodyBytes > REQUEST_BODY_KEPT_MAX ? null : this.#bytes.slice(0, length);
  }
}

/** Read Content-Length, written exactly so; -1 when there is none. @throws Malformed when it is no such number */
function contentLength(head: string): number {
  const match = /\r\nContent-Length: ([^\n]*)\n/.exec(head);
  if (match === null) return -1;
  const digits = /^[ \t\r\v\f]*\+?(\d+)[ \t\r\v\f]*$/.exec(match[1]!);
  const length = digits === null ? -1 : Number(digits[1]);
  if (length < 0 || length > CONTENT_LENGTH_MAX) throw new Malformed(NOUN, 'has a bad Content-Length');
  return length;
}

/** How a set of authority certificates is named. */
export type CertificateKey = 'all' | 'authority' | 'fp' | 'sk' | 'fp-sk';
/** How a set of descriptors is named: all, our own, by SHA-1 of the RSA identity, by their own SHA-1. */
export type DescriptorKey = 'all' | 'authority' | 'fp' | 'd';

/** A request for the present consensus. */
export interface ConsensusQuery {
  readonly kind: 'consensus';
  readonly flavour: ConsensusFlavour;
  /** SHA3-256 of the signed parts that a diff may start from; null: the request speaks of no diff. */
  readonly diffFrom: readonly Uint8Array[] | null;
  /** Nothing but a diff will do. */
  readonly diffOnly: boolean;
  /** Beginnings of authorities' identities in hex, more than half of which must have signed; null: any. */
  readonly wantedSigners: readonly string[] | null;
}

/** What a request asks for. */
export type DirectoryQuery =
  | { readonly kind: 'front-page' }
  | { readonly kind: 'robots' }
  | ConsensusQuery
  /** Identities of 20 bytes; 40 for `fp-sk`. */
  | { readonly kind: 'certificates'; readonly by: CertificateKey; readonly ids: readonly Uint8Array[] }
  /** SHA-256 digests. */
  | { readonly kind: 'microdescriptors'; readonly ids: readonly Uint8Array[] }
  | {
      readonly kind: 'server-descriptors' | 'extra-infos';
      readonly by: DescriptorKey;
      readonly ids: readonly Uint8Array[];
    }
  /** The blinded key, base64 as the URL has it. */
  | { readonly kind: 'onion-descriptor'; readonly key: string }
  /** A POST below `/tor/hs/`; the version is -1 when the URL is no publishing one. */
  | { readonly kind: 'publish-onion-descriptor'; readonly version: number }
  /** Any other POST. */
  | { readonly kind: 'upload' }
  /** Nothing that we have; answer with this. */
  | { readonly kind: 'error'; readonly status: 400 | 404; readonly reason: string };

/** A request that was understood. */
export interface ParsedRequest {
  readonly method: 'GET' | 'POST';
  /** Starts with `/tor/`, without `.z`. */
  readonly url: string;
  readonly query: DirectoryQuery;
  /** Bits of `Encoding` that the client takes; identity always is one. */
  readonly encodings: number;
  /** Wall clock, seconds; 0 when the request has no date that can be read. */
  readonly modifiedSinceSec: number;
  /** Whom a proxy says that it asks for; null when none does. */
  readonly forwardedFor: string | null;
}

const BAD_REQUEST: DirectoryQuery = { kind: 'error', status: 400, reason: 'Bad request' };
const NOT_FOUND: DirectoryQuery = { kind: 'error', status: 404, reason: 'Not found' };

/**
 * Read a request's head.
 *
 * @param head - through the empty line, as `RequestReader` gives it
 * @throws Malformed for any method but GET and POST: such a stream is closed without an answer
 */
export function parseDirectoryRequest(head: string): ParsedRequest {
  // C strings end at a NUL.
  const nul = head.indexOf('\0');
  const text = nul < 0 ? head : head.slice(0, nul);
  const method = /^get/i.test(text) ? 'GET' : /^post/i.test(text) ? 'POST' : null;
  if (method === null) throw new Malformed(NOUN, 'has an unknown method');
  const url = readUrl(text);
  if (url === null || method === 'POST') {
    const query = url === null ? BAD_REQUEST : readPost(url);
    const { identity } = Encoding;
    return {
      method,
      url: url ?? '',
      query,
      encodings: identity,
      modifiedSinceSec: 0,
      forwardedFor: null,
    };
  }
  // No header can begin in the first line, which may be long.
  const fields = fieldsOf(text.slice(text.indexOf('\n')));
  const isDeflated = url.length > 2 && url.endsWith('.z');
  const plain = isDeflated ? url.slice(0, -2) : url;
  return {
    method,
    url: plain,
    query: readGet(plain, fields),
    encodings: fields.encodings | (isDeflated ? Encoding.deflate : 0),
    modifiedSinceSec: fields.modifiedSinceSec,
    forwardedFor: fields.forwardedFor,
  };
}

/** What the headers say that we look at. */
interface Fields {
  readonly encodings: number;
  readonly modifiedSinceSec: number;
  readonly diffFrom: string | null;
  readonly forwardedFor: string | null;
}

/** All clients of a kind send the same headers: those are read once. */
const FIELDS_KNOWN_MAX = 64;
const FIELDS_CHARS_MAX = 512;
const knownFields = new Map<string, Fields>();

/** @param text - from the end of the first line on */
function fieldsOf(text: string): Fields {
  const known = knownFields.get(text);
  if (known !== undefined) return known;
  const lower = text.toLowerCase();
  const fields = {
    encodings: acceptedEncodings(header(text, lower, 'accept-encoding') ?? ''),
    modifiedSinceSec: parseHttpTime(header(text, lower, 'if-modified-since') ?? '') ?? 0,
    diffFrom: header(text, lower, 'x-or-diff-from-consensus'),
    forwardedFor: /^(?:X-)?Forwarded-For: ([^\r\n]*)/im.exec(text)?.[1] ?? null,
  };
  // Whose request it is, is not kept.
  if (text.length <= FIELDS_CHARS_MAX && fields.forwardedFor === null) {
    if (knownFields.size >= FIELDS_KNOWN_MAX) knownFields.clear();
    knownFields.set(text, fields);
  }
  return fields;
}

/** Read the URL of the first line as C tor does; null when the line is not `METHOD URL HTTP/1.x`. */
function readUrl(head: string): string | null {
  const match = /^[ \t\r]*[^ \t\r\n#]+[ \t\r]+([^ \t\r\n#]+)[ \t\r]*HTTP\/1\.(\d+)\r/.exec(head);
  if (match === null || Number(match[2]) > 0xffffffff) return null;
  const url = match[1]!;
  // Proxies put the host before the path.
  const path = url.startsWith('/') ? url : (/^https?:\/\/[^/]*(\/.*)$/.exec(url)?.[1] ?? url);
  if (path.startsWith('/tor/')) return path;
  return `/tor${path.startsWith('/') ? '' : '/'}${path}`;
}

/**
 * Give the value of the first header of this name, which ends at the next carriage return; null when there is none.
 * @param fields - from the end of the first line on; `lower` and the name are the same in small letters
 */
function header(fields: string, lower: string, name: string): string | null {
  const start = `\n${name}: `;
  const found = lower.indexOf(start);
  if (found < 0) return null;
  const value = found + start.length;
  const end = fields.indexOf('\r', value);
  return end < 0 ? fields.slice(value) : fields.slice(value, end);
}

function readPost(url: string): DirectoryQuery {
  if (!url.startsWith('/tor/hs/')) return { kind: 'upload' };
  const match = /^\/tor\/hs\/(\d{1,9})\/publish/.exec(url);
  return { kind: 'publish-onion-descriptor', version: match === null ? -1 : Number(match[1]) };
}

function readGet(url: string, fields: Fields): DirectoryQuery {
  if (url === '/tor/') return { kind: 'front-page' };
  if (url === '/tor/robots.txt') return { kind: 'robots' };
  if (url.startsWith('/tor/status-vote/current/consensus')) return readConsensus(url, fields);
  const rest = (prefix: string): string => url.slice(prefix.length);
  if (url.startsWith('/tor/micro/d/')) {
    return { kind: 'microdescriptors', ids: sortedUnique(rest('/tor/micro/d/').split('-').map(sha256Of)) };
  }
  if (url.startsWith('/tor/server/')) return readDescriptors('server-descriptors', rest('/tor/server/'));
  if (url.startsWith('/tor/extra/')) return readDescriptors('extra-infos', rest('/tor/extra/'));
  if (url.startsWith('/tor/keys/')) return readCertificates(rest('/tor/keys/'));
  if (url.startsWith('/tor/hs/3/')) return { kind: 'onion-descriptor', key: rest('/tor/hs/3/') };
  return NOT_FOUND;
}

function readConsensus(url: string, fields: Fields): DirectoryQuery {
  const match = /^\/tor\/status-vote\/current\/consensus(?:-([^/]*))?(?:\/(.*))?$/.exec(url);
  const flavour = match?.[1] === 'microdesc' ? 'microdesc' : 'ns';
  const rest = match?.[2];
  const inUrl = rest === undefined ? null : /^diff\/([^/]*)(?:\/(.*))?$/.exec(rest);
  const wanted = inUrl === null ? rest : inUrl[2];
  const wantedSigners = wanted === undefined ? null : wanted.split('+').map((part) => part.toUpperCase());
  if (inUrl !== null) {
    const digest = hexOf(inUrl[1]!, 32);
    if (digest === null) return { kind: 'error', status: 404, reason: "Couldn't parse request" };
    return { kind: 'consensus', flavour, diffFrom: [digest], diffOnly: true, wantedSigners };
  }
  const diffFrom =
    fields.diffFrom === null
      ? null
      : fields.diffFrom
          .split(' ')
          .map((text) => hexOf(text, 32))
          .filter(isBytes);
  return { kind: 'consensus', flavour, diffFrom, diffOnly: false, wantedSigners };
}

function readDescriptors(kind: 'server-descriptors' | 'extra-infos', rest: string): DirectoryQuery {
  if (rest === 'all' || rest === 'authority') return { kind, by: rest, ids: [] };
  const match = /^(d|fp)\/(.*)$/.exec(rest);
  if (match === null) return NOT_FOUND;
  const ids = sortedUnique(match[2]!.split('+').map((text) => hexOf(text, 20)));
  if (ids.length === 0) return { kind: 'error', status: 404, reason: 'Servers unavailable' };
  return { kind, by: match[1] as DescriptorKey, ids };
}

function readCertificates(rest: string): DirectoryQuery {
  if (rest === 'all' || rest === 'authority') return { kind: 'certificates', by: rest, ids: [] };
  const match = /^(fp|sk|fp-sk)\/(.*)$/.exec(rest);
  if (match === null) return BAD_REQUEST;
  const by = match[1] as CertificateKey;
  const read = by === 'fp-sk' ? pairOf : (text: string) => hexOf(text, 20);
  return { kind: 'certificates', by, ids: sortedUnique(match[2]!.split('+').map(read)) };
}

function hexOf(text: string, bytes: number): Uint8Array | null {
  return text.length === 2 * bytes ? decodeHex(text) : null;
}

function pairOf(text: string): Uint8Array | null {
  return text.length === 81 && text[40] === '-' ? decodeHex(text.slice(0, 40) + text.slice(41)) : null;
}

/** Digits of base64 by their characters; -1 for others. */
const DIGITS = new Int8Array(256).fill(-1);
for (const [value, digit] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  DIGITS[digit.charCodeAt(0)] = value;
}

/** Read 32 bytes of base64 without padding: 43 digits, two bits of which are zero. A list has up to a hundred. */
function sha256Of(text: string): Uint8Array | null {
  if (text.length !== 43) return null;
  const bytes = new Uint8Array(32);
  let faults = 0;
  let held = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < 43; i++) {
    const code = text.charCodeAt(i);
    const digit = code > 0xff ? -1 : DIGITS[code]!;
    faults |= digit;
    held = ((held << 6) | digit) & 0x3fff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = held >>> bits;
  }
  return faults < 0 || (held & 3) !== 0 ? null : bytes;
}

/** Order by the first byte that differs. All are of one length. */
function compareIds(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function isBytes(bytes: Uint8Array | null): bytes is Uint8Array {
  return bytes !== null;
}

/** Leave out what did not read and what is there twice, and sort. */
function sortedUnique(ids: readonly (Uint8Array | null)[]): Uint8Array[] {
  const sorted = ids.filter(isBytes);
  if (sorted.length < 2) return sorted;
  sorted.sort(compareIds);
  return sorted.filter((id, i) => i === 0 || compareIds(id, sorted[i - 1]!) !== 0);
}

/**
 * Whether a consensus is signed by more than half of the authorities that a request names.
 * @param signers - identities in upper-case hex of the authorities that signed
 */
export function isSignedByEnough(wanted: readonly string[], signers: readonly string[]): boolean {
  const found = wanted.filter((start) => signers.some((signer) => signer.startsWith(start)));
  return found.length >= Math.floor(wanted.length / 2) + 1;
}
