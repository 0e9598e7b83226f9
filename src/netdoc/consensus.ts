/**
 * Network status consensuses of both flavours: which relays there are, and the parameters all obey.
 *
 * `directory/` fetches them; nothing in one is to be believed before `verifyConsensus` found signatures of more
 * than half of the authorities. Parsing takes what C tor takes: unknown lines, flags and parameters are
 * ignored or kept, but a malformed router entry costs the whole document. Reading is one pass, linear in the
 * document's length; only what a relay uses is kept, in columns.
 *
 * @source dir-spec "Vote and consensus status documents", "The ns consensus", "microdescriptor consensuses"
 */
import { decodeBase64, encodeHex } from '../bytes/base.ts';
import { sha1, sha3_256, sha256 } from '../crypto/digest.ts';
import { verifyRaw } from '../crypto/rsa.ts';
import { Malformed } from '../fault.ts';
import type { AuthorityCertificate } from './authority-certificate.ts';
import type { ConsensusParams } from './consensus-params.ts';
import { ROUTER_RULES, RouterReader } from './consensus-router.ts';
import { hexField, integerField, ipv4Field, parseInteger, timeField } from './field.ts';
import type { DocumentText, Item, ItemRules } from './item.ts';
import { checkItem, documentBytes, ItemReader, ItemTable } from './item.ts';
import { parseProtocols } from './protover.ts';
import { RouterTable } from './router-table.ts';

const NOUN = 'consensus';

const INT32_MIN = -2147483648;
const INT32_MAX = 2147483647;
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;
const SIGNATURE_BYTES_MIN = 128;
const SIGNATURE_BYTES_MAX = 512;

/** Which kind of descriptor the entries name. */
export type ConsensusFlavour = 'ns' | 'microdesc';

/** An authority that took part in the vote. */
export interface ConsensusVoter {
  readonly nickname: string;
  /** SHA-1 of its v3 identity key, 20 bytes. */
  readonly authorityId: Uint8Array;
  readonly address: Uint8Array;
  readonly dirPort: number;
  readonly orPort: number;
}

/** One authority's signature of the consensus. */
export interface ConsensusSignature {
  readonly algorithm: 'sha1' | 'sha256';
  readonly authorityId: Uint8Array;
  /** SHA-1 of the key that signed, 20 bytes. */
  readonly signingKeyDigest: Uint8Array;
  readonly signature: Uint8Array;
}

/** A value of the shared randomness protocol. */
export interface SharedRandomValue {
  readonly reveals: number;
  /** 32 bytes. */
  readonly value: Uint8Array;
}

/** A consensus as it was read; `verifyConsensus` says whether to believe it. */
export interface Consensus {
  readonly flavour: ConsensusFlavour;
  readonly method: number;
  readonly validAfterSec: number;
  readonly freshUntilSec: number;
  readonly validUntilSec: number;
  readonly voteDelaySec: number;
  readonly distributionDelaySec: number;
  readonly knownFlags: readonly string[];
  /** Versions of C tor that authorities recommend for relays. */
  readonly serverVersions: string | null;
  readonly params: ConsensusParams;
  /** Protocol lists; empty when the consensus has none. */
  readonly recommendedRelayProtocols: string;
  readonly requiredRelayProtocols: string;
  readonly sharedRandomPrevious: SharedRandomValue | null;
  readonly sharedRandomCurrent: SharedRandomValue | null;
  readonly voters: readonly ConsensusVoter[];
  readonly routers: RouterTable;
  /** `Wgg` and the like, to weigh relays when choosing paths. */
  readonly bandwidthWeights: ReadonlyMap<string, number>;
  readonly signatures: readonly ConsensusSignature[];
  readonly signedDigestSha1: Uint8Array;
  readonly signedDigestSha256: Uint8Array;
  /** SHA3-256 over the signed part, by which consensus diffs name it. */
  readonly signedDigestSha3: Uint8Array;
}

const HEADER_RULES: ItemRules = {
  'network-status-version': { min: 1, args: 1 },
  'vote-status': { min: 1, args: 1 },
  'consensus-method': { args: 1 },
  'valid-after': { min: 1 },
  'fresh-until': { min: 1 },
  'valid-until': { min: 1 },
  'voting-delay': { min: 1, args: 2 },
  'client-versions': {},
  'server-versions': {},
  'known-flags': { min: 1 },
  params: {},
  'recommended-client-protocols': {},
  'recommended-relay-protocols': {},
  'required-client-protocols': {},
  'required-relay-protocols': {},
  'shared-rand-previous-value': { args: 2 },
  'shared-rand-current-value': { args: 2 },
  'dir-source': { min: 1, max: ANY_NUMBER, args: 6 },
  contact: { max: ANY_NUMBER },
  'vote-digest': { max: ANY_NUMBER, args: 1 },
};

