/**
 * Looks names up for streams: in the shared cache, else from nameservers.
 *
 * Every name is asked for in each family that we exit to, whatever its first asker wants, so that what is asked tells
 * less of who asks; lookups of one name under way are one. As in C tor the first address counts, and answers are kept
 * for five minutes or an hour, give or take four minutes, whatever their TTL says. Unlike C tor, a failure that may
 * pass is not kept: once a nameserver is back, so are all names. The hosts file is not read, as in C tor.
 * @source C tor 0.4.9's dns.c and connection_edge.c
 */
import { isInternalIp, parseIp, sameIp } from '../bytes/address.ts';
import { RecordType } from '../dns/message.ts';
import { isAskable, isPlainName, parseReverseName, reverseName } from '../dns/name.ts';
import { Counter } from '../shm/counter.ts';
import { type CachedAnswer, type DnsCache, Question, type QuestionKind } from '../shm/dns-cache.ts';
import type { DnsParams, ExitParams } from '../shm/exit-params.ts';
import { Memory, type MemoryLedger } from '../shm/memory-ledger.ts';
import { DnsClient, type DnsClientConfig } from './dns-client.ts';
import type { DnsFailure, DnsResult } from './dns-query.ts';
import {
  LITERAL_TTL_SEC,
  type Lookup,
  type LookupFailure,
  type NameAnswer,
  type NameResolver,
  type OnAnswer,
  type Wanted,
} from './resolver.ts';

/** How long answers are kept: low or high, by their TTL, and blurred by so much either way. */
const TTL_LOW_SEC = 300;
const TTL_HIGH_SEC = 3600;
const TTL_BLUR_SEC = 240;
/** About what a lookup under way takes. */
const LOOKUP_BYTES = 1024;
/** Failures that may pass. Of the rest C tor says that there is no such name; it is kept only where that is so. */
const TRANSIENT: ReadonlySet<DnsFailure> = new Set([
  'serverfailed',
  'truncated',
  'timeout',
  'shutdown',
  'overloaded',
]);
const NO_SUCH_NAME: ReadonlySet<DnsFailure> = new Set(['notexist', 'nodata']);

const RECORD_TYPES: Readonly<Record<QuestionKind, number>> = {
  [Question.IPV4]: RecordType.A,
  [Question.IPV6]: RecordType.AAAA,
  [Question.HOSTNAME]: RecordType.PTR,
};

/** What a resolver is given. */
export interface ResolverConfig extends Omit<DnsClientConfig, 'mayTell'> {
  readonly worker: number;
  readonly cache: DnsCache;
  readonly memory: MemoryLedger;
}

/** What is known of one question: a value, that there is none, or why it is not known. */
interface Outcome {
  readonly value: Uint8Array | null;
  readonly ttlSec: number;
  readonly failure: LookupFailure | null;
}

/** Outcomes of the questions of one name. */
type Outcomes = Map<QuestionKind, Outcome>;

interface Waiter {
  readonly done: (outcomes: Outcomes) => void;
  isCancelled: boolean;
}

/** A name that nameservers are asked for. */
interface Pending {
  readonly outcomes: Outcomes;
  missing: number;
  readonly waiters: Waiter[];
}

const DONE: Lookup = { cancel: () => {} };

/** Looks names up. One per worker. */
export class CachingResolver implements NameResolver {
  readonly client: DnsClient;
  private readonly config: ResolverConfig;
  private exit: ExitParams;
  private readonly pending = new Map<string, Pending>();

  constructor(config: ResolverConfig, exit: ExitParams) {
    this.config = config;
    this.exit = exit;
    const mayTell = (periodMs: number) => config.cache.mayTell(config.now(), periodMs);
    this.client = new DnsClient({ ...config, mayTell }, exit.dns);
  }

  /** What torrc and the resolver configuration say from now on. */
  setParams(exit: ExitParams): void {
    this.exit = exit;
    this.client.setParams(exit.dns);
  }

  /** Every turn. */
  tick(nowMs: number): void {
    this.client.tick(nowMs);
    this.countMemory();
  }

