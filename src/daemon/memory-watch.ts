/**
 * Tells the operator what MaxMemInQueues is, when it was reached, and what that cost whom.
 */
import { log, RateLimit } from '../log.ts';
import { MEMORY_NAMES, Memory, type MemoryLedger } from '../shm/memory-ledger.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { printBytes } from '../stats/heartbeat.ts';

const WARN_EVERY_MS = 60_000;

/** Counted so far, or since the last warning. */
interface Toll {
  readonly rounds: number;
  readonly circuits: number;
  readonly links: number;
  readonly bytes: number;
}

/** Watches the memory of what waits. One per process. */
export class MemoryWatch {
  private readonly board: Scoreboard;
  private readonly ledger: MemoryLedger;
  private readonly limit: RateLimit;
  private told: Toll = { rounds: 0, circuits: 0, links: 0, bytes: 0 };

  /** @param nowMs a monotonic clock, for tests */
  constructor(board: Scoreboard, ledger: MemoryLedger, nowMs?: () => number) {
    this.board = board;
    this.ledger = ledger;
    this.limit = new RateLimit(WARN_EVERY_MS, nowMs);
  }

  /** Once a second: warn, seldom, when circuits had to end for their memory. `limitBytes` is MaxMemInQueues. */
  tick(limitBytes: number): void {
    const toll: Toll = {
      rounds: this.board.total(Counter.oom_rounds),
      circuits: this.board.total(Counter.circuit_memory_killed),
      links: this.board.total(Counter.oom_links_closed),
      bytes: this.board.total(Counter.oom_cell_bytes),
    };
    const { told } = this;
    if (toll.circuits === told.circuits && toll.links === told.links) return;
    if (this.limit.admit() === null) return;
    this.told = toll;
    const alive = this.board.total(Counter.circuits_created) - this.board.total(Counter.circuits_closed);
    const links = toll.links - told.links;
    log.warn(
      'general',
      `Low on memory: what waits to be sent reached MaxMemInQueues (${printBytes(limitBytes)}), ` +
        `${toll.rounds - told.rounds} time(s) since this was last said. Ended ${toll.circuits - told.circuits} ` +
        `circuits that had waited longest, which freed ${printBytes(toll.bytes - told.bytes)}` +
        `${links === 0 ? '' : `, and closed ${links} links that take nothing`}; ${alive} circuits remain. ` +
        'If the machine has memory to spare, write a larger MaxMemInQueues.',
    );
  }

  /** Say what holds how much (USR1). */
  dump(limitBytes: number): void {
    const kinds = MEMORY_NAMES.map((name) => ({ name, bytes: this.ledger.kind(Memory[name]) }))
      .filter(({ bytes }) => bytes > 0)
      .map(({ name, bytes }) => `${name} ${printBytes(bytes)}`);
    log.notice(
      'general',
      `Memory of what waits: ${printBytes(this.ledger.held())} of ${printBytes(limitBytes)} (MaxMemInQueues), ` +
        `${printBytes(this.ledger.held() - this.ledger.filled())} of it unused: ${kinds.join(', ') || 'nothing'}.`,
    );
  }
}
