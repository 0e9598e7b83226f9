/**
 * The server descriptors that a directory cache holds, and the extra-infos that they name.
 *
 * A descriptor is known by its SHA-1. Of each relay one is current: the one that the consensus lists, or before there
 * is a consensus the newest; the others are old ones, which are kept as somebody may still go by an older consensus. An
 * extra-info is kept as long as a descriptor that names it. What comes over the wire is verified; what lies on disk is
 * believed without that only if a verified consensus lists it.
 *
 * @source dir-spec "Downloading server descriptors"; C tor's routerlist.c for which are kept, and for the files
 */
import { log } from '../log.ts';
import { printDownloaded } from '../netdoc/annotated.ts';
import type { Consensus } from '../netdoc/consensus.ts';
import {
  parseServerDescriptor,
  type ServerDescriptor,
  verifyServerDescriptor,
} from '../netdoc/server-descriptor.ts';
import { signedPartSha1 } from '../netdoc/signature.ts';
import { summariseProblems } from './certificate-store.ts';
import { DigestMap } from './digest-map.ts';
import { type Intake, readStored, type TakenDocuments, takeAnswer } from './document-intake.ts';
import { isDescriptorFileGrown, JournaledFile } from './journaled-file.ts';

/** A current descriptor that no consensus lists becomes an old one after this, and an old one goes after that. */
const CURRENT_SEC = 48 * 3600;
const OLD_SEC = 5 * 24 * 3600;
/** Old ones of one relay that are kept when there are many. */
const OLD_PER_RELAY = 2;

/** Documents that are read from disk before others have their turn: some ten milliseconds. */
const PIECE = 50;

/** A server descriptor that is held. */
export interface HeldDescriptor {
  /** SHA-1 of the signed part, 20 bytes. */
  readonly digest: Uint8Array;
  readonly rsaId: Uint8Array;
  readonly publishedSec: number;
  /** SHA-1 of the extra-info that it names; null: none. */
  readonly extraInfoDigest: Uint8Array | null;
  /** SHA-256 of the same, if it says so. */
  readonly extraInfoSha256: Uint8Array | null;
  readonly document: Uint8Array;
}

interface Held extends HeldDescriptor {
  readonly annotations: Uint8Array;
  /** valid-until of the last consensus that listed it; wall clock, seconds. */
  listedUntilSec: number;
}

/** Server descriptors by digest and by relay. */
export class DescriptorStore {
  readonly #byDigest = new DigestMap<Held>();
  readonly #current = new DigestMap<Held>();
  /** By the extra-info that they name. */
  readonly #byExtraInfo = new DigestMap<Held>();
  readonly #file: JournaledFile;
  readonly #onChange: () => void;
  #consensus: Consensus | null = null;
  #bytes = 0;

  /**
   * @param directory - where `cached-descriptors` lies; null keeps nothing on disk
   * @param onChange - called when some came or went, or others became current
   */
  constructor(directory: string | null, onChange: () => void = () => undefined) {
    this.#file = new JournaledFile(directory, 'cached-descriptors', isDescriptorFileGrown);
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#byDigest.size;
  }

  /** Bytes of all documents. */
  get bytes(): number {
    return this.#bytes;
  }

  has(digest: Uint8Array): boolean {
    return this.#byDigest.has(digest);
  }

  get(digest: Uint8Array): HeldDescriptor | null {
    return this.#byDigest.get(digest) ?? null;
  }

  /** The current descriptor of a relay. */
  ofRelay(rsaId: Uint8Array): HeldDescriptor | null {
    return this.#current.get(rsaId) ?? null;
  }

  /** The descriptor that names an extra-info. */
  ofExtraInfo(digest: Uint8Array): HeldDescriptor | null {
    return this.#byExtraInfo.get(digest) ?? null;
  }

  /** All, old ones too. */
  all(): IterableIterator<HeldDescriptor> {
    return this.#byDigest.values();
  }

  /** The current ones. */
  current(): IterableIterator<HeldDescriptor> {
    return this.#current.values();
  }

  /** Read the files. A consensus that is in force is given first. */
  load(nowSec: number): void {
    for (const _ of this.loadPieces(nowSec));
  }

