/**
 * The network as we believe it to be now: the newest verified consensus of each flavour, its parameters, what it
 * says of us, and whether our clock agrees with it.
 *
 * Documents come in through `offer`, from the cache or from an authority, and count only once more than half of
 * the known authorities have signed them. One that lacks certificates waits for them here.
 *
 * @source dir-spec "Accepting consensuses", "Vote and consensus status documents"
 */

import { encodeHex } from '../bytes/base.ts';
import { Malformed } from '../fault.ts';
import { log, RateLimit, warnRateLimited } from '../log.ts';
import {
  type Consensus,
  type ConsensusFlavour,
  ConsensusParser,
  verifyConsensus,
} from '../netdoc/consensus.ts';
import { type ConsensusParams, NO_PARAMS, type ParamName, paramValue } from '../netdoc/consensus-params.ts';
import { printTime } from '../netdoc/field.ts';
import { missingProtocols } from '../netdoc/protover.ts';
import { flagNames, RouterFlag, type RouterFlagName, type RouterStatus } from '../netdoc/router-table.ts';
import { type DirectoryAuthority, votingAuthorities } from './authority.ts';
import { CertificateStore } from './certificate-store.ts';
import type { PublishView } from './publisher.ts';
import type { Timing } from './timing.ts';

/** Both flavours; the one that clients use first. */
export const FLAVOURS: readonly ConsensusFlavour[] = ['microdesc', 'ns'];

/** A cached consensus that expired longer ago is not worth its memory. */
const EXPIRED_MAX_SEC = 5 * 24 * 3600;
/** An authority's clock and ours may differ by so much. */
const SKEW_MAX_SEC = 30 * 60;
/** Routers of a consensus that are read before others have their turn: some ten milliseconds. */
const PIECE_ROUTERS = 500;
const REASONABLY_LIVE_SEC = 24 * 3600;
/** A consensus may be this much earlier than its authorities could have made it. */
const EARLY_MAX_SEC = 60;

/** What became of an offered consensus. */
export type OfferVerdict =
  | { readonly kind: 'accepted' }
  /** We have it, or a newer one. */
  | { readonly kind: 'not-newer' }
  | { readonly kind: 'needs-certificates'; readonly missing: readonly MissingCertificate[] }
  | { readonly kind: 'refused'; readonly why: string };

/** A certificate by authority and signing key, 20 bytes each. */
export interface MissingCertificate {
  readonly authorityId: Uint8Array;
  readonly signingKeyDigest: Uint8Array;
}

/** What the consensus says of us. */
export interface OwnStatus {
  readonly flags: readonly RouterFlagName[];
  /** Consensus weight in kilobytes per second. */
  readonly bandwidth: number;
  readonly isMeasured: boolean;
}

export interface NetworkConfig {
  readonly authorities: readonly DirectoryAuthority[];
  /** SHA-1 of our RSA identity, 20 bytes. */
  readonly ownRsaId: Uint8Array;
  /** Our `proto` line. */
  readonly ownProtocols: string;
  readonly timing: Timing;
}

/** A consensus that is believed. */
export interface HeldConsensus {
  readonly consensus: Consensus;
  /** What it was read from; not to be changed. */
  readonly document: Uint8Array;
  /** v3 identities, in upper-case hex, of the authorities whose signatures are good. */
  readonly signers: readonly string[];
}

type Offered = Pick<HeldConsensus, 'consensus' | 'document'>;

export type ConsensusListener = (flavour: ConsensusFlavour, consensus: Consensus) => void;

/** Our view of the network. */
export class Network implements PublishView {
  readonly certificates: CertificateStore;
  readonly #config: NetworkConfig;
  readonly #authorityIds: readonly Uint8Array[];
  readonly #held = new Map<ConsensusFlavour, HeldConsensus>();
  readonly #waiting = new Map<ConsensusFlavour, Offered>();
  readonly #listeners: ConsensusListener[] = [];
  readonly #skewLimit: RateLimit;
  #own: OwnStatus | null = null;
  #missingRequired = '';
  #missingRecommended = '';

