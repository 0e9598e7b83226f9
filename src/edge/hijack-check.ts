/**
 * Finds out whether nameservers make answers up: one worker asks, and tells main.
 *
 * A round asks for names that cannot exist, or almost certainly do not. An address that comes back for many of them
 * stands for "no such name". Then it asks for names that certainly exist; if most of those get such an address, there is
 * no use in asking these nameservers at all. The first round is a minute or more after the start, each other half a day
 * or more after the one before.
 * @source C tor 0.4.9's dns.c: the names, the thresholds and the times
 */
import { printIp } from '../bytes/address.ts';
import { RecordType } from '../dns/message.ts';
import { log } from '../log.ts';
import type { DnsParams } from '../shm/exit-params.ts';
import type { DnsReport } from '../shm/letter.ts';
import type { DnsClient } from './dns-client.ts';
import type { DnsResult } from './dns-query.ts';

const FIRST_MS = 60_000;
const FIRST_SPREAD_MS = 120_000;
const PERIOD_MS = 12 * 3_600_000;
/** An address counts as made up when it came for more names than this, and more than that were asked for. */
const SIGHTINGS_MOST = 5;
const REQUESTS_LEAST = 10;
const REPEATS = 2;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
const TYPES = [RecordType.A, RecordType.AAAA] as const;
/** Endings of names, and how many letters stand before them at least; sixteen at most. */
const ENDINGS: readonly (readonly [string, number])[] = [
  ['.invalid', 2],
  ['.test', 2],
  ['', 8],
  ['.com', 8],
  ['.org', 8],
  ['.net', 8],
];
const LETTERS_MOST = 16;

/** What the check is given. */
export interface HijackCheckConfig {
  readonly client: DnsClient;
  readonly random: (n: number) => Uint8Array;
  readonly report: (report: DnsReport) => void;
}

/** One round of questions. */
interface Round {
  readonly generation: number;
  /** How often each address came for a name that is none. */
  readonly sightings: Map<string, number>;
  readonly hijacked: Map<string, Uint8Array>;
  requests: number;
  missing: number;
  readonly redirected: Set<string>;
}

/** Checks nameservers. One per process. */
export class HijackCheck {
  private readonly config: HijackCheckConfig;
  private params: DnsParams;
  private nextMs: number;
  private round: Round | null = null;
  private reported = '';

  constructor(config: HijackCheckConfig, params: DnsParams, nowMs: number) {
    this.config = config;
    this.params = params;
    this.nextMs = this.firstMs(nowMs);
  }

  /** Other nameservers are looked at anew. */
  setParams(params: DnsParams, nowMs: number): void {
    const isNew =
      params.generation !== this.params.generation || params.detectHijacking !== this.params.detectHijacking;
    this.params = params;
    if (!isNew) return;
    this.round = null;
    this.reported = '';
    this.nextMs = this.firstMs(nowMs);
  }

  /** Begin a round when it is time. */
  tick(nowMs: number): void {
    if (nowMs < this.nextMs || !this.params.detectHijacking || this.round !== null) return;
    this.nextMs = nowMs + PERIOD_MS + this.below(PERIOD_MS);
    this.begin();
  }

  private firstMs(nowMs: number): number {
    return nowMs + FIRST_MS + this.below(FIRST_SPREAD_MS);
  }

  private begin(): void {
    const names = TYPES.flatMap((type) =>
      Array.from({ length: REPEATS }, () => ENDINGS).flatMap((endings) =>
        endings.map(([ending, least]) => ({ type, name: this.madeUpName(least, ending) })),
      ),
    );
    const round: Round = {
      generation: this.params.generation,
      sightings: new Map(),
      hijacked: new Map(),
      requests: 0,
      missing: names.length,
      redirected: new Set(),
    };
    this.round = round;
    for (const { name, type } of names) {
      this.config.client.ask(name, type, (result) => this.onMadeUp(round, result));
    }
  }

  private onMadeUp(round: Round, { hosts }: DnsResult): void {
    if (this.round !== round) return;
    round.requests++;
    for (const host of hosts) {
      const key = host.toHex();
      const times = (round.sightings.get(key) ?? 0) + 1;
      round.sightings.set(key, times);
      if (times > SIGHTINGS_MOST && round.requests > REQUESTS_LEAST) round.hijacked.set(key, host);
    }
    if (--round.missing > 0) return;
    const names = round.hijacked.size === 0 ? [] : this.params.testNames;
    round.missing = names.length * TYPES.length;
    for (const name of names) {
      for (const type of TYPES)
        this.config.client.ask(name, type, (result) => this.onReal(round, name, result));
    }
    if (names.length === 0) this.end(round);
  }

  private onReal(round: Round, name: string, { hosts }: DnsResult): void {
    if (this.round !== round) return;
    if (hosts[0] !== undefined && round.hijacked.has(hosts[0].toHex())) round.redirected.add(name);
    if (--round.missing === 0) this.end(round);
  }

  private end(round: Round): void {
    this.round = null;
    const hijackedHosts = [...round.hijacked.values()];
    const useless = round.redirected.size > Math.floor(this.params.testNames.length / 2);
    const text = `${[...round.hijacked.keys()].sort().join()} ${useless}`;
    // A worker that was restarted does not know what its predecessor reported, but what all act on.
    const isNothingNew =
      this.reported === '' && hijackedHosts.length === 0 && this.params.hijackedHosts.length === 0;
    if (text === this.reported || isNothingNew) return;
    this.reported = text;
    this.tell(round, hijackedHosts, useless);
    this.config.report({ generation: round.generation, hijackedHosts, useless });
  }

  private tell(round: Round, hijackedHosts: readonly Uint8Array[], useless: boolean): void {
    if (hijackedHosts.length === 0) {
      log.notice('net', 'The nameservers no longer make up addresses for names that do not exist.');
      return;
    }
    const list = hijackedHosts.map(printIp).join(', ');
    log.notice(
      'net',
      `The nameservers answer with ${list} for names that do not exist; such answers count as "no such name" from now on.`,
    );
    if (!useless) return;
    log.warn(
      'net',
      `The nameservers answer so even for names that exist (${[...round.redirected].join(', ')}): ` +
        'this relay is no exit while they do. Ask other nameservers.',
    );
  }

  private madeUpName(least: number, ending: string): string {
    const length = least + this.below(LETTERS_MOST - least + 1);
    return Array.from({ length }, () => LETTERS[this.below(LETTERS.length)]).join('') + ending;
  }

  private below(n: number): number {
    const [a, b, c, d] = this.config.random(4);
    return (((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0) % n;
  }
}