const FOOTER_RULES: ItemRules = {
  'directory-footer': {},
  'bandwidth-weights': {},
  'directory-signature': { min: 1, max: ANY_NUMBER, args: 2, object: 'SIGNATURE' },
};

/** Reads the sections of a consensus one after the other. */
class ConsensusReader {
  readonly #reader: ItemReader;
  /** The item that was read but belongs to the next section. */
  #ahead: Item | null;

  constructor(bytes: Uint8Array) {
    this.#reader = new ItemReader(bytes, NOUN);
    this.#ahead = this.#reader.next();
  }

  get ahead(): Item | null {
    return this.#ahead;
  }

  /** Read items up to the end, or up to one that starts another section; the first always belongs. */
  section(rules: ItemRules, startsNext: (item: Item) => boolean): { items: Item[]; table: ItemTable } {
    const items: Item[] = [];
    const table = new ItemTable(NOUN);
    for (let item = this.#ahead; item !== null; item = this.#reader.next()) {
      if (items.length > 0 && startsNext(item)) {
        this.#ahead = item;
        table.checkCounts(rules);
        return { items, table };
      }
      items.push(item);
      if (!Object.hasOwn(rules, item.keyword)) continue;
      checkItem(item, rules[item.keyword]!);
      table.add(item);
    }
    this.#ahead = null;
    table.checkCounts(rules);
    return { items, table };
  }
}

function startsRouter(item: Item): boolean {
  return item.keyword === 'r' && !item.hasOpt;
}

function startsFooter(item: Item): boolean {
  return (item.keyword === 'directory-footer' || item.keyword === 'directory-signature') && !item.hasOpt;
}

function startsBody(item: Item): boolean {
  return startsRouter(item) || startsFooter(item);
}

function readFlavour(item: Item): ConsensusFlavour {
  if (item.arg(0) !== '3') throw item.malformed('is not 3');
  const flavour = item.args[1] ?? 'ns';
  if (flavour !== 'ns' && flavour !== 'microdesc') throw item.malformed('names an unknown flavour');
  return flavour;
}

function readProtocols(table: ItemTable, keyword: string): string {
  const text = table.find(keyword)?.rest.trimEnd() ?? '';
  parseProtocols(text);
  return text;
}

/** Read `name=number` pairs; parameters must be sorted, weights need not be. */
function readPairs(item: Item | null, isSorted: boolean): Map<string, number> {
  const pairs = new Map<string, number>();
  if (item === null) return pairs;
  let before = '';
  for (const text of item.args) {
    const equals = text.indexOf('=');
    const value = equals < 0 ? null : parseInteger(text.slice(equals + 1), INT32_MIN, INT32_MAX);
    if (value === null) throw item.malformed('has a bad element');
    const name = text.slice(0, equals);
    if (isSorted && (text <= before || pairs.has(name))) throw item.malformed('is not in order');
    before = text;
    pairs.set(name, value);
  }
  return pairs;
}

function readKnownFlags(item: Item): readonly string[] {
  const flags = item.args;
  for (let i = 1; i < flags.length; i++) {
    if (flags[i - 1]! >= flags[i]!) throw item.malformed('is not in order');
  }
  return flags;
}

/** Read a shared random value; a bad one counts as none, as in C tor, and costs nothing else. */
function readSharedRandom(item: Item | null): SharedRandomValue | null {
  const reveals = parseInteger(item?.args[0] ?? '', 0, INT32_MAX);
  const value = decodeBase64(item?.args[1] ?? '');
  return reveals === null || value?.length !== 32 ? null : { reveals, value };
}

function readVoter(item: Item): ConsensusVoter {
  return {
    nickname: item.arg(0),
    authorityId: hexField(item, 1, 20),
    address: ipv4Field(item, 3),
    dirPort: integerField(item, 4, 0, 65535),
    orPort: integerField(item, 5, 0, 65535),
  };
}