  constructor(config: NetworkConfig) {
    this.#config = config;
    this.#authorityIds = votingAuthorities(config.authorities).map((authority) => authority.v3Ident!);
    this.certificates = new CertificateStore(this.#authorityIds);
    this.#skewLimit = new RateLimit(3_600_000, () => config.timing.nowMs());
  }

  /** Be told of each consensus that replaces another. */
  onConsensus(listener: ConsensusListener): void {
    this.#listeners.push(listener);
  }

  /** The newest consensus of a flavour, live or not. */
  consensus(flavour: ConsensusFlavour): Consensus | null {
    return this.#held.get(flavour)?.consensus ?? null;
  }

  /** The newest consensus of a flavour with its document. */
  held(flavour: ConsensusFlavour): HeldConsensus | null {
    return this.#held.get(flavour) ?? null;
  }

  /** The document that `consensus` was read from; not to be changed. */
  document(flavour: ConsensusFlavour): Uint8Array | null {
    return this.#held.get(flavour)?.document ?? null;
  }

  /** The newest consensus of any flavour, live or not. */
  get newest(): Consensus | null {
    let newest: Consensus | null = null;
    for (const flavour of FLAVOURS) {
      const consensus = this.consensus(flavour);
      if (consensus !== null && consensus.validAfterSec > (newest?.validAfterSec ?? 0)) newest = consensus;
    }
    return newest;
  }

  /** Parameters of the newest consensus; defaults apply to what it does not name. */
  get params(): ConsensusParams {
    return this.newest?.params ?? NO_PARAMS;
  }

  /** One parameter, clamped to its range. */
  param(name: ParamName, fallback?: number): number {
    return paramValue(this.params, name, fallback);
  }

  /** What the newest consensus says of us; null when it does not list us. */
  get ownStatus(): OwnStatus | null {
    return this.#own;
  }

  get hasConsensus(): boolean {
    return this.newest !== null;
  }

  get missingRequired(): string {
    return this.#missingRequired;
  }

  ownListing(nowSec: number): { listed: boolean; stale: boolean; validAfterSec: number } | null {
    const consensus = this.newest;
    if (consensus === null || !isLive(consensus, nowSec)) return null;
    const row = consensus.routers.find(this.#config.ownRsaId);
    const stale = row >= 0 && (consensus.routers.flags(row) & RouterFlag.StaleDesc) !== 0;
    return { listed: row >= 0, stale, validAfterSec: consensus.validAfterSec };
  }

  /**
   * Judge a consensus and take it when it is newer than ours and signed well enough.
   *
   * @param document kept by reference
   * @param origin for messages: a file's or an authority's name
   */
  offer(flavour: ConsensusFlavour, document: Uint8Array, origin: string): OfferVerdict {
    const parsed = parseAll(document, Number.POSITIVE_INFINITY);
    for (;;) {
      const { value, done } = parsed.next();
      if (done === true) return this.#offerParsed(flavour, value, document, origin);
    }
  }

  /** Do the same, and let others have their turn while a long document is read. */
  async offerInPieces(
    flavour: ConsensusFlavour,
    document: Uint8Array,
    origin: string,
  ): Promise<OfferVerdict> {
    const parsed = parseAll(document, PIECE_ROUTERS);
    for (;;) {
      const { value, done } = parsed.next();
      if (done === true) return this.#offerParsed(flavour, value, document, origin);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #offerParsed(
    flavour: ConsensusFlavour,
    consensus: Consensus | Malformed,
    document: Uint8Array,
    origin: string,
  ): OfferVerdict {
    if (consensus instanceof Malformed) return { kind: 'refused', why: consensus.message };
    if (consensus.flavour !== flavour) return { kind: 'refused', why: `is of flavour ${consensus.flavour}` };
    if (consensus.validUntilSec < this.#config.timing.nowSec() - EXPIRED_MAX_SEC) {
      return { kind: 'refused', why: `expired at ${printTime(consensus.validUntilSec)}` };
    }
    const held = this.consensus(flavour);
    if (held !== null && consensus.validAfterSec <= held.validAfterSec) return { kind: 'not-newer' };
    return this.#judge({ consensus, document }, origin);
  }

  /** Judge again what waited for certificates. Returns the flavours that were accepted. */
  reviewWaiting(): ConsensusFlavour[] {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    return waiting.flatMap(([flavour, held]) => {
      const current = this.consensus(flavour);
      if (current !== null && held.consensus.validAfterSec <= current.validAfterSec) return [];
      return this.#judge(held, 'waiting').kind === 'accepted' ? [flavour] : [];
    });
  }

  /** Certificates that a waiting consensus needs. */
  neededCertificates(): MissingCertificate[] {
    const needed = new Map<string, MissingCertificate>();
    for (const { consensus } of this.#waiting.values()) {
      for (const missing of this.#verify(consensus).missing) {
        needed.set(`${encodeHex(missing.authorityId)}-${encodeHex(missing.signingKeyDigest)}`, missing);
      }
    }
    return [...needed.values()];
  }

  /** Whether a consensus of the flavour waits for certificates. */
  isWaiting(flavour: ConsensusFlavour): boolean {
    return this.#waiting.has(flavour);
  }

  /** Compare an authority's Date header with our clock at the time we asked; warns of a difference that hurts. */
  noteServerDate(date: string, sentSec: number, from: string): void {
    const theirMs = Date.parse(date);
    if (Number.isNaN(theirMs)) return;
    const skewSec = sentSec - Math.round(theirMs / 1000);
    if (Math.abs(skewSec) <= SKEW_MAX_SEC) return;
    const way = skewSec > 0 ? 'ahead of' : 'behind';
    warnRateLimited(
      this.#skewLimit,
      'general',
      `Our clock is ${printDuration(Math.abs(skewSec))} ${way} that of authority ${from}. A relay needs the right ` +
        'time: check the clock and the time zone of this host, e.g. with timedatectl.',
    );
  }

  #verify(consensus: Consensus) {
    const nowSec = this.#config.timing.nowSec();
    return verifyConsensus(consensus, this.#authorityIds, this.certificates.all(), nowSec);
  }

  #judge(held: Offered, origin: string): OfferVerdict {
    const { flavour } = held.consensus;
    const { good, needed, missing, signers } = this.#verify(held.consensus);
    if (good >= needed) {
      this.#accept({ ...held, signers }, origin);
      return { kind: 'accepted' };
    }
    const authorities = new Set(missing.map(({ authorityId }) => encodeHex(authorityId)));
    if (good + authorities.size >= needed) {
      const waiting = this.#waiting.get(flavour);
      if (waiting === undefined || waiting.consensus.validAfterSec <= held.consensus.validAfterSec) {
        this.#waiting.set(flavour, held);
      }
      return { kind: 'needs-certificates', missing };
    }
    return { kind: 'refused', why: `only ${good} good signatures of the ${needed} that it takes` };
  }

  #accept(held: HeldConsensus, origin: string): void {
    const { consensus } = held;
    const nowSec = this.#config.timing.nowSec();
    this.#held.set(consensus.flavour, held);
    this.#waiting.delete(consensus.flavour);
    log.info(
      'dir',
      `New ${consensus.flavour} consensus from ${origin}: valid after ${printTime(consensus.validAfterSec)}, ` +
        `${consensus.routers.count} relays.`,
    );
    this.#warnIfEarly(consensus, nowSec);
    if (this.newest === consensus) {
      this.#checkProtocols(consensus);
      this.#noteOwnStatus(consensus);
    }
    for (const listener of this.#listeners) listener(consensus.flavour, consensus);
  }

  #warnIfEarly(consensus: Consensus, nowSec: number): void {
    const earliest = consensus.validAfterSec - consensus.distributionDelaySec - EARLY_MAX_SEC;
    if (nowSec >= earliest) return;
    warnRateLimited(
      this.#skewLimit,
      'general',
      `Our clock is at least ${printDuration(consensus.validAfterSec - nowSec)} behind the consensus valid after ` +
        `${printTime(consensus.validAfterSec)} UTC. A relay needs the right time: check the clock of this host.`,
    );
  }

  #checkProtocols(consensus: Consensus): void {
    const ours = this.#config.ownProtocols;
    this.#missingRequired = missingProtocols(consensus.requiredRelayProtocols, ours);
    const recommended = missingProtocols(consensus.recommendedRelayProtocols, ours);
    if (recommended !== '' && recommended !== this.#missingRecommended) {
      log.notice('dir', `The consensus recommends relay protocols that this version lacks: ${recommended}.`);
    }
    this.#missingRecommended = recommended;
  }

