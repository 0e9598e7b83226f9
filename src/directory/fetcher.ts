/**
 * What is fetched from the authorities, from which of them, and when.
 *
 * Both consensus flavours soon after they stop being fresh, at a random moment that spreads all relays; the
 * authorities' certificates when one is missing or has expired, or when a consensus waits for one. A failure
 * moves on to another authority and waits ever longer. Retries and waits are measured by the clock that never
 * jumps. Only the dates of consensuses and certificates are by the wall clock; they are compared with it at least
 * once a minute, and a consensus that is not valid by it, be it expired or still to come, is replaced.
 *
 * @source dir-spec "Downloading network-status documents", "Downloading certificates from directory authorities"
 */

import { printEndpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { log, logRateLimited, RateLimit } from '../log.ts';
import type { Consensus, ConsensusFlavour } from '../netdoc/consensus.ts';
import { printTime } from '../netdoc/field.ts';
import { type DirectoryAuthority, votingAuthorities } from './authority.ts';
import type { DirectoryCache } from './cache.ts';
import { summariseProblems } from './certificate-store.ts';
import type { DirectoryReply, Exchange, PendingExchange } from './http-exchange.ts';
import { FLAVOURS, isLive, type Network } from './network.ts';
import { Backoff, type CancelTimer, pickBetween, type RandomUnit, type Timing } from './timing.ts';

/** A directory cache waits this long after a consensus is no longer fresh, as clocks differ a little. */
const CACHING_DELAY_SEC = 120;
/** A consensus that waits for certificates is given up for a newer one after this. */
const CERTIFICATE_WAIT_MS = 20 * 60_000;
const CERTIFICATE_WAIT_TESTING_MS = 5000;
/** Ask for a consensus only if it is newer than ours by this. */
const IF_MODIFIED_DELAY_SEC = 180;
/** Longest wait between two looks at the wall clock. */
const LOOK_MS = 60_000;
const STALL_SEC = 60;
/** Longest document that is fetched. */
const BODY_BYTES_MAX = (1 << 24) - 1;
/** Failures in a row that make a warning; a network of tests begins without any consensus. */
const FAILURES_TO_WARN = 4;
const FAILURES_TO_WARN_TESTING = 20;

export interface FetcherConfig {
  readonly authorities: readonly DirectoryAuthority[];
  readonly network: Network;
  /** Null keeps nothing on disk. */
  readonly cache: DirectoryCache | null;
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

/** One kind of document that is fetched again and again. */
interface Errand {
  readonly name: string;
  readonly backoff: Backoff;
  /** Date of the next fetch, as a live consensus has it: wall clock, seconds. Null: `dueMs` counts. */
  dueSec: number | null;
  /** When a wait or the time before a retry ends: monotonic, milliseconds. */
  dueMs: number;
  pending: PendingExchange | null;
  cancelTimer: CancelTimer | null;
}

/** Keeps `Network` and the cache up to date. */
export class Fetcher {
  readonly #config: FetcherConfig;
  readonly #voters: readonly DirectoryAuthority[];
  readonly #consensusErrands: ReadonlyMap<ConsensusFlavour, Errand>;
  readonly #certificateErrand: Errand;
  /** Authorities that failed lately, by nickname: passed over while others are left. */
  readonly #shunned = new Set<DirectoryAuthority>();
  readonly #warnLimit: RateLimit;
  #running = false;

  constructor(config: FetcherConfig) {
    this.#config = config;
    this.#voters = votingAuthorities(config.authorities);
    this.#consensusErrands = new Map(
      FLAVOURS.map((flavour) => [flavour, this.#makeErrand(`${flavour} consensus`)]),
    );
    this.#certificateErrand = this.#makeErrand('authority certificates');
    this.#warnLimit = new RateLimit(config.testing ? 60_000 : 3_600_000, () => config.timing.nowMs());
  }

  /** Begin: what the cache did not give is fetched at once. */
  start(): void {
    this.#running = true;
    if (this.#voters.length === 0) {
      log.warn('dir', 'No directory authority signs consensuses: check the DirAuthority lines (v3ident=).');
      return;
    }
    const { certificateDelaySec = 0, consensusDelaySec = 0 } = this.#config;
    this.#after(this.#certificateErrand, certificateDelaySec, () => this.#lookAtCertificates());
    for (const flavour of FLAVOURS) {
      const errand = this.#consensusErrands.get(flavour)!;
      this.#wait(errand, consensusDelaySec * 1000);
      this.#after(errand, consensusDelaySec, () => this.#scheduleConsensus(flavour));
    }
  }

  /** The first look: at once, unless torrc of a test network says later. */
  #after(errand: Errand, delaySec: number, look: () => void): void {
    if (delaySec === 0) look();
    else errand.cancelTimer = this.#config.timing.after(delaySec * 1000, look);
  }

  /** Give up what is under way. */
  stop(): void {
    this.#running = false;
    for (const errand of [this.#certificateErrand, ...this.#consensusErrands.values()]) {
      errand.cancelTimer?.();
      errand.cancelTimer = null;
      errand.pending?.abort();
      errand.pending = null;
    }
  }

  /** When the next consensus of a flavour is asked for: wall clock as it is now, seconds. */
  nextFetchSec(flavour: ConsensusFlavour): number {
    const { timing } = this.#config;
    const { dueSec, dueMs } = this.#consensusErrands.get(flavour)!;
    return dueSec ?? timing.nowSec() + Math.ceil(Math.max(0, dueMs - timing.nowMs()) / 1000);
  }

  #makeErrand(name: string): Errand {
    const { testing, random } = this.#config;
    const backoff = testing ? new Backoff(1000, 5000, random) : new Backoff(10_000, 3_600_000, random);
    return { name, backoff, dueSec: null, dueMs: 0, pending: null, cancelTimer: null };
  }

  /** Make an errand due after a time, whatever the wall clock does meanwhile. */
  #wait(errand: Errand, delayMs: number): void {
    errand.dueSec = null;
    errand.dueMs = this.#config.timing.nowMs() + delayMs;
  }

  // Consensuses

  #scheduleConsensus(flavour: ConsensusFlavour): void {
    const nowSec = this.#config.timing.nowSec();
    const consensus = this.#config.network.consensus(flavour);
    const errand = this.#consensusErrands.get(flavour)!;
    errand.backoff.reset();
    this.#wait(errand, 0);
    if (consensus !== null && isLive(consensus, nowSec)) {
      errand.dueSec = pickFetchSec(consensus, this.#config.random);
    }
    this.#armConsensus(flavour, errand);
    if (errand.dueSec !== null && errand.dueSec > nowSec) {
      log.info('dir', `The next ${flavour} consensus is fetched at ${printTime(errand.dueSec)} UTC.`);
    }
  }

  #armConsensus(flavour: ConsensusFlavour, errand: Errand): void {
    this.#arm(errand, () => {
      const nowSec = this.#config.timing.nowSec();
      const consensus = this.#config.network.consensus(flavour);
      const isDue = this.#msUntilDue(errand) <= 0;
      // A clock that jumped out of the time for which the consensus is valid makes the date void.
      const isVoid = errand.dueSec !== null && (consensus === null || !isLive(consensus, nowSec));
      if (isDue || isVoid) this.#fetchConsensus(flavour, errand);
      else this.#armConsensus(flavour, errand);
    });
  }

  #fetchConsensus(flavour: ConsensusFlavour, errand: Errand): void {
    const consensus = this.#config.network.consensus(flavour);
    const headers: Record<string, string> = {};
    if (consensus !== null)
      headers['If-Modified-Since'] = new Date(ifModifiedSince(consensus) * 1000).toUTCString();
    const name = flavour === 'ns' ? 'consensus' : `consensus-${flavour}`;
    const path = `/tor/status-vote/current/${name}/${this.#authorityPrefixes()}`;
    this.#get(
      errand,
      path,
      headers,
      (reply, authority) => {
        if (reply.status === 200) this.#takeConsensus(flavour, errand, reply, authority);
        else this.#failConsensus(flavour, errand, authority, `answered ${reply.status} ${reply.reason}`);
      },
      (authority, why) => this.#failConsensus(flavour, errand, authority, why),
    );
  }

  #takeConsensus(
    flavour: ConsensusFlavour,
    errand: Errand,
    reply: DirectoryReply,
    authority: DirectoryAuthority,
  ): void {
    const verdict = this.#config.network.offer(flavour, reply.body, authority.nickname);
    switch (verdict.kind) {
      case 'accepted':
        this.#consensusArrived(flavour);
        return;
      case 'needs-certificates':
        log.info('dir', `The ${errand.name} waits for ${verdict.missing.length} certificates.`);
        this.#wait(errand, this.#config.testing ? CERTIFICATE_WAIT_TESTING_MS : CERTIFICATE_WAIT_MS);
        this.#armConsensus(flavour, errand);
        this.#lookAtCertificates();
        return;
      case 'not-newer':
        this.#failConsensus(flavour, errand, authority, 'has nothing newer');
        return;
      case 'refused':
        this.#failConsensus(
          flavour,
          errand,
          authority,
          `sent one that is not to be believed: ${verdict.why}`,
        );
    }
  }

  #consensusArrived(flavour: ConsensusFlavour): void {
    const { network, cache } = this.#config;
    this.#shunned.clear();
    cache?.saveConsensus(flavour, network.document(flavour)!);
    this.#scheduleConsensus(flavour);
  }

  #failConsensus(
    flavour: ConsensusFlavour,
    errand: Errand,
    authority: DirectoryAuthority,
    why: string,
  ): void {
    this.#fail(errand, authority, why);
    this.#armConsensus(flavour, errand);
  }

  /** Six hex digits of each authority that we trust: a server whose consensus too few of them signed says 404. */
  #authorityPrefixes(): string {
    return this.#voters
      .map((authority) => encodeHex(authority.v3Ident!.subarray(0, 3)))
      .sort()
      .join('+');
  }

  // Certificates

  #lookAtCertificates(): void {
    const errand = this.#certificateErrand;
    if (!this.#running || errand.pending !== null) return;
    const path = this.#wantedCertificates();
    if (path === null) {
      errand.backoff.reset();
      this.#wait(errand, LOOK_MS);
      this.#armCertificates();
    } else if (this.#msUntilDue(errand) <= 0 || errand.backoff.failures === 0) {
      this.#fetchCertificates(path);
    } else {
      this.#armCertificates();
    }
  }

  /** The path that asks for what is missing; authorities' newest certificates first, then particular keys. */
  #wantedCertificates(): string | null {
    const { network, timing } = this.#config;
    const missing = network.certificates.missing(timing.nowSec()).map(encodeHex);
    if (missing.length > 0) return `/tor/keys/fp/${missing.sort().join('+')}`;
    const pairs = network
      .neededCertificates()
      .map(({ authorityId, signingKeyDigest }) => `${encodeHex(authorityId)}-${encodeHex(signingKeyDigest)}`);
    return pairs.length > 0 ? `/tor/keys/fp-sk/${pairs.sort().join('+')}` : null;
  }

  #fetchCertificates(path: string): void {
    const errand = this.#certificateErrand;
    this.#get(
      errand,
      path,
      {},
      (reply, authority) => {
        if (reply.status === 200) this.#takeCertificates(reply, authority);
        else this.#failCertificates(authority, `answered ${reply.status} ${reply.reason}`);
      },
      (authority, why) => this.#failCertificates(authority, why),
    );
  }

  #takeCertificates(reply: DirectoryReply, authority: DirectoryAuthority): void {
    const { network, cache, timing } = this.#config;
    const { added, problems } = network.certificates.add(reply.body);
    if (problems.length > 0) {
      log.warn(
        'dir',
        `Authority ${authority.nickname} sent bad certificates: ${summariseProblems(problems)}`,
      );
    }
    if (added.length === 0) {
      this.#failCertificates(authority, 'has none that we lack');
      return;
    }
    log.info('dir', `Got ${added.length} authority certificates from ${authority.nickname}.`);
    network.certificates.dropOld(timing.nowSec());
    cache?.saveCertificates(network.certificates.print());
    for (const flavour of network.reviewWaiting()) this.#consensusArrived(flavour);
    // What is still missing after a success is asked of another authority, but not in a tight loop.
    if (this.#wantedCertificates() !== null) this.#failCertificates(authority, 'lacks some');
    else this.#lookAtCertificates();
  }

  #failCertificates(authority: DirectoryAuthority, why: string): void {
    this.#fail(this.#certificateErrand, authority, why);
    this.#armCertificates();
  }

  #armCertificates(): void {
    this.#arm(this.#certificateErrand, () => this.#lookAtCertificates());
  }

  // What both have in common

  #get(
    errand: Errand,
    path: string,
    headers: Readonly<Record<string, string>>,
    take: (reply: DirectoryReply, authority: DirectoryAuthority) => void,
    fail: (authority: DirectoryAuthority, why: string) => void,
  ): void {
    const { exchange, network, testing, stallSec = STALL_SEC } = this.#config;
    const authority = this.#pickAuthority();
    const endpoint = authority.downloadFrom[0] ?? authority.dir;
    log.debug('dir', () => `Asking ${authority.nickname} at ${printEndpoint(endpoint)} for ${path}`);
    const pending = exchange({
      endpoint,
      method: 'GET',
      path,
      headers,
      body: null,
      bytesMax: BODY_BYTES_MAX,
      stallMs: stallSec * 1000,
      deadlineMs: testing ? 30_000 : 600_000,
    });
    errand.pending = pending;
    pending.reply.then(
      (reply) => {
        if (errand.pending !== pending) return;
        errand.pending = null;
        network.noteServerDate(reply.headers['date'] ?? '', reply.sentSec, authority.nickname);
        take(reply, authority);
      },
      (error: Error) => {
        if (errand.pending !== pending) return;
        errand.pending = null;
        fail(authority, error.message);
      },
    );
  }

  #fail(errand: Errand, authority: DirectoryAuthority, why: string): void {
    this.#shunned.add(authority);
    const delayMs = errand.backoff.fail();
    this.#wait(errand, delayMs);
    const text = `Fetching ${errand.name}: authority ${authority.nickname} ${why}. Asking again in ${Math.round(delayMs / 1000)} s.`;
    const patience = this.#config.testing ? FAILURES_TO_WARN_TESTING : FAILURES_TO_WARN;
    const isLate = errand.backoff.failures >= patience && this.#isWanted(errand);
    if (isLate) logRateLimited(this.#warnLimit, 'warn', 'dir', text);
    else log.info('dir', text);
  }

  /** Whether going without it does harm already. */
  #isWanted(errand: Errand): boolean {
    const { network, timing } = this.#config;
    if (errand === this.#certificateErrand) return network.neededCertificates().length > 0;
    const newest = network.newest;
    return newest === null || !isLive(newest, timing.nowSec());
  }

  #arm(errand: Errand, run: () => void): void {
    errand.cancelTimer?.();
    errand.cancelTimer = null;
    if (!this.#running) return;
    const waitMs = Math.max(0, this.#msUntilDue(errand));
    errand.cancelTimer = this.#config.timing.after(Math.min(waitMs, LOOK_MS), () => {
      errand.cancelTimer = null;
      if (errand.pending === null) run();
    });
  }

  #msUntilDue({ dueSec, dueMs }: Errand): number {
    const { timing } = this.#config;
    return dueSec === null ? dueMs - timing.nowMs() : (dueSec - timing.nowSec()) * 1000;
  }

  /** Pick an authority at random by weight, one that failed lately only when all have. */
  #pickAuthority(): DirectoryAuthority {
    let candidates = this.#voters.filter((authority) => !this.#shunned.has(authority));
    if (candidates.length === 0) {
      this.#shunned.clear();
      candidates = [...this.#voters];
    }
    const total = candidates.reduce((sum, authority) => sum + authority.weight, 0);
    let at = this.#config.random() * total;
    for (const authority of candidates) {
      at -= authority.weight;
      if (at < 0) return authority;
    }
    return candidates[candidates.length - 1]!;
  }
}

/**
 * Pick when to fetch the successor of a live consensus: in the first half-interval after it stops being fresh,
 * a little late so that clocks may differ, and always before it expires.
 */
export function pickFetchSec(consensus: Consensus, random: RandomUnit): number {
  const intervalSec = consensus.freshUntilSec - consensus.validAfterSec;
  const slackSec = Math.max(1, Math.min(CACHING_DELAY_SEC, Math.floor(intervalSec / 16)));
  const spreadSec = Math.max(1, Math.floor(intervalSec / 2));
  let startSec = consensus.freshUntilSec + slackSec;
  if (startSec + spreadSec >= consensus.validUntilSec) startSec = consensus.validUntilSec - spreadSec - 1;
  return pickBetween(random, startSec, startSec + spreadSec);
}

function ifModifiedSince(consensus: Consensus): number {
  const halfIntervalSec = Math.floor((consensus.freshUntilSec - consensus.validAfterSec) / 2);
  return consensus.validAfterSec + Math.min(IF_MODIFIED_DELAY_SEC, halfIntervalSec);
}