type ConsensusHeader = Omit<
  Consensus,
  | 'routers'
  | 'bandwidthWeights'
  | 'signatures'
  | 'signedDigestSha1'
  | 'signedDigestSha256'
  | 'signedDigestSha3'
>;

function readHeader(table: ItemTable): ConsensusHeader {
  const status = table.get('vote-status');
  if (status.arg(0) !== 'consensus') throw status.malformed('is not a consensus');
  const method = table.find('consensus-method');
  const delay = table.get('voting-delay');
  const validAfterSec = timeField(table.get('valid-after'));
  const freshUntilSec = timeField(table.get('fresh-until'));
  const validUntilSec = timeField(table.get('valid-until'));
  if (freshUntilSec <= validAfterSec) throw table.get('fresh-until').malformed('is not after valid-after');
  if (validUntilSec < freshUntilSec) throw table.get('valid-until').malformed('is before fresh-until');
  readProtocols(table, 'recommended-client-protocols');
  readProtocols(table, 'required-client-protocols');
  return {
    flavour: readFlavour(table.get('network-status-version')),
    method: method === null ? 1 : integerField(method, 0, 1, INT32_MAX),
    validAfterSec,
    freshUntilSec,
    validUntilSec,
    voteDelaySec: integerField(delay, 0, 0, INT32_MAX),
    distributionDelaySec: integerField(delay, 1, 0, INT32_MAX),
    knownFlags: readKnownFlags(table.get('known-flags')),
    serverVersions: table.find('server-versions')?.rest.trimEnd() ?? null,
    params: readPairs(table.find('params'), true),
    recommendedRelayProtocols: readProtocols(table, 'recommended-relay-protocols'),
    requiredRelayProtocols: readProtocols(table, 'required-relay-protocols'),
    sharedRandomPrevious: readSharedRandom(table.find('shared-rand-previous-value')),
    sharedRandomCurrent: readSharedRandom(table.find('shared-rand-current-value')),
    voters: table.all('dir-source').map(readVoter),
  };
}

function readSignatures(items: readonly Item[], voters: readonly ConsensusVoter[]): ConsensusSignature[] {
  const voterIds = new Set(voters.map((voter) => encodeHex(voter.authorityId)));
  const seen = new Set<string>();
  const signatures: ConsensusSignature[] = [];
  for (const item of items) {
    const hasAlgorithm = item.args.length > 2;
    const algorithm = hasAlgorithm ? item.arg(0) : 'sha1';
    if (algorithm !== 'sha1' && algorithm !== 'sha256') continue;
    const signature = item.objectBody('SIGNATURE');
    if (signature.length < SIGNATURE_BYTES_MIN || signature.length > SIGNATURE_BYTES_MAX) {
      throw item.malformed('has a signature of a bad length');
    }
    const authorityId = hexField(item, hasAlgorithm ? 1 : 0, 20);
    const voter = encodeHex(authorityId);
    if (!voterIds.has(voter)) throw item.malformed('is of no declared voter');
    const signingKeyDigest = hexField(item, hasAlgorithm ? 2 : 1, 20);
    // Of two signatures by one voter with one algorithm, the first counts.
    if (seen.has(`${voter} ${algorithm}`)) continue;
    seen.add(`${voter} ${algorithm}`);
    signatures.push({ algorithm, authorityId, signingKeyDigest, signature });
  }
  if (signatures.length === 0) throw new Malformed(NOUN, 'has no signature of a known algorithm');
  return signatures;
}

function checkFooter(items: readonly Item[], table: ItemTable): void {
  const footer = table.find('directory-footer');
  if (footer !== null && footer !== items[0]) throw footer.malformed('is misplaced');
  const first = items.indexOf(table.get('directory-signature'));
  const stray = items.slice(first).find((item) => item.keyword !== 'directory-signature');
  if (stray !== undefined) throw stray.malformed('stands behind a signature');
}

/** Reads a consensus piece by piece, for threads that have other things to do meanwhile. */
export class ConsensusParser {
  readonly #bytes: Uint8Array;
  readonly #reader: ConsensusReader;
  readonly #start: number;
  readonly #head: ConsensusHeader;
  readonly #routers: RouterTable;
  readonly #routerReader: RouterReader;

