/**
 * Times as they come, in bounded memory: 128 buckets to an octave, so that a percentile is exact to under 1 %.
 * Least, most and mean are exact.
 */
import type { LatencyFigures } from './plan.ts';

const PER_OCTAVE = 128;
/** From 2^-4 to 2^32 µs: 62 ns to 71 minutes. */
const OCTAVES = 36;
const LOWEST_LOG2 = -4;

/** Collects times in microseconds. */
export class Histogram {
  readonly #buckets = new Uint32Array(PER_OCTAVE * OCTAVES);
  #count = 0;
  #sumUs = 0;
  #minUs = Number.POSITIVE_INFINITY;
  #maxUs = 0;
  #lost = 0;

  add(us: number): void {
    const place = Math.floor((Math.log2(us) - LOWEST_LOG2) * PER_OCTAVE);
    const index = Math.min(this.#buckets.length - 1, Math.max(0, place));
    this.#buckets[index]! += 1;
    this.#count++;
    this.#sumUs += us;
    this.#minUs = Math.min(this.#minUs, us);
    this.#maxUs = Math.max(this.#maxUs, us);
  }

  /** Count one that never came. */
  lose(): void {
    this.#lost++;
  }

  /** The time that this part (0 to 1) of all stays under or at; 0 when there is none. */
  percentileUs(part: number): number {
    let left = Math.max(1, Math.ceil(part * this.#count));
    if (this.#count === 0) return 0;
    for (let i = 0; i < this.#buckets.length; i++) {
      left -= this.#buckets[i]!;
      if (left > 0) continue;
      const middle = 2 ** ((i + 0.5) / PER_OCTAVE + LOWEST_LOG2);
      return Math.min(this.#maxUs, Math.max(this.#minUs, middle));
    }
    return this.#maxUs;
  }

  figures(): LatencyFigures {
    return {
      probes: this.#count,
      lost: this.#lost,
      minUs: this.#count === 0 ? 0 : this.#minUs,
      p50Us: this.percentileUs(0.5),
      p90Us: this.percentileUs(0.9),
      p99Us: this.percentileUs(0.99),
      maxUs: this.#maxUs,
      meanUs: this.#count === 0 ? 0 : this.#sumUs / this.#count,
    };
  }
}
