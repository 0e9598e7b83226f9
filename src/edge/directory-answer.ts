/**
 * Answers to directory requests, from the shelf: status line, headers and documents, each as C tor 0.4.9 sends them.
 *
 * Everything here is pure but for the shelf and the clock that it is given: a stream over a circuit and a connection
 * of the DirPort are answered by the same code. Who asks without a circuit is told apart, as C tor does, only in what
 * a list without a hit is called, in the answers to onion service requests, and in being refused when we are busy.
 *
 * @source dir-spec "Standards compliance", "HTTP status codes", "URLs"
 */
import { isInternalIp, parseIp, printIp } from '../bytes/address.ts';
import { equal } from '../bytes/secret.ts';
import { chooseEncoding, chooseStored, ENCODING_HEADERS, Encoding } from '../netdoc/content-coding.ts';
import {
  type ConsensusQuery,
  type DescriptorKey,
  type DirectoryQuery,
  isSignedByEnough,
  type ParsedRequest,
} from '../netdoc/directory-request.ts';
import { printHttpTime } from '../netdoc/http-time.ts';
import { Counter } from '../shm/scoreboard.ts';
import {
  SHELF_ENCODINGS,
  type Shelf,
  type ShelfEncoding,
  type ShelfTable,
  type ShelfTableName,
  type ShelvedConsensus,
} from '../shm/shelf.ts';
import { type Passage, RUN_WORDS, runBytes } from './directory-body.ts';

/** What an answer depends on besides the question. */
export interface AnswerContext {
  readonly shelf: Shelf;
  readonly nowSec: number;
  /** Whom a proxy says that it asks for. */
  readonly forwardedFor: string | null;
  /** The asking side's address: of the link that the circuit came over, or of the connection. 4 or 16 bytes. */
  readonly clientHost: Uint8Array;
  /** It came through a circuit. */
  readonly isTunnelled: boolean;
  /** It came through a circuit of several hops. */
  readonly isAnonymous: boolean;
  /** Addresses of ours: who is near one of them is not told its address. */
  readonly ownAddresses: readonly Uint8Array[];
  /** HTML for the front page; null when there is none. */
  readonly frontPage: Uint8Array | null;
  readonly isBridge: boolean;
  /** Whether so many bytes are more than we may send now, or so much text more than we may pass through a compressor. */
  readonly isBusy: (bytes: number, toPass?: number) => boolean;
  /** Bodies that were compressed before, by `AnswerContent.keepAs`. */
  readonly kept: (name: string) => Uint8Array | null;
  readonly count: (counter: number) => void;
}

/** What comes behind the head. */
export type AnswerContent =
  | {
      readonly kind: 'bytes';
      readonly bytes: Uint8Array;
      /** They are there only as long as someone keeps them, which may be this answer alone by and by. */
      readonly isKept?: true;
    }
  /** Documents, to be sent as they lie on the shelf (null), or through a compressor. */
  | {
      readonly kind: 'run';
      readonly run: Uint32Array;
      readonly passage: Passage | null;
      /** Other answers go through the same list. */
      readonly isShared?: boolean;
      /** The name under which the compressed body may be kept for others; none: it is not worth it. */
      readonly keepAs?: string;
    };

/** A whole answer. */
export interface DirectoryAnswer {
  readonly status: number;
  readonly head: string;
  /** Null when nothing comes behind the head. */
  readonly content: AnswerContent | null;
  /** It is a consensus, or a diff to one, whose sending is counted to its end. */
  readonly isNetworkStatus: boolean;
}

const HOUR_SEC = 3600;
const LIFETIMES = Object.freeze({
  frontPage: 20 * 60,
  robots: 24 * HOUR_SEC,
  keys: HOUR_SEC,
  all: HOUR_SEC,
  single: 48 * HOUR_SEC,
  microdescriptors: 48 * HOUR_SEC,
});
/** A consensus is served until it is expired, or before it is valid, by this much. */
const REASONABLY_LIVE_SEC = 24 * HOUR_SEC;
/** Descriptors asked for by identity may be this old. */
const PUBLISHED_SEC_MAX = 24 * HOUR_SEC;
const ROBOTS = Buffer.from('User-agent: *\r\nDisallow: /\r\n');
const BUSY = 'Directory busy, try again later';

