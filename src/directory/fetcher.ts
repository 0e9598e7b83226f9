/**
 * What is fetched from the authorities: the errands that there are, and how one leads to another.
 *
 * The microdesc consensus and the authorities' certificates, always; microdescriptors, which our own circuits need; and
 * for a directory cache the ns consensus, server descriptors, and extra-infos if torrc asks for them. A consensus that
 * comes into force tells which descriptors are missing, a descriptor which extra-info.
 *
 * @source dir-spec "Directory cache operation"
 */

import { printIp } from '../bytes/address.ts';
import { log } from '../log.ts';
import type { ConsensusFlavour } from '../netdoc/consensus.ts';
import { type DirectoryAuthority, votingAuthorities } from './authority.ts';
import { AuthorityPicker } from './authority-picker.ts';
import type { DirectoryCache } from './cache.ts';
import { CertificateErrand } from './certificate-errand.ts';
import { ConsensusErrand } from './consensus-errand.ts';
import {
  DescriptorErrand,
  type DescriptorShelf,
  EXTRA_INFOS,
  MICRODESCRIPTORS,
  SERVER_DESCRIPTORS,
} from './descriptor-errand.ts';
import type { DocumentStore } from './document-store.ts';
import { makeWarnLimit } from './errand.ts';
import type { Exchange } from './http-exchange.ts';
import { FLAVOURS, isReasonablyLive, type Network } from './network.ts';
import type { RandomUnit, Timing } from './timing.ts';

const STALL_SEC = 60;

/** What is fetched beside consensuses and certificates; asked again at each look. */
export interface FetchWishes {
  /** We answer others' requests, so what is missing is fetched at once. */
  readonly isCache: boolean;
  /** The ns consensus. */
  readonly ns: boolean;
  /** All server descriptors. */
  readonly descriptors: boolean;
  /** The extra-infos that they name. */
  readonly extraInfo: boolean;
}

export interface FetcherConfig {
  readonly authorities: readonly DirectoryAuthority[];
  readonly network: Network;
  /** Null keeps no consensus and no certificate on disk. */
  readonly cache: DirectoryCache | null;
  /** Null fetches consensuses, both of them, and certificates only. */
  readonly documents?: DocumentStore | null;
  readonly wishes?: () => FetchWishes;
  readonly exchange: Exchange;
  readonly timing: Timing;
  readonly random: RandomUnit;
  /** TestingTorNetwork: authorities vote every few seconds, so waits are short. */
  readonly testing: boolean;
  /** TestingDirConnectionMaxStall; default 60. */
  readonly stallSec?: number;
  /** TestingServerConsensusDownloadInitialDelay; default 0. */
  readonly consensusDelaySec?: number;
  /** TestingServerDownloadInitialDelay; default 0. */
  readonly certificateDelaySec?: number;
}

/** Keeps `Network`, the document store and the cache files up to date. */
export class Fetcher {
  readonly #config: FetcherConfig;
  readonly #picker: AuthorityPicker;
  readonly #consensuses: ReadonlyMap<ConsensusFlavour, ConsensusErrand>;
  readonly #certificates: CertificateErrand;
  readonly #microdescriptors: DescriptorErrand | null;
  readonly #serverDescriptors: DescriptorErrand | null;
  readonly #extraInfos: DescriptorErrand | null;