  private countMemory(): void {
    const { cache, memory, worker } = this.config;
    memory.set(Memory.dns, cache.heldBy(worker) + this.pending.size * LOOKUP_BYTES);
  }

  /** Give the cache up, for its memory. */
  dropCache(): void {
    this.config.counters.add(Counter.oom_dns_bytes, this.config.cache.clear());
    this.countMemory();
  }

  /** End what is under way. */
  close(): void {
    this.client.close();
  }

  resolve(name: string, want: Wanted, done: OnAnswer): Lookup {
    const literal = parseIp(name);
    if (literal !== null) return answerLiteral(literal, want, done);
    const asked = this.canonical(name);
    if (asked === null || parseReverseName(asked) !== null) return this.refuse(done);
    return this.lookUp(asked, this.families(), (outcomes) => done(addressAnswer(outcomes, want)));
  }

  reverse(host: Uint8Array, done: OnAnswer): Lookup {
    if (isInternalIp(host)) return this.refuse(done);
    return this.lookUp(reverseName(host), [Question.HOSTNAME], (outcomes) => {
      const { value, ttlSec, failure } = outcomes.get(Question.HOSTNAME)!;
      const hostname = value === null ? null : Buffer.from(value).toString('latin1');
      done({ ipv4: null, ipv6: null, hostname, ttlSec, failure });
    });
  }

  resolveMessage(text: string, done: OnAnswer): Lookup {
    const host = parseReverseName(text);
    if (host instanceof Uint8Array) return this.reverse(host, done);
    return this.resolve(text, { ipv4: true, ipv6: this.exit.ipv6Exit || parseIp(text) !== null }, done);
  }

  private families(): QuestionKind[] {
    return this.exit.ipv6Exit ? [Question.IPV4, Question.IPV6] : [Question.IPV4];
  }

  /** The form in which a name is asked for and kept; null if it may not be asked for. */
  private canonical(name: string): string | null {
    if (!this.exit.dns.allowNonRfc953 && !isPlainName(name)) return null;
    if (!isAskable(name)) return null;
    return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
  }

  private refuse(done: OnAnswer): Lookup {
    this.config.counters.add(Counter.dns_refused_name, 1);
    done({ ipv4: null, ipv6: null, hostname: null, ttlSec: LITERAL_TTL_SEC, failure: 'not-found' });
    return DONE;
  }

  /** Find what is known, and ask for what is not. */
  private lookUp(name: string, kinds: readonly QuestionKind[], done: (outcomes: Outcomes) => void): Lookup {
    const { cache, counters, now } = this.config;
    const waiter: Waiter = { done, isCancelled: false };
    const under = this.pending.get(name);
    if (under !== undefined) {
      counters.add(Counter.dns_joined, 1);
      under.waiters.push(waiter);
      return cancelling(waiter);
    }
    const outcomes: Outcomes = new Map();
    for (const kind of kinds) {
      const cached = cache.find(kind, name, now());
      if (cached !== null) outcomes.set(kind, outcomeOf(cached));
    }
    if (outcomes.size === kinds.length) {
      counters.add(Counter.dns_cache_hits, 1);
      done(outcomes);
      return DONE;
    }
    const missing = kinds.filter((kind) => !outcomes.has(kind));
    const pending: Pending = { outcomes, missing: missing.length, waiters: [waiter] };
    this.pending.set(name, pending);
    for (const kind of missing) {
      const spellings = kind === Question.HOSTNAME ? [name] : spellingsOf(name, this.exit.dns);
      this.ask(kind, name, spellings, (outcome) => {
        pending.outcomes.set(kind, outcome);
        pending.missing--;
        if (pending.missing === 0) this.settle(name, pending);
      });
    }
    return cancelling(waiter);
  }

  private settle(name: string, pending: Pending): void {
    this.pending.delete(name);
    for (const { done, isCancelled } of pending.waiters) if (!isCancelled) done(pending.outcomes);
  }