/** Answer a request. */
export function answerRequest(request: ParsedRequest, context: AnswerContext): DirectoryAnswer {
  const { query } = request;
  switch (query.kind) {
    case 'front-page':
      return answerFrontPage(context);
    case 'robots':
      return answerRobots(context);
    case 'consensus':
      return answerConsensus(query, request, context);
    case 'certificates':
      return answerCertificates(query, request, context);
    case 'microdescriptors':
      return answerMicrodescriptors(query.ids, request, context);
    case 'server-descriptors':
      return answerDescriptors(query, request, context);
    case 'extra-infos':
      return context.isBridge
        ? refuse(context, 404, 'Not found')
        : answerDescriptors(query, request, context);
    case 'onion-descriptor':
      return context.isAnonymous
        ? refuse(context, 404, 'Not found')
        : refuse(context, 503, 'Rejecting single hop HS v3 descriptor request');
    case 'publish-onion-descriptor':
    case 'upload':
      return answerUpload(query.kind, context);
    case 'error':
      return refuse(context, query.status, query.reason);
  }
}

function answerUpload(kind: 'publish-onion-descriptor' | 'upload', context: AnswerContext): DirectoryAnswer {
  if (context.isBridge) return refuse(context, 503, 'Not acting as a public relay');
  if (kind === 'upload') {
    return refuse(context, 400, 'Nonauthoritative directory does not accept posted server descriptors');
  }
  if (!context.isAnonymous) return refuse(context, 503, 'Rejecting single hop HS descriptor post');
  return refuse(context, 400, 'Invalid HS descriptor. Rejected.');
}

/** A status line and the date, and nothing else. */
function refuse(context: AnswerContext, status: number, reason: string): DirectoryAnswer {
  context.count(status === 304 ? Counter.directory_not_modified : Counter.directory_refused);
  const head = `HTTP/1.0 ${status} ${reason}\r\nDate: ${printDate(context.nowSec)}\r\n\r\n`;
  return { status, head, content: null, isNetworkStatus: false };
}

interface Headers {
  readonly type?: string;
  readonly encoding: ShelfEncoding;
  readonly length?: number | undefined;
  readonly lifetimeSec: number;
  readonly vary?: boolean;
}

function succeed(
  context: AnswerContext,
  { type = 'text/plain', encoding, length, lifetimeSec, vary = false }: Headers,
  content: AnswerContent,
  isNetworkStatus = false,
): DirectoryAnswer {
  const { nowSec } = context;
  const address = reportedAddress(context);
  context.count(Counter.directory_answered);
  const last = lastHeads[encoding];
  const isPlain = type === 'text/plain' && length === undefined && !vary;
  if (isPlain && last.nowSec === nowSec && last.lifetimeSec === lifetimeSec && last.address === address) {
    return { status: 200, head: last.head, content, isNetworkStatus };
  }
  let head = `HTTP/1.0 200 OK\r\nDate: ${printDate(nowSec)}\r\nContent-Type: ${type}\r\n`;
  if (address !== null) head += `X-Your-Address-Is: ${address}\r\n`;
  head += `Content-Encoding: ${ENCODING_HEADERS[encoding]}\r\n`;
  if (length !== undefined) head += `Content-Length: ${length}\r\n`;
  head += lifetimeSec > 0 ? `Expires: ${printDate(nowSec + lifetimeSec)}\r\n` : 'Pragma: no-cache\r\n';
  if (vary) head += 'Vary: X-Or-Diff-From-Consensus\r\n';
  head += '\r\n';
  if (isPlain) lastHeads[encoding] = { nowSec, lifetimeSec, address, head };
  return { status: 200, head, content, isNetworkStatus };
}

/** The last plain head in each encoding: in one second many are alike. */
interface PlainHead {
  readonly nowSec: number;
  readonly lifetimeSec: number;
  readonly address: string | null;
  readonly head: string;
}

const NO_HEAD: PlainHead = { nowSec: -1, lifetimeSec: 0, address: null, head: '' };
const lastHeads: Record<ShelfEncoding, PlainHead> = {
  identity: NO_HEAD,
  deflate: NO_HEAD,
  gzip: NO_HEAD,
  zstd: NO_HEAD,
};

/** What the asking side is told of its own address: nothing if it is a neighbour's or a private one. */
function reportedAddress({ clientHost, ownAddresses, forwardedFor }: AnswerContext): string | null {
  if (isInternalIp(clientHost)) return null;
  const shared = clientHost.length === 4 ? 3 : 6;
  for (const own of ownAddresses) {
    if (own.length !== clientHost.length) continue;
    let same = 0;
    while (same < shared && own[same] === clientHost[same]) same++;
    if (same === shared) return null;
  }
  const host = forwardedFor === null ? null : parseIp(forwardedFor);
  return printIp(host === null || isInternalIp(host) ? clientHost : host);
}

