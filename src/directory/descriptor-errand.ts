/**
 * Fetches documents that are named by digest, many at a time: microdescriptors, server descriptors, extra-infos.
 *
 * Only what is missing is asked for, in batches, of several authorities at once but each with one request of a kind at
 * a time. What did not come is asked for again, each digest after a wait of its own that grows, or when a new consensus
 * comes into force; what does not parse is never asked for again.
 *
 * @source dir-spec "Downloading server descriptors", "Downloading microdescriptors"; C tor's batch sizes
 */
import { encodeBase64Unpadded, encodeHex } from '../bytes/base.ts';
import { log, logRateLimited } from '../log.ts';
import type { DirectoryAuthority } from './authority.ts';
import { summariseProblems } from './certificate-store.ts';
import { DigestMap } from './digest-map.ts';
import type { TakenDocuments } from './document-intake.ts';
import { ask, type ErrandTools, LOOK_MS, makeBackoff, type Outcome, refusalOf } from './errand.ts';
import type { DirectoryReply, PendingExchange } from './http-exchange.ts';
import type { Backoff, CancelTimer } from './timing.ts';

/** Batches are not smaller than this while there is more, and there are about three at least. */
const BATCH_MIN = 32;
const BATCHES_MIN = 3;
/** So few are waited with, for more to come; see `mayWait`. */
const FEW = 16;
const FEW_WAIT_MS = 10 * 60_000;
const FEW_WAIT_TESTING_MS = 5000;
const BODY_BYTES_MAX = 10 << 20;

/** What a kind of documents does differently. */
export interface DescriptorKindRules {
  /** For messages, plural. */
  readonly name: string;
  /** How a URL begins that names digests. */
  readonly path: string;
  readonly separator: '+' | '-';
  /** Digests in one URL. */
  readonly batchMax: number;
  readonly print: (digest: Uint8Array) => string;
}

export const MICRODESCRIPTORS: DescriptorKindRules = {
  name: 'microdescriptors',
  path: '/tor/micro/d/',
  separator: '-',
  batchMax: 90,
  print: encodeBase64Unpadded,
};

export const SERVER_DESCRIPTORS: DescriptorKindRules = {
  name: 'server descriptors',
  path: '/tor/server/d/',
  separator: '+',
  batchMax: 96,
  print: encodeHex,
};

export const EXTRA_INFOS: DescriptorKindRules = {
  name: 'extra-infos',
  path: '/tor/extra/d/',
  separator: '+',
  batchMax: 96,
  print: encodeHex,
};

/** Where the documents of a kind are wanted. */
export interface DescriptorShelf {
  /** Digests that we lack now; empty when none are wanted. */
  readonly missing: () => readonly Uint8Array[];
  readonly has: (digest: Uint8Array) => boolean;
  readonly take: (
    body: Uint8Array,
    isWanted: (digest: Uint8Array) => boolean,
    from: DirectoryAuthority,
  ) => TakenDocuments;
  /** Whether few missing ones may wait for more: nobody needs them at once. */
  readonly mayWait: () => boolean;
}

/** Why a digest is not asked for now. */
interface Refusal {
  readonly backoff: Backoff;
  /** Monotonic; infinite for what does not parse. */
  dueMs: number;
}

/** Fetches one kind. */
export class DescriptorErrand {
  readonly #rules: DescriptorKindRules;
  readonly #shelf: DescriptorShelf;
  readonly #tools: ErrandTools;
  readonly #asking = new Map<DirectoryAuthority, PendingExchange>();
  readonly #asked = new DigestMap<true>();
  readonly #refused = new DigestMap<Refusal>();
  #cancelTimer: CancelTimer | null = null;
  #lastAskedMs = Number.NEGATIVE_INFINITY;
  #isRunning = false;

  constructor(rules: DescriptorKindRules, shelf: DescriptorShelf, tools: ErrandTools) {
    this.#rules = rules;
    this.#shelf = shelf;
    this.#tools = tools;
  }

  start(delaySec: number): void {
    this.#isRunning = true;
    if (delaySec === 0) this.look();
    else this.#arm(delaySec * 1000);
  }

  stop(): void {
    this.#isRunning = false;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const pending of this.#asking.values()) pending.abort();
    this.#asking.clear();
    this.#asked.clear();
  }

  /** A new consensus is in force: ask for everything that is missing now, but for what never parses. */
  renew(): void {
    const hopeless: [Uint8Array, Refusal][] = [];
    for (const digest of this.#shelf.missing()) {
      const refusal = this.#refused.get(digest);
      if (refusal?.dueMs === Number.POSITIVE_INFINITY) hopeless.push([digest, refusal]);
    }
    this.#refused.clear();
    for (const [digest, refusal] of hopeless) this.#refused.set(digest, refusal);
    this.look();
  }

