/**
 * Puts the shelf together that workers answer directory requests from, and publishes a new generation when something
 * has changed.
 *
 * Documents are taken over from the document store once, when they are new; tables are built anew only if what they
 * list has changed. Changes are waited for a little and gathered: while a start fetches thousands of descriptors, there
 * is a generation every few seconds, not one for each answer.
 */

import { encodeHex } from '../bytes/base.ts';
import type { AuthorityCertificate } from '../netdoc/authority-certificate.ts';
import {
  buildShelfTable,
  type Extent,
  emptyShelf,
  SHELF_ENCODINGS,
  SHELF_TABLES,
  type ShelfBlock,
  type ShelfEncoding,
  type ShelfRow,
  type ShelfTableName,
  type ShelvedConsensus,
  type ShelvedFlavour,
} from '../shm/shelf.ts';
import type { ServedConsensus } from './diff-store.ts';
import { DigestMap } from './digest-map.ts';
import { SegmentHeap, type Shelved } from './segment-heap.ts';
import type { CancelTimer, Timing } from './timing.ts';

/** A descriptor or microdescriptor as the store has it. */
export interface StoredDocument {
  readonly digest: Uint8Array;
  readonly document: Uint8Array;
  /** Seconds since 1970; 0 for what has no date. */
  readonly publishedSec: number;
}

/** A descriptor and whose it is. */
export interface StoredDescriptor extends StoredDocument {
  readonly rsaId: Uint8Array;
}

/** What there is to be shelved. */
export interface Shelvable {
  consensus(flavour: ShelvedFlavour): ServedConsensus | null;
  certificates(): readonly AuthorityCertificate[];
  microdescriptors(): Iterable<StoredDocument>;
  /** All, and those that are their relay's current one. */
  serverDescriptors(): Iterable<StoredDescriptor>;
  currentDescriptors(): Iterable<StoredDescriptor>;
  extraInfos(): Iterable<StoredDescriptor>;
  currentExtraInfos(): Iterable<StoredDescriptor>;
}

export interface ShelverConfig {
  readonly documents: Shelvable;
  readonly ownId: Uint8Array;
  readonly timing: Timing;
  /** Whether all that lay on disk is among the documents, and what is to be compressed first is. */
  readonly isFilled: () => boolean;
  /** Takes each new generation. */
  readonly publish: (block: ShelfBlock) => void;
  /** Compresses short documents, each by itself; null when that cannot be. */
  readonly squeeze: (documents: readonly Uint8Array[]) => Promise<SqueezedDocuments | null>;
}

/** Short documents, each compressed by itself in each of the ways that clients read. */
export type SqueezedDocuments = Readonly<Record<SqueezedForm, readonly Uint8Array[]>>;
export type SqueezedForm = 'zstd' | 'deflate';

/** What can change. */
export type ShelvedKind =
  | 'consensuses'
  | 'squeezed'
  | 'certificates'
  | 'microdescriptors'
  | 'server-descriptors'
  | 'extra-infos';

type DocumentRoom = Exclude<ShelvedKind, 'consensuses' | 'squeezed'> | SqueezedForm;

/** Of microdescriptors, by the same digests. */
const SQUEEZED_TABLES: Readonly<Record<SqueezedForm, ShelfTableName>> = {
  zstd: 'microdescriptorZstd',
  deflate: 'microdescriptorDeflate',
};
const SQUEEZED_FORMS = Object.keys(SQUEEZED_TABLES) as SqueezedForm[];

/** After a change, others are waited for so long; and generations are this far apart. */
const GATHER_MS = 200;
const APART_MS = 2000;

interface Kept {
  readonly digest: Uint8Array;
  readonly shelved: Shelved;
  readonly stampSec: number;
}

/** Builds generations. */
export class Shelver {
  private readonly config: ShelverConfig;
  private readonly heap = new SegmentHeap();
  private readonly changed = new Set<ShelvedKind>();
  private readonly kept: Readonly<Record<DocumentRoom, DigestMap<Kept>>> = {
    certificates: new DigestMap(),
    microdescriptors: new DigestMap(),
    zstd: new DigestMap(),
    deflate: new DigestMap(),
    'server-descriptors': new DigestMap(),
    'extra-infos': new DigestMap(),
  };
  /** Texts that came as shared memory, and their places. */
  private readonly adopted = new Map<SharedArrayBuffer, Shelved>();
  private readonly tables: Record<ShelfTableName, SharedArrayBuffer>;
  private consensuses: ShelvedConsensus[] = [];
  private generation = 0;
  private timer: CancelTimer | null = null;
  private publishedMs = Number.NEGATIVE_INFINITY;
  private filled = false;

