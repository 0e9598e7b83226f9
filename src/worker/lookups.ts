/**
 * One worker's looking up of names: its resolver, and in the first worker the check of nameservers for all.
 */
import { CachingResolver, type ResolverConfig } from '../edge/caching-resolver.ts';
import { HijackCheck } from '../edge/hijack-check.ts';
import type { ExitParams } from '../shm/exit-params.ts';
import type { DnsReport } from '../shm/letter.ts';

/** The worker that checks nameservers. */
const CHECKING_WORKER = 0;

/** Lookups of one worker. */
export class Lookups {
  readonly resolver: CachingResolver;
  private readonly check: HijackCheck | null;
  private readonly now: () => number;

  /** @param report tells main what was found out about nameservers */
  constructor(config: ResolverConfig, exit: ExitParams, report: (report: DnsReport) => void) {
    this.now = config.now;
    this.resolver = new CachingResolver(config, exit);
    const { client } = this.resolver;
    this.check =
      config.worker === CHECKING_WORKER
        ? new HijackCheck({ client, random: config.random, report }, exit.dns, config.now())
        : null;
  }

  setParams(exit: ExitParams): void {
    this.resolver.setParams(exit);
    this.check?.setParams(exit.dns, this.now());
  }

  /** Every turn: deadlines of questions, and whether it is time to check. */
  tick(): void {
    const nowMs = this.now();
    this.resolver.tick(nowMs);
    this.check?.tick(nowMs);
  }
}