const PRINTED_MAX = 64;
const printed = new Map<number, string>();

/** The date as HTTP has it. Some are kept: in one second many answers go out. */
function printDate(sec: number): string {
  const known = printed.get(sec);
  if (known !== undefined) return known;
  const text = printHttpTime(sec);
  if (printed.size >= PRINTED_MAX) printed.clear();
  printed.set(sec, text);
  return text;
}

function answerFrontPage(context: AnswerContext): DirectoryAnswer {
  const bytes = context.frontPage;
  if (bytes === null) return refuse(context, 404, 'Not found');
  const lifetimeSec = LIFETIMES.frontPage;
  const headers = { type: 'text/html', encoding: 'identity', length: bytes.length, lifetimeSec } as const;
  return succeed(context, headers, { kind: 'bytes', bytes });
}

function answerRobots(context: AnswerContext): DirectoryAnswer {
  const headers = { encoding: 'identity', length: ROBOTS.length, lifetimeSec: LIFETIMES.robots } as const;
  return succeed(context, headers, { kind: 'bytes', bytes: ROBOTS });
}

function answerConsensus(
  query: ConsensusQuery,
  request: ParsedRequest,
  context: AnswerContext,
): DirectoryAnswer {
  const { shelf, nowSec } = context;
  const fail = (status: number, reason: string, counter: number): DirectoryAnswer => {
    context.count(counter);
    return refuse(context, status, reason);
  };
  const consensus = shelf.consensus(query.flavour);
  if (consensus !== null && query.diffFrom?.some((base) => equal(base, consensus.signedDigest))) {
    return fail(304, 'Not modified', Counter.directory_status_not_modified);
  }
  const found = consensus === null ? null : findConsensus(shelf, consensus, query, request.encodings);
  if (found === null || consensus === null) {
    const reason = query.diffOnly ? 'No such diff available' : 'Not found';
    return fail(404, reason, Counter.directory_status_not_found);
  }
  if (nowSec < consensus.validAfterSec - REASONABLY_LIVE_SEC) {
    return fail(404, 'Consensus is too new', Counter.directory_status_not_found);
  }
  if (nowSec > consensus.validUntilSec + REASONABLY_LIVE_SEC) {
    return fail(404, 'Consensus is too old', Counter.directory_status_not_found);
  }
  if (query.wantedSigners !== null && !isSignedByEnough(query.wantedSigners, consensus.signatories)) {
    const reason = 'Consensus not signed by sufficient number of requested authorities';
    return fail(404, reason, Counter.directory_status_not_enough_signatures);
  }
  if (consensus.validAfterSec < request.modifiedSinceSec) {
    return fail(304, 'Not modified', Counter.directory_status_not_modified);
  }
  const isPassed = found.passage !== null;
  if (context.isBusy(runBytes(found.run), isPassed ? Number.POSITIVE_INFINITY : 0))
    return fail(503, BUSY, Counter.directory_status_busy);
  context.count(Counter.directory_status_answered);
  context.count(context.isTunnelled ? Counter.directory_tunnelled_begun : Counter.directory_direct_begun);
  const lifetimeSec = Math.max(0, consensus.freshUntilSec - nowSec);
  const content = { kind: 'run', run: found.run, passage: found.passage } as const;
  return succeed(context, { encoding: found.encoding, lifetimeSec, vary: true }, content, true);
}

interface FoundText {
  /** One document. */
  readonly run: Uint32Array;
  /** What it is in when it has passed. */
  readonly encoding: ShelfEncoding;
  readonly passage: 'gunzip' | null;
}

/**
 * The diff from the first base that we have one from, or else, if that will do, the whole consensus. Diffs are not kept
 * as they are, which would take most of the memory for the few who read no compression: they get them inflated.
 */
