/**
 * Fetches the consensus of one flavour: soon after the last one stops being fresh, at a random moment that spreads all
 * relays, as a diff where we hold one to start from.
 *
 * One that is not valid by the wall clock, be it expired or still to come, is replaced at once. A diff that is of no use
 * costs a request: the next one asks for the whole document.
 *
 * @source dir-spec "Downloading network-status documents"
 */
import { encodeHex } from '../bytes/base.ts';
import { Malformed } from '../fault.ts';
import { log } from '../log.ts';
import type { Consensus, ConsensusFlavour } from '../netdoc/consensus.ts';
import { applyConsensusDiff, looksLikeConsensusDiff } from '../netdoc/consensus-diff.ts';
import { printTime } from '../netdoc/field.ts';
import { printHttpTime } from '../netdoc/http-time.ts';
import type { DirectoryAuthority } from './authority.ts';
import { Errand, type ErrandTools, LOOK_MS, type Outcome, refusalOf } from './errand.ts';
import { isLive, type OfferVerdict } from './network.ts';
import { pickBetween, type RandomUnit } from './timing.ts';

/** A directory cache waits this long after a consensus is no longer fresh, as clocks differ a little. */
const CACHING_DELAY_SEC = 120;
/** A consensus that waits for certificates is given up for a newer one after this. */
const CERTIFICATE_WAIT_MS = 20 * 60_000;
const CERTIFICATE_WAIT_TESTING_MS = 5000;
/** Ask for a consensus only if it is newer than ours by this. */
const IF_MODIFIED_DELAY_SEC = 180;
/** Longest document that is fetched. */
const BODY_BYTES_MAX = (1 << 24) - 1;

/** Who is told what happened, and says whether anyone wants the flavour. */
export interface ConsensusErrandEvents {
  /** Asked before each request; while it is not wanted, it is asked again each minute. */
  readonly isWanted: (flavour: ConsensusFlavour) => boolean;
  readonly onArrived: (flavour: ConsensusFlavour) => void;
  /** One came whose signatures need certificates that we lack. */
  readonly onCertificatesNeeded: () => void;
}

/** Fetches one flavour. */
export class ConsensusErrand {
  readonly flavour: ConsensusFlavour;
  readonly #errand: Errand;
  readonly #tools: ErrandTools;
  readonly #events: ConsensusErrandEvents;
  /** Ask for the whole document: the last diff was of no use. */
  #avoidDiff = false;

  constructor(flavour: ConsensusFlavour, tools: ErrandTools, events: ConsensusErrandEvents) {
    this.flavour = flavour;
    this.#tools = tools;
    this.#events = events;
    this.#errand = new Errand(`${flavour} consensus`, tools);
  }

  start(delaySec: number): void {
    this.#errand.start(delaySec, () => this.#schedule());
  }

  stop(): void {
    this.#errand.stop();
  }

