/**
 * When our descriptor is made anew, and how it reaches the authorities.
 *
 * The descriptor is dirty when something in it changed that others act on, when it is 18 hours old, or when the
 * authorities seem not to have it. A dirty one is built, signed and posted to every authority, each with a backoff
 * of its own; what an authority refuses is not sent again unchanged. Whether anything may be published at all is
 * decided first at every look, and the operator is told once which line would change that; uploads under way when
 * it is forbidden are withdrawn. Ages are measured by the clock that never jumps; only what a descriptor or a
 * consensus says of itself is by the wall clock.
 *
 * @source dir-spec "Uploading server descriptors"; tor-spec "Subprotocol versioning"
 */

import { type Endpoint, printEndpoint, sameIp } from '../bytes/address.ts';
import { Malformed } from '../fault.ts';
import { log } from '../log.ts';
import type { DirectoryAuthority } from './authority.ts';
import type { DirectoryReply, Exchange, PendingExchange } from './http-exchange.ts';
import type { AddressChoice } from './published-address.ts';
import { Backoff, type CancelTimer, type RandomUnit, type Timing } from './timing.ts';

/** A descriptor older than this is made anew whatever happens. */
const REGENERATE_MS = 18 * 3_600_000;
/** A descriptor that the authorities seem not to have is made anew so often. */
const FAST_RETRY_MS = 90 * 60_000;
/** Bandwidth moves a descriptor only so often, by such a factor, and only in a relay's first day. */
const BANDWIDTH_CHANGE_MS = 3 * 3_600_000;
const BANDWIDTH_CHANGE_FACTOR = 2;
const BANDWIDTH_CHANGE_UPTIME_SEC = 24 * 3600;
/** A clock that went back by less than this may not make a descriptor look older than the one before. */
const SMALL_STEP_SEC = 60;
/** How often all of this is looked at. */
const CHECK_MS = 60_000;

const REPLY_BYTES_MAX = 64 * 1024;
const STALL_MS = 60_000;
const DEADLINE_MS = 300_000;

/** What torrc and the listeners say about publishing; asked again at every check. */
export interface PublishSettings {
  /** PublishServerDescriptor. */
  readonly publish: boolean;
  /** What must be known first, as a few words: whether others reach us. Null: nothing. */
  readonly waitsFor: string | null;
  /** TestingTorNetwork. */
  readonly testing: boolean;
  readonly address: AddressChoice;
}

/** What the publisher must know of the network; `network.ts` has it. */
export interface PublishView {
  /** Whether any consensus is known, live or not. */
  readonly hasConsensus: boolean;
  /** The part of what the consensus requires of relays that we lack, as a protocol list; empty: nothing. */
  readonly missingRequired: string;
  /** How the live consensus lists us; null when there is no live consensus. */
  ownListing(nowSec: number): { listed: boolean; stale: boolean; validAfterSec: number } | null;
}

/** Both documents, signed. */
export interface BuiltDescriptor {
  readonly descriptor: string;
  readonly extraInfo: string;
}

export interface PublisherConfig {
  readonly authorities: readonly DirectoryAuthority[];
  readonly network: PublishView;
  readonly exchange: Exchange;
  readonly timing: Timing;
  readonly random: RandomUnit;
  readonly settings: () => PublishSettings;
  readonly buildDescriptor: (reason: string, publishedSec: number) => BuiltDescriptor;
  /** Observed bandwidth, as the descriptor would say it now. */
  readonly observedBytesPerSec: () => number;
  readonly uptimeSec: () => number;
}

/** Where one authority stands with our latest descriptor. */
export type UploadState = 'waiting' | 'sending' | 'accepted' | 'refused' | 'failed';

interface Published {
  readonly reason: string;
  /** When it was made: monotonic. */
  readonly atMs: number;
  /** The date that it bears: wall clock. */
  readonly datedSec: number;
  readonly bytesPerSec: number;
  readonly address: AddressChoice;
}