function findConsensus(
  shelf: Shelf,
  consensus: ShelvedConsensus,
  query: ConsensusQuery,
  accepted: number,
): FoundText | null {
  const table = shelf.table(query.flavour === 'ns' ? 'diffNs' : 'diffMicrodesc');
  const key = new Uint8Array(table.keyBytes);
  for (const base of query.diffFrom ?? []) {
    key.set(base);
    let stored = 0;
    for (const [i, name] of SHELF_ENCODINGS.entries()) {
      key[base.length] = i;
      if (table.find(key) >= 0) stored |= Encoding[name];
    }
    if (stored === 0) continue;
    const encoding = chooseStored(accepted, stored | Encoding.identity);
    const isInflated = encoding === 'identity';
    key[base.length] = SHELF_ENCODINGS.indexOf(isInflated ? 'gzip' : encoding);
    return { run: runOf(table, rowsOf(table, [key])), encoding, passage: isInflated ? 'gunzip' : null };
  }
  if (query.diffOnly) return null;
  // To C tor, which inflates what it gives away as it is, the uncompressed text is not stored: it is no last resort.
  let stored = 0;
  for (const name of SHELF_ENCODINGS) {
    if (name !== 'identity' && consensus.texts[name] !== null) stored |= Encoding[name];
  }
  const encoding = chooseStored(accepted, stored);
  const extent = consensus.texts[encoding];
  if (extent === null) return null;
  return { run: Uint32Array.of(extent.segment, extent.offset, extent.length), encoding, passage: null };
}

/** Where single microdescriptors lie ready in an encoding. */
const SQUEEZED_TABLES: Readonly<Record<ShelfEncoding, ShelfTableName | null>> = {
  identity: null,
  deflate: 'microdescriptorDeflate',
  gzip: null,
  zstd: 'microdescriptorZstd',
};

function answerMicrodescriptors(
  ids: readonly Uint8Array[],
  request: ParsedRequest,
  context: AnswerContext,
): DirectoryAnswer {
  const encoding = chooseEncoding(request.encodings);
  const headers = { encoding, lifetimeSec: LIFETIMES.microdescriptors };
  if (ids.length === 1) {
    const name = SQUEEZED_TABLES[encoding];
    const squeezed = name === null ? null : context.shelf.table(name);
    const row = squeezed === null ? -1 : squeezed.find(ids[0]!);
    if (squeezed !== null && row >= 0 && !context.isBusy(squeezed.length(row))) {
      return succeed(context, headers, { kind: 'run', run: runOf(squeezed, [row]), passage: null });
    }
  }
  const keepAs = encoding === 'identity' || ids.length === 1 ? null : `${encoding} ${request.url}`;
  const kept = keepAs === null ? null : context.kept(keepAs);
  if (kept !== null && !context.isBusy(kept.length)) {
    return succeed(context, headers, { kind: 'bytes', bytes: kept, isKept: true });
  }
  const table = context.shelf.table('microdescriptor');
  const run = runOf(table, rowsOf(table, ids).reverse());
  if (run.length === 0) return refuse(context, 404, 'Not found');
  if (keepAs === null || encoding === 'identity') {
    return answerRun(run, LIFETIMES.microdescriptors, request, context);
  }
  const bytes = runBytes(run);
  if (context.isBusy(bytes / 2, bytes)) return refuse(context, 503, BUSY);
  return succeed(context, headers, { kind: 'run', run, passage: encoding, keepAs });
}

/** Documents, compressed on the way if the client reads that. */
function answerRun(
  run: Uint32Array,
  lifetimeSec: number,
  request: ParsedRequest,
  context: AnswerContext,
  statesLength = false,
  isShared = false,
): DirectoryAnswer {
  const encoding = chooseEncoding(request.encodings);
  const isPlain = encoding === 'identity';
  const bytes = runBytes(run);
  if (context.isBusy(isPlain ? bytes : bytes / 2, isPlain ? 0 : bytes)) return refuse(context, 503, BUSY);
  const passage = encoding === 'identity' ? null : encoding;
  const content = { kind: 'run', run, passage, isShared } as const;
  const length = statesLength && isPlain ? bytes : undefined;
  return succeed(context, { encoding, length, lifetimeSec }, content);
}

interface DescriptorQuery {
  readonly kind: 'server-descriptors' | 'extra-infos';
  readonly by: DescriptorKey;
  readonly ids: readonly Uint8Array[];
}