  /** When the next one is asked for: wall clock as it is now, seconds. */
  nextFetchSec(): number {
    const { dueSec } = this.#errand;
    const waitSec = Math.ceil(Math.max(0, this.#errand.msUntilDue()) / 1000);
    return dueSec ?? this.#tools.timing.nowSec() + waitSec;
  }

  /** One came into force, from an authority or because its certificates came: wait for its successor. */
  arrived(): void {
    this.#avoidDiff = false;
    this.#tools.picker.forgive();
    this.#events.onArrived(this.flavour);
    this.#schedule();
  }

  #schedule(): void {
    const nowSec = this.#tools.timing.nowSec();
    const consensus = this.#tools.network.consensus(this.flavour);
    const errand = this.#errand;
    errand.backoff.reset();
    errand.wait(0);
    if (consensus !== null && isLive(consensus, nowSec)) {
      errand.waitUntil(pickFetchSec(consensus, this.#tools.random));
    }
    this.#arm();
    if (errand.dueSec !== null && errand.dueSec > nowSec) {
      log.info('dir', `The next ${this.flavour} consensus is fetched at ${printTime(errand.dueSec)} UTC.`);
    }
  }

  #arm(): void {
    const errand = this.#errand;
    errand.arm(() => {
      if (!this.#events.isWanted(this.flavour)) {
        errand.wait(LOOK_MS);
        this.#arm();
        return;
      }
      const consensus = this.#tools.network.consensus(this.flavour);
      // A clock that jumped out of the time for which the consensus is valid makes the date void.
      const isVoid =
        errand.dueSec !== null && (consensus === null || !isLive(consensus, this.#tools.timing.nowSec()));
      if (errand.msUntilDue() <= 0 || isVoid) this.#fetch();
      else this.#arm();
    });
  }

  #fetch(): void {
    const held = this.#tools.network.held(this.flavour);
    const headers: Record<string, string> = {};
    let base: Uint8Array | null = null;
    if (held !== null) {
      headers['If-Modified-Since'] = printHttpTime(ifModifiedSince(held.consensus));
      if (this.#mayDiff(held.consensus)) {
        base = held.document;
        headers['X-Or-Diff-From-Consensus'] = encodeHex(held.consensus.signedDigestSha3);
      }
    }
    const name = this.flavour === 'ns' ? 'consensus' : `consensus-${this.flavour}`;
    const path = `/tor/status-vote/current/${name}/${this.#authorityPrefixes()}`;
    this.#errand.ask({ path, headers, bytesMax: BODY_BYTES_MAX }, (outcome, authority) => {
      void this.#take(outcome, authority, base);
    });
  }

  #mayDiff(consensus: Consensus): boolean {
    const hours = this.#tools.network.param('try-diff-for-consensus-newer-than');
    return !this.#avoidDiff && consensus.validAfterSec >= this.#tools.timing.nowSec() - hours * 3600;
  }

  async #take(outcome: Outcome, authority: DirectoryAuthority, base: Uint8Array | null): Promise<void> {
    const refusal = refusalOf(outcome);
    if (refusal !== null || 'why' in outcome) return this.#fail(authority, refusal!);
    let document = outcome.reply.body;
    const isDiff = looksLikeConsensusDiff(document);
    if (isDiff) {
      const applied = applyDiff(base, document);
      if ('why' in applied) {
        this.#avoidDiff = true;
        return this.#fail(authority, `sent a diff that is of no use: ${applied.why}`);
      }
      const { length } = document;
      log.info(
        'dir',
        `The ${this.#errand.name} came as a diff of ${length} bytes from ${authority.nickname}.`,
      );
      document = applied.document;
    }
    const verdict = await this.#tools.network.offerInPieces(this.flavour, document, authority.nickname);
    if (!this.#errand.isRunning) return;
    if (isDiff && verdict.kind === 'refused') this.#avoidDiff = true;
    this.#judge(verdict, authority);
  }

  #judge(verdict: OfferVerdict, authority: DirectoryAuthority): void {
    switch (verdict.kind) {
      case 'accepted':
        this.arrived();
        return;
      case 'needs-certificates':
        log.info('dir', `The ${this.#errand.name} waits for ${verdict.missing.length} certificates.`);
        this.#errand.wait(this.#tools.testing ? CERTIFICATE_WAIT_TESTING_MS : CERTIFICATE_WAIT_MS);
        this.#arm();
        this.#events.onCertificatesNeeded();
        return;
      case 'not-newer':
        this.#fail(authority, 'has nothing newer');
        return;
      case 'refused':
        this.#fail(authority, `sent one that is not to be believed: ${verdict.why}`);
    }
  }

  #fail(authority: DirectoryAuthority, why: string): void {
    const { newest } = this.#tools.network;
    this.#errand.fail(authority, why, newest === null || !isLive(newest, this.#tools.timing.nowSec()));
    this.#arm();
  }

  /** Six hex digits of each authority that we trust: a server whose consensus too few of them signed says 404. */
  #authorityPrefixes(): string {
    return this.#tools.picker.all
      .map((authority) => encodeHex(authority.v3Ident!.subarray(0, 3)))
      .sort()
      .join('+');
  }
}

function applyDiff(
  base: Uint8Array | null,
  diff: Uint8Array,
): { readonly document: Uint8Array } | { readonly why: string } {
  if (base === null) return { why: 'nobody asked for one' };
  try {
    return { document: applyConsensusDiff(base, diff) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { why: error.message };
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