  constructor(config: ShelverConfig) {
    this.config = config;
    this.tables = { ...emptyShelf(config.ownId).tables };
  }

  /** Something changed: a generation follows soon. */
  note(kind: ShelvedKind): void {
    this.changed.add(kind);
    if (this.timer !== null) return;
    const { timing } = this.config;
    const waitMs = Math.max(GATHER_MS, this.publishedMs + APART_MS - timing.nowMs());
    this.timer = timing.after(waitMs, () => {
      this.timer = null;
      this.publish();
    });
  }

  stop(): void {
    this.timer?.();
    this.timer = null;
  }

  /** Build and publish the next generation now. */
  publish(): void {
    const { documents, ownId, timing } = this.config;
    const changed = new Set(this.changed);
    this.changed.clear();
    if (changed.has('microdescriptors')) {
      void this.squeeze(this.take('microdescriptors', documents.microdescriptors()));
    }
    if (changed.has('server-descriptors')) this.take('server-descriptors', documents.serverDescriptors());
    if (changed.has('extra-infos')) this.take('extra-infos', documents.extraInfos());
    if (changed.has('certificates')) this.take('certificates', certificatesOf(documents.certificates()));
    if (changed.has('consensuses')) this.adoptTexts();
    const moved = this.heap.compact();
    if (moved || changed.has('microdescriptors')) {
      this.build('microdescriptor', this.rowsOf('microdescriptors', documents.microdescriptors(), digestKey));
    }
    if (moved || changed.has('microdescriptors') || changed.has('squeezed')) {
      for (const form of SQUEEZED_FORMS) {
        this.build(SQUEEZED_TABLES[form], this.rowsOf(form, this.kept[form].values(), digestKey));
      }
    }
    if (moved || changed.has('server-descriptors')) this.buildDescriptors('server-descriptors');
    // The current extra-infos are those of the current descriptors.
    if (moved || changed.has('server-descriptors') || changed.has('extra-infos')) {
      this.buildDescriptors('extra-infos');
    }
    if (moved || changed.has('certificates')) {
      const certificates = certificatesOf(documents.certificates());
      this.build('certificate', this.rowsOf('certificates', certificates, digestKey));
    }
    if (changed.has('consensuses')) this.buildConsensuses();
    this.publishedMs = timing.nowMs();
    this.filled ||= this.config.isFilled();
    this.config.publish({
      generation: ++this.generation,
      segments: this.heap.blocks(),
      tables: { ...this.tables },
      consensuses: this.consensuses,
      isFilled: this.filled,
      ownId,
    });
  }

  /** Compress new microdescriptors, and shelve them also so. */
  private async squeeze(fresh: readonly StoredDocument[]): Promise<void> {
    if (fresh.length === 0) return;
    const squeezed = await this.config.squeeze(fresh.map(({ document }) => document));
    if (squeezed === null) return;
    const { microdescriptors } = this.kept;
    for (const form of SQUEEZED_FORMS) {
      const kept = this.kept[form];
      const shelved = this.heap.add(squeezed[form]);
      for (const [i, { digest, publishedSec }] of fresh.entries()) {
        const isWanted = microdescriptors.has(digest) && !kept.has(digest);
        if (isWanted) kept.set(digest, { digest, shelved: shelved[i]!, stampSec: publishedSec });
        else this.heap.remove(shelved[i]!);
      }
    }
    this.note('squeezed');
  }

  /** Take over what is new, and let go of what is gone. Returns what is new. */
  private take(kind: DocumentRoom, documents: Iterable<StoredDocument>): StoredDocument[] {
    const before = this.kept[kind];
    const seen = new DigestMap<true>();
    const fresh: StoredDocument[] = [];
    for (const stored of documents) {
      if (seen.has(stored.digest)) continue;
      seen.set(stored.digest, true);
      if (!before.has(stored.digest)) fresh.push(stored);
    }
    for (const { digest, shelved } of [...before.values()]) {
      if (seen.has(digest)) continue;
      this.heap.remove(shelved);
      before.delete(digest);
      if (kind === 'microdescriptors') this.dropSqueezed(digest);
    }
    const shelved = this.heap.add(fresh.map(({ document }) => document));
    for (const [i, { digest, publishedSec }] of fresh.entries()) {
      before.set(digest, { digest, shelved: shelved[i]!, stampSec: publishedSec });
    }
    return fresh;
  }