  constructor(config: FetcherConfig) {
    this.#config = config;
    const { network, exchange, timing, random, testing, stallSec = STALL_SEC, documents = null } = config;
    this.#picker = new AuthorityPicker(votingAuthorities(config.authorities), random);
    const warnLimit = makeWarnLimit(testing, timing);
    const tools = { network, exchange, timing, random, picker: this.#picker, testing, stallSec, warnLimit };
    const events = {
      isWanted: (flavour: ConsensusFlavour) => flavour === 'microdesc' || this.#wishes().ns,
      onArrived: (flavour: ConsensusFlavour) => this.#consensusArrived(flavour),
      onCertificatesNeeded: () => this.#certificates.look(),
    };
    this.#consensuses = new Map(
      FLAVOURS.map((flavour) => [flavour, new ConsensusErrand(flavour, tools, events)]),
    );
    this.#certificates = new CertificateErrand(tools, () => this.#certificatesArrived());
    this.#microdescriptors =
      documents && new DescriptorErrand(MICRODESCRIPTORS, this.#microdescriptorShelf(documents), tools);
    this.#serverDescriptors =
      documents && new DescriptorErrand(SERVER_DESCRIPTORS, this.#serverDescriptorShelf(documents), tools);
    this.#extraInfos = documents && new DescriptorErrand(EXTRA_INFOS, this.#extraInfoShelf(documents), tools);
    documents?.onChange((kind) => {
      if (kind === 'server-descriptors') this.#extraInfos?.look();
    });
  }

  /** Begin: what the cache did not give is fetched at once. */
  start(): void {
    if (this.#picker.all.length === 0) {
      log.warn('dir', 'No directory authority signs consensuses: check the DirAuthority lines (v3ident=).');
      return;
    }
    const { certificateDelaySec = 0, consensusDelaySec = 0 } = this.#config;
    this.#certificates.start(certificateDelaySec);
    for (const errand of this.#consensuses.values()) errand.start(consensusDelaySec);
    for (const errand of this.#descriptorErrands()) errand.start(certificateDelaySec);
  }

  /** Give up what is under way. */
  stop(): void {
    this.#certificates.stop();
    for (const errand of this.#consensuses.values()) errand.stop();
    for (const errand of this.#descriptorErrands()) errand.stop();
  }

  /** When the next consensus of a flavour is asked for: wall clock as it is now, seconds. */
  nextFetchSec(flavour: ConsensusFlavour): number {
    return this.#consensuses.get(flavour)!.nextFetchSec();
  }

  #descriptorErrands(): DescriptorErrand[] {
    const all = [this.#microdescriptors, this.#serverDescriptors, this.#extraInfos];
    return all.filter((errand) => errand !== null);
  }

  #consensusArrived(flavour: ConsensusFlavour): void {
    const { network, cache } = this.#config;
    cache?.saveConsensus(flavour, network.document(flavour)!);
    if (flavour === 'microdesc') this.#microdescriptors?.renew();
    else {
      this.#serverDescriptors?.renew();
      this.#extraInfos?.renew();
    }
  }

  #certificatesArrived(): void {
    const { network, cache } = this.#config;
    cache?.saveCertificates(network.certificates.print());
    for (const flavour of network.reviewWaiting()) this.#consensuses.get(flavour)!.arrived();
  }

  #wishes(): FetchWishes {
    return this.#config.wishes?.() ?? { isCache: false, ns: true, descriptors: false, extraInfo: false };
  }

  /** The consensus of a flavour, if what it lists is still to be had. */
  #listing(flavour: ConsensusFlavour) {
    const consensus = this.#config.network.consensus(flavour);
    return consensus !== null && isReasonablyLive(consensus, this.#config.timing.nowSec()) ? consensus : null;
  }

  #microdescriptorShelf({ microdescriptors }: DocumentStore): DescriptorShelf {
    return {
      missing: () => {
        const listing = this.#listing('microdesc');
        return listing === null ? [] : microdescriptors.missing(listing);
      },
      has: (digest) => microdescriptors.has(digest),
      take: (body, isWanted) => {
        const listedSec = this.#config.network.consensus('microdesc')?.validAfterSec ?? 0;
        return microdescriptors.add(body, isWanted, listedSec);
      },
      mayWait: () => !this.#wishes().isCache,
    };
  }

  #serverDescriptorShelf({ serverDescriptors }: DocumentStore): DescriptorShelf {
    return {
      missing: () => {
        const listing = this.#wishes().descriptors ? this.#listing('ns') : null;
        return listing === null ? [] : serverDescriptors.missing(listing);
      },
      has: (digest) => serverDescriptors.has(digest),
      take: (body, isWanted, { dir }) =>
        serverDescriptors.add(body, isWanted, printIp(dir.host), this.#config.timing.nowSec()),
      mayWait: () => false,
    };
  }

  #extraInfoShelf({ extraInfos }: DocumentStore): DescriptorShelf {
    return {
      missing: () => {
        const { descriptors, extraInfo } = this.#wishes();
        return descriptors && extraInfo ? extraInfos.missing() : [];
      },
      has: (digest) => extraInfos.has(digest),
      take: (body, isWanted) => extraInfos.add(body, isWanted, this.#config.timing.nowSec()),
      mayWait: () => true,
    };
  }
}
