/**
 * All directory documents that we hold, in one place: what serves them and what lays paths reads them here.
 *
 * Consensuses and certificates are the network's; descriptors, extra-infos and microdescriptors are kept here and go by
 * the consensuses as these come into force. Listeners are told which kind changed, once for each batch that came; they
 * look for themselves. Everything is read-only: bytes and objects that are handed out never change.
 */
import { log } from '../log.ts';
import type { AuthorityCertificate } from '../netdoc/authority-certificate.ts';
import type { ConsensusFlavour } from '../netdoc/consensus.ts';
import { DescriptorStore } from './descriptor-store.ts';
import { ExtraInfoStore } from './extra-info-store.ts';
import { MicrodescriptorStore } from './microdescriptor-store.ts';
import type { HeldConsensus, Network } from './network.ts';
import type { Timing } from './timing.ts';

/** What can change. */
export type DocumentKind =
  | 'ns'
  | 'microdesc'
  | 'certificates'
  | 'server-descriptors'
  | 'extra-infos'
  | 'microdescriptors';

export type DocumentListener = (kind: DocumentKind) => void;

export interface DocumentStoreConfig {
  readonly network: Network;
  readonly timing: Timing;
  /** CacheDirectory, or DataDirectory; null keeps nothing on disk. */
  readonly directory: string | null;
}

/** What we hold. */
export class DocumentStore {
  readonly microdescriptors: MicrodescriptorStore;
  readonly serverDescriptors: DescriptorStore;
  readonly extraInfos: ExtraInfoStore;
  readonly #config: DocumentStoreConfig;
  readonly #listeners: DocumentListener[] = [];
  readonly #loadedListeners: (() => void)[] = [];
  #isLoaded = false;

  constructor(config: DocumentStoreConfig) {
    this.#config = config;
    const { network, directory } = config;
    const tell = (kind: DocumentKind) => (): void => this.#tell(kind);
    this.microdescriptors = new MicrodescriptorStore(directory, tell('microdescriptors'));
    this.serverDescriptors = new DescriptorStore(directory, tell('server-descriptors'));
    this.extraInfos = new ExtraInfoStore(directory, this.serverDescriptors, tell('extra-infos'));
    network.onConsensus((flavour) => {
      this.#review(flavour);
      this.#tell(flavour);
    });
    network.certificates.onChange(tell('certificates'));
  }

  /** Read the files of descriptors, extra-infos and microdescriptors; the consensuses are read before. */
  load(): void {
    for (const _ of this.#loadPieces());
    this.noteLoaded();
  }

  /** Do the same, and let others have their turn meanwhile: a full cache takes seconds to read. */
  async loadInPieces(): Promise<void> {
    for (const _ of this.#loadPieces()) await new Promise((resolve) => setImmediate(resolve));
    this.noteLoaded();
  }

  /** Nothing more comes from disk: all is read, or nothing will be. */
  noteLoaded(): void {
    this.#isLoaded = true;
    for (const listener of this.#loadedListeners) listener();
  }

  /** Whether all that comes from disk is here. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Be told when that is so. */
  onLoaded(listener: () => void): void {
    this.#loadedListeners.push(listener);
  }

  *#loadPieces(): Generator<undefined> {
    const nowSec = this.#config.timing.nowSec();
    const [micro, server, extra] = [this.microdescriptors, this.serverDescriptors, this.extraInfos];
    yield* micro.loadPieces();
    this.#review('microdesc');
    const ns = this.consensus('ns');
    if (ns !== null) server.review(ns.consensus, nowSec);
    yield* server.loadPieces(nowSec);
    yield* extra.loadPieces(nowSec);
    this.#review('ns');
    log.info(
      'dir',
      `Read ${micro.size} microdescriptors, ${server.size} server descriptors and ${extra.size} extra-infos from disk.`,
    );
  }

  /** Be told of each change. */
  onChange(listener: DocumentListener): void {
    this.#listeners.push(listener);
  }

  /** The newest consensus of a flavour, live or not. */
  consensus(flavour: ConsensusFlavour): HeldConsensus | null {
    return this.#config.network.held(flavour);
  }

  /** All certificates of authorities. */
  certificates(): AuthorityCertificate[] {
    return this.#config.network.certificates.all();
  }

  /** Bytes of descriptors, extra-infos and microdescriptors. */
  get bytes(): number {
    return this.microdescriptors.bytes + this.serverDescriptors.bytes + this.extraInfos.bytes;
  }

  /** Let the documents that a consensus names go by it. */
  #review(flavour: ConsensusFlavour): void {
    const held = this.consensus(flavour);
    if (held === null) return;
    const nowSec = this.#config.timing.nowSec();
    if (flavour === 'microdesc') this.microdescriptors.review(held.consensus, nowSec);
    else {
      this.serverDescriptors.review(held.consensus, nowSec);
      this.extraInfos.review();
    }
  }

  #tell(kind: DocumentKind): void {
    for (const listener of this.#listeners) listener(kind);
  }
}
