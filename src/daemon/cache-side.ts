/**
 * The daemon's side of being a directory cache: what the document store holds is compressed and diffed by the clerk,
 * put on the shelf, and lettered to the workers, which answer from it.
 *
 * Our own documents stand on the shelf from the moment that they are made. The memory of all generations that workers
 * still read from is told to the ledger; nothing of it waits for anybody, so it counts as held and not as filled.
 */
import { readFileSync } from 'node:fs';
import { fileErrorCode } from '../atomic-file.ts';
import { DiffStore } from '../directory/diff-store.ts';
import type { DocumentKind, DocumentStore } from '../directory/document-store.ts';
import type { Network } from '../directory/network.ts';
import type { BuiltDescriptor } from '../directory/publisher.ts';
import {
  type Shelvable,
  type ShelvedKind,
  Shelver,
  type SqueezedDocuments,
  type StoredDescriptor,
} from '../directory/shelver.ts';
import { systemTiming } from '../directory/timing.ts';
import { log } from '../log.ts';
import { parseServerDescriptor } from '../netdoc/server-descriptor.ts';
import type { LaidOut } from '../shm/clerk-letter.ts';
import type { DirectoryOptions } from '../shm/letter.ts';
import { Memory, type MemoryLedger } from '../shm/memory-ledger.ts';
import type { ShelfBlock } from '../shm/shelf.ts';
import { wallSec } from '../time/clock.ts';
import { placeOf, type RelayOptions } from '../torrc/relay-options.ts';
import { ClerkKeeper } from './clerk-keeper.ts';

const PAGE_BYTES_MAX = 1 << 20;
const HOUR_SEC = 3600;
const SHELVED_KINDS: readonly ShelvedKind[] = [
  'consensuses',
  'certificates',
  'microdescriptors',
  'server-descriptors',
  'extra-infos',
];

/** Who takes generations, and tells which are read. */
export interface ShelfReaders {
  setShelf(block: ShelfBlock): Promise<void>;
  /** The oldest generation that any worker still reads from. */
  readonly oldestShelf: number;
  readonly memory: MemoryLedger;
}

export interface CacheHost {
  readonly options: () => RelayOptions;
  readonly documents: DocumentStore;
  readonly network: Network;
  readonly ownId: Uint8Array;
}

interface OwnDocuments {
  readonly descriptor: StoredDescriptor;
  readonly extraInfo: StoredDescriptor;
}

/** Everything of a directory cache that is not in the workers. One per process. */
export class CacheSide {
  private readonly host: CacheHost;
  private readonly clerk: ClerkKeeper;
  private readonly diffs: DiffStore;
  private readonly shelver: Shelver;
  private readers: ShelfReaders | null = null;
  private isCache = false;
  private own: OwnDocuments | null = null;
  private page: { readonly path: string; readonly bytes: Uint8Array | null } | null = null;
  /** Generations that a worker may read from, oldest first. */
  private living: ShelfBlock[] = [];

  constructor(host: CacheHost, clerk = new ClerkKeeper()) {
    this.host = host;
    this.clerk = clerk;
    const { documents, network } = host;
    this.diffs = new DiffStore({
      directory: host.options().cacheDirectory,
      ask: (job) => clerk.ask(job),
      nowSec: wallSec,
      maxAgeSec: () =>
        host.options().dirPort.maxConsensusAgeForDiffsSec ??
        network.param('max-consensus-age-to-cache-for-diff') * HOUR_SEC,
      onChange: () => this.shelver.note('consensuses'),
    });
    this.shelver = new Shelver({
      documents: this.shelvable(),
      ownId: host.ownId,
      timing: systemTiming(),
      isFilled: () => this.isFilled(),
      publish: (block) => this.publish(block),
      squeeze: (texts) => squeeze(texts, clerk),
    });
    documents.onChange((kind) => {
      if (this.isCache) this.note(kind);
    });
    // Also when nothing was there, which those who ask must know.
    documents.onLoaded(() => {
      if (this.isCache) this.shelver.note('certificates');
    });
  }

  /** Whether the shelf has what we start with. */
  private isFilled(): boolean {
    const { documents } = this.host;
    const isServed = (flavour: 'ns' | 'microdesc'): boolean =>
      documents.consensus(flavour) === null || this.diffs.served(flavour) !== null;
    return documents.isLoaded && isServed('ns') && isServed('microdesc');
  }

  /** The workers are there: put on the shelf what we have, if we are a cache. */
  start(readers: ShelfReaders): void {
    this.readers = readers;
    this.update();
  }

  /** Options may have changed. */
  update(): void {
    const { isCache } = this.host.options().cache;
    this.page = null;
    if (isCache === this.isCache || this.readers === null) return;
    this.isCache = isCache;
    if (!isCache) return;
    for (const kind of SHELVED_KINDS) this.shelver.note(kind);
    // Clients ask for microdescriptors.
    this.offer('microdesc');
    this.offer('ns');
  }

  private note(kind: DocumentKind): void {
    if (kind === 'ns' || kind === 'microdesc') this.offer(kind);
    else this.shelver.note(kind);
  }

  private offer(flavour: 'ns' | 'microdesc'): void {
    const held = this.host.documents.consensus(flavour);
    if (held !== null) void this.diffs.offer(held.consensus, held.document);
  }