/** Publishes this relay's descriptor. */
export class Publisher {
  readonly #config: PublisherConfig;
  readonly #uploads: Upload[];
  #dirtyReason: string | null = 'the relay just started';
  #published: Published | null = null;
  #lastBandwidthChangeMs = Number.NEGATIVE_INFINITY;
  #cancelCheck: CancelTimer | null = null;
  #isHeld = false;
  #lastSaid = '';
  #lastMissing = '';
  #stopped = true;

  constructor(config: PublisherConfig) {
    this.#config = config;
    const takers = config.authorities.filter((authority) => authority.v3Ident !== null);
    this.#uploads = takers.map((authority) => new Upload(authority, config));
  }

  /** Begin to publish; looks at once. */
  start(): void {
    this.#stopped = false;
    this.check();
  }

  /** Give up what is under way. */
  stop(): void {
    this.#stopped = true;
    this.#cancelCheck?.();
    this.#cancelCheck = null;
    for (const upload of this.#uploads) upload.cancel();
  }

  /** Note that the descriptor no longer tells the truth; `reason` is a few words that authorities get to see. */
  markDirty(reason: string): void {
    log.info('or', `Decided to publish a new descriptor: ${reason}`);
    this.#dirtyReason ??= reason;
    if (!this.#stopped) this.check();
  }

  /** Why nothing is published at present, as a sentence; null when something is. */
  get silence(): string | null {
    if (this.#stopped) return 'Nothing is published.';
    return this.#isHeld || this.#published === null ? this.#lastSaid || 'Nothing is published yet.' : null;
  }

  /** Name, and state of the latest upload, of each authority. */
  uploads(): { nickname: string; state: UploadState; reason: string }[] {
    return this.#uploads.map(({ authority, state, reason }) => ({
      nickname: authority.nickname,
      state,
      reason,
    }));
  }