  /** Look what is missing, and ask for it. */
  look(): void {
    if (!this.#isRunning) return;
    const { timing } = this.#tools;
    const nowMs = timing.nowMs();
    let nextMs = LOOK_MS;
    const wanted: Uint8Array[] = [];
    for (const digest of this.#shelf.missing()) {
      if (this.#asked.has(digest)) continue;
      const dueMs = this.#refused.get(digest)?.dueMs ?? nowMs;
      if (dueMs <= nowMs) wanted.push(digest);
      else nextMs = Math.min(nextMs, dueMs - nowMs);
    }
    const waitMs = this.#fewWaitMs(wanted.length, nowMs);
    if (waitMs > 0) nextMs = Math.min(nextMs, waitMs);
    else this.#askFor(wanted);
    this.#arm(nextMs);
  }

  #fewWaitMs(count: number, nowMs: number): number {
    if (count === 0 || count >= FEW || !this.#shelf.mayWait()) return 0;
    const patience = this.#tools.testing ? FEW_WAIT_TESTING_MS : FEW_WAIT_MS;
    return Math.max(0, this.#lastAskedMs + patience - nowMs);
  }

  /** Ask in batches, as many authorities as there are; what is left over waits for one of them. */
  #askFor(wanted: readonly Uint8Array[]): void {
    if (wanted.length === 0) return;
    const { picker, timing } = this.#tools;
    const third = Math.min(this.#rules.batchMax, Math.ceil(wanted.length / BATCHES_MIN));
    const size = Math.max(BATCH_MIN, third);
    const sorted = [...wanted].sort(Buffer.compare);
    for (let at = 0; at < sorted.length; at += size) {
      const authority = picker.pick((each) => !this.#asking.has(each));
      if (authority === null) return;
      this.#lastAskedMs = timing.nowMs();
      this.#askOne(authority, sorted.slice(at, at + size));
    }
  }

  #askOne(authority: DirectoryAuthority, digests: readonly Uint8Array[]): void {
    const { path, separator, print, name } = this.#rules;
    log.info('dir', `Asking ${authority.nickname} for ${digests.length} ${name}.`);
    for (const digest of digests) this.#asked.set(digest, true);
    const question = {
      path: `${path}${digests.map(print).join(separator)}`,
      headers: {},
      bytesMax: BODY_BYTES_MAX,
    };
    const pending = ask(this.#tools, authority, question, (outcome) => {
      if (this.#asking.get(authority) !== pending) return;
      this.#asking.delete(authority);
      for (const digest of digests) this.#asked.delete(digest);
      this.#take(outcome, authority, digests);
      this.look();
    });
    this.#asking.set(authority, pending);
  }

  #take(outcome: Outcome, authority: DirectoryAuthority, digests: readonly Uint8Array[]): void {
    const refusal = refusalOf(outcome);
    if (refusal !== null || 'why' in outcome) {
      log.info('dir', `Fetching ${this.#rules.name}: authority ${authority.nickname} ${refusal}.`);
      // One that has none of these may have others; one that is busy or down is passed over.
      if ('why' in outcome || outcome.reply.status !== 404) this.#tools.picker.shun(authority);
    } else {
      this.#store(outcome.reply, authority, digests);
    }
    let lacking = 0;
    for (const digest of digests) if (!this.#shelf.has(digest)) lacking += this.#refuse(digest);
    if (lacking > 0) {
      log.info(
        'dir',
        `${lacking} of ${digests.length} ${this.#rules.name} did not come from ${authority.nickname}.`,
      );
    }
  }

  #store({ body }: DirectoryReply, authority: DirectoryAuthority, digests: readonly Uint8Array[]): void {
    const wanted = new DigestMap<true>();
    for (const digest of digests) wanted.set(digest, true);
    const { added, bad, unwanted, problems } = this.#shelf.take(
      body,
      (digest) => wanted.has(digest),
      authority,
    );
    log.info('dir', `Got ${added} ${this.#rules.name} from ${authority.nickname}.`);
    if (unwanted > 0) {
      log.info(
        'dir',
        `Authority ${authority.nickname} sent ${unwanted} ${this.#rules.name} that nobody asked for.`,
      );
    }
    if (problems.length > 0) {
      const text = `Authority ${authority.nickname} sent bad ${this.#rules.name}: ${summariseProblems(problems)}`;
      logRateLimited(this.#tools.warnLimit, 'warn', 'dir', text);
    }
    for (const digest of bad) {
      if (wanted.has(digest)) this.#refusalOf(digest).dueMs = Number.POSITIVE_INFINITY;
    }
  }

  /** Note that a digest did not come. @returns 1, for counting */
  #refuse(digest: Uint8Array): 1 {
    const refusal = this.#refusalOf(digest);
    refusal.dueMs = Math.max(refusal.dueMs, this.#tools.timing.nowMs() + refusal.backoff.fail());
    return 1;
  }

  #refusalOf(digest: Uint8Array): Refusal {
    const known = this.#refused.get(digest);
    if (known !== undefined) return known;
    const refusal = { backoff: makeBackoff(this.#tools.testing, this.#tools.random), dueMs: 0 };
    this.#refused.set(digest, refusal);
    return refusal;
  }

  #arm(delayMs: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#tools.timing.after(Math.max(delayMs, 1), () => {
      this.#cancelTimer = null;
      this.look();
    });
  }
}
