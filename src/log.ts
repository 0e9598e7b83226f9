/**
 * What the relay says, and how loudly: C tor's five severities and its log domains.
 *
 * Any thread and any layer may log. This file decides only *whether* a message is said (threshold, rate limit)
 * and what in it must be hidden (`scrub`); where it goes is the sink's business. On the main thread the sink
 * writes files; in a worker it letters the record to the main thread. Until a sink is set, notices and worse go
 * to stderr, so that nothing said during start-up is lost.
 *
 * A message may be a function: it is called only if someone wants the text.
 */

/** Severities in rising order, named as torrc names them. */
export const SEVERITIES = ['debug', 'info', 'notice', 'warn', 'err'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Log domains: the names that a torrc `Log` line may use, in lower case. */
export const DOMAINS = [
  'general',
  'crypto',
  'net',
  'config',
  'fs',
  'protocol',
  'mm',
  'http',
  'app',
  'control',
  'circ',
  'rend',
  'bug',
  'dir',
  'dirserv',
  'or',
  'edge',
  'acct',
  'hist',
  'handshake',
  'heartbeat',
  'channel',
  'sched',
  'guard',
  'consdiff',
  'dos',
  'process',
  'pt',
  'btrack',
  'mesg',
] as const;
export type Domain = (typeof DOMAINS)[number];

/** One message. Structured-clonable, so that a worker can letter it. */
export interface LogRecord {
  /** Wall-clock time, in ms since 1970, at which it was said. */
  readonly wallMs: number;
  readonly severity: Severity;
  readonly domain: Domain;
  readonly text: string;
  /** How many similar messages a rate limit withheld since the last one; the text says so too. */
  readonly suppressed?: number;
}

export type LogSink = (record: LogRecord) => void;
export type LogThreshold = (severity: Severity, domain: Domain) => boolean;
/** A message, or a function that makes it if it is wanted. */
export type LogText = string | (() => string);

const defaultSink: LogSink = (record) => {
  process.stderr.write(`[${record.severity}] ${record.text}\n`);
};
const defaultThreshold: LogThreshold = (severity) => severity !== 'debug' && severity !== 'info';

let sink = defaultSink;
let wants = defaultThreshold;

/** Set what takes this thread's records; null goes back to stderr. */
export function setLogSink(next: LogSink | null): void {
  sink = next ?? defaultSink;
}

/** Set which messages are wanted at all on this thread; null goes back to notice and above. */
export function setLogThreshold(needs: LogThreshold | null): void {
  wants = needs ?? defaultThreshold;
}

/** Tell whether a message of this severity and domain would be taken. */
export function isLogged(severity: Severity, domain: Domain): boolean {
  return wants(severity, domain);
}

function say(severity: Severity, domain: Domain, text: LogText): void {
  if (!wants(severity, domain)) return;
  sink({ wallMs: Date.now(), severity, domain, text: typeof text === 'string' ? text : text() });
}

/** Say something. Debug and info are for developers, notice for operators, warn and err ask for action. */
export const log = {
  debug(domain: Domain, text: LogText): void {
    say('debug', domain, text);
  },
  info(domain: Domain, text: LogText): void {
    say('info', domain, text);
  },
  notice(domain: Domain, text: LogText): void {
    say('notice', domain, text);
  },
  warn(domain: Domain, text: LogText): void {
    say('warn', domain, text);
  },
  err(domain: Domain, text: LogText): void {
    say('err', domain, text);
  },
} as const;

/** Above this many withheld messages the count is only "over" this. */
const SUPPRESSED_MAX = 100_000;

/**
 * One message a period, for what a peer can cause as often as it likes.
 * Time is this thread's own monotonic clock, so a step of the wall clock neither mutes nor floods the log.
 */
export class RateLimit {
  readonly #periodMs: number;
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #withheld = 0;
  #withheldSinceMs = 0;

  /** @param periodMs shortest time between two messages; @param nowMs a monotonic clock, for tests. */
  constructor(periodMs: number, nowMs: () => number = () => performance.now()) {
    this.#periodMs = periodMs;
    this.#nowMs = nowMs;
  }

  /**
   * Ask to speak once. Returns null if the message must be withheld, else how many were withheld before it
   * and over how long, in seconds, rounded up to a minute.
   */
  admit(): { readonly withheld: number; readonly sinceSec: number } | null {
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastMs < this.#periodMs) {
      if (this.#withheld === 0) this.#withheldSinceMs = nowMs;
      if (this.#withheld < SUPPRESSED_MAX) this.#withheld++;
      return null;
    }
    const withheld = this.#withheld;
    const sinceSec = withheld === 0 ? 0 : Math.ceil((nowMs - this.#withheldSinceMs) / 60_000) * 60;
    this.#lastMs = nowMs;
    this.#withheld = 0;
    return { withheld, sinceSec };
  }
}

/** Say something at most once a period; the next message tells how many were withheld. */
export function logRateLimited(limit: RateLimit, severity: Severity, domain: Domain, text: LogText): void {
  if (!wants(severity, domain)) return;
  const admitted = limit.admit();
  if (admitted === null) return;
  const said = typeof text === 'string' ? text : text();
  const { withheld, sinceSec } = admitted;
  if (withheld === 0) {
    sink({ wallMs: Date.now(), severity, domain, text: said });
    return;
  }
  const over = withheld >= SUPPRESSED_MAX ? 'over ' : '';
  const note = ` [${over}${withheld} similar message(s) suppressed in last ${sinceSec} seconds]`;
  sink({ wallMs: Date.now(), severity, domain, text: said + note, suppressed: withheld });
}

/** Warn at most once a period. */
export function warnRateLimited(limit: RateLimit, domain: Domain, text: LogText): void {
  logRateLimited(limit, 'warn', domain, text);
}

/**
 * torrc's SafeLogging. `relay` leaves open what is learnt as a client; this program is never one, so it hides what
 * `1` does.
 */
export type SafeLogging = '0' | '1' | 'relay';

const SCRUBBED = '[scrubbed]';
let safeLogging: SafeLogging = '1';

/** Set what `scrub` hides on this thread. */
export function setSafeLogging(mode: SafeLogging): void {
  safeLogging = mode;
}

/**
 * Hide what we know because we relay for others (a client's address, a hop, a target) unless SafeLogging is 0. What
 * the consensus or torrc names in public (authorities, our own address) needs no hiding.
 */
export function scrub(addressText: string): string {
  return safeLogging === '0' ? addressText : SCRUBBED;
}
