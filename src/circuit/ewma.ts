/**
 * How much a cell weighs in the decayed counts by which `channel/active-legs` orders circuits.
 *
 * C tor halves every circuit's count each CircuitPriorityHalflife. Here nothing is halved: a cell sent later weighs
 * more, which gives the same order and touches no circuit that sends nothing. A tick (CircuitPriorityTickSecs) is how
 * often C tor rescales its counts; here ticks only number the time. Weights double each half-life and would leave the
 * range of a float after a thousand of them, so long before that all counts are scaled back at once.
 * @source C tor's circuitmux_ewma
 */
import type { CircuitTable } from './circuit-table.ts';

/** Weights up to 2^200 keep sums exact enough; then everything is divided by that. */
const SCALE_BACK_AT = 200;

/** The weight of a cell now. One per worker. */
export class Ewma {
  /** What one cell adds to its leg's count. */
  weight = 1;
  /** Numbers the turns that equals take. */
  turns = 0;
  private baseMs: number;
  private halfLifeMs = 0;

  constructor(nowMs: number) {
    this.baseMs = nowMs;
  }

  /** Bring the weight up to date; once per batch. A new half-life starts all counts afresh. */
  advance(table: CircuitTable, nowMs: number, halfLifeMs: number): void {
    if (halfLifeMs !== this.halfLifeMs) {
      this.halfLifeMs = halfLifeMs;
      this.baseMs = nowMs;
      table.sent.fill(0);
      // Heaps keep their order: all are equal now, and turns only grow.
      table.turn.fill(0);
    }
    let halfLives = (nowMs - this.baseMs) / halfLifeMs;
    if (halfLives > SCALE_BACK_AT) {
      const factor = 2 ** -halfLives;
      for (let leg = 0; leg < table.sent.length; leg++) table.sent[leg]! *= factor;
      // Counts that differed may be equal now, down at nothing: then their heaps must not be out of turn.
      table.turn.fill(0);
      this.baseMs = nowMs;
      halfLives = 0;
    }
    this.weight = 2 ** halfLives;
  }
}
