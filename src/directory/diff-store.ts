/**
 * The consensuses that we serve: of each flavour the newest in every encoding, and diffs to it from those before.
 *
 * A new consensus goes to the clerk, which compresses it; then its diffs are asked for, from the youngest base to the
 * oldest, one at a time. It is served from the first diff on, since nearly everybody asks for that one. Old consensuses
 * lie deflated in `diff-cache`; where that cannot be written, they stay in memory. A consensus that arrives meanwhile
 * takes over at once: what was still to be done for the last one is dropped.
 *
 * @source dir-spec "Consensus diffs"; C tor's consdiffmgr.c for what is kept, and for the labels
 */
import { encodeHex } from '../bytes/base.ts';
import { assert } from '../fault.ts';
import { log } from '../log.ts';
import type { Consensus, ConsensusFlavour } from '../netdoc/consensus.ts';
import { parseTime, printTime } from '../netdoc/field.ts';
import type { ClerkAnswer, ClerkJob, StoredText } from '../shm/clerk-letter.ts';
import { type CacheEntry, DiffCache } from './diff-cache.ts';

/** Has the clerk do a job. */
export type AskClerk = (job: ClerkJob) => Promise<ClerkAnswer>;

type Packed = Extract<ClerkAnswer, { kind: 'packed' }>;
type Diffed = Extract<ClerkAnswer, { kind: 'diffed' }>;

/** A consensus as it is served. */
export interface ServedConsensus {
  readonly consensus: Consensus;
  readonly text: SharedArrayBuffer;
  readonly packed: Packed;
  /** By the base's digest in hex, as far as they are made. */
  readonly diffs: ReadonlyMap<string, Diffed>;
}

export interface DiffStoreConfig {
  /** CacheDirectory; null keeps old consensuses in memory only. */
  readonly directory: string | null;
  readonly ask: AskClerk;
  readonly nowSec: () => number;
  /** How old a consensus may be to serve diffs from it. */
  readonly maxAgeSec: () => number;
  readonly onChange: () => void;
}

/** Old consensuses of one flavour: at one an hour, four days; in a test network they come faster. */
const HISTORY_MOST = 96;
const SIGNED_LABEL = 'sha3-digest-as-signed';
const DOCUMENT_LABEL = 'document-type';
const FLAVOUR_LABEL = 'consensus-flavor';
const VALID_AFTER_LABEL = 'consensus-valid-after';
const COMPRESSION_LABEL = 'compression';

/** An old consensus that diffs are made from. */
interface Base {
  readonly validAfterSec: number;
  readonly signedDigest: string;
  readonly stored: StoredText;
  readonly files: readonly CacheEntry[];
}

interface Served extends ServedConsensus {
  readonly diffs: Map<string, Diffed>;
  readonly number: number;
}

interface Flavour {
  served: Served | null;
  /** Valid-after of what was offered last. */
  offeredSec: number;
  /** Youngest first; the one that is served among them. */
  bases: Base[];
}

/** Both flavours. */
export class DiffStore {
  private readonly config: DiffStoreConfig;
  private readonly cache: DiffCache | null;
  private readonly flavours: Readonly<Record<ConsensusFlavour, Flavour>> = {
    ns: { served: null, offeredSec: 0, bases: [] },
    microdesc: { served: null, offeredSec: 0, bases: [] },
  };
  private nextNumber = 1;
  private stopped = false;

  /** Read what lies in `diff-cache`. */
  constructor(config: DiffStoreConfig) {
    this.config = config;
    this.cache = config.directory === null ? null : new DiffCache(config.directory);
    for (const entry of this.cache?.load() ?? []) this.recall(entry);
    for (const flavour of Object.values(this.flavours)) sortBases(flavour);
  }

  /** A file of an earlier run, or of C tor: a base, or else of no use any more. */
  private recall(entry: CacheEntry): void {
    const { labels } = entry;
    const flavour = labels.get(FLAVOUR_LABEL);
    const signedDigest = labels.get(SIGNED_LABEL);
    const validAfterSec = parseTime((labels.get(VALID_AFTER_LABEL) ?? '').replace('T', ' '));
    const isBase =
      labels.get(DOCUMENT_LABEL) === 'consensus' &&
      labels.get(COMPRESSION_LABEL) === 'deflate' &&
      signedDigest !== undefined &&
      validAfterSec !== null &&
      (flavour === 'ns' || flavour === 'microdesc');
    if (!isBase) {
      this.cache?.remove(entry);
      return;
    }
    const stored: StoredText = { kind: 'file', path: entry.path, offset: entry.offset };
    this.flavours[flavour].bases.push({ validAfterSec, signedDigest, stored, files: [entry] });
  }

  /** What is served of a flavour; null before the first was compressed. */
  served(flavour: ConsensusFlavour): ServedConsensus | null {
    return this.flavours[flavour].served;
  }

