/**
 * One kind of document that is fetched again and again: when, from whom, and what happens when it fails.
 *
 * What the errands have in common. A failure moves on to another authority and waits ever longer. Waits are measured by
 * the clock that never jumps; only the dates of consensuses are by the wall clock, which is looked at once a minute.
 *
 * @source dir-spec "Retry delays"
 */
import { printEndpoint } from '../bytes/address.ts';
import { log, logRateLimited, RateLimit } from '../log.ts';
import type { DirectoryAuthority } from './authority.ts';
import type { AuthorityPicker } from './authority-picker.ts';
import type { DirectoryReply, Exchange, PendingExchange } from './http-exchange.ts';
import type { Network } from './network.ts';
import { Backoff, type CancelTimer, type RandomUnit, type Timing } from './timing.ts';

/** Longest wait between two looks at the wall clock. */
export const LOOK_MS = 60_000;
/** Failures in a row that make a warning; a network of tests begins without any consensus. */
const FAILURES_TO_WARN = 4;
const FAILURES_TO_WARN_TESTING = 20;

/** What all errands work with. */
export interface ErrandTools {
  readonly network: Network;
  readonly exchange: Exchange;
  readonly timing: Timing;
  readonly random: RandomUnit;
  readonly picker: AuthorityPicker;
  readonly testing: boolean;
  readonly stallSec: number;
  readonly warnLimit: RateLimit;
}

/** Make what errands share. */
export function makeWarnLimit(testing: boolean, timing: Timing): RateLimit {
  return new RateLimit(testing ? 60_000 : 3_600_000, () => timing.nowMs());
}

/** The waits of an errand that fails. */
export function makeBackoff(testing: boolean, random: RandomUnit): Backoff {
  return testing ? new Backoff(1000, 5000, random) : new Backoff(10_000, 3_600_000, random);
}

/** What to ask an authority. */
export interface Question {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytesMax: number;
}

/** What an authority said: a reply, or why there is none. */
export type Outcome = { readonly reply: DirectoryReply } | { readonly why: string };

/** Ask an authority, and give its clock to the network. `done` is not called when the exchange is aborted. */
export function ask(
  tools: ErrandTools,
  authority: DirectoryAuthority,
  question: Question,
  done: (outcome: Outcome) => void,
): PendingExchange {
  const { exchange, network, testing, stallSec } = tools;
  const endpoint = authority.downloadFrom[0] ?? authority.dir;
  log.debug('dir', () => `Asking ${authority.nickname} at ${printEndpoint(endpoint)} for ${question.path}`);
  const pending = exchange({
    endpoint,
    method: 'GET',
    ...question,
    body: null,
    stallMs: stallSec * 1000,
    deadlineMs: testing ? 30_000 : 600_000,
  });
  let isAborted = false;
  pending.reply.then(
    (reply) => {
      if (isAborted) return;
      network.noteServerDate(reply.headers['date'] ?? '', reply.sentSec, authority.nickname);
      done({ reply });
    },
    (error: Error) => {
      if (!isAborted) done({ why: error.message });
    },
  );
  return {
    reply: pending.reply,
    abort: () => {
      isAborted = true;
      pending.abort();
    },
  };
}

/** An errand that asks for one thing at a time. */
export class Errand {
  readonly name: string;
  readonly backoff: Backoff;
  readonly #tools: ErrandTools;
  /** Date of the next fetch, as a live consensus has it: wall clock, seconds. Null: `#dueMs` counts. */
  #dueSec: number | null = null;
  /** When a wait or the time before a retry ends: monotonic, milliseconds. */
  #dueMs = 0;
  #pending: PendingExchange | null = null;
  #cancelTimer: CancelTimer | null = null;
  #isRunning = false;

  constructor(name: string, tools: ErrandTools) {
    this.name = name;
    this.#tools = tools;
    this.backoff = makeBackoff(tools.testing, tools.random);
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  get isAsking(): boolean {
    return this.#pending !== null;
  }

  /** Date of the next fetch; null when a wait says when it is. */
  get dueSec(): number | null {
    return this.#dueSec;
  }

  /** Begin, with a first look at once, or later if torrc of a test network says so. */
  start(delaySec: number, look: () => void): void {
    this.#isRunning = true;
    this.wait(delaySec * 1000);
    if (delaySec === 0) look();
    else this.#cancelTimer = this.#tools.timing.after(delaySec * 1000, look);
  }

  /** Give up what is under way. */
  stop(): void {
    this.#isRunning = false;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#pending?.abort();
    this.#pending = null;
  }

  /** Become due after a time, whatever the wall clock does meanwhile. */
  wait(delayMs: number): void {
    this.#dueSec = null;
    this.#dueMs = this.#tools.timing.nowMs() + delayMs;
  }

  /** Become due at a date. */
  waitUntil(sec: number): void {
    this.#dueSec = sec;
  }

  msUntilDue(): number {
    const { timing } = this.#tools;
    return this.#dueSec === null ? this.#dueMs - timing.nowMs() : (this.#dueSec - timing.nowSec()) * 1000;
  }

  /** Look again when due, or in a minute, unless something is asked then. */
  arm(look: () => void): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (!this.#isRunning) return;
    const waitMs = Math.min(Math.max(0, this.msUntilDue()), LOOK_MS);
    this.#cancelTimer = this.#tools.timing.after(waitMs, () => {
      this.#cancelTimer = null;
      if (this.#pending === null) look();
    });
  }

  /** Ask an authority of the picker's choice. */
  ask(question: Question, done: (outcome: Outcome, authority: DirectoryAuthority) => void): void {
    const authority = this.#tools.picker.pick()!;
    const pending = ask(this.#tools, authority, question, (outcome) => {
      if (this.#pending !== pending) return;
      this.#pending = null;
      done(outcome, authority);
    });
    this.#pending = pending;
  }

  /** Note a failure and wait. @param isWanted - whether going without it does harm already */
  fail(authority: DirectoryAuthority, why: string, isWanted: boolean): void {
    const { picker, testing, warnLimit } = this.#tools;
    picker.shun(authority);
    const delayMs = this.backoff.fail();
    this.wait(delayMs);
    const text = `Fetching ${this.name}: authority ${authority.nickname} ${why}. Asking again in ${Math.round(delayMs / 1000)} s.`;
    const patience = testing ? FAILURES_TO_WARN_TESTING : FAILURES_TO_WARN;
    if (isWanted && this.backoff.failures >= patience) logRateLimited(warnLimit, 'warn', 'dir', text);
    else log.info('dir', text);
  }
}

/** Say in a few words why an answer is of no use; null when it is. */
export function refusalOf(outcome: Outcome): string | null {
  if ('why' in outcome) return outcome.why;
  const { status, reason } = outcome.reply;
  return status === 200 ? null : `answered ${status} ${reason}`;
}