  /** Read what stands before the routers. @throws Malformed */
  constructor(text: DocumentText) {
    this.#bytes = documentBytes(text);
    this.#reader = new ConsensusReader(this.#bytes);
    const header = this.#reader.section(HEADER_RULES, startsBody);
    const version = header.items[0];
    if (version === undefined || version.keyword !== 'network-status-version' || version.hasOpt) {
      throw new Malformed(NOUN, 'does not begin with network-status-version');
    }
    this.#start = version.start;
    this.#head = readHeader(header.table);
    this.#routers = new RouterTable(this.#head.flavour === 'ns' ? 20 : 32);
    this.#routerReader = new RouterReader(this.#head.flavour);
  }

  /**
   * Read so many routers more, or behind the last one all that is left.
   *
   * @returns the consensus when it is all read; null when there is more
   * @throws Malformed
   */
  step(routers: number): Consensus | null {
    for (let left = routers; left > 0; left--) {
      const at = this.#reader.ahead;
      if (at === null || !startsRouter(at)) return this.#finish();
      const entry = this.#reader.section(ROUTER_RULES, startsBody);
      if (!this.#routers.append(this.#routerReader.read(entry.table))) {
        throw at.malformed('is not sorted by identity');
      }
    }
    return null;
  }

  #finish(): Consensus {
    const footer = this.#reader.section(FOOTER_RULES, () => false);
    checkFooter(footer.items, footer.table);
    const signatures = footer.table.all('directory-signature');
    const signed = this.#bytes.subarray(this.#start, signatures[0]!.signedEnd(this.#bytes, ' '));
    return {
      ...this.#head,
      routers: this.#routers,
      bandwidthWeights: readPairs(footer.table.find('bandwidth-weights'), false),
      signatures: readSignatures(signatures, this.#head.voters),
      signedDigestSha1: sha1(signed),
      signedDigestSha256: sha256(signed),
      signedDigestSha3: sha3_256(signed),
    };
  }
}

/**
 * Parse a consensus of either flavour. Signatures are read, not checked.
 * @throws Malformed
 */
export function parseConsensus(text: DocumentText): Consensus {
  return new ConsensusParser(text).step(Number.POSITIVE_INFINITY)!;
}

/** How far a consensus' signatures carry it. */
export interface ConsensusVerdict {
  /** Known authorities with at least one good signature. */
  readonly good: number;
  /** Their v3 identities in upper-case hex. */
  readonly signers: readonly string[];
  /** How many it takes: more than half of the known authorities. */
  readonly needed: number;
  /** Known authorities whose signatures are all wrong. */
  readonly bad: number;
  /** Signatures that need a certificate that is missing or has expired. */
  readonly missing: readonly { readonly authorityId: Uint8Array; readonly signingKeyDigest: Uint8Array }[];
}

/**
 * Check a consensus' signatures. It is to be believed when `good >= needed`.
 *
 * @param authorityIds - v3 identities (20 bytes each) of all authorities that we know; others' signatures
 *   count for nothing
 * @param certificates - verified certificates
 * @param nowSec - wall time; an expired certificate is as good as none
 */
export function verifyConsensus(
  consensus: Consensus,
  authorityIds: readonly Uint8Array[],
  certificates: readonly AuthorityCertificate[],
  nowSec: number,
): ConsensusVerdict {
  const known = new Set(authorityIds.map(encodeHex));
  const byKey = new Map<string, AuthorityCertificate>();
  for (const certificate of certificates) {
    if (certificate.expiresSec < nowSec) continue;
    byKey.set(
      `${encodeHex(certificate.authorityId)} ${encodeHex(certificate.signingKeyDigest)}`,
      certificate,
    );
  }
  const good = new Set<string>();
  const bad = new Set<string>();
  const missing: { authorityId: Uint8Array; signingKeyDigest: Uint8Array }[] = [];
  for (const { algorithm, authorityId, signingKeyDigest, signature } of consensus.signatures) {
    const id = encodeHex(authorityId);
    if (!known.has(id)) continue;
    const certificate = byKey.get(`${id} ${encodeHex(signingKeyDigest)}`);
    if (certificate === undefined) {
      missing.push({ authorityId, signingKeyDigest });
      continue;
    }
    const digest = algorithm === 'sha1' ? consensus.signedDigestSha1 : consensus.signedDigestSha256;
    if (verifyRaw(certificate.signingKeyDer, digest, signature)) good.add(id);
    else bad.add(id);
  }
  return {
    good: good.size,
    signers: [...good],
    needed: Math.floor(known.size / 2) + 1,
    bad: [...bad].filter((id) => !good.has(id)).length,
    missing,
  };
}