  /** A consensus came into force. Resolves when all that follows from it is done, or was dropped. */
  async offer(consensus: Consensus, document: Uint8Array): Promise<void> {
    const flavour = this.flavours[consensus.flavour];
    if (consensus.validAfterSec <= flavour.offeredSec) return;
    flavour.offeredSec = consensus.validAfterSec;
    const text = new SharedArrayBuffer(document.length);
    new Uint8Array(text).set(document);
    const isCurrent = (): boolean => !this.stopped && flavour.offeredSec === consensus.validAfterSec;
    try {
      const packed = await this.config.ask({ kind: 'pack', text });
      if (!isCurrent()) return;
      assert(packed.kind === 'packed', 'the clerk answers what it was asked');
      const served = { consensus, text, packed, diffs: new Map<string, Diffed>(), number: this.nextNumber++ };
      this.keep(flavour, consensus, packed);
      await this.makeDiffs(flavour, served, isCurrent);
    } catch (error) {
      if (this.stopped || !(error instanceof Error)) return;
      log.warn('dir', `The ${consensus.flavour} consensus cannot be served: ${error.message}.`);
    }
  }

  private async makeDiffs(flavour: Flavour, served: Served, isCurrent: () => boolean): Promise<void> {
    const own = encodeHex(served.packed.signedDigest);
    let failures = 0;
    const publish = (): void => {
      flavour.served = served;
      this.config.onChange();
    };
    for (const base of [...flavour.bases]) {
      if (base.signedDigest === own || base.validAfterSec > served.consensus.validAfterSec) continue;
      const diffed = await this.diff(base, served);
      if (!isCurrent()) return;
      if (diffed === null) {
        failures++;
        this.forget(flavour, base);
        continue;
      }
      served.diffs.set(encodeHex(diffed.baseDigest), diffed);
      publish();
    }
    // Without any base, or without a good one.
    if (flavour.served !== served) publish();
    const why = failures === 0 ? '' : `; ${failures} could not be read`;
    log.info(
      'dir',
      `Serving the ${served.consensus.flavour} consensus with diffs from ${served.diffs.size}${why}.`,
    );
  }

  private async diff(base: Base, served: Served): Promise<Diffed | null> {
    try {
      const { text: target, number: targetNumber } = served;
      const answer = await this.config.ask({ kind: 'diff', base: base.stored, target, targetNumber });
      assert(answer.kind === 'diffed', 'the clerk answers what it was asked');
      return answer;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      log.info('dir', `No diff from the consensus of ${printTime(base.validAfterSec)}: ${error.message}`);
      return null;
    }
  }

  /** Put a new consensus among the bases; drop what is too old, and the files that only the newest has. */
  private keep(flavour: Flavour, consensus: Consensus, packed: Packed): void {
    const signedDigest = encodeHex(packed.signedDigest);
    const oldestSec = this.config.nowSec() - this.config.maxAgeSec();
    const known = flavour.bases.find((base) => base.signedDigest === signedDigest);
    const kept: Base[] = [];
    for (const base of flavour.bases) {
      if (base !== known && (base.validAfterSec < oldestSec || kept.length >= HISTORY_MOST)) {
        for (const file of base.files) this.cache?.remove(file);
        continue;
      }
      const isDeflated = (file: CacheEntry): boolean => file.labels.get(COMPRESSION_LABEL) === 'deflate';
      if (base !== known) for (const file of base.files) if (!isDeflated(file)) this.cache?.remove(file);
      kept.push({ ...base, files: base.files.filter(isDeflated) });
    }
    flavour.bases = kept.filter((base) => base.signedDigest !== signedDigest);
    const files = this.write(consensus, packed, known?.files[0] ?? null);
    const file = files[0];
    const stored: StoredText =
      file === undefined
        ? { kind: 'memory', deflated: packed.deflate }
        : { kind: 'file', path: file.path, offset: file.offset };
    flavour.bases.push({ validAfterSec: consensus.validAfterSec, signedDigest, stored, files });
    sortBases(flavour);
  }

  /** Write both encodings, or only the second; the deflated one comes first, which stays when the next comes. */
  private write(consensus: Consensus, packed: Packed, known: CacheEntry | null): CacheEntry[] {
    const { cache } = this;
    if (cache === null) return [];
    const signers = new Set(consensus.signatures.map(({ authorityId }) => encodeHex(authorityId)));
    const labels = {
      [DOCUMENT_LABEL]: 'consensus',
      [FLAVOUR_LABEL]: consensus.flavour,
      [SIGNED_LABEL]: encodeHex(packed.signedDigest),
      'sha3-digest-uncompressed': encodeHex(packed.digest),
      'consensus-signatories': [...signers].join(','),
      [VALID_AFTER_LABEL]: printStamp(consensus.validAfterSec),
      'consensus-fresh-until': printStamp(consensus.freshUntilSec),
      'consensus-valid-until': printStamp(consensus.validUntilSec),
    };
    const add = (name: string, body: SharedArrayBuffer): CacheEntry | null =>
      cache.add({ [COMPRESSION_LABEL]: name, ...labels }, new Uint8Array(body));
    const deflated = known ?? add('deflate', packed.deflate);
    if (deflated === null) return [];
    const zstd = add('x-zstd', packed.zstd);
    return zstd === null ? [deflated] : [deflated, zstd];
  }

  private forget(flavour: Flavour, base: Base): void {
    for (const file of base.files) this.cache?.remove(file);
    flavour.bases = flavour.bases.filter((each) => each.signedDigest !== base.signedDigest);
  }

  /** Answer nobody's news any more. */
  stop(): void {
    this.stopped = true;
  }
}

function sortBases(flavour: Flavour): void {
  flavour.bases.sort((a, b) => b.validAfterSec - a.validAfterSec);
}

function printStamp(sec: number): string {
  return printTime(sec).replace(' ', 'T');
}