  private dropSqueezed(digest: Uint8Array): void {
    for (const form of SQUEEZED_FORMS) {
      const kept = this.kept[form].get(digest);
      if (kept === undefined) continue;
      this.heap.remove(kept.shelved);
      this.kept[form].delete(digest);
    }
  }

  private rowsOf<T extends { readonly digest: Uint8Array }>(
    kind: DocumentRoom,
    documents: Iterable<T>,
    keyOf: (stored: T) => Uint8Array,
  ): ShelfRow[] {
    const rows = new DigestMap<ShelfRow>();
    for (const stored of documents) {
      const kept = this.kept[kind].get(stored.digest);
      const key = keyOf(stored);
      if (kept !== undefined) rows.set(key, { key, extent: kept.shelved, stampSec: kept.stampSec });
    }
    return [...rows.values()];
  }

  private build(name: ShelfTableName, rows: readonly ShelfRow[]): void {
    this.tables[name] = buildShelfTable(SHELF_TABLES[name], rows);
  }

  private buildDescriptors(kind: 'server-descriptors' | 'extra-infos'): void {
    const { documents } = this.config;
    const identityKey = ({ rsaId }: StoredDescriptor): Uint8Array => rsaId;
    if (kind === 'server-descriptors') {
      this.build('serverByDigest', this.rowsOf(kind, documents.serverDescriptors(), digestKey));
      this.build('serverByIdentity', this.rowsOf(kind, documents.currentDescriptors(), identityKey));
      return;
    }
    this.build('extraByDigest', this.rowsOf(kind, documents.extraInfos(), digestKey));
    this.build('extraByIdentity', this.rowsOf(kind, documents.currentExtraInfos(), identityKey));
  }

  /** What consensuses are served, with the texts that belong to each. */
  private served(): ServedConsensus[] {
    const { documents } = this.config;
    return [documents.consensus('ns'), documents.consensus('microdesc')].filter((each) => each !== null);
  }

  private adoptTexts(): void {
    const wanted = new Set<SharedArrayBuffer>();
    for (const { text, packed, diffs } of this.served()) {
      for (const each of [text, packed.deflate, packed.zstd]) wanted.add(each);
      for (const { gzip, zstd } of diffs.values()) wanted.add(gzip).add(zstd);
    }
    for (const [text, shelved] of this.adopted) {
      if (wanted.has(text)) continue;
      this.heap.remove(shelved);
      this.adopted.delete(text);
    }
    for (const text of wanted) if (!this.adopted.has(text)) this.adopted.set(text, this.heap.adopt(text));
  }

  private buildConsensuses(): void {
    this.consensuses = [];
    this.build('diffNs', []);
    this.build('diffMicrodesc', []);
    for (const { consensus, text, packed, diffs } of this.served()) {
      const at = (bytes: SharedArrayBuffer): Extent => this.adopted.get(bytes)!;
      this.consensuses.push({
        flavour: consensus.flavour,
        validAfterSec: consensus.validAfterSec,
        freshUntilSec: consensus.freshUntilSec,
        validUntilSec: consensus.validUntilSec,
        signedDigest: packed.signedDigest,
        signatories: [...new Set(consensus.signatures.map(({ authorityId }) => encodeHex(authorityId)))],
        texts: { identity: at(text), deflate: at(packed.deflate), gzip: null, zstd: at(packed.zstd) },
      });
      const rows: ShelfRow[] = [];
      for (const { baseDigest, gzip, zstd } of diffs.values()) {
        const row = (encoding: ShelfEncoding, bytes: SharedArrayBuffer): void => {
          const key = Uint8Array.of(...baseDigest, SHELF_ENCODINGS.indexOf(encoding));
          rows.push({ key, extent: at(bytes), stampSec: consensus.validAfterSec });
        };
        row('gzip', gzip);
        row('zstd', zstd);
      }
      this.build(consensus.flavour === 'ns' ? 'diffNs' : 'diffMicrodesc', rows);
    }
  }
}

function digestKey({ digest }: { readonly digest: Uint8Array }): Uint8Array {
  return digest;
}

/** Certificates by identity and signing key, which is the key of their table. */
function certificatesOf(certificates: readonly AuthorityCertificate[]): StoredDocument[] {
  return certificates.map(({ authorityId, signingKeyDigest, document, publishedSec }) => ({
    digest: Uint8Array.of(...authorityId, ...signingKeyDigest),
    document,
    publishedSec,
  }));
}