  /** Read the files, with a pause after every few documents. */
  *loadPieces(nowSec: number): Generator<undefined> {
    const problems = yield* readStored(this.#file, this.#intake(nowSec, null));
    if (problems.length > 0) log.info('dir', `${this.#file.name}: skipped: ${summariseProblems(problems)}`);
    if (this.#file.sizes.journal > 0) this.#tidy(true);
    if (this.#byDigest.size > 0) this.#onChange();
  }

  /**
   * Take what an answer holds, if it was asked for.
   *
   * @param isWanted - tells by digest
   * @param source - address of who sent them, for the annotation
   */
  add(
    bytes: Uint8Array,
    isWanted: (digest: Uint8Array) => boolean,
    source: string,
    nowSec: number,
  ): TakenDocuments {
    const annotations = Buffer.from(printDownloaded(nowSec, source));
    const taken = takeAnswer(bytes, isWanted, this.#file, this.#intake(nowSec, annotations));
    if (taken.added > 0) {
      this.#tidy(false);
      this.#onChange();
    }
    return taken;
  }

  /** Go by a new ns consensus: what it lists is current; what has been unlisted for long goes. */
  review(consensus: Consensus, nowSec: number): void {
    this.#consensus = consensus;
    let changes = 0;
    const { routers, validUntilSec } = consensus;
    for (let row = 0; row < routers.count; row++) {
      const held = this.#byDigest.get(routers.digest(row));
      if (held === undefined) continue;
      held.listedUntilSec = Math.max(held.listedUntilSec, validUntilSec);
      if (this.#current.get(held.rsaId) === held) continue;
      this.#current.set(held.rsaId, held);
      changes++;
    }
    changes += this.#expire(nowSec);
    if (changes === 0) return;
    this.#tidy(false);
    this.#onChange();
  }

  /** Digests that a consensus lists and we lack. */
  missing({ routers }: Consensus): Uint8Array[] {
    const missing: Uint8Array[] = [];
    for (let row = 0; row < routers.count; row++) {
      if (!this.#byDigest.has(routers.digest(row))) missing.push(routers.digest(row));
    }
    return missing;
  }

  #isListed(descriptor: { readonly rsaId: Uint8Array; readonly digest: Uint8Array }): boolean {
    const routers = this.#consensus?.routers;
    const row = routers?.find(descriptor.rsaId) ?? -1;
    return row >= 0 && Buffer.compare(routers!.digest(row), descriptor.digest) === 0;
  }

  /** @param downloaded - annotations of what comes over the wire; null: what comes from disk has its own */
  #intake(nowSec: number, downloaded: Uint8Array | null): Intake<ServerDescriptor> {
    return {
      keyword: 'router',
      piece: PIECE,
      read: (document) => {
        const descriptor = parseServerDescriptor(document);
        const { rsaId, digestSha1 } = descriptor;
        if (downloaded !== null || !this.#isListed({ rsaId, digest: digestSha1 })) {
          verifyServerDescriptor(descriptor, nowSec);
        }
        return descriptor;
      },
      digestOf: ({ digestSha1 }) => digestSha1,
      badDigestOf: signedPartSha1,
      put: (descriptor, annotations) => this.#put(descriptor, downloaded ?? printAnnotations(annotations)),
    };
  }

  /** @returns what the file gets; null when it is held already */
  #put(descriptor: ServerDescriptor, annotations: Uint8Array): readonly Uint8Array[] | null {
    const { digestSha1: digest, rsaId, publishedSec } = descriptor;
    if (this.#byDigest.has(digest)) return null;
    const held: Held = {
      digest,
      rsaId,
      publishedSec,
      extraInfoDigest: descriptor.extraInfoDigest?.sha1 ?? null,
      extraInfoSha256: descriptor.extraInfoDigest?.sha256 ?? null,
      // Of its own, so that the answer it came in can go. (A Buffer's `slice` would be a view.)
      document: new Uint8Array(descriptor.document),
      annotations,
      listedUntilSec: 0,
    };
    this.#byDigest.set(digest, held);
    this.#bytes += held.document.length;
    if (held.extraInfoDigest !== null) this.#byExtraInfo.set(held.extraInfoDigest, held);
    if (this.#isListed(held)) {
      held.listedUntilSec = this.#consensus!.validUntilSec;
      this.#current.set(rsaId, held);
    } else if (this.#consensus === null) {
      const before = this.#current.get(rsaId);
      if (before === undefined || before.publishedSec < publishedSec) this.#current.set(rsaId, held);
    }
    return [annotations, held.document];
  }

  /** @returns how many went */
  #expire(nowSec: number): number {
    let changes = 0;
    let old = 0;
    for (const held of this.#byDigest.values()) {
      const isFresh = held.listedUntilSec >= nowSec || this.#isListed(held);
      const isCurrent = this.#current.get(held.rsaId) === held;
      if (isCurrent && !isFresh && held.publishedSec <= nowSec - CURRENT_SEC) {
        this.#current.delete(held.rsaId);
        changes++;
      }
      if (this.#current.get(held.rsaId) === held) continue;
      if (!isFresh && held.publishedSec <= nowSec - OLD_SEC) {
        this.#remove(held);
        changes++;
      } else old++;
    }
    return old < this.#current.size ? changes : changes + this.#thinOut(nowSec);
  }

  /** When there are as many old ones as current ones, keep only the newest of each relay. */
  #thinOut(nowSec: number): number {
    const byRelay = new DigestMap<Held[]>();
    for (const held of this.#byDigest.values()) {
      if (this.#current.get(held.rsaId) === held) continue;
      const list = byRelay.get(held.rsaId);
      if (list === undefined) byRelay.set(held.rsaId, [held]);
      else list.push(held);
    }
    let changes = 0;
    for (const list of byRelay.values()) {
      list.sort((a, b) => b.publishedSec - a.publishedSec);
      for (const held of list.slice(OLD_PER_RELAY)) {
        if (held.listedUntilSec >= nowSec) continue;
        this.#remove(held);
        changes++;
      }
    }
    return changes;
  }

  #remove(held: Held): void {
    this.#byDigest.delete(held.digest);
    if (held.extraInfoDigest !== null && this.#byExtraInfo.get(held.extraInfoDigest) === held) {
      this.#byExtraInfo.delete(held.extraInfoDigest);
    }
    this.#bytes -= held.document.length;
    this.#file.drop(held.document.length + held.annotations.length);
  }

  #tidy(force: boolean): void {
    this.#file.tidy(() => {
      const sorted = [...this.#byDigest.values()].sort((a, b) => a.publishedSec - b.publishedSec);
      return sorted.flatMap(({ annotations, document }) => [annotations, document]);
    }, force);
  }
}

/** Annotations as they stood in the file. */
function printAnnotations(annotations: ReadonlyMap<string, string>): Uint8Array {
  const lines = [...annotations].map(([name, value]) =>
    value === '' ? `@${name}\n` : `@${name} ${value}\n`,
  );
  return Buffer.from(lines.join(''), 'latin1');
}
