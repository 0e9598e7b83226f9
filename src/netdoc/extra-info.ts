/**
 * Extra-info documents: a relay's bandwidth histories and statistics, uploaded beside its descriptor.
 *
 * Printed and signed here for our own relay, and read for any. The document names its relay only by
 * fingerprint, so the RSA key to verify it with comes from the server descriptor.
 *
 * @source dir-spec "Extra-info document format"
 */
import { encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { sha1, sha256 } from '../crypto/digest.ts';
import { assert, Malformed } from '../fault.ts';
import {
  hexField,
  isNickname,
  nicknameField,
  parseInteger,
  parseTime,
  printTime,
  timeField,
} from './field.ts';
import type { DocumentText, Item, ItemRules } from './item.ts';
import { documentBytes, readDocument } from './item.ts';
import type { RouterSeal, RouterSigner, SignedDocument } from './signature.ts';
import { checkRouterSeal, printIdentityCert, readRouterSeal, sealRouterDocument } from './signature.ts';

const NOUN = 'extra-info document';

/** Authorities refuse longer documents. */
export const EXTRA_INFO_BYTES_MAX = 50_000;

/** The histories that C tor prints, in its order. */
export const HISTORY_KEYWORDS = [
  'write-history',
  'read-history',
  'ipv6-write-history',
  'ipv6-read-history',
  'dirreq-write-history',
  'dirreq-read-history',
] as const;

/** Keyword of a bandwidth history. */
export type HistoryKeyword = (typeof HISTORY_KEYWORDS)[number];

/** Bytes that crossed in consecutive intervals, oldest first. */
export interface BandwidthHistory {
  readonly keyword: HistoryKeyword;
  /** When the last interval ended. */
  readonly endSec: number;
  readonly intervalSec: number;
  /** Bytes per interval; already rounded as the statistics' rules want. */
  readonly values: readonly number[];
}

/** Everything that an extra-info document of ours says. */
export interface ExtraInfoInput {
  readonly nickname: string;
  /** The same time as the descriptor's. */
  readonly publishedSec: number;
  /** Histories without values are left out. */
  readonly histories: readonly BandwidthHistory[];
  /** Further statistics, whole lines without their newline, in order. */
  readonly statistics?: readonly string[];
}

function printHistory(history: BandwidthHistory): string {
  const { keyword, endSec, intervalSec, values } = history;
  return `${keyword} ${printTime(endSec)} (${intervalSec} s) ${values.join(',')}\n`;
}

/**
 * Print and sign an extra-info document.
 *
 * @returns the document and both digests that the descriptor names it by
 * @throws Malformed when it is longer than authorities accept
 */
export function printExtraInfo(input: ExtraInfoInput, signer: RouterSigner): SignedDocument {
  assert(isNickname(input.nickname), 'the nickname is one to nineteen letters and digits');
  const rsaId = sha1(signer.rsa.publicDer);
  const histories = HISTORY_KEYWORDS.flatMap((keyword) =>
    input.histories.filter((history) => history.keyword === keyword && history.values.length > 0),
  );
  const lines = [
    `extra-info ${input.nickname} ${encodeHex(rsaId)}\n`,
    printIdentityCert(signer),
    `published ${printTime(input.publishedSec)}\n`,
    ...histories.map(printHistory),
    ...(input.statistics ?? []).map((line) => `${line}\n`),
  ];
  return sealRouterDocument(NOUN, lines.join(''), signer, EXTRA_INFO_BYTES_MAX);
}

/** An extra-info document as it was read; `verifyExtraInfo` says whether to believe it. */
export interface ExtraInfo {
  readonly nickname: string;
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  readonly publishedSec: number;
  readonly histories: readonly BandwidthHistory[];
  /** All other lines by keyword; the first of each. */
  readonly statistics: ReadonlyMap<string, string>;
  readonly seal: RouterSeal;
  /** SHA-1 over the signed part. */
  readonly digestSha1: Uint8Array;
  /** SHA-256 over the whole document. */
  readonly digestSha256: Uint8Array;
  readonly document: Uint8Array;
}

const RULES: ItemRules = {
  'extra-info': { min: 1, args: 2 },
  'identity-ed25519': { min: 1, object: 'ED25519 CERT' },
  published: { min: 1 },
  'router-sig-ed25519': { min: 1, args: 1 },
  'router-signature': { min: 1, object: 'SIGNATURE' },
  ...Object.fromEntries(HISTORY_KEYWORDS.map((keyword) => [keyword, {}])),
};

function isHistoryKeyword(keyword: string): keyword is HistoryKeyword {
  return (HISTORY_KEYWORDS as readonly string[]).includes(keyword);
}

/** Read a history line; null when it isn't one, which costs a stranger's document nothing. */
function readHistory(keyword: HistoryKeyword, item: Item): BandwidthHistory | null {
  const match = /^(\S+ \S+) \((\d{1,9}) s\) ?([0-9,]*)$/.exec(item.rest.trimEnd());
  const endSec = match === null ? null : parseTime(match[1]!);
  if (match === null || endSec === null) return null;
  const values: number[] = [];
  for (const part of match[3] === '' ? [] : match[3]!.split(',')) {
    const value = parseInteger(part, 0, Number.MAX_SAFE_INTEGER);
    if (value === null) return null;
    values.push(value);
  }
  return { keyword, endSec, intervalSec: Number(match[2]), values };
}

/**
 * Parse one extra-info document. Checks its form, not its signatures.
 * @throws Malformed
 */
export function parseExtraInfo(text: DocumentText): ExtraInfo {
  const bytes = documentBytes(text);
  if (bytes.length > EXTRA_INFO_BYTES_MAX) throw new Malformed(NOUN, 'is too long');
  const { items, table } = readDocument(bytes, NOUN, RULES);
  const head = table.get('extra-info');
  if (items[0] !== head || head.hasOpt) throw head.malformed('is not the first item');
  const seal = readRouterSeal(bytes, items, table);
  const histories: BandwidthHistory[] = [];
  const statistics = new Map<string, string>();
  for (const item of items) {
    const history = isHistoryKeyword(item.keyword) ? readHistory(item.keyword, item) : null;
    if (history !== null) histories.push(history);
    else if (!Object.hasOwn(RULES, item.keyword) && !statistics.has(item.keyword)) {
      statistics.set(item.keyword, item.rest);
    }
  }
  return {
    nickname: nicknameField(head, 0),
    rsaId: hexField(head, 1, 20),
    ed25519Id: seal.ed25519Id,
    publishedSec: timeField(table.get('published')),
    histories,
    statistics,
    seal,
    digestSha1: seal.digestSha1,
    digestSha256: sha256(bytes),
    document: bytes,
  };
}

/**
 * Check the certificate and both signatures of an extra-info document.
 *
 * @param rsaDer - the relay's RSA identity from its descriptor, PKCS#1 DER
 * @param nowSec - wall time
 * @throws Malformed
 */
export function verifyExtraInfo(extraInfo: ExtraInfo, rsaDer: Uint8Array, nowSec: number): void {
  if (!equal(sha1(rsaDer), extraInfo.rsaId)) throw new Malformed(NOUN, 'is of another relay');
  checkRouterSeal(NOUN, extraInfo.seal, rsaDer, nowSec);
}