  /** Look whether something is to be published, and do it. Called each minute, and when a consensus arrived. */
  check(): void {
    if (this.#stopped) return;
    this.#cancelCheck?.();
    this.#cancelCheck = this.#config.timing.after(CHECK_MS, () => this.check());
    const settings = this.#config.settings();
    if (!this.#mayPublish(settings)) {
      this.#hold();
      return;
    }
    if (this.#isHeld) this.#lastSaid = '';
    this.#isHeld = false;
    this.#dirtyReason ??= this.#findReason(settings);
    if (this.#dirtyReason !== null) this.#publish(this.#dirtyReason, settings);
  }

  /** Withdraw what is under way. A descriptor that did not reach everyone is made anew once that is allowed. */
  #hold(): void {
    this.#isHeld = true;
    for (const upload of this.#uploads) {
      if (upload.withdraw()) this.#dirtyReason ??= this.#published!.reason;
    }
  }

  /** Say why a new descriptor is due, or null. */
  #findReason(settings: PublishSettings): string | null {
    const published = this.#published;
    if (published === null) return null;
    if (!sameChoice(published.address, settings.address)) return 'the address changed';
    if (this.#bandwidthChanged(published, settings)) return 'bandwidth has changed';
    const { timing, network } = this.#config;
    const ageMs = timing.nowMs() - published.atMs;
    if (ageMs > REGENERATE_MS) return 'time for new descriptor';
    if (ageMs <= FAST_RETRY_MS) return null;
    const listing = network.ownListing(timing.nowSec());
    if (listing === null) return null;
    if (!listing.listed) return 'not listed in consensus';
    return listing.stale && listing.validAfterSec > published.datedSec
      ? 'listed as stale in consensus'
      : null;
  }

  #bandwidthChanged(published: Published, settings: PublishSettings): boolean {
    if (this.#config.uptimeSec() > BANDWIDTH_CHANGE_UPTIME_SEC) return false;
    const before = published.bytesPerSec;
    const now = this.#config.observedBytesPerSec();
    const fromOrToZero = before !== now && (before === 0 || now === 0);
    const much = now > before * BANDWIDTH_CHANGE_FACTOR || now < before / BANDWIDTH_CHANGE_FACTOR;
    if (!fromOrToZero && !much) return false;
    const nowMs = this.#config.timing.nowMs();
    const longAgo = this.#lastBandwidthChangeMs + BANDWIDTH_CHANGE_MS < nowMs;
    if (!longAgo && !settings.testing && before !== 0) return false;
    this.#lastBandwidthChangeMs = nowMs;
    return true;
  }

  #mayPublish(settings: PublishSettings): boolean {
    if (!settings.publish) {
      this.#sayOnce('info', 'PublishServerDescriptor is 0: nothing is published.');
      return false;
    }
    const problem = settings.address.problem;
    if (problem !== null) {
      this.#sayOnce(
        'notice',
        `Publishing nothing: ${problem.why}. To publish, write in torrc: ${problem.line}`,
      );
      return false;
    }
    if (settings.waitsFor !== null) {
      this.#sayOnce('notice', `Publishing nothing yet: ${settings.waitsFor}.`);
      return false;
    }
    if (this.#uploads.length === 0) {
      this.#sayOnce(
        'warn',
        'No directory authority takes descriptors: check the DirAuthority lines (v3ident=).',
      );
      return false;
    }
    return this.#protocolsSuffice(settings.testing);
  }

  #protocolsSuffice(testing: boolean): boolean {
    const { hasConsensus, missingRequired } = this.#config.network;
    if (testing) {
      if (missingRequired !== '' && missingRequired !== this.#lastMissing) {
        log.warn(
          'or',
          `The consensus of this testing network requires relay protocols that this relay lacks: ${missingRequired}. ` +
            'Publishing nevertheless.',
        );
      }
      this.#lastMissing = missingRequired;
      return true;
    }
    if (!hasConsensus) {
      this.#sayOnce('info', 'Publishing waits for a consensus, which says what is required of relays.');
      return false;
    }
    if (missingRequired === '') return true;
    this.#sayOnce(
      'warn',
      `Publishing nothing: the consensus requires relay protocols that this version lacks: ${missingRequired}. ` +
        'A newer version may have them.',
    );
    return false;
  }

  #sayOnce(severity: 'info' | 'notice' | 'warn', text: string): void {
    if (text === this.#lastSaid) return;
    this.#lastSaid = text;
    log[severity]('or', text);
  }

  #publish(reason: string, settings: PublishSettings): void {
    const publishedSec = this.#pickDate();
    let built: BuiltDescriptor;
    try {
      built = this.#config.buildDescriptor(reason, publishedSec);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#sayOnce('warn', `The descriptor cannot be built: ${error.message}`);
      return;
    }
    const first = this.#published === null;
    this.#dirtyReason = null;
    this.#lastSaid = '';
    this.#published = {
      reason,
      atMs: this.#config.timing.nowMs(),
      datedSec: publishedSec,
      bytesPerSec: this.#config.observedBytesPerSec(),
      address: settings.address,
    };
    const text = `Publishing a descriptor for ${printChoice(settings.address)} to ${this.#uploads.length} authorities (${reason}).`;
    if (first) log.notice('or', text);
    else log.info('or', text);
    const body = new TextEncoder().encode(built.descriptor + built.extraInfo);
    for (const upload of this.#uploads) upload.begin(body, reason, settings.testing);
  }

  /**
   * Date a descriptor. Authorities keep the newer of two, so no two may bear the same second; but after a clock was
   * set back, the date is the new clock's.
   */
  #pickDate(): number {
    const nowSec = this.#config.timing.nowSec();
    const nextSec = (this.#published?.datedSec ?? 0) + 1;
    return nextSec - nowSec <= SMALL_STEP_SEC ? Math.max(nowSec, nextSec) : nowSec;
  }
}

/** The way of our latest descriptor to one authority. */
class Upload {
  readonly authority: DirectoryAuthority;
  state: UploadState = 'waiting';
  /** The authority's own words, or what failed. */
  reason = '';
  readonly #config: PublisherConfig;
  readonly #endpoint: Endpoint;
  #backoff: Backoff;
  #pending: PendingExchange | null = null;
  #cancelRetry: CancelTimer | null = null;