  #noteOwnStatus(consensus: Consensus): void {
    const before = this.#own;
    const entry = consensus.routers.get(this.#config.ownRsaId);
    const own = entry === null ? null : readOwnStatus(entry);
    this.#own = own;
    const when = printTime(consensus.validAfterSec);
    if (own === null) {
      if (before !== null) log.notice('dir', `The consensus of ${when} no longer lists this relay.`);
      return;
    }
    if (before !== null && printOwnStatus(before) === printOwnStatus(own)) return;
    log.notice('dir', `The consensus of ${when} lists this relay: ${printOwnStatus(own)}.`);
  }
}

/** Read a consensus, so many routers between two pauses. */
function* parseAll(document: Uint8Array, routers: number): Generator<undefined, Consensus | Malformed> {
  try {
    const parser = new ConsensusParser(document);
    for (;;) {
      const consensus = parser.step(routers);
      if (consensus !== null) return consensus;
      yield;
    }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return error;
  }
}

/** Whether a consensus is valid now, or differs from that by a day at most: what it lists may still be had. */
export function isReasonablyLive(consensus: Consensus, nowSec: number): boolean {
  return (
    consensus.validAfterSec - REASONABLY_LIVE_SEC <= nowSec &&
    nowSec <= consensus.validUntilSec + REASONABLY_LIVE_SEC
  );
}

/** Whether a consensus is valid now. */
export function isLive(consensus: Consensus, nowSec: number): boolean {
  return consensus.validAfterSec <= nowSec && nowSec <= consensus.validUntilSec;
}

function readOwnStatus(entry: RouterStatus): OwnStatus {
  return { flags: flagNames(entry.flags), bandwidth: entry.bandwidth, isMeasured: !entry.isUnmeasured };
}

function printOwnStatus(own: OwnStatus): string {
  const measured = own.isMeasured ? 'measured bandwidth' : 'bandwidth (not measured yet)';
  return `flags ${own.flags.join(' ')}; ${measured} ${own.bandwidth} kB/s`;
}

function printDuration(sec: number): string {
  if (sec < 3600) return count(Math.floor(sec / 60), 'minute');
  if (sec >= 2 * 86400) return count(Math.floor(sec / 86400), 'day');
  return `${count(Math.floor(sec / 3600), 'hour')} and ${count(Math.floor((sec % 3600) / 60), 'minute')}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