  private publish(block: ShelfBlock): void {
    this.living.push(block);
    void this.readers?.setShelf(block).then(() => this.countMemory());
    this.countMemory();
  }

  /** Tell the ledger what living generations hold; what they share counts once. Also from time to time. */
  countMemory(): void {
    const { readers } = this;
    if (readers === null) return;
    const newest = this.living.at(-1);
    this.living = this.living.filter((block) => block === newest || block.generation >= readers.oldestShelf);
    const blocks = new Set<SharedArrayBuffer>();
    for (const { segments, tables } of this.living) {
      for (const segment of segments) if (segment !== null) blocks.add(segment);
      for (const table of Object.values(tables)) blocks.add(table);
    }
    let bytes = 0;
    for (const { byteLength } of blocks) bytes += byteLength;
    readers.memory.set(Memory.shelf, bytes);
    readers.memory.setSpare(bytes);
  }

  /** Our own documents were made anew. */
  noteOwn({ descriptor, extraInfo }: BuiltDescriptor): void {
    const document = Buffer.from(descriptor, 'latin1');
    const parsed = parseServerDescriptor(document);
    const { rsaId, publishedSec, extraInfoDigest } = parsed;
    if (extraInfoDigest === null) return;
    this.own = {
      descriptor: { rsaId, publishedSec, digest: parsed.digestSha1, document },
      extraInfo: {
        rsaId,
        publishedSec,
        digest: extraInfoDigest.sha1,
        document: Buffer.from(extraInfo, 'latin1'),
      },
    };
    if (!this.isCache) return;
    this.shelver.note('server-descriptors');
    this.shelver.note('extra-infos');
  }

  /** What workers act on. */
  directoryOptions(): DirectoryOptions {
    const { cache, bridgeRelay, dirPort } = this.host.options();
    const { policy } = dirPort;
    return { isCache: cache.isCache, isBridge: bridgeRelay, frontPage: this.frontPage(), policy };
  }

  /** The page at the root of the DirPort, read once for each set of options. */
  private frontPage(): Uint8Array | null {
    const options = this.host.options();
    const { frontPage: path } = options.dirPort;
    if (path === null) return null;
    if (this.page?.path === path) return this.page.bytes;
    let bytes: Uint8Array | null = null;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      const why = fileErrorCode(error) || String(error);
      log.warn(
        'config',
        `${placeOf(options, 'DirPortFrontPage')}: cannot read ${path} (${why}): no front page`,
      );
    }
    if (bytes !== null && bytes.length > PAGE_BYTES_MAX) {
      log.warn(
        'config',
        `${placeOf(options, 'DirPortFrontPage')}: ${path} is longer than 1 MiB: no front page`,
      );
      bytes = null;
    }
    this.page = { path, bytes };
    return bytes;
  }

  private shelvable(): Shelvable {
    const { documents } = this.host;
    const { serverDescriptors, extraInfos, microdescriptors } = documents;
    const own = (): OwnDocuments | null => this.own;
    return {
      consensus: (flavour) => this.diffs.served(flavour),
      certificates: () => documents.certificates(),
      *microdescriptors() {
        for (const { digest, document } of microdescriptors.all())
          yield { digest, document, publishedSec: 0 };
      },
      *serverDescriptors() {
        yield* serverDescriptors.all();
        const mine = own();
        if (mine !== null) yield mine.descriptor;
      },
      // Ours comes last, as the one that counts.
      *currentDescriptors() {
        yield* serverDescriptors.current();
        const mine = own();
        if (mine !== null) yield mine.descriptor;
      },
      *extraInfos() {
        yield* extraInfos.all();
        const mine = own();
        if (mine !== null) yield mine.extraInfo;
      },
      *currentExtraInfos() {
        for (const { rsaId } of serverDescriptors.current()) {
          const extraInfo = extraInfos.ofRelay(rsaId);
          if (extraInfo !== null) yield extraInfo;
        }
        const mine = own();
        if (mine !== null) yield mine.extraInfo;
      },
    };
  }

  stop(): void {
    this.diffs.stop();
    this.shelver.stop();
    this.clerk.stop();
  }
}

/** Have the clerk compress documents, each by itself. Null when it cannot. */
async function squeeze(texts: readonly Uint8Array[], clerk: ClerkKeeper): Promise<SqueezedDocuments | null> {
  const lengths = Uint32Array.from(texts, ({ length }) => length);
  const text = new SharedArrayBuffer(lengths.reduce((sum, length) => sum + length, 0));
  const view = new Uint8Array(text);
  let at = 0;
  for (const each of texts) {
    view.set(each, at);
    at += each.length;
  }
  const answer = await clerk.ask({ kind: 'squeeze', text, lengths }).catch(() => null);
  if (answer?.kind !== 'squeezed') return null;
  return { zstd: apart(answer.zstd), deflate: apart(answer.deflate) };
}

/** Documents that lie one behind the other. */
function apart({ bytes, lengths }: LaidOut): Uint8Array[] {
  let from = 0;
  return Array.from(lengths, (length) => {
    const piece = new Uint8Array(bytes, from, length);
    from += length;
    return piece;
  });
}