  constructor(authority: DirectoryAuthority, config: PublisherConfig) {
    this.authority = authority;
    this.#config = config;
    this.#endpoint = authority.uploadTo[0] ?? authority.dir;
    this.#backoff = new Backoff(60_000, 3_600_000, config.random);
  }

  cancel(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#pending?.abort();
    this.#pending = null;
  }

  /** Give up an upload that has no final answer yet. Returns whether there was one. */
  withdraw(): boolean {
    if (this.state !== 'sending' && this.state !== 'failed') return false;
    this.cancel();
    this.state = 'waiting';
    this.reason = '';
    return true;
  }

  begin(body: Uint8Array, genReason: string, testing: boolean): void {
    this.cancel();
    // Authorities of a testing network start together with their relays and vote every few seconds.
    this.#backoff = testing
      ? new Backoff(1000, 20_000, this.#config.random)
      : new Backoff(60_000, 3_600_000, this.#config.random);
    this.#send(body, genReason);
  }

  #send(body: Uint8Array, genReason: string): void {
    this.state = 'sending';
    const pending = this.#config.exchange({
      endpoint: this.#endpoint,
      method: 'POST',
      path: '/tor/',
      headers: { 'X-Desc-Gen-Reason': genReason },
      body,
      bytesMax: REPLY_BYTES_MAX,
      stallMs: STALL_MS,
      deadlineMs: DEADLINE_MS,
    });
    this.#pending = pending;
    pending.reply.then(
      (reply) => {
        if (this.#pending === pending && !this.#take(reply)) this.#retry(body, genReason);
      },
      (error: Error) => {
        if (this.#pending !== pending) return;
        this.reason = error.message;
        log.info('or', `Uploading to authority ${this.authority.nickname} failed: ${error.message}`);
        this.#retry(body, genReason);
      },
    );
  }

  /** Judge an answer. Returns whether it is final. */
  #take(reply: DirectoryReply): boolean {
    const name = this.authority.nickname;
    this.reason = reply.reason;
    if (reply.status === 200) {
      this.state = 'accepted';
      this.#pending = null;
      const known = reply.headers['x-descriptor-not-new']?.toLowerCase() === 'yes';
      log.info(
        'or',
        known
          ? `Authority ${name} keeps the descriptor it has: not new.`
          : `Authority ${name} took our descriptor.`,
      );
      return true;
    }
    if (reply.status === 400) {
      this.state = 'refused';
      this.#pending = null;
      log.warn(
        'or',
        `Authority ${name} at ${printEndpoint(this.#endpoint)} refused our descriptor: ${reply.reason || 'no reason given'}`,
      );
      return true;
    }
    log.warn(
      'or',
      `Authority ${name} at ${printEndpoint(this.#endpoint)} answered our descriptor with status ${reply.status}: ${reply.reason}`,
    );
    return false;
  }

  #retry(body: Uint8Array, genReason: string): void {
    this.#pending = null;
    this.state = 'failed';
    const delayMs = this.#backoff.fail();
    this.#cancelRetry = this.#config.timing.after(delayMs, () => {
      this.#cancelRetry = null;
      this.#send(body, genReason);
    });
  }
}

function sameChoice(a: AddressChoice, b: AddressChoice): boolean {
  return sameEndpoint(a.ipv4, b.ipv4) && sameEndpoint(a.ipv6, b.ipv6);
}

function sameEndpoint(a: Endpoint | null, b: Endpoint | null): boolean {
  if (a === null || b === null) return a === b;
  return a.port === b.port && sameIp(a.host, b.host);
}

function printChoice({ ipv4, ipv6 }: AddressChoice): string {
  return [ipv4, ipv6]
    .flatMap((endpoint) => (endpoint === null ? [] : [printEndpoint(endpoint)]))
    .join(' and ');
}
