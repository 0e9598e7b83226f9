/**
 * Microdescriptors: what of a server descriptor is needed to lay a circuit through its relay.
 *
 * The authorities make them, and a consensus names each by the SHA-256 of all its bytes; they carry no signature. A
 * cache keeps and serves those that the consensus names; a path takes its keys, its family and its ports from them.
 * Parsing takes what C tor takes: unknown lines are ignored, and ports that cannot be read are no ports.
 *
 * @source dir-spec "Microdescriptor format", "Computing microdescriptors"
 */
import type { Endpoint } from '../bytes/address.ts';
import { sha256 } from '../crypto/digest.ts';
import { Malformed } from '../fault.ts';
import { annotatedRanges } from './annotated.ts';
import { base64Field, parseIpv6Endpoint, parseTime } from './field.ts';
import { type DocumentText, documentBytes, type Item, type ItemRules, readDocument } from './item.ts';
import { type PortSummary, parseSummary } from './port-summary.ts';
import { routerKeyField } from './signature.ts';

const NOUN = 'microdescriptor';
/** Longer than any that authorities make. */
const DOCUMENT_BYTES_MAX = 1 << 17;
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;

/** A microdescriptor as it was read. */
export interface Microdescriptor {
  /** SHA-256 of the document: what the consensus names it by. */
  readonly digest: Uint8Array;
  /** Curve25519 onion key, 32 bytes. */
  readonly ntorOnionKey: Uint8Array;
  /** 32 bytes; null when the relay has none. */
  readonly ed25519Id: Uint8Array | null;
  /** IPv6 OR port; consensuses of today have it instead. */
  readonly ipv6: Endpoint | null;
  /** Members as the relay lists them: `$FINGERPRINT`, with a nickname behind it or alone. */
  readonly family: readonly string[];
  /** Family ids, e.g. `ed25519:...`; alike ids make a family. */
  readonly familyIds: readonly string[];
  /** Ports that it exits to, by IPv4 and IPv6; null: none. */
  readonly policy: PortSummary | null;
  readonly ipv6Policy: PortSummary | null;
  /** The document itself; a view of the input. */
  readonly document: Uint8Array;
}

const RULES: ItemRules = {
  'onion-key': { min: 1, object: null },
  'ntor-onion-key': { min: 1, args: 1 },
  id: { max: ANY_NUMBER, args: 2 },
  a: { max: ANY_NUMBER, args: 1 },
  family: {},
  'family-ids': {},
  p: {},
  p6: {},
};

/**
 * Parse one microdescriptor.
 * @throws Malformed
 */
export function parseMicrodescriptor(text: DocumentText): Microdescriptor {
  const document = documentBytes(text);
  if (document.length > DOCUMENT_BYTES_MAX) throw new Malformed(NOUN, 'is too long');
  const { items, table } = readDocument(document, NOUN, RULES);
  const first = table.get('onion-key');
  if (items[0] !== first || first.hasOpt) throw first.malformed('is not the first item');
  if (first.object !== null) routerKeyField(first);
  return {
    digest: sha256(document),
    ntorOnionKey: base64Field(table.get('ntor-onion-key'), 0, 32),
    ed25519Id: readEd25519Id(table.all('id')),
    ipv6: firstIpv6(table.all('a')),
    family: table.find('family')?.args ?? [],
    familyIds: table.find('family-ids')?.args ?? [],
    policy: readPolicy(table.find('p')),
    ipv6Policy: readPolicy(table.find('p6')),
    document,
  };
}

function readEd25519Id(items: readonly Item[]): Uint8Array | null {
  const found = items.filter((item) => item.arg(0) === 'ed25519');
  if (found.length > 1) throw found[1]!.malformed('names a second Ed25519 identity');
  return found.length === 0 ? null : base64Field(found[0]!, 1, 32);
}

function firstIpv6(items: readonly Item[]): Endpoint | null {
  for (const item of items) {
    const endpoint = parseIpv6Endpoint(item.arg(0));
    if (endpoint !== null) return endpoint;
  }
  return null;
}

/** A summary that cannot be read accepts nothing, and costs nothing else. */
function readPolicy(item: Item | null): PortSummary | null {
  if (item === null) return null;
  try {
    return parseSummary(item.rest.trimEnd());
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return null;
  }
}

/** A microdescriptor and when a consensus listed it last, as far as that is noted. */
export interface AnnotatedMicrodescriptor {
  readonly microdescriptor: Microdescriptor;
  /** Wall clock, seconds; 0 when it is not said. */
  readonly lastListedSec: number;
}

/** Several microdescriptors, and what was wrong with others. */
export interface MicrodescriptorList {
  readonly list: readonly AnnotatedMicrodescriptor[];
  /** SHA-256 digests of what does not parse. */
  readonly bad: readonly Uint8Array[];
  readonly problems: readonly Malformed[];
}

/** Parse a microdescriptor that has these annotations. @throws Malformed */
export function parseAnnotatedMicrodescriptor(
  document: Uint8Array,
  annotations: ReadonlyMap<string, string>,
): AnnotatedMicrodescriptor {
  const lastListedSec = parseTime(annotations.get('last-listed') ?? '') ?? 0;
  return { microdescriptor: parseMicrodescriptor(document), lastListedSec };
}

/** Parse several microdescriptors, with annotations or without. One that does not parse costs only itself. */
export function parseMicrodescriptors(bytes: Uint8Array): MicrodescriptorList {
  const list: AnnotatedMicrodescriptor[] = [];
  const bad: Uint8Array[] = [];
  const problems: Malformed[] = [];
  for (const { start, end, annotations } of annotatedRanges(bytes, 'onion-key')) {
    const document = bytes.subarray(start, end);
    try {
      list.push(parseAnnotatedMicrodescriptor(document, annotations));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      bad.push(sha256(document));
      problems.push(error);
    }
  }
  return { list, bad, problems };
}