  /** Ask for one spelling of a name after the other, until one is found. */
  private ask(
    kind: QuestionKind,
    name: string,
    spellings: readonly string[],
    done: (outcome: Outcome) => void,
  ): void {
    const [spelling, ...others] = spellings;
    this.client.ask(spelling!, RECORD_TYPES[kind], (raw) => {
      const result = this.withoutHijack(raw);
      const isTransient = result.failure !== null && TRANSIENT.has(result.failure);
      if (result.failure !== null && !isTransient && others.length > 0) {
        this.ask(kind, name, others, done);
        return;
      }
      const ttlSec = this.ttlOf(result.ttlSec);
      const value = firstValue(result);
      if (result.failure === null || NO_SUCH_NAME.has(result.failure)) {
        this.config.cache.put(kind, name, value, ttlSec, this.config.now());
      }
      const failure = isTransient ? 'transient' : 'not-found';
      done({ value, ttlSec, failure: value === null ? failure : null });
    });
  }

  /** An address that nameservers give for names that do not exist is none. */
  private withoutHijack(result: DnsResult): DnsResult {
    const host = result.hosts[0];
    if (host === undefined || !this.exit.dns.hijackedHosts.some((each) => sameIp(each, host))) return result;
    this.config.counters.add(Counter.dns_hijacked, 1);
    return { failure: 'notexist', hosts: [], hostname: null, ttlSec: result.ttlSec };
  }

  /** Low or high, so that it tells little of the name, and blurred, so that it tells little of when it was asked. */
  private ttlOf(ttlSec: number): number {
    const [a, b] = this.config.random(2);
    const blur = ((a! << 8) | b!) % (2 * TTL_BLUR_SEC + 1);
    return (ttlSec < TTL_LOW_SEC ? TTL_LOW_SEC : TTL_HIGH_SEC) + blur - TTL_BLUR_SEC;
  }
}

function cancelling(waiter: Waiter): Lookup {
  return {
    cancel: () => {
      waiter.isCancelled = true;
    },
  };
}

function outcomeOf({ value, ttlSec }: CachedAnswer): Outcome {
  return { value, ttlSec, failure: value === null ? 'not-found' : null };
}

function firstValue({ hosts, hostname }: DnsResult): Uint8Array | null {
  if (hostname !== null) return new Uint8Array(Buffer.from(hostname, 'latin1'));
  return hosts[0] ?? null;
}

function answerLiteral(host: Uint8Array, want: Wanted, done: OnAnswer): Lookup {
  const ipv4 = host.length === 4 && want.ipv4 ? host : null;
  const ipv6 = host.length === 16 && want.ipv6 ? host : null;
  const failure = ipv4 === null && ipv6 === null ? 'not-found' : null;
  done({ ipv4, ipv6, hostname: null, ttlSec: LITERAL_TTL_SEC, failure });
  return DONE;
}

/** What of the outcomes is wanted. Of two TTLs it is that of the address which C tor would take: the first wanted. */
function addressAnswer(outcomes: Outcomes, want: Wanted): NameAnswer {
  const four = want.ipv4 ? outcomes.get(Question.IPV4) : undefined;
  const six = want.ipv6 ? outcomes.get(Question.IPV6) : undefined;
  const ipv4 = four?.value ?? null;
  const ipv6 = six?.value ?? null;
  const first = ipv4 !== null ? four : ipv6 !== null ? six : (four ?? six);
  const isTransient = four?.failure === 'transient' || six?.failure === 'transient';
  const failure = ipv4 !== null || ipv6 !== null ? null : isTransient ? 'transient' : 'not-found';
  return { ipv4, ipv6, hostname: null, ttlSec: first?.ttlSec ?? LITERAL_TTL_SEC, failure };
}

/** Under which names a name is asked for: as it is, and in the search domains, in libevent's order. */
function spellingsOf(name: string, { search, ndots }: DnsParams): string[] {
  const found = search.map((domain) => `${name}.${domain}`).filter(isAskable);
  const isWhole = name.split('.').length - 1 >= ndots;
  return isWhole ? [name, ...found] : [...found, name];
}