/** Descriptors go out from the last digest to the first, as C tor's do. */
function answerDescriptors(
  { kind, by, ids }: DescriptorQuery,
  request: ParsedRequest,
  context: AnswerContext,
): DirectoryAnswer {
  const { shelf, nowSec, isTunnelled } = context;
  const isExtra = kind === 'extra-infos';
  const table =
    by === 'd'
      ? shelf.table(isExtra ? 'extraByDigest' : 'serverByDigest')
      : shelf.table(isExtra ? 'extraByIdentity' : 'serverByIdentity');
  if (by === 'all') {
    if (table.count === 0) return refuse(context, 404, 'Servers unavailable');
    const run = runOfAll(table, nowSec);
    return run.length === 0
      ? refuse(context, 404, 'Not found')
      : answerRun(run, LIFETIMES.all, request, context, false, true);
  }
  const wanted = by === 'authority' ? [shelf.ownId] : ids;
  const rows = rowsOf(table, wanted);
  // Outside of a circuit, what is not there is dropped before anyone looks how much was asked for.
  const listed = isTunnelled ? wanted.length : rows.length;
  if (listed === 0) return refuse(context, 404, 'Servers unavailable');
  const oldestSec = by === 'd' ? 0 : nowSec - PUBLISHED_SEC_MAX;
  const kept = rows.filter((row) => table.stampSec(row) >= oldestSec);
  if (kept.length === 0) return refuse(context, 404, 'Not found');
  const lifetimeSec = listed === 1 ? LIFETIMES.single : 0;
  return answerRun(runOf(table, kept.reverse()), lifetimeSec, request, context);
}

/** How long the list of all documents that are not too old is good for. */
const ALL_SEC = 60;
const allRuns = new WeakMap<ShelfTable, { readonly atSec: number; readonly run: Uint32Array }>();

/** All documents that are not too old: one list for all who ask within a minute, as it may be of a hundred kilobytes. */
function runOfAll(table: ShelfTable, nowSec: number): Uint32Array {
  const known = allRuns.get(table);
  if (known !== undefined && Math.abs(nowSec - known.atSec) < ALL_SEC) return known.run;
  const rows = allRows(table).filter((row) => table.stampSec(row) >= nowSec - PUBLISHED_SEC_MAX);
  const run = runOf(table, rows.reverse());
  allRuns.set(table, { atSec: nowSec, run });
  return run;
}

function answerCertificates(
  { by, ids }: Extract<DirectoryQuery, { kind: 'certificates' }>,
  request: ParsedRequest,
  context: AnswerContext,
): DirectoryAnswer {
  const table = context.shelf.table('certificate');
  let rows: number[] = [];
  if (by === 'all') rows = allRows(table);
  else if (by === 'fp') rows = ids.flatMap((id) => newestOf(table, id) ?? []);
  else if (by === 'sk') rows = ids.flatMap((digest) => signedWith(table, digest) ?? []);
  else if (by === 'fp-sk') rows = rowsOf(table, ids);
  if (rows.length === 0) return refuse(context, 404, 'Not found');
  const fresh = rows.filter((row) => table.stampSec(row) >= request.modifiedSinceSec);
  if (fresh.length === 0) return refuse(context, 304, 'Not modified');
  return answerRun(runOf(table, fresh), LIFETIMES.keys, request, context, true);
}

function allRows(table: ShelfTable): number[] {
  return Array.from({ length: table.count }, (_, row) => row);
}

/** The newest certificate of an authority. */
function newestOf(table: ShelfTable, id: Uint8Array): number | null {
  let newest: number | null = null;
  for (
    let row = table.firstFrom(id, 0, 20);
    row < table.count && table.compare(row, id, 0, 20) === 0;
    row++
  ) {
    if (newest === null || table.stampSec(row) > table.stampSec(newest)) newest = row;
  }
  return newest;
}

/** The certificate of a signing key. There are a few dozen at most. */
function signedWith(table: ShelfTable, digest: Uint8Array): number | null {
  return allRows(table).find((row) => equal(table.key(row).subarray(20), digest)) ?? null;
}

function rowsOf(table: ShelfTable, keys: readonly Uint8Array[]): number[] {
  const rows: number[] = [];
  for (const key of keys) {
    const row = table.find(key);
    if (row >= 0) rows.push(row);
  }
  return rows;
}

function runOf(table: ShelfTable, rows: readonly number[]): Uint32Array {
  const run = new Uint32Array(rows.length * RUN_WORDS);
  for (const [i, row] of rows.entries()) {
    run[i * RUN_WORDS] = table.segment(row);
    run[i * RUN_WORDS + 1] = table.offset(row);
    run[i * RUN_WORDS + 2] = table.length(row);
  }
  return run;
}
