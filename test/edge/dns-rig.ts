/** Clients and resolvers of names for tests, and waiting for what they answer. */

import { RandomPool } from '../../src/circuit/random-pool.ts';
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { CachingResolver } from '../../src/edge/caching-resolver.ts';
import { DnsClient } from '../../src/edge/dns-client.ts';
import type { DnsResult } from '../../src/edge/dns-query.ts';
import type { NameAnswer, OnAnswer } from '../../src/edge/resolver.ts';
import { Counter, type CounterName } from '../../src/shm/counter.ts';
import { DnsCache } from '../../src/shm/dns-cache.ts';
import type { DnsParams, ExitParams } from '../../src/shm/exit-params.ts';
import { MemoryLedger } from '../../src/shm/memory-ledger.ts';
import { Scoreboard } from '../../src/shm/scoreboard.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** Ask these ports of loopback. */
export function dnsParams(ports: readonly number[], more: Partial<DnsParams> = {}): DnsParams {
  return { ...NO_EXIT.dns, nameservers: ports.map((port) => ({ host: LOOPBACK, port })), ...more };
}

export function exitParams(dns: DnsParams, more: Partial<ExitParams> = {}): ExitParams {
  return { ...NO_EXIT, dns, ...more };
}

/** What a worker's side of looking names up needs, with a clock that can be put forward. */
export class DnsRig {
  readonly counters = new Scoreboard(Scoreboard.create(1), 0);
  readonly cache: DnsCache;
  readonly memory = new MemoryLedger(MemoryLedger.create(2), 0);
  private readonly pool = new RandomPool();
  readonly random = this.pool.bytes;
  private aheadMs = 0;
  private ticker: ReturnType<typeof setInterval> | null = null;
  tells = 0;
  worker = 0;

  constructor(cache: SharedArrayBuffer = DnsCache.create(2, { addresses: 64, names: 16 })) {
    this.cache = new DnsCache(cache, 0);
  }

  readonly now = (): number => performance.now() + 1000 + this.aheadMs;

  /** Let so much time pass at once. */
  skip(ms: number): void {
    this.aheadMs += ms;
  }

  count(name: CounterName): number {
    return this.counters.total(Counter[name]);
  }

  client(params: DnsParams): DnsClient {
    const client = new DnsClient({ ...this, mayTell: () => this.tells++ >= 0 }, params);
    this.tick((nowMs) => client.tick(nowMs));
    return client;
  }

  resolver(params: ExitParams): CachingResolver {
    const resolver = new CachingResolver(this, params);
    this.tick((nowMs) => resolver.tick(nowMs));
    return resolver;
  }

  private tick(run: (nowMs: number) => void): void {
    const earlier = this.ticker;
    if (earlier !== null) clearInterval(earlier);
    this.ticker = setInterval(() => run(this.now()), 5);
  }

  stop(): void {
    if (this.ticker !== null) clearInterval(this.ticker);
  }
}

export function ask(client: DnsClient, name: string, type: number): Promise<DnsResult> {
  return new Promise((resolve) => client.ask(name, type, resolve));
}

export function answerOf(begin: (done: OnAnswer) => unknown): Promise<NameAnswer> {
  return new Promise((resolve) => begin(resolve));
}

/** Wait until something holds. */
export async function until(holds: () => boolean, withinMs = 20_000): Promise<void> {
  for (const end = performance.now() + withinMs; !holds(); ) {
    if (performance.now() > end) throw new Error('it never held');
    await Bun.sleep(5);
  }
}
